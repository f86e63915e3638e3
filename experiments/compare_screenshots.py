"""Pictures of a comparison page in a real browser: `python -m experiments.compare_screenshots PAGE`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from serving.screenshots import BrowserError, browser, save_picture, show_size

__all__ = ["main", "take"]

WIDE = (1280, 1500)
PHONE = (390, 1500)


def take(page: Path, folder: Path, dark: bool = False, whole: bool = False) -> list[Path]:
    """Save `compare-wide.png` and `compare-phone.png`: the page's beginning.

    Args:
        page: written by `kefu compare`.
        dark: in dark colours; the files' names end in `-dark`.
        whole: the page from top to bottom.

    Raises:
        BrowserError: there is no browser.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with browser() as window:
        for name, size, scale in (("wide", WIDE, 1), ("phone", PHONE, 2)):
            show_size(window, size, scale, dark)
            window.get(page.resolve().as_uri())
            pictures.append(folder / f"compare-{name}{'-dark' if dark else ''}.png")
            save_picture(window, pictures[-1], whole)
    return pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Take both pictures of a page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path, help="written by: kefu compare")
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    parser.add_argument("--dark", action="store_true", help="in dark colours")
    parser.add_argument("--whole", action="store_true", help="from top to bottom")
    options = parser.parse_args(arguments)
    try:
        pictures = take(options.page, options.folder, options.dark, options.whole)
    except BrowserError as error:
        raise SystemExit(str(error)) from None
    print(*pictures, sep="\n")


if __name__ == "__main__":
    main()
