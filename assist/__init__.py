"""What to say next: scripts, knowledge, inspection, routing and reports for the agent at the desk.

Reads what the models say of a message (`assist.reading.Reading`) and never runs a model's network itself, so
that one encoder pass serves every room. Imports `data` only; `serving` answers requests with it.
"""

from __future__ import annotations

__all__: list[str] = []
