"""The benchmark of the service: what it counts, what it refuses, and one run with the tiny model."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks.contenders import CONTENDERS, BenchmarkError, Contender, ask_labels, running
from benchmarks.load import offer_load, percentile
from benchmarks.messages import choose_messages
from benchmarks.serving_report import picture, ratios, summarise, table
from benchmarks.soak import memory_slope
from tests.conftest import ROOT, script


def test_percentiles_are_nearest_ranks():
    assert percentile([], 50) is None
    seconds = [n / 1000 for n in range(100, 0, -1)]
    assert percentile(seconds, 50) == pytest.approx(50)
    assert percentile(seconds, 99) == pytest.approx(99)
    assert percentile([0.003], 99) == pytest.approx(3)


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: set[tuple[str, int]] = set()  # noqa: RUF012

    def do_POST(self):
        self.connections.add(self.client_address)
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
        answer = b"{}" if text == "empty" else b'{"category": {"label": "greeting"}}'
        self.send_response(503 if text == "busy" else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def plain_server():
    _Server.connections.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def offered(address, texts, clients, seconds=0.5):
    bodies = [json.dumps({"text": text}).encode() for text in texts]
    load = asyncio.run(offer_load(f"{address}/analyze", bodies, clients, seconds, 0.1))
    return load.as_dict()


def test_load_counts_answers_and_keeps_connections(plain_server):
    found = offered(plain_server, ["a", "b", "c"], 3)
    assert found["errors"] == {}
    assert found["answers"] == sum(found["per_second"]) > 10
    assert found["throughput"] == found["answers"] / 0.5
    assert 0 < found["p50_ms"] <= found["p99_ms"] < 600
    assert len(_Server.connections) == 3


def test_load_names_errors_by_kind(plain_server):
    assert set(offered(plain_server, ["busy", "empty"], 2)["errors"]) == {"http 503", "not an answer"}
    found = offered("http://127.0.0.1:9", ["a"], 2)
    assert found["answers"] == 0
    assert found["p50_ms"] is None
    assert set(found["errors"]) == {"ClientConnectorError"}


def test_a_contender_that_answers_errors_is_refused(plain_server):
    assert ask_labels("rival", plain_server, [b'{"text": "a"}']) == ["greeting"]
    with pytest.raises(BenchmarkError, match="rival: answered 503"):
        ask_labels("rival", plain_server, [b'{"text": "busy"}'])
    with pytest.raises(BenchmarkError, match="rival: no category in its answer"):
        ask_labels("rival", plain_server, [b'{"text": "empty"}'])


def cell(name, clients, throughput, number=0, errors=None, p50=1.0):
    return {
        "round": number, "contender": name, "clients": clients, "answers": int(throughput * 10),
        "throughput": throughput, "p50_ms": p50, "p99_ms": 4.0, "errors": errors or {}, "memory_mb": 100.0,
    }  # fmt: skip


def test_ratios_are_of_medians_and_only_of_what_was_measured():
    cells = [cell("ours", 32, rate, number) for number, rate in enumerate((300, 100, 200))]
    cells += [cell("pipeline_bentoml", 32, 20.0), cell("bare_session", 32, 400.0)]
    cells += [cell("ours", 1, 50.0, p50=12.0), cell("bare_session", 1, 90.0, p50=8.0)]
    cells += [cell("pipeline_fastapi", 32, 0.0, p50=None, errors={"http 500": 3})]
    summary = summarise(cells)
    assert summary["ours"]["32"]["throughput"] == 200
    assert summary["ours"]["32"]["throughput_range"] == [100, 300]
    assert summary["ours"]["32"]["answers"] == 6000
    assert summary["pipeline_fastapi"]["32"]["errors"] == {"http 500": 3}
    found = ratios(summary)
    assert found["throughput_32_clients_vs_pipeline_bentoml"] == 10
    assert found["throughput_32_clients_vs_bare_session"] == 0.5
    assert found["p50_1_client_vs_bare_session"] == 1.5
    assert "throughput_32_clients_vs_pipeline_fastapi" not in found
    assert "throughput_1_client_vs_pipeline_bentoml" not in found


def test_messages_are_shuffled_alike_and_bad_files_are_named(tmp_path):
    file = tmp_path / "messages.jsonl"
    file.write_text("".join(json.dumps({"text": str(n)}) + "\n" for n in range(50)), encoding="utf-8")
    (_, first), (_, again), (_, other) = (choose_messages(file, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(int(row["text"]) for row in first) == list(range(50))
    file.write_text('{"text": "a"}\n{"text": 3}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"messages\.jsonl:2: text: expected a text, got 3"):
        choose_messages(file, 1)
    file.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="no messages"):
        choose_messages(file, 1)


def test_memory_slope_finds_a_leak_and_forgives_noise():
    noise = np.random.default_rng(3).normal(0, 2, 300)
    flat = [(2.0 * n, 500 + float(noise[n])) for n in range(300)]
    flat[150] = (300.0, 900.0)
    slope = memory_slope(flat)
    assert slope.low < 0 < slope.high
    assert abs(slope.mb_per_hour) < 20
    leak = [(second, megabytes + second / 36) for second, megabytes in flat]
    slope = memory_slope(leak)
    assert slope.low < 100 < slope.high
    assert slope.low > 50
    start = [(second, megabytes + (1000 if second < 60 else 0)) for second, megabytes in flat]
    assert memory_slope(start) == memory_slope(flat)
    assert memory_slope(flat[:40]) is None


def test_the_rival_is_the_encoder_part_of_ours(exported):
    """n-grams that are all padding leave only the view's bias on top of the encoder's logits."""
    import torch
    from safetensors.numpy import load_file

    from benchmarks.rivals import load_pipeline
    from data.example import Turn
    from serving.exported import ExportedModel

    ours = ExportedModel(exported, threads=1)
    bias = load_file(exported / "model.safetensors")["ngram_bias"]
    messages = [("退款多久到", ()), ("还是没到", (Turn("customer", "快递呢"), Turn("agent", "亲，明天到")))]
    inputs = ours.encoder.pad(ours.encoder.encode(messages)).inputs()
    nothing = np.zeros((2, 1), np.int64)
    outputs = [f"{task}_logits" for task in ours.tasks]
    got = ours.session.run(outputs, {**inputs, "ngram_ids": nothing, "context_ngram_ids": nothing})
    pipe = load_pipeline(exported)
    with torch.inference_mode():
        want = pipe.model(**{name: torch.from_numpy(values) for name, values in inputs.items()})
    start = 0
    for task, logits in zip(ours.tasks, got, strict=True):
        size = logits.shape[1]
        np.testing.assert_allclose(logits - bias[start : start + size], want[task].numpy(), atol=1e-4)
        start += size
    answer = pipe({"text": "退款多久到", "context": []})
    assert answer["category"]["label"] == ours.labels["category"][int(want["category"][0].argmax())]


@pytest.fixture(scope="module")
def store(exported, tmp_path_factory):
    """The environment of a store in which the tiny model is packaged as both champions."""
    home = tmp_path_factory.mktemp("bento")
    code = f"""
