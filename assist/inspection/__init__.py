"""Inspection (智能质检) of whole conversations: what the agent did well and badly, and by which words.

`Inspector` judges one conversation by versioned standards (`data/inspection/standards.yaml`) in four
dimensions; `log` does so for a shop's log and sums up by agent. Models come in as arguments.
"""

from __future__ import annotations

__all__: list[str] = []
