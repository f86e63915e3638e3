"""What the shop knows: documents with versions and dates, cited search, and drafts that say what they rest on."""

from __future__ import annotations

__all__: list[str] = []
