"""Suggestions from the model in this process and from a service, and what Label Studio gets of them."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data.example import Turn
from data.pii import mask
from labeling.interface import labeling_config
from labeling.suggest import (
    TOP,
    Suggestion,
    champion_of,
    packaged_champion,
    served_champion,
    to_prediction,
)
from serving.package import NotPackagedError
from serving.schema import AnalyzeBatchRequest, AnalyzeBatchResponse
from tests.conftest import script

SUGGESTION = Suggestion(
    categories=(("refund_progress", 0.9312), ("refund_request", 0.0402), ("refund_amount", 0.01)),
    emotion=("anxious", 0.8),
    model="kefu-category@3+kefu-emotion@2",
)


@contextmanager
def service(predictor, *troubles):
    """The service's endpoint over real HTTP; the first answers are `troubles`: (status, headers, body)."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.path, body))
            if len(seen) <= len(troubles):
                status, headers, answer = troubles[len(seen) - 1]
            else:
                messages = AnalyzeBatchRequest.model_validate_json(body).messages
                found = AnalyzeBatchResponse(results=predictor.analyze(messages))
                status, headers, answer = 200, {}, found.model_dump_json().encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_five_candidates_best_first_in_the_order_of_the_messages(predictor, few, taxonomy):
    rows = few[:80]
    found = champion_of(predictor)([(row.text, row.context) for row in rows])
    assert len(found) == len(rows)
    for row, suggestion in zip(rows[::13], found[::13], strict=True):
        alone = champion_of(predictor)([(row.text, row.context)])[0]
        assert alone.categories[0][0] == suggestion.categories[0][0]
    for suggestion in found:
        scores = [score for _, score in suggestion.categories]
        assert len(scores) == TOP == 5
        assert scores == sorted(scores, reverse=True)
        assert {key for key, _ in suggestion.categories} <= set(taxonomy.category)
        assert suggestion.emotion[0] in taxonomy.emotion
        assert suggestion.model == "tiny@1"
    assert champion_of(predictor)([]) == []


def test_two_models_are_both_named(exported):
    from serving.predictor import ModelSource, load_predictor

    both = load_predictor(ModelSource(exported, "kefu-category@3"), ModelSource(exported, "kefu-emotion@2"))
    assert champion_of(both)([("在吗", ())])[0].model == "kefu-category@3+kefu-emotion@2"


def test_the_service_says_the_same_as_the_model(predictor, few):
    messages = [(row.text, row.context) for row in few if row.context][:40]
    messages.append(("退款" * 3000 + "什么时候到", (Turn("agent", "亲" * 9000), Turn("customer", "在吗"))))
    messages.append(("到哪了", (Turn("customer", "在吗"),) * 300))
    with service(predictor) as (url, _):
        served = served_champion(url)(messages)
    for one, other in zip(served, champion_of(predictor)(messages), strict=True):
        assert one.categories[0][0] == other.categories[0][0]
        assert one.categories[0][1] == pytest.approx(other.categories[0][1], abs=2e-3)
        assert one.model == other.model


def test_personal_data_does_not_leave_the_process(predictor):
    text, turn = "电话13800138000，快点", "我叫王小明，住杭州市西湖区文三路100号3幢"
    assert mask(text) != text
    assert mask(turn) != turn
    with service(predictor) as (url, seen):
        served_champion(url)([(text, (Turn("customer", turn),))])
    [(path, body)] = seen
    sent = json.loads(body)["messages"][0]
    assert path == "/analyze_batch"
    assert sent["text"] == mask(text)
    assert sent["context"] == [{"role": "customer", "text": mask(turn)}]
    assert "13800138000" not in body.decode()


def test_batches_are_as_large_as_the_service_takes(predictor, monkeypatch):
    with service(predictor) as (url, seen):
        found = served_champion(url)([("在吗", ())] * 300)
        assert len(found) == 300
        assert [len(json.loads(body)["messages"]) for _, body in seen] == [256, 44]
        seen.clear()
        # Large ones go in smaller batches; one that is larger than the limit goes alone.
        monkeypatch.setattr("labeling.suggest._REQUEST_BYTES", 4000)
        long = (Turn("agent", "亲，仓库今天已经在安排发货了哦" * 10),) * 3
        messages = [("在吗", long)] * 5 + [("在吗", long * 3)] * 2 + [("在吗", ())]
        assert len(served_champion(url)(messages)) == 8
        assert [len(json.loads(body)["messages"]) for _, body in seen] == [2, 2, 1, 1, 1, 1]


def test_the_longest_message_fits_into_a_request(predictor):
    """The service takes 4 MiB; four bytes a character are the most that a text can need."""
    turns = (Turn("agent", "🙂" * 6000),) * 41
    with service(predictor) as (url, seen):
        served_champion(url)([("🙂" * 3000, turns)])
    [(_, body)] = seen
    assert len(json.loads(body)["messages"][0]["context"]) == 40
    assert len(body) < 4 * 1024 * 1024


BUSY = (503, {}, b'{"error": "busy"}')


def test_a_busy_service_is_asked_again(predictor):
    with service(predictor, BUSY, (429, {"retry-after": "1"}, b""), BUSY) as (url, seen):
        start = time.monotonic()
        [found] = served_champion(url)([("在吗", ())])
        assert time.monotonic() - start >= 1
    assert found.model == "tiny@1"
    assert len(seen) == 4
    assert len({body for _, body in seen}) == 1


