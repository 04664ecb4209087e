"""Run folders in, a page with figures and tables out. Needs no torch."""

from gift.report.page import ReportFiles, write_report
from gift.report.tables import metrics_markdown, per_task_markdown
from gift.runs.read import Run, read_run

__all__ = [
    "ReportFiles",
    "Run",
    "metrics_markdown",
    "per_task_markdown",
    "read_run",
    "write_report",
]
