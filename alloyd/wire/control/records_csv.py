"""Usage records as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

import msgspec

CSV_TYPE: Final = "text/csv"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Disposition": 'attachment; filename="usage.csv"',
    "Content-Type": "text/csv; charset=utf-8",
    "Server": "alloyd",
    "X-Content-Type-Options": "nosniff",
}
COLUMNS: Final = (
    "created_at",
    "id",
    "provider",
    "model",
    "modality",
    "status",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "over_budget_usd",
    "duration_ms",
    "principal_kind",
    "principal_id",
    "workflow_id",
    "workflow_run_id",
    "node_key",
    "job_id",
    "request_id",
)
# A cell that begins so is a formula to a spreadsheet; model names come from callers.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(records: Iterable[msgspec.Struct], *, with_head: bool = False) -> bytes:
    """A line for each record, after the names of the columns if asked for."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if with_head:
        writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(getattr(record, column)) for column in COLUMNS])
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
