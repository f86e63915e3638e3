"""Reports of a period: key figures beside their standards, feelings, causes and turning points.

`period_report` takes a log of chats and what the models said of each customer message, and returns figures;
`write_page` and `write_workbook` show them to supervisors as an HTML page and as an Excel file. Texts in a
report are masked, every rate has its interval, and none is stated on fewer than ten chats.
"""

from __future__ import annotations

from assist.reports.page import write_page
from assist.reports.period import period_report
from assist.reports.workbook import write_workbook

__all__ = ["period_report", "write_page", "write_workbook"]
