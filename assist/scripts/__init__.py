"""The script library (话术库): solutions by category, openings, closings and soothing words.

`library` reads and checks the texts, `slots` fills their gaps from the conversation, `compose` makes complete
three-part replies of them, `compliance` refuses silly ones, `importing` takes in a shop's own texts.
The texts are data (`data/scripts`).
"""

from __future__ import annotations

__all__: list[str] = []
