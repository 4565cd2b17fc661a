"""What a run of the benchmarks found: as rows of data, and as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.floors import floor_ms
from benchmarks.race import Result
from benchmarks.roofline import Roofline
from benchmarks.workload import Workload

OURS = "dmc"


@dataclass(frozen=True)
class Row:
    """One workload on one number of threads; figures by contestant.

    `ms` are best times, `median_ms` beside them, `cpu_ms` the least of all processors together,
    which other processes disturb less. `absent` says of each contestant without a time
    why: it is missing, was refused, is wrong or failed. `predicted_ms` is the sum of dmc's kernels
    by its cost model, on one thread. `goal` is the ratio to reach against the best of those in
    `against`, or of all.
    """

    workload: str
    what: str
    threads: int
    precision: str
    machine: str
    ms: dict[str, float]
    median_ms: dict[str, float]
    cpu_ms: dict[str, float]
    floor_ms: float
    compile_s: dict[str, float]
    peak_bytes: dict[str, int]
    absent: dict[str, str] = field(default_factory=dict[str, str])
    predicted_ms: float | None = None
    goal: float | None = None
    against: list[str] = field(default_factory=list[str])

    @property
    def best_peer(self) -> str | None:
        return self._best([name for name in self.ms if name != OURS])

    @property
    def rival(self) -> str | None:
        """Whom the goal is set against."""
        return self._best([name for name in self.against if name in self.ms])

    @property
    def predicted_share(self) -> float | None:
        """What the cost model says of one thread over the processor time of dmc."""
        if self.predicted_ms is None or OURS not in self.cpu_ms:
            return None
        return self.predicted_ms / self.cpu_ms[OURS]

    def _best(self, names: list[str]) -> str | None:
        return min(names, key=self.ms.__getitem__, default=None)

    def ratio(self, peer: str | None) -> float | None:
        """The time of a peer over that of dmc, if both have one."""
        if peer is None or OURS not in self.ms or peer not in self.ms:
            return None
        return self.ms[peer] / self.ms[OURS]


def row(workload: Workload, limits: Roofline, machine: str, results: dict[str, Result]) -> Row:
    """What the race of a workload gave."""
    timed = {name: result for name, result in results.items() if result.seconds}
    goal = workload.goal
    predicted = results[OURS].predicted_s if OURS in results else None
    left = {name: r.absent for name, r in results.items() if r.absent is not None}
    return Row(
        workload=workload.name,
        what=workload.what,
        threads=limits.threads,
        precision=workload.precision.value,
        machine=machine,
        ms={name: 1e3 * result.best for name, result in timed.items()},
        median_ms={name: 1e3 * result.median for name, result in timed.items()},
        cpu_ms={name: 1e3 * min(result.processor) for name, result in timed.items()},
        floor_ms=floor_ms(workload, limits),
        compile_s={n: r.compile_s for n, r in results.items() if r.compile_s is not None},
        peak_bytes={name: result.peak_bytes for name, result in timed.items()},
        absent={name: f"{why.kind}: {why.why}" for name, why in left.items()},
        predicted_ms=None if predicted is None else 1e3 * predicted,
        goal=goal.ratio if goal else None,
        against=[e.name for e in workload.entries if goal and e.system in goal.against],
    )


def to_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def from_json(text: str) -> list[Row]:
    """The rows whose `to_json` this is."""
    data: list[dict[str, Any]] = json.loads(text)
    return [Row(**fields) for fields in data]


# tables


def limits_text(limits: Roofline) -> str:
    rates = f"{limits.fma_f32 / 1e9:.0f} f32 and {limits.fma_f64 / 1e9:.0f} f64 GFLOP/s"
    return f"{count(limits.threads)}: at most {rates}, {limits.bandwidth / 1e9:.0f} GB/s copied"


def count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


SUMMARY = (
    "workload",
    "threads",
    "dmc ms",
    "best peer ms",
    "ratio",
    "to reach",
    "floor ms",
    "of it",
    "predicted ms",
    "of cpu",
)


def table(rows: Sequence[Row]) -> str:
    """A line for each row with the best peer, then who else ran, then what did not."""
    parts = [aligned([SUMMARY, *(_summary(row) for row in rows)])]
    if ratios := [ratio for row in rows if (ratio := row.ratio(row.best_peer)) is not None]:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        below = sum(ratio < 1 for ratio in ratios)
        parts.append(f"geometric mean of {len(ratios)} ratios {mean:.2f}, {below} below 1")
    parts.append(aligned(_everybody(rows)))
    parts += _notes(rows)
    return "\n\n".join(parts)


def _summary(row: Row) -> tuple[str, ...]:
    best, share = row.best_peer, row.predicted_share
    mine = _number(row.ms.get(OURS)) if OURS in row.ms else row.absent.get(OURS, "-")
    return (
        row.workload,
        str(row.threads),
        mine,
        "-" if best is None else f"{best} {_number(row.ms[best])}",
        _ratio(row.ratio(best)),
        _goal(row),
        _number(row.floor_ms),
        f"{100 * row.floor_ms / row.ms[OURS]:.0f} %" if OURS in row.ms else "-",
        _number(row.predicted_ms),
        "-" if share is None else f"{100 * share:.0f} %",
    )


def _goal(row: Row) -> str:
    if row.goal is None:
        return "-"
    if not row.against:
        return f"{row.goal:g}"
    return f"{row.goal:g} ({row.rival or row.against[0]} {_ratio(row.ratio(row.rival))})"


def _everybody(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Best and median time, compilation and memory of each contestant."""
    lines: list[tuple[str, ...]] = [
        ("workload", "threads", "contestant", "ms", "median", "cpu ms", "compile s", "peak MB")
    ]
    for row in rows:
        for name in sorted(row.ms, key=row.ms.__getitem__):
            figures = (
                _number(row.ms[name]),
                _number(row.median_ms[name]),
                _number(row.cpu_ms[name]),
                f"{row.compile_s[name]:.2f}",
                f"{row.peak_bytes[name] / 1e6:.0f}",
            )
            lines.append((row.workload, str(row.threads), name, *figures))
    return lines


def _notes(rows: Iterable[Row]) -> list[str]:
    """Missing systems once, everything else by row."""
    missing = {why for row in rows for why in row.absent.values() if why.startswith("missing")}
    lines = [f"left out, {why}" for why in sorted(missing)]
    for row in rows:
        for name, why in row.absent.items():
            if why not in missing:
                lines.append(f"{row.workload}, {count(row.threads)}: {name} {why}")
    return ["\n".join(lines)] if lines else []


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns under their headings, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [_is_number(column[1:]) for column in zip(*lines, strict=True)]
    return "\n".join(
        "   ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(column: Sequence[str]) -> bool:
    return any(cell[:1].isdigit() for cell in column)
