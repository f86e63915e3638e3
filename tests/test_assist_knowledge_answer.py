"""Cited drafts: extractive ones, and those of a language model behind real HTTP, well-behaved or not."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assist.knowledge.answer import NOTHING_FOUND, Drafter
from assist.knowledge.base import KnowledgeBase
from assist.knowledge.endpoint import Endpoint
from assist.knowledge.intake import knowledge_import
from assist.knowledge.schema import AnswerRequest, AnswerResponse
from assist.knowledge.support import check_sentence
from assist.knowledge.terms import Synonyms

TODAY = "2026-11-23"
FREIGHT = "退货运费谁出"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("knowledge") / "knowledge.sqlite"
    knowledge_import(path=path)
    return KnowledgeBase(path)


class Model:
    """An OpenAI-compatible server whose answer the test sets: a text, bytes, a status, or a function."""

    def __init__(self):
        self.says, self.asked, self.headers = "", [], []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                model.asked.append((self.path, json.loads(body)))
                model.headers.append(dict(self.headers))
                says = model.says
                if callable(says):
                    says(self)
                    return
                status, data = (says, b"{}") if isinstance(says, int) else (200, says)
                if isinstance(data, str):
                    data = completion(data)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def completion(content):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


def sentences(*rows):
    told = [{"text": text, "passages": numbers} for text, numbers in rows]
    return json.dumps({"sentences": told}, ensure_ascii=False)


@pytest.fixture
def model():
    model = Model()
    yield model
    model.server.shutdown()
    model.server.server_close()


def ask(base, model, question=FREIGHT, seconds=5.0, **more):
    endpoint = Endpoint(model.url, "small", "secret-key", seconds)
    return Drafter(base, endpoint).answer(AnswerRequest(question=question, at=TODAY, **more))


def extractive(base, question, **more):
    return Drafter(base, None).answer(AnswerRequest(question=question, **({"at": TODAY} | more)))


# The extractive draft


def test_a_draft_rests_on_what_it_cites(base):
    draft = extractive(base, FREIGHT)
    assert (draft.status, draft.source, draft.needs_review, draft.flags) == ("found", "extractive", False, [])
    assert "质量问题、发错货、少发货：运费由本店出。" in draft.text
    assert [one.section for one in draft.citations] == ["退换货政策 > 运费谁出"]
    cited = {one.number: one.text for one in draft.citations}
    for sentence in draft.sentences:
        assert draft.text[sentence.start : sentence.end] == sentence.text
        assert sentence.supported
        assert all(sentence.text.rstrip("。") in cited[number] for number in sentence.passages)


def test_a_short_section_is_given_with_its_exception(base):
    assert "超过 30 天入口会关" in extractive(base, "确认收货后几天内能申请发票").text


def test_steps_stay_in_their_order(base):
    text = extractive(base, "铁锅怎么开锅").text
    assert text.index("洗干净") < text.index("肥猪肉") < text.index("放一夜")


def test_a_table_answers_with_its_row(base):
    draft = extractive(base, "墨绿的恒温电热水壶多少钱")
    assert "SH17H" in draft.text
    assert "189" in draft.text
    assert "SH15" not in draft.text


def test_every_shipped_sentence_supports_itself(base):
    """The guards must not flag the base's own words; wording may, because documents are no replies."""
    kinds = {"unsupported", "number", "negation", "citation"}
    for question in (
        FREIGHT,
        "保温杯能装可乐吗",
        "铁锅怎么开锅",
        "双十一还保价吗",
        "青海包邮吗",
        "漏水",
        "台灯闪",
    ):
        draft = extractive(base, question)
        assert not [flag for flag in draft.flags if flag.kind in kinds], draft.flags


def test_nothing_found_hands_the_question_on(base):
    draft = extractive(base, "你们招聘司机吗")
    assert (draft.status, draft.text, draft.source, draft.citations) == ("none", NOTHING_FOUND, "none", [])
    assert draft.needs_review


def test_an_ended_promotion_is_only_said_to_have_ended(base):
    draft = extractive(base, "双十一满300减多少")
    assert draft.needs_review
    assert "50" not in draft.text
    assert draft.not_valid[0].document == "promotion-double11"


def test_an_unsure_draft_is_for_a_person(base):
    draft = extractive(base, "漏水")
    assert draft.status == "unsure"
    assert draft.clarify
    assert draft.needs_review


