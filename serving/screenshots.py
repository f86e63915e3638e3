"""Pictures of the page at `/` in a real browser: `python -m serving.screenshots`.

Drives Debian's Chromium over the packaged champions; the chats are the page's own examples.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["BrowserError", "browser", "main", "save_picture", "show_size", "take", "until"]

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
WAIT_SECONDS = 20
WIDE = (1440, 900)
PHONE = (390, 844)
EXAMPLE = "越来越生气"
_WIDE_TABS = (("scripts", ""), ("knowledge", "刻字能退吗"), ("inspection", ""), ("routing", ""))
"""Tabs of the desk that get a wide picture, and an example of their own where another one shows more."""


class BrowserError(RuntimeError):
    """There is no browser, or the page does not show what it should."""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium (selenium's driver) that keeps its console's log.

    Raises:
        BrowserError: Chromium or its driver is not on the PATH.
    """
    from selenium import webdriver

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        missing = "chromium" if not program else "chromedriver"
        raise BrowserError(f"{missing}: not on the PATH; apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for flag in (*FLAGS, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            show_size(page, WIDE)
            yield page
        finally:
            page.quit()


def show_size(page: Any, size: tuple[int, int], scale: float = 1, dark: bool = False) -> None:
    """Give the page this width and height in CSS pixels, drawn `scale` times as fine, light or dark."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def until(page: Any, script: str, what: str = "") -> Any:
    """Wait until a JavaScript expression is true; returns its value.

    Raises:
        BrowserError: it stayed false.
    """
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        return WebDriverWait(page, WAIT_SECONDS, 0.05).until(
            lambda _: page.execute_script(f"return {script}")
        )
    except TimeoutException:
        raise BrowserError(f"{page.current_url}: {what or script}: did not come about") from None


def take(address: str, folder: Path, example: str = EXAMPLE, dark: bool = False) -> list[Path]:
    """Save pictures of the page after one of its examples was answered.

    `page-wide.png` and `page-phone.png`; where the service has a desk, also `page-knowledge.png`,
    `page-inspection.png` and `page-routing.png`.

    Args:
        address: of a running service.
        example: name of one of the page's example chats.
        dark: in dark colours; the files' names end in `-dark`.

    Raises:
        BrowserError: no browser, or the page got no answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with browser() as page:
        for size, scale, tabs in ((WIDE, 1, _WIDE_TABS), (PHONE, 2, _WIDE_TABS[:1])):
            show_size(page, size, scale, dark)
            for tab, better in tabs:
                has_desk = _answer(page, address, better or example, tab)
                if tab != "scripts" and not has_desk:
                    continue
                name = ("phone" if size == PHONE else "wide") if tab == "scripts" else tab
                pictures.append(folder / f"page-{name}{'-dark' if dark else ''}.png")
                save_picture(page, pictures[-1], whole=size == PHONE or tab != "scripts")
    return pictures


def _answer(page: Any, address: str, example: str, tab: str) -> bool:
    """Open the page, let it answer an example, and show a tab; whether the service has a desk."""
    page.get(address)
    until(page, "document.querySelectorAll('#examples button').length > 0", "examples")
    page.execute_script(
        "[...document.querySelectorAll('#examples button')]"
        ".find(one => one.textContent === arguments[0]).click()",
        example,
    )
    until(page, "!document.getElementById('answers').hidden", "answers")
    until(page, "!document.body.classList.contains('asking')")
    has_desk: bool = page.execute_script(
        "const tab = document.getElementById(`tab-${arguments[0]}`);"
        "if (tab.checkVisibility()) tab.click();"
        "return tab.checkVisibility()",
        tab,
    )
    page.execute_script(
        "document.activeElement.blur();"
        "const moving = document.getAnimations().map(one => one.finished);"
        "return Promise.all([document.fonts.ready, ...moving]).then(() => true)"
    )
    return has_desk


def save_picture(page: Any, path: Path, whole: bool) -> None:
    """Save what the window shows as PNG, or the `whole` page from top to bottom."""
    import base64

    height = page.execute_script("return document.documentElement.scrollHeight")
    width = page.execute_script("return innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    asked = {"captureBeyondViewport": True, "clip": clip} if whole else {}
    found = page.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", **asked})
    part = path.with_suffix(".part")
    part.write_bytes(base64.b64decode(found["data"]))
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Take pictures of the page, over a service that is started for it or runs already."""
    from serving.demo import running_service

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--url", help="of a running service; else the packaged champions are served")
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    parser.add_argument("--example", default=EXAMPLE, help="name of one of the page's example chats")
    parser.add_argument("--dark", action="store_true", help="in dark colours")
    options = parser.parse_args(arguments)
    started = contextlib.nullcontext(options.url) if options.url else running_service()
    try:
        with started as address:
            pictures = take(address, options.folder, options.example, options.dark)
    except BrowserError as error:
        raise SystemExit(str(error)) from None
    print(*pictures, sep="\n")


if __name__ == "__main__":
    main()
