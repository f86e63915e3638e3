"""The real BentoML server over HTTP, with the tiny model: answers, refusals, readiness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(exported, tmp_path_factory):
    """Environment of a store in which the tiny model is packaged and pinned as both champions."""
    home = tmp_path_factory.mktemp("bento")
    environment = {
        **os.environ,
        "BENTOML_HOME": str(home),
        "KEFU_PINS": str(home / "champions.json"),
        "BENTOML_DO_NOT_TRACK": "True",
        "KEFU_THREADS": "1",
    }
    code = f"""
from pathlib import Path
from serving.package import Champion, package
folder = Path({str(exported)!r})
for _ in range(2):
    print(package([Champion(task, f"kefu-{{task}}", "1", folder) for task in ("category", "emotion")]))
"""
    done = script(code, home, **{name: environment[name] for name in ("BENTOML_HOME", "KEFU_PINS")})
    first, second = done.stdout.strip().splitlines()[-2:]
    assert first == second
    return environment


@pytest.fixture(scope="module")
def service(store):
    from serving.demo import running_service

    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.items():
            patch.setenv(name, value)
        with running_service() as address, httpx.Client(base_url=address, timeout=30) as client:
            yield client


def test_analyze(service):
    body = {"text": "还是没到", "context": [{"role": "agent", "text": "亲，明天到"}]}
    response = service.post("/analyze", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"category", "emotion", "alert", "model"}
    assert set(answer["category"]) == {"label", "zh", "group", "score", "top", "abstain"}
    assert set(answer["emotion"]) == {"label", "zh", "polarity", "score", "scores"}
    assert answer["model"]["category"] == "kefu-category@1"
    assert answer["model"]["emotion"] == "kefu-emotion@1"
    assert answer["model"]["snapshot"] == "test-snapshot"


def test_a_full_batch_keeps_its_order(service):
    messages = [{"text": "我要打12315" if n % 2 else "在吗"} for n in range(256)]
    results = service.post("/analyze_batch", json={"messages": messages}).json()["results"]
    assert len(results) == 256
    assert all((row["alert"]["level"] == 3) == bool(n % 2) for n, row in enumerate(results))


def test_every_message_of_a_batch_may_ask_for_more_candidates(service):
    messages = [{"text": "退款", "top": 7}, {"text": "退款"}]
    results = service.post("/analyze_batch", json={"messages": messages}).json()["results"]
    assert [len(row["category"]["top"]) for row in results] == [7, 3]


def test_one_and_many_agree_with_the_command_line(service, store, tmp_path):
    rows = [{"id": str(n), "text": text} for n, text in enumerate(["退款多久到", "开票", "谢谢啦"])]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    command = [sys.executable, "kefu.py", "predict", "--input", str(source), "--output", str(tmp_path / "o")]
    subprocess.run(command, env=store, cwd=ROOT, check=True, capture_output=True)
    lines = (tmp_path / "o").read_text(encoding="utf-8").splitlines()
    for row, line in zip(rows, lines, strict=True):
        want = {"id": row["id"], **service.post("/analyze", json={"text": row["text"]}).json()}
        got = json.loads(line)
        assert got["category"]["label"] == want["category"]["label"]
        assert got["category"]["score"] == pytest.approx(want["category"]["score"], abs=2e-3)
        assert set(got) == set(want)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "字" * 2001}, "text"),
        ({"text": 3}, "text"),
        ({}, "text"),
        ([], "body"),
        ({"text": "a", "context": [{"role": "robot", "text": "b"}]}, "context[0].role"),
        ({"text": "a", "top": 11}, "top"),
    ],
)
def test_wrong_messages_are_named(service, body, field):
    response = service.post("/analyze", json=body)
    assert 400 <= response.status_code < 500
    errors = response.json()["errors"]
    assert errors[0]["field"] == field
    assert errors[0]["reason"]


def test_one_bad_row_in_a_batch_is_named(service):
    body = {"messages": [{"text": "a"}, {"text": "b"}, {"text": " "}]}
    response = service.post("/analyze_batch", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "messages[2].text"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"\xff\xfe{}", 422),
        ('{"text": "退款"}'.encode("gbk"), 400),
        (b'{"text": "' + b"a" * 10_000_000 + b'"}', 413),
    ],
)
def test_other_bytes_get_a_4xx(service, content, status):
    response = service.post("/analyze", content=content, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert response.json()["errors"][0]["reason"]


def test_a_flood_without_a_declared_length_is_cut_off(service):
    def flood():
        for _ in range(100):
            yield b" " * 100_000

    response = service.post("/analyze", content=flood(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert service.post("/analyze", json={"text": "在吗"}).status_code == 200


def test_probes_info_and_pages(service):
    assert service.get("/readyz").status_code == 200
    assert service.get("/livez").status_code == 200
    assert service.get("/metrics").status_code == 200
    info = service.get("/info").json()
    assert info["models"]["category"]["threads"] == 1
    assert info["models"]["category"]["device"] == "cpu"
    assert info["shared_encoder"] is True
    assert set(info["versions"]) >= {"bentoml", "onnxruntime"}
    page = service.get("/docs")
    assert page.status_code == 200
    assert "cdn" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert service.get(f"/static_content/{asset}").status_code == 200
    schema = service.get("/openapi.json").json()
    assert {"/analyze", "/analyze_batch", "/info"} <= set(schema["paths"])
    assert service.get("/nothing").status_code == 404


def test_texts_are_not_logged(service):
    service.post("/analyze", json={"text": "我的电话13800138000别外传"})
    log = (ROOT / ".kefu" / "service.log").read_text(encoding="utf-8", errors="replace")
    assert "13800138000" not in log
    assert "别外传" not in log


def test_a_model_that_was_damaged_in_the_store_is_not_served(store, tmp_path):
    """A copy of the store, one byte added: the command line refuses with the file's name."""
    import shutil

    home = tmp_path / "home"
    shutil.copytree(store["BENTOML_HOME"], home)
    environment = {**store, "BENTOML_HOME": str(home), "KEFU_PINS": str(home / "champions.json")}
    for path in home.rglob("tokenizer.json"):
        path.write_bytes(path.read_bytes() + b" ")
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "text": "在吗"}\n', encoding="utf-8")
    command = [sys.executable, "kefu.py", "predict", "--input", str(source), "--output", str(tmp_path / "o")]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "tokenizer.json was changed" in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_bento_starts_without_the_training_stack(store, tmp_path):
    """Built with `bentoml build`, served in a fresh environment that holds only its requirements."""
    from serving.demo import running_service

    environment = {**store, "KEFU_PINS": ""}
    pins = ROOT / "serving" / "champions.json"
    saved = pins.read_bytes() if pins.exists() else None
    try:
        pins.write_bytes(Path(store["KEFU_PINS"]).read_bytes())
        build = [sys.executable, "-m", "bentoml", "build", "--version", "test", str(ROOT)]
        done = subprocess.run(build, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        if saved is None:
            pins.unlink()
        else:
            pins.write_bytes(saved)
    bento = Path(store["BENTOML_HOME"]) / "bentos" / "kefu" / "test"
    assert not list(bento.rglob("corpus"))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    requirements = bento / "env" / "python" / "requirements.txt"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    install += ["-c", str(ROOT / "constraints.txt"), "-r", str(requirements)]
    subprocess.run(install, check=True)
    packages = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True)
    for heavy in ("torch", "pytorch-lightning", "mlflow", "transformers", "datasets", "dvc"):
        assert f"\n{heavy} " not in packages.stdout
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.delenv("KEFU_PINS")
        with running_service(command=[python, "-m", "bentoml", "serve", str(bento)]) as address:
            answer = httpx.post(f"{address}/analyze", json={"text": "在吗"}, timeout=30)
            assert answer.status_code == 200
            assert answer.json()["model"]["category"] == "kefu-category@1"
