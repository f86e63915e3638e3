"""The labelling screen in a real browser on a real Label Studio: what a person does all day."""

from __future__ import annotations

import os
import shutil

import httpx
import pytest

from data.example import Turn
from labeling.client import Login
from labeling.interface import adjudication_config, chat_html, labeling_config, suggestions
from labeling.screenshots import browser, open_screen, sign_in, take
from labeling.task import parse_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]

CONTEXT = (Turn("customer", "在吗"), Turn("agent", "在的亲，请讲😊"))
CHECKED = "[...document.querySelectorAll('.kf input:checked')]"
VISIBLE = "[...document.querySelectorAll('.kf-group label')].filter(one => one.offsetParent)"
# What is on top where meanings show.
MEANING = """(at => document.elementFromPoint(at.x + 20, at.y + 20).closest('i, .kf-help').innerText)
    (document.querySelector('.kf-help').getBoundingClientRect())"""
RANKED = [("refund_progress", 0.71), ("urge_shipping", 0.2), ("coupon", 0.05), ("greeting", 0.03)]


@pytest.fixture(scope="module")
def login(request):
    """The server named in the environment, or one started for the tests."""
    names = ("URL", "API_KEY", "USERNAME", "PASSWORD")
    values = [os.environ.get(f"LABEL_STUDIO_{name}", "") for name in names]
    return Login(*values) if all(values) else request.getfixturevalue("label_studio")


@pytest.fixture(scope="module")
def page(login):
    with browser() as page:
        sign_in(page, login)
        yield page


@pytest.fixture
def screen(page, login, taxonomy):
    """Open the label stream of a new project with these tasks; `answers()` is what the server has of them."""
    made = []
    headers = {"Authorization": f"Token {login.token}"}
    with httpx.Client(base_url=login.url, headers=headers, timeout=60) as api:

        def opened(*tasks, config=labeling_config, **settings):
            settings = {
                "title": "screen test",
                "label_config": config(taxonomy),
                "show_collab_predictions": False,
            } | settings
            number = api.post("/api/projects", json=settings).raise_for_status().json()["id"]
            made.append(number)
            api.post(f"/api/projects/{number}/import", json=list(tasks)).raise_for_status()
            open_screen(page, login.url, number)
            return Screen(page, api, number)

        yield opened
        for number in made:
            api.delete(f"/api/projects/{number}")


class Screen:
    def __init__(self, page, api, project):
        self.page, self.api, self.project = page, api, project

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.page).send_keys(key).perform()

    def click(self, name):
        """Click what is called so: a category, an emotion, a button."""
        from selenium.webdriver.common.by import By

        self.page.find_element(By.XPATH, f"//label[.//input[starts-with(@name, '{name}')]]").click()

    def point(self, name):
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.by import By

        label = self.page.find_element(By.XPATH, f"//label[.//input[starts-with(@name, '{name}')]]")
        ActionChains(self.page).move_to_element(label).perform()

    def submit(self):
        from selenium.webdriver import ActionChains, Keys

        ActionChains(self.page).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def run(self, script):
        return self.page.execute_script(f"return {script}")

    def until(self, script):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.page, 20, 0.1).until(lambda _: self.run(script))

    def chosen(self):
        return self.run(
            "[...document.querySelectorAll('.kf input:checked')].map(one => one.name.split(' ')[0])"
        )

    def answers(self, count=1):
        """The answers on the server, oldest first, once there are so many."""

        def found(_):
            raw = self.api.get(f"/api/projects/{self.project}/export?exportType=JSON").json()
            tasks = sorted((parse_task(one) for one in raw), key=lambda task: task.annotations[0].at)
            made = [answer for task in tasks for answer in task.annotations]
            return made if len(made) == count else None

        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.page, 20, 0.3).until(found)


@pytest.fixture
def task(taxonomy):
    def made(text="钱还没退到", context=CONTEXT, ranked=RANKED, **data):
        shown = {"chat": chat_html(text, context), "suggested": suggestions(taxonomy, ranked)}
        return {"data": {"text": text, **shown, **data}}

    return made