def test_a_service_that_stays_busy_is_given_up(predictor):
    with service(predictor, *[BUSY] * 100) as (url, seen):
        start = time.monotonic()
        with pytest.raises(ConnectionError, match=r"is busy or starting \(503\); try later, or raise KEFU_W"):
            served_champion(url, patience=0.8)([("在吗", ())])
        assert time.monotonic() - start < 3
    assert len(seen) > 2


def test_a_service_that_is_not_there_is_named(predictor):
    with service(predictor) as (url, _):
        pass
    with pytest.raises(ConnectionError, match=rf"{url} cannot be reached; start it with: kefu serve"):
        served_champion(url, patience=0.2)([("在吗", ())])


def test_a_service_that_does_not_answer_in_time(predictor):
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=r"broke off \(ReadTimeout\); look at its log"):
            served_champion(url, timeout=0.2, patience=0.1)([("在吗", ())])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (422, {}, b'{"errors": [{"field": "messages[0].top", "reason": "Extra inputs"}]}'),
            r"422 \(messages\[0\]\.top: Extra inputs\); if it is of another version .* restart",
        ),
        ((404, {}, b"<html>"), r"404 \(and said no more; is this a kefu service"),
        ((500, {}, b"[1]"), "500"),
        ((200, {}, b"<html>"), "gave no answer of ours"),
        ((200, {}, b'{"results": [{}]}'), r"gave no answer of ours \(results\[0\]\.category\)"),
        ((200, {}, b'{"results": []}'), "gave 0 answers to 1 messages"),
    ],
)
def test_other_answers_say_what_is_wrong(predictor, answer, message):
    with service(predictor, answer) as (url, seen):
        with pytest.raises(RuntimeError, match=message) as caught:
            served_champion(url)([("我的秘密", ())])
        assert "秘密" not in str(caught.value)
    assert len(seen) == 1


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "", "ftp://x", "http://"])
def test_an_address_that_is_none(url):
    with pytest.raises(ValueError, match="service: expected an address like http://"):
        served_champion(url)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ((" \n", ()), r"messages\[1\]\.text: must not be empty"),
        (("秘\ud800密", ()), r"messages\[1\]\.text: "),
        (("a", (Turn("agent", "好"), Turn("秘密", "x"))), r"messages\[1\]\.context\[1\]\.role: "),
    ],
)
def test_a_message_that_cannot_be_read_is_named_but_not_quoted(predictor, message, field):
    with pytest.raises(ValueError, match=field) as caught:
        champion_of(predictor)([("在吗", ()), message])
    assert "秘" not in str(caught.value)


def test_a_prediction_is_one_that_label_studio_takes(taxonomy):
    from label_studio_sdk.label_interface import LabelInterface

    prediction = to_prediction(SUGGESTION)
    assert prediction == {
        "model_version": "kefu-category@3+kefu-emotion@2",
        "score": 0.9312,
        "result": [
            {
                "from_name": "category",
                "to_name": "chat",
                "type": "choices",
                "value": {"choices": ["refund_progress"]},
                "score": 0.9312,
            },
            {
                "from_name": "emotion",
                "to_name": "chat",
                "type": "choices",
                "value": {"choices": ["anxious"]},
                "score": 0.8,
            },
        ],
    }
    interface = LabelInterface(labeling_config(taxonomy))
    assert interface.validate_prediction(prediction, return_errors=True) == []


def test_without_packaged_champions_the_mend_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.package.read_pins.__defaults__", (tmp_path / "none.json",))
    with pytest.raises(NotPackagedError, match="kefu package"):
        packaged_champion()


PACKAGED = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from labeling.suggest import packaged_champion
from serving.package import Champion, package
champions = [Champion(task, f"kefu-{task}", "1", Path(sys.argv[1])) for task in ("category", "emotion")]
package(champions, Path(sys.argv[2]))
suggest = packaged_champion(threads=1)
print(json.dumps([asdict(one) for one in suggest([(text, ()) for text in sys.argv[3:]])]))
"""


@pytest.mark.slow
def test_packaged_and_served_champions_agree(exported, tmp_path, monkeypatch):
    """The packaged folder opened in a process, and the real BentoML service that serves it."""
    from serving.demo import running_service

    texts = ["退款什么时候到", "开个发票", "你们的电话13800138000打不通"]
    store = {
        "BENTOML_HOME": str(tmp_path / "bento"),
        "KEFU_PINS": str(tmp_path / "champions.json"),
        "BENTOML_DO_NOT_TRACK": "True",
        "KEFU_THREADS": "1",
    }
    Path(store["BENTOML_HOME"]).mkdir()
    done = script(PACKAGED, tmp_path, exported, store["KEFU_PINS"], *texts, **{**os.environ, **store})
    packaged = json.loads(done.stdout.splitlines()[-1])
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    with running_service() as address:
        served = served_champion(address)([(text, ()) for text in texts])
    for one, other in zip(served, packaged, strict=True):
        assert one.model == other["model"] == "kefu-category@1+kefu-emotion@1"
        assert one.categories[0][0] == other["categories"][0][0]
        assert one.categories[0][1] == pytest.approx(other["categories"][0][1], abs=2e-3)
        assert one.emotion[0] == other["emotion"][0]
