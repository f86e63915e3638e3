"""The shop's knowledge graph: products, kinds, attributes, policies, rules and their exceptions.

Tables of a shop become an RDF graph in an embedded store (Oxigraph); messages are linked to its entities, and
questions such as "can this be returned after opening" are answered with the triples that say so.
"""

from __future__ import annotations

__all__: list[str] = []