from pathlib import Path
from serving.package import Champion, package
folder = Path({str(exported)!r})
package([Champion(task, f"kefu-{{task}}", "1", folder) for task in ("category", "emotion")])
"""
    environment = {
        "BENTOML_HOME": str(home),
        "KEFU_PINS": str(home / "champions.json"),
        "KEFU_FEEDBACK": str(home / "feedback.sqlite"),
        "BENCHMARK_MODEL": str(exported),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    script(code, home, **environment)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture
def messages(few, tmp_path):
    file = tmp_path / "messages.jsonl"
    turns = [[{"role": turn.role, "text": turn.text} for turn in row.context] for row in few]
    rows = [
        json.dumps({"text": row.text, "context": context}) for row, context in zip(few, turns, strict=True)
    ]
    file.write_text("\n".join(rows), encoding="utf-8")
    return choose_messages(file, 7)[1]


def processes():
    """Children of the test's process. Python's tracker of shared things lives on and is none of ours."""
    import psutil

    found = psutil.Process().children(recursive=True)
    return [one for one in found if "multiprocessing.resource_tracker" not in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_run_with_the_tiny_model(store, messages, tmp_path):
    from rich.console import Console

    from benchmarks.machine import describe_machine
    from benchmarks.serving import Settings, measure

    clients = {"pipeline_bentoml": (2,), "pipeline_fastapi": (2,), "ours": (1, 2)}
    settings = Settings(clients, rounds=1, seconds=1.0, warm_up=0.3)
    found = json.loads(json.dumps(measure(settings, messages, Console(file=io.StringIO()))))
    assert processes() == []
    assert found["failures"] == []
    assert found["agreement_with_bare_session"]["ours"] == 1
    assert found["service"]["models"]["category"]["name"] == "kefu-category@1"
    measured = [(one["contender"], one["clients"]) for one in found["rounds"]]
    services = [(name, count) for name, counts in clients.items() for count in counts]
    assert measured == [("bare_session", 1), ("bare_session", 32), *services]
    for one in found["rounds"]:
        assert one["errors"] == {}
        assert one["answers"] > 0
        assert one["throughput"] == one["answers"] / one["seconds"]
        assert one["p50_ms"] <= one["p99_ms"]
        assert one["memory_mb"] > 50
    summary, answers = (
        found["summary"],
        {(o["contender"], o["clients"]): o["answers"] for o in found["rounds"]},
    )
    for rival in ("pipeline_bentoml", "pipeline_fastapi"):
        wanted = answers["ours", 2] / answers[rival, 2]
        assert found["ratios"][f"throughput_2_clients_vs_{rival}"] == pytest.approx(wanted, abs=1e-3)
    wanted = summary["ours"]["1"]["p50_ms"] / summary["bare_session"]["1"]["p50_ms"]
    assert found["ratios"]["p50_1_client_vs_bare_session"] == pytest.approx(wanted, abs=1e-3)
    figures = {"machine": describe_machine(), "messages": {"source": "tiny"}, **found}
    assert table(figures).row_count == len(found["rounds"])
    picture(figures, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_service_that_cannot_start_is_named_and_leaves_nothing(tmp_path):
    broken = Contender("broken", (sys.executable, "-m", "benchmarks.nothing"))
    with (
        pytest.raises(BenchmarkError, match=r"broken: the service stopped .*service\.log"),
        running(broken, tmp_path),
    ):
        pass
    assert processes() == []
    assert set(CONTENDERS) == {"pipeline_bentoml", "pipeline_fastapi", "ours"}


DIES = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    left = 16
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.command == "POST":
            Handler.left -= 1
            if Handler.left < 0:
                os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"category": {"label": "greeting"}}')
    do_GET = do_POST = answer
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.mark.slow
def test_a_service_that_dies_is_reported_and_not_asked_again(store, messages, monkeypatch):
    from rich.console import Console

    from benchmarks.serving import Settings, measure

    dying = Contender("pipeline_fastapi", (sys.executable, "-c", DIES))
    monkeypatch.setitem(CONTENDERS, "pipeline_fastapi", dying)
    settings = Settings({"pipeline_fastapi": (1, 2)}, rounds=3, seconds=0.5, warm_up=0.1, budget=0.0)
    said = io.StringIO()
    found = measure(settings, messages, Console(file=said, width=200))
    (failure,) = found["failures"]
    assert failure["contender"] == "pipeline_fastapi"
    assert failure["reason"].startswith("the service is dead: no answer in 0.5 s, errors {'")
    assert failure["reason"] in said.getvalue()
    assert [one["clients"] for one in found["rounds"] if one["contender"] == "pipeline_fastapi"] == [1]
    assert "1 of 3 rounds: there is no time for another" in said.getvalue()
    assert found["ratios"] == {}
    assert processes() == []


@pytest.mark.slow
def test_it_runs_as_a_path_and_as_a_module():
    for command in (["benchmarks/serving.py"], ["-m", "benchmarks.serving"], ["-m", "benchmarks.soak"]):
        done = subprocess.run(
            [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        assert "--output" in done.stdout


@pytest.mark.slow
def test_a_short_soak(store, messages, tmp_path):
    from benchmarks.soak import picture as soak_picture
    from benchmarks.soak import soak

    found = soak(messages, clients=4, minutes=1 / 3, skip=4, block=4)
    assert processes() == []
    assert found["errors"] == {}
    assert found["alive_at_the_end"]
    assert found["throughput"] == found["answers"] / found["seconds"] > 1
    assert found["per_minute"] == [round(found["throughput"], 1)]
    assert len(found["memory"]) >= 8
    assert all(megabytes > 50 for _, megabytes in found["memory"])
    assert found["slope"]["low"] <= found["slope"]["mb_per_hour"] <= found["slope"]["high"]
    soak_picture(found, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 1000


def test_the_page_holds_the_stored_figures():
    from benchmarks.document import document, stored_figures

    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    stored = stored_figures(ROOT / "benchmarks")
    assert page == document(**stored)
    stored["serving"]["summary"]["ours"]["32"]["throughput"] = 1.0
    assert page != document(**stored)
