"""Metrics of a run: one row for each step, as CSV for spreadsheets and JSON lines for programs.

A run that resumes at a step drops the rows after it first, so the files never tell a step twice.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO, TypeAlias, cast

from dmc_runtime.files import replace, writing
from dmc_runtime.tensorboard import EventFile

Row: TypeAlias = dict[str, int | float]


class MetricsLog:
    """Writes rows to `metrics.csv` and `metrics.jsonl` in a folder; also a context manager.

    Args:
        columns: of the CSV, in order; a row may leave some out.
        resume_at: the last step whose rows are kept; 0 starts new files.
        tensorboard: whether new rows go into an event file of TensorBoard, too.
    """

    def __init__(
        self,
        folder: Path,
        columns: Sequence[str],
        resume_at: int = 0,
        tensorboard: bool = False,
    ) -> None:
        self._events: EventFile | None = None
        self.columns = list(columns)
        self._paths = (folder / "metrics.csv", folder / "metrics.jsonl")
        kept = [row for row in read(folder) if row["step"] <= resume_at]
        table, lines = self._paths
        text = io.StringIO(newline="")
        start = self._written(text)
        start.writeheader()
        start.writerows(kept)
        # In one step: whoever is killed meanwhile has the old rows or the new ones.
        with writing(table):
            replace(table, text.getvalue().encode())
            self._table = table.open("a", newline="", encoding="utf-8")
        with writing(lines):
            replace(lines, "".join(json.dumps(row) + "\n" for row in kept).encode())
            self._lines = lines.open("a", encoding="utf-8")
        self._writer = self._written(self._table)
        self._events = EventFile(folder) if tensorboard else None

    def _written(self, file: TextIO) -> csv.DictWriter[str]:
        """Rows that were there before may have columns that this run does not have."""
        return csv.DictWriter(file, self.columns, lineterminator="\n", extrasaction="ignore")

    def write(self, row: Row) -> None:
        """Adds a row; raises TrainError (`train.output`) on a full disk, as do the others."""
        table, lines = self._paths
        with writing(table):
            self._writer.writerow(row)
        with writing(lines):
            self._lines.write(json.dumps(row) + "\n")
        if self._events is not None:
            values = {name: value for name, value in row.items() if name != "step"}
            self._events.scalars(int(row["step"]), values)

    def flush(self) -> None:
        """Makes all rows visible to readers."""
        table, lines = self._paths
        with writing(table):
            self._table.flush()
        with writing(lines):
            self._lines.flush()

    def close(self) -> None:
        """Closes both files."""
        table, lines = self._paths
        if self._events is not None:
            self._events.close()
        try:
            with writing(table):
                self._table.close()
        finally:
            with writing(lines):
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
    """The rows written so far, up to a line that is none: the last may be cut short, or damaged."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    with writing(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    rows: list[Row] = []
    for line in text.splitlines():
        row = _row(line)
        if row is None:
            break
        rows.append(row)
    return rows


def _row(line: str) -> Row | None:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    row = cast("Row", found)
    numbers = all(
        isinstance(value, int | float) for value in cast("Mapping[str, object]", row).values()
    )
    return row if numbers and isinstance(row.get("step"), int) else None
