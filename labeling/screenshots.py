"""Pictures of the labelling screen in a real browser: `python -m labeling.screenshots --project N`.

Drives Debian's Chromium. Nothing is answered, so no task changes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labeling.client import LabelStudioError, Login, find_login

__all__ = ["browser", "main", "open_screen", "picture_of_page", "sign_in", "take"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-dev-shm-usage",
    "disable-sync",
    "hide-scrollbars",
)
WAIT_SECONDS = 60
SHORTCUT = ".kf-group ~ .lsf-choice label, .kf-cat:not(:has(.kf-group ~ .lsf-choice)) .lsf-choice label"


@contextmanager
def browser(width: int = 1440, height: int = 900) -> Iterator[Any]:
    """A headless Chromium (selenium's driver) whose page area has this many pixels.

    Raises:
        LabelStudioError: Chromium or its driver is not on the PATH.
    """
    from selenium import webdriver

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        missing = "chromium" if not program else "chromedriver"
        raise LabelStudioError(f"{missing}: not on the PATH; apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"user-data-dir={profile}", f"window-size={width},{height}"):
            options.add_argument(f"--{flag}")
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield page
        finally:
            page.quit()


def sign_in(page: Any, login: Login) -> None:
    """Log in with user and password.

    Raises:
        LabelStudioError: no Label Studio answers there, or it refuses them.
    """
    from selenium.common.exceptions import WebDriverException

    try:
        page.get(f"{login.url}/user/login/")
    except WebDriverException as error:
        raise LabelStudioError(f"{login.url}: no Label Studio answers; start it: make labelstudio") from error
    _find(page, "input[name=email]", f"{login.url}: shows no login form").send_keys(login.user)
    _find(page, "input[name=password]").send_keys(login.password)
    _find(page, "button[type=submit]").click()
    _until(
        page,
        lambda: "/user/login" not in page.current_url,
        f"{login.url}: does not let {login.user!r} in; check --user and LABEL_STUDIO_PASSWORD",
    )


def open_screen(page: Any, url: str, project: int) -> None:
    """Open what an annotator sees after "Label All Tasks", and wait until it is drawn.

    Raises:
        LabelStudioError: the project has no task to label, or its screen is not ours.
    """
    page.get(f"{url}/projects/{project}/data?labeling=1")
    _find(
        page,
        ".kf-chat p.t",
        f"project {project}: no task is shown on our labelling screen; import tasks (kefu label push) "
        "or bring the screen up to date (kefu label init)",
    )
    _find(page, ".kf-group .lsf-choice")
    page.execute_script("return document.fonts.ready.then(() => true)")


def take(
    login: Login, project: int, output: Path, adjudication: int | None = None, search: str = "tk"
) -> list[Path]:
    """Save the screen as `output`, and `-search` and `-adjudication` beside it.

    Args:
        adjudication: the project of that kind, if there is one with tasks.
        search: what is typed for the second picture.

    Raises:
        LabelStudioError: no browser, no server, wrong login, nothing to label.
    """
    from selenium.webdriver import ActionChains

    output.parent.mkdir(parents=True, exist_ok=True)
    pictures = []

    def save(suffix: str) -> None:
        pictures.append(output.with_stem(output.stem + suffix))
        page.save_screenshot(str(pictures[-1]))

    with browser() as page:
        sign_in(page, login)
        open_screen(page, login.url, project)
        # Under the pointer, so that its meaning shows; the first shortcut, or without a model a category.
        ActionChains(page).move_to_element(_find(page, SHORTCUT)).perform()
        save("")
        ActionChains(page).move_to_element(_find(page, ".kf-chat")).send_keys("f").perform()
        page.switch_to.active_element.send_keys(search)
        _find(page, ".kf-group .lsf-choice_hidden")
        save("-search")
        if adjudication is not None:
            open_screen(page, login.url, adjudication)
            save("-adjudication")
    return pictures


def picture_of_page(page: Path, output: Path, width: int = 1280, height: int = 1420) -> None:
    """Save the upper part of an HTML file as a picture."""
    with browser(width, height) as window:
        window.get(page.resolve().as_uri())
        if not window.save_screenshot(str(output)):
            raise OSError(f"{output}: cannot be written")


def _find(page: Any, selector: str, otherwise: str | None = None) -> Any:
    from selenium.webdriver.common.by import By

    found: list[Any] = []

    def there() -> bool:
        found[:] = page.find_elements(By.CSS_SELECTOR, selector)
        return bool(found)

    _until(page, there, otherwise or f"{page.current_url}: shows no {selector}; is it Label Studio 1.23?")
    return found[0]


def _until(page: Any, condition: Callable[[], bool], otherwise: str) -> None:
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        WebDriverWait(page, WAIT_SECONDS, 0.1).until(lambda _: condition())
    except TimeoutException:
        raise LabelStudioError(otherwise) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Take pictures of the labelling screen, or of a page that this platform wrote."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--project", type=int)
    what.add_argument("--page", type=Path, help="an HTML file, such as that of kefu label agreement")
    parser.add_argument("--adjudication", type=int, help="the adjudication project, for one picture more")
    parser.add_argument("--search", default="tk", help="what is typed for the picture of a search")
    parser.add_argument("--url", help="server; by default the one of make labelstudio")
    parser.add_argument("--user", help="with --url; its password is read from LABEL_STUDIO_PASSWORD")
    parser.add_argument("--output", type=Path, default=Path("docs/labeling-screen.png"))
    options = parser.parse_args(arguments)
    if options.page:
        picture_of_page(options.page, options.output)
        return
    if options.url:
        password = os.environ.get("LABEL_STUDIO_PASSWORD", "")
        if not options.user or not password:
            raise SystemExit("--url: needs --user, and the password in LABEL_STUDIO_PASSWORD")
        login = Login(options.url.rstrip("/"), "", options.user, password)
    else:
        login = find_login()
    try:
        pictures = take(login, options.project, options.output, options.adjudication, options.search)
    except LabelStudioError as error:
        raise SystemExit(str(error)) from None
    print(*pictures, sep="\n")


if __name__ == "__main__":
    main()
