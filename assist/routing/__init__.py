"""Routing and triage: whom a message goes to and how soon, and signs of flooding, harassment and fraud."""

from __future__ import annotations

__all__: list[str] = []
