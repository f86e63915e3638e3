"""What the shop knows: versioned documents, cited search, drafts that say what they rest on."""

from __future__ import annotations

__all__: list[str] = []