def test_one_click_each(screen, task):
    shown = screen(task())
    shown.click("退款金额")
    shown.click("焦急")
    assert shown.chosen() == ["退款金额", "焦急"]
    shown.page.find_element("css selector", "[data-testid=bottombar-submit-button]").click()
    (answer,) = shown.answers()
    assert (answer.category, answer.emotion, answer.undecided) == ("refund_amount", "anxious", False)


def test_three_keys_for_the_usual_case(screen, task):
    shown = screen(task(), task("怎么还不发货", ranked=[("urge_shipping", 0.9), ("ship_time", 0.1)]))
    shown.press("2", "w")
    assert shown.chosen() == ["催发货", "中性"]
    shown.submit()
    shown.until("document.querySelector('.kf-chat p.t')?.innerText.includes('怎么还不发货')")
    assert shown.chosen() == []
    shown.press("1", "d")
    shown.submit()
    first, second = shown.answers(2)
    assert (first.category, first.emotion) == ("urge_shipping", "neutral")
    assert (second.category, second.emotion) == ("urge_shipping", "angry")


@pytest.mark.parametrize("typed", ["cfh", "催发货", "urge_ship"])
def test_typing_then_hotkeys_without_the_mouse(screen, task, typed):
    from selenium.webdriver import Keys

    shown = screen(task())
    shown.press("f", typed)
    assert shown.run("document.querySelector('.kf-find input').value") == typed
    assert shown.run(f"{VISIBLE}.map(one => one.innerText.split('\\n')[0])") == ["催发货"]
    shown.press(Keys.ENTER)
    shown.until("document.activeElement === document.body")
    shown.press("e")
    assert shown.chosen() == ["催发货", "焦急"]
    assert shown.run(f"{VISIBLE}.length") == 71
    shown.submit()
    (answer,) = shown.answers()
    assert (answer.category, answer.emotion) == ("urge_shipping", "anxious")


def test_there_is_one_answer_however_often_one_changes_ones_mind(screen, task):
    from selenium.webdriver import Keys

    shown = screen(task())
    shown.press("1")
    shown.click("尺码推荐")
    shown.press("3", "f", "wlcx", Keys.ENTER)
    shown.until("document.activeElement === document.body")
    shown.press("q", "w")
    assert shown.chosen() == ["物流查询", "中性"]
    shown.submit()
    shown.answers()
    (raw,) = shown.api.get(f"/api/projects/{shown.project}/export?exportType=JSON").json()
    values = {one["from_name"]: one["value"] for one in raw["annotations"][0]["result"]}
    assert values == {"category": {"choices": ["logistics_query"]}, "emotion": {"choices": ["neutral"]}}


def test_meaning_of_what_is_pointed_at_else_chosen(screen, task):
    shown = screen(task())
    assert "Ctrl+Enter" in shown.run(MEANING)
    shown.press("1")
    assert shown.run(MEANING).startswith("退款进度：退款什么时候到")
    marked = "getComputedStyle(document.querySelector('.k-refund_progress').closest('label')).borderColor"
    assert shown.run(marked) != shown.run(marked.replace("progress", "amount"))
    shown.point("催发货 20%")
    assert shown.run(MEANING).startswith("催发货：已付款久未发")
    assert "未发货催 → 催发货" in shown.run(MEANING)
    shown.point("失望")
    assert shown.run(MEANING).startswith("失望：期望落空")


def test_undecided_asks_for_nothing_more(screen, task):
    shown = screen(task(), task("第二句"))
    shown.press("0")
    assert shown.run(f"{VISIBLE}.length") == 71, "one may still give a best guess"
    shown.submit()
    shown.until("document.querySelector('.kf-chat p.t')?.innerText.includes('第二句')")
    shown.press("0", "3")
    shown.submit()
    first, second = shown.answers(2)
    assert (first.category, first.emotion, first.undecided) == (None, None, True)
    assert (second.category, second.emotion, second.undecided) == ("coupon", None, True)