def test_what_drafts_rest_on_is_counted(base):
    def answered():
        return {row.section: row.answered for row in base.usage()}.get("会员和积分 > 怎么退会", 0)

    before = answered()
    extractive(base, "怎么退会")
    assert answered() == before + 1


# A language model behind HTTP


def test_a_model_that_behaves(base, model):
    model.says = sentences(
        ("质量问题、发错货和少发货，运费由本店出。", [1]), ("个人原因寄回的运费由买家出。", [1])
    )
    draft = ask(base, model)
    assert (draft.source, draft.model, draft.note) == ("endpoint", "small", "")
    assert draft.flags == []
    assert not draft.needs_review
    assert [sentence.passages for sentence in draft.sentences] == [[1], [1]]
    assert [one.section for one in draft.citations] == ["退换货政策 > 运费谁出"]
    path, body = model.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "small"
    assert model.headers[0]["Authorization"] == "Bearer secret-key"
    system, user = (one["content"] for one in body["messages"])
    assert all(part in system for part in ("# 角色", "# 任务", "# 约束", "# 输出格式"))
    told = json.loads(user)
    assert told["顾客的问题"] == FREIGHT
    assert told["资料"][0]["编号"] == 1
    assert "运费由本店出" in told["资料"][0]["内容"]


def test_texts_are_masked_before_they_leave(base, model):
    model.says = sentences(("质量问题的运费由本店出。", [1]))
    ask(base, model, "退货运费谁出，我电话13812345678")
    sent = json.dumps(model.asked, ensure_ascii=False)
    assert "13812345678" not in sent
    assert "[手机]" in sent


def test_a_model_that_invents(base, model):
    model.says = sentences(
        ("质量问题的运费由本店出。", [1, 2]),
        ("自己寄的凭截图报销，单件最多 50 元。", [1, 2, 3, 4]),
        ("可以收到付件的包裹。", [1, 2, 3, 4]),
        ("我们还会送您一台空气净化器。", [1]),
        ("退款保证明天到账，可能更快。", [1]),
        ("买了运费险的由保险公司赔付。", [9]),
    )
    draft = ask(base, model, "退回的包裹怎么寄，运费谁出")
    found = {(flag.kind, flag.words) for flag in draft.flags}
    assert draft.needs_review
    assert ("number", "50 元") in found
    assert ("negation", "可以收到付件的包裹") in found
    assert ("unsupported", "我们还会送您一台空气净化器。") in found
    assert ("citation", "买了运费险的由保险公司赔付。") in found
    assert {kind for kind, _ in found} >= {"hedge", "promise"}
    assert all(draft.text[flag.start : flag.end] == flag.words for flag in draft.flags)
    assert [sentence.supported for sentence in draft.sentences] == [True, False, False, False, False, False]


def test_a_model_that_invents_everything_is_not_used(base, model):
    model.says = sentences(("欢迎光临紫禁城博物馆，今天参观人数较多。", [1]))
    draft = ask(base, model)
    assert draft.source == "extractive"
    assert "都没有依据" in draft.note


def test_a_model_without_the_form_but_with_marks(base, model):
    model.says = "<think>看看资料</think>质量问题的运费由本店出。[1]\n个人原因的运费由买家出[1]。"
    draft = ask(base, model)
    assert draft.source == "endpoint"
    assert draft.text == "质量问题的运费由本店出。个人原因的运费由买家出。"
    assert draft.flags == []


