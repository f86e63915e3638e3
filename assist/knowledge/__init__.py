"""What the shop knows: documents with versions and dates, cited search, and drafts that say what they rest on."""

from __future__ import annotations

from assist.knowledge.base import KnowledgeBase
from assist.knowledge.schema import KnowledgeSearchRequest, KnowledgeSearchResponse

__all__ = ["KnowledgeBase", "KnowledgeSearchRequest", "KnowledgeSearchResponse"]
