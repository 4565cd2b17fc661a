"""Metrics of a run: one row for each step, as CSV for spreadsheets and JSON lines for programs.

A run that resumes at a step drops the rows after it first, so the files never tell a step twice.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, cast

Row: TypeAlias = dict[str, int | float]


class MetricsLog:
    """Writes rows to `metrics.csv` and `metrics.jsonl` in a folder; also a context manager.

    Args:
        columns: of the CSV, in order; a row may leave some out.
        resume_at: the last step whose rows are kept; 0 starts new files.
    """

    def __init__(self, folder: Path, columns: Sequence[str], resume_at: int = 0) -> None:
        self.columns = list(columns)
        self._paths = (folder / "metrics.csv", folder / "metrics.jsonl")
        kept = [row for row in read(folder) if row["step"] <= resume_at]
        table, lines = self._paths
        self._table = table.open("w", newline="", encoding="utf-8")
        self._lines = lines.open("w", encoding="utf-8")
        self._writer = csv.DictWriter(self._table, self.columns, lineterminator="\n")
        self._writer.writeheader()
        for row in kept:
            self.write(row)

    def write(self, row: Row) -> None:
        """Adds a row; `ValueError` for a name that is no column."""
        self._writer.writerow(row)
        self._lines.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Makes all rows visible to readers."""
        self._table.flush()
        self._lines.flush()

    def close(self) -> None:
        """Closes both files."""
        self._table.close()
        self._lines.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(folder: Path) -> list[Row]:
    """The rows written so far; a last line that was cut short is left out."""
    path = folder / "metrics.jsonl"
    rows: list[Row] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(cast("Row", json.loads(line)))
            except ValueError:
                break
    return rows