def trickle(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def sleep(handler):
    time.sleep(1.0)


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


@pytest.mark.parametrize(
    ("says", "note"),
    [
        (500, "返回错误（500）"),
        (401, "返回错误（401）"),
        (302, "返回错误（302）"),
        (sleep, "超过 0.3 秒"),
        (trickle, "超过 0.3 秒"),
        (cut, "连接不上"),
        (b"<html>busy</html>", "不是约定的格式"),
        (b"[" * 100_000, "不是约定的格式"),
        (b'{"choices": []}', "不是约定的格式"),
        (b'{"choices": [{"message": {"content": null}}]}', "不是约定的格式"),
        (b" " * 300_000, "回答过长"),
        ("好的，没有问题！", "没有引用资料"),
        ('{"sentences": "无"}', "没有引用资料"),
        ('{"sentences": [{"say": 1}]}', "不是约定的格式"),
        ('{"sentences": []}', "不能回答"),
    ],
)
def test_whatever_fails_the_extractive_draft_is_there(base, model, says, note):
    model.says = says
    began = time.monotonic()
    draft = ask(base, model, seconds=0.3 if says in (sleep, trickle) else 5.0)
    assert time.monotonic() - began < 4
    assert draft.source == "extractive"
    assert note in draft.note
    assert "secret-key" not in draft.note
    assert draft.text == extractive(base, FREIGHT).text


def test_a_server_that_is_not_there(base):
    draft = Drafter(base, Endpoint("http://127.0.0.1:9/v1", "small")).answer(
        AnswerRequest(question=FREIGHT, at=TODAY)
    )
    assert draft.source == "extractive"
    assert "连接不上" in draft.note


def test_the_model_is_not_asked_where_nothing_was_found_or_nobody_wants_it(base, model):
    ask(base, model, "你们招聘司机吗")
    ask(base, model, generate=False)
    assert model.asked == []
    with pytest.raises(ValueError, match="generate: no language model is configured"):
        extractive(base, FREIGHT, generate=True)


def test_the_environment_names_the_model(base, monkeypatch):
    assert Endpoint.from_environment({}) is None
    told = {
        "KEFU_LLM_URL": "http://a/v1",
        "KEFU_LLM_MODEL": "m",
        "KEFU_LLM_KEY": "k",
        "KEFU_LLM_SECONDS": "3",
    }
    found = Endpoint.from_environment(told)
    assert found == Endpoint("http://a/v1", "m", "k", 3.0)
    assert "'k'" not in repr(found)
    for name, value in (("URL", "a"), ("MODEL", ""), ("SECONDS", "x"), ("SECONDS", "0.0")):
        with pytest.raises(ValueError, match=f"KEFU_LLM_{name}"):
            Endpoint.from_environment(told | {f"KEFU_LLM_{name}": value})
    monkeypatch.setenv("KEFU_LLM_URL", "no address")
    with pytest.raises(ValueError, match="KEFU_LLM_URL"):
        Drafter(base)


def test_drafts_go_through_json(base):
    draft = extractive(base, FREIGHT)
    assert AnswerResponse.model_validate(json.loads(draft.model_dump_json())) == draft


# Support of single sentences

CITED = (
    "退换货政策 运费谁出\n质量问题、发错货：运费由本店出。个人原因：寄回的运费由买家出。\n"
    "退到银行卡 1 到 5 个工作日。",
    "保温杯 能不能进洗碗机\n杯盖可以进洗碗机上层，杯身不能进洗碗机。\n"
    "七天无理由退货，15 天内换货。内胆是 316 不锈钢。缺货的规格是灰色，不能选，不用领券。",
)


@pytest.mark.parametrize(
    "sentence",
    [
        "质量问题的运费由本店出。",
        "您好，个人原因寄回的运费是买家出的哦。",
        "杯身不可以进洗碗机。",
        "杯盖能进洗碗机上层。",
        "7天无理由退货，十五天内换货。",
        "退到银行卡1到5个工作日。",
        "个人原因第二次寄回的运费由买家出。",
        "内胆是316不锈钢的。",
        "感谢您的咨询，有其他问题随时联系我。",
        "有毛病的，邮费由本店出。",  # synonyms of 质量问题, 运费
    ],
)
def test_supported(sentence):
    assert check_sentence(sentence, CITED, Synonyms.read()) == []


@pytest.mark.parametrize(
    ("sentence", "kind", "words"),
    [
        ("杯身可以进洗碗机。", "negation", "杯身可以进洗碗机"),
        ("杯盖不能进洗碗机上层。", "negation", "杯盖不能进洗碗机上层"),
        ("质量问题的运费由买家承担。", "negation", "质量问题的运费由买家承担"),
        ("这个规格缺货，可以选。", "negation", "可以选"),
        ("需要领券。", "negation", "需要领券"),
        ("退到银行卡 3 个工作日。", "number", "3 个工作日"),
        ("退到银行卡5天。", "number", "5天"),
        ("三十天内换货。", "number", "三十天"),
        ("内胆是 304 不锈钢。", "number", "304"),
        ("内胆是316L不锈钢。", "number", "316L"),
        ("杯子终身免费更换新品。", "unsupported", "杯子终身免费更换新品。"),
    ],
)
def test_unsupported(sentence, kind, words):
    found = [(one.kind, one.words) for one in check_sentence(sentence, CITED, Synonyms.read())]
    assert (kind, words) in found


def test_without_passages_nothing_is_supported():
    assert [one.kind for one in check_sentence("运费由本店出。", (), Synonyms.read())] == ["unsupported"]