def test_half_an_answer_is_not_taken(screen, task):
    shown = screen(task())
    shown.press("1")
    shown.submit()
    shown.until("document.querySelector('.ant-modal-body')")
    assert "请选择情绪" in shown.run("document.querySelector('.ant-modal-body').innerText")
    assert shown.api.get(f"/api/projects/{shown.project}").json()["total_annotations_number"] == 0


def test_texts_cannot_become_page(screen, task):
    attack = (
        '<script>document.title="taken"</script><img src=x onerror="document.title=\'taken\'"></p><b>粗</b>'
    )
    shown = screen(task(attack, (Turn("agent", attack), Turn("customer", "$text {{idx}} &amp;"))))
    assert shown.run("document.title") not in ("taken", "1")
    assert shown.run("document.querySelectorAll('.kf-chat :is(script, img, b)').length") == 0
    texts = shown.run("[...document.querySelectorAll('.kf-chat p')].map(one => one.textContent)")
    assert texts == [attack, "$text {{idx}} &amp;", attack]


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720)])
def test_a_usual_chat_needs_no_scrolling(screen, task, size):
    turns = tuple(
        Turn(("customer", "agent")[place % 2], "这一句大概有二十个字那么长吧亲") for place in range(6)
    )
    emulate = {"deviceScaleFactor": 1, "mobile": False}
    shown = screen(task("后天就要用了，能不能赶得上呀", turns))
    try:
        metrics = emulate | {"width": size[0], "height": size[1]}
        shown.page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for part in ("html", ".lsf-main-view__annotation", ".kf-cat", ".kf-chat"):
            script = "(one => [one.scrollHeight - one.clientHeight, one.scrollWidth - one.clientWidth])"
            assert shown.run(f"{script}(document.querySelector('{part}'))") == [0, 0], part
    finally:
        metrics = emulate | {"width": 1440, "height": 900}
        shown.page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_long_chats_open_at_the_message(screen, task):
    turns = tuple(Turn(("customer", "agent")[place % 2], f"第{place}句") for place in range(40))
    shown = screen(task("最后这句", turns, []))
    box = "document.querySelector('{}').getBoundingClientRect().bottom"
    assert shown.run(box.format(".kf-chat p.t")) <= shown.run(box.format(".kf-chat"))
    assert shown.run("document.querySelector('.kf-chat').scrollHeight") > 900


def test_predictions_are_shortcuts_unless_asked_for(screen, task):
    region = {"from_name": "category", "to_name": "chat", "type": "choices"}
    region["value"] = {"choices": ["coupon"]}
    predicted = task() | {"predictions": [{"model_version": "m", "score": 0.9, "result": [region]}]}
    assert screen(predicted).chosen() == []
    assert set(screen(predicted, show_collab_predictions=True, model_version="").chosen()) == {"优惠券红包"}


def test_second_look_shows_reason_and_answers(screen, task):
    answers = ["催发货 · 焦急（2 人）", "物流查询 · <b>中性</b>（1 人）"]
    shown = screen(task(reason="意见不一致 <i>", answers=answers), config=adjudication_config)
    assert shown.run("document.querySelector('.kf-why').innerText").split("\n") == [
        "意见不一致 <i>",
        *answers,
    ]
    shown.press("2", "w")
    shown.submit()
    assert shown.answers()[0].category == "urge_shipping"


@pytest.mark.parametrize("missing", ["chat", "suggested"])
def test_tasks_without_required_data_are_refused(screen, task, missing):
    shown = screen(task())
    lacking = task()
    del lacking["data"][missing]
    refusal = shown.api.post(f"/api/projects/{shown.project}/import", json=[lacking])
    assert refusal.status_code == 400
    assert missing in refusal.text


def test_pictures(screen, task, login, tmp_path):
    shown = screen(task())
    pictures = take(login, shown.project, tmp_path / "screen.png")
    assert [picture.name for picture in pictures] == ["screen.png", "screen-search.png"]
    assert all(picture.read_bytes()[:4] == b"\x89PNG" for picture in pictures)
    assert shown.api.get(f"/api/projects/{shown.project}").json()["total_annotations_number"] == 0
