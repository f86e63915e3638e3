"""Pictures as values: made without a window, shown by a notebook, written to a file.

Chinese words need a font that has them. Where one is installed labels carry both names ("物流查询
logistics_query"), elsewhere the keys alone. Labels of a user's own table have no key: where they cannot be
drawn the picture has boxes in their place, and a warning says how to mend it.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

__all__ = ["EMOTION_COLOURS", "Picture", "chinese_font", "draw", "named"]

# In the order in which they are asked for: Linux, macOS, Windows.
_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei",
)  # fmt: skip
_FONT_FILES = re.compile("NotoSansCJK|SourceHanSans|wqy|PingFang|Hiragino|msyh|simhei", re.I)
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.unicode_minus": False,
    "axes.axisbelow": True,
    "font.size": 9,
}
_BOXES = (
    "no installed font has some characters of this picture's labels, which are drawn as boxes: install one "
    "(apt-get install fonts-noto-cjk) or name one in KEFU_FONT"
)
_log = logging.getLogger(__name__)
EMOTION_COLOURS = {
    "positive": "#4caf50", "neutral": "#b0bec5", "anxious": "#ffb300", "dissatisfied": "#ef6c00",
    "disappointed": "#5c6bc0", "angry": "#c62828",
}  # fmt: skip
"""By emotion key, the same in every picture; a shop's own emotions take matplotlib's colours."""


class Picture:
    """A finished picture as PNG bytes; a notebook shows it, `save` writes it."""

    def __init__(self, png: bytes) -> None:
        self.png = png

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: Path | str) -> Path:
        """Write the PNG; parent folders are made."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_bytes(self.png)
        beside.replace(path)
        return path


@lru_cache(maxsize=1)
def chinese_font() -> str | None:
    """An installed font with Chinese characters, or None; `KEFU_FONT` names another, empty asks for none."""
    from matplotlib import font_manager

    wanted = os.environ.get("KEFU_FONT")
    if wanted is not None:
        return wanted or None
    manager = font_manager.fontManager
    if not any(font.name in _FONTS for font in manager.ttflist):
        # matplotlib keeps its list of fonts for ever: one installed since then is not in it.
        for path in font_manager.findSystemFonts():
            if _FONT_FILES.search(Path(path).name) and "Bold" not in path:
                manager.addfont(path)
    installed = {font.name for font in manager.ttflist}
    return next((name for name in _FONTS if name in installed), None)


def named(key: str, zh: str) -> str:
    """A label for a picture: both names where Chinese can be drawn, else the key."""
    return f"{zh} {key}" if chinese_font() else key


def draw(paint: Callable[[Any], None], width: float = 9.0, height: float = 3.6) -> Picture:
    """A picture of what `paint` draws on a figure.

    Args:
        width, height: inches, at 100 dots each.
    """
    import matplotlib
    from matplotlib.figure import Figure

    family = [*filter(None, [chinese_font()]), "DejaVu Sans"]
    with matplotlib.rc_context({**_STYLE, "font.family": "sans-serif", "font.sans-serif": family}):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=100)
        paint(figure)
        target = BytesIO()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure.savefig(target, format="png")
    if any("missing from font" in str(one.message) for one in caught):
        _log.warning(_BOXES)
    for one in caught:
        if "missing from font" not in str(one.message):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return Picture(target.getvalue())
