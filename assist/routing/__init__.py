"""Routing and triage: which agent takes a chat, which signals it shows, which open messages ask the same.

Everything here is a pure function of what it is given and of a versioned file of rules (data/routing.yaml).
"""

from __future__ import annotations

__all__: list[str] = []
