"""Reports of a period: key figures, feelings and causes, as a page and an Excel file for supervisors."""

from __future__ import annotations
