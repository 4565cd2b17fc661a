"""What a run of the benchmarks found: as data, as a table, as a chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.roofline import Roofline

OURS = "dmc"


@dataclass(frozen=True)
class Row:
    """One problem on one number of threads; times by contestant."""

    workload: str
    what: str
    threads: int
    ms: dict[str, float]
    median_ms: dict[str, float]
    compile_s: dict[str, float]
    floor_ms: float
    gflops: float
    peak_gflops: float

    @property
    def best_peer(self) -> str | None:
        peers = [name for name in self.ms if name != OURS]
        return min(peers, key=lambda name: self.ms[name], default=None)


@dataclass(frozen=True)
class Machine:
    """Where the figures come from; `versions` by package."""

    cpu: str
    target: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything that one run of `python -m benchmarks` writes."""

    machine: Machine
    rooflines: Sequence[Roofline]
    rows: Sequence[Row]

    def json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def read(text: str) -> Report:
    """The report whose `json` this is."""
    data: dict[str, Any] = json.loads(text)
    rooflines = [Roofline(**roofline) for roofline in data["rooflines"]]
    return Report(Machine(**data["machine"]), rooflines, [Row(**row) for row in data["rows"]])


def table(report: Report) -> str:
    """The limits of the machine, then best times in ms with the median in parentheses."""
    lines = [f"{report.machine.cpu}, compiled for {report.machine.target}"]
    for r in report.rooflines:
        rates = f"{r.fma_f32 / 1e9:.0f} f32 and {r.fma_f64 / 1e9:.0f} f64 GFLOP/s"
        copied = f"{r.bandwidth / 1e9:.0f} GB/s"
        lines.append(f"{_threads(r.threads)}: at most {rates}, {copied} read and written")
    header = "workload   threads   dmc ms           best peer ms       ratio   floor ms   % peak"
    lines += ["", header]
    for row in report.rows:
        mine = f"{row.ms[OURS]:.3f} ({row.median_ms[OURS]:.3f})"
        line = f"{row.workload:10} {row.threads:^7}   {mine:16}"
        best = row.best_peer
        if best is None:
            line += f" {'-':18} {'-':>5}"
        else:
            theirs = f"{best} {row.ms[best]:.3f}"
            line += f" {theirs:18} {row.ms[best] / row.ms[OURS]:5.2f}"
        line += f"   {row.floor_ms:8.3f}   {100 * row.gflops / row.peak_gflops:5.1f}"
        lines.append(line)
    return "\n".join(lines)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def chart(report: Report, path: Path) -> None:
    """Times of all contestants beside the machine's limit. Raises ImportError."""
    from matplotlib.figure import Figure

    threads = [roofline.threads for roofline in report.rooflines]
    figure = Figure(figsize=(4.6 * len(threads), 4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(threads), sharey=True))
    names = list(dict.fromkeys(name for row in report.rows for name in row.ms))
    width = 0.8 / len(names)
    for panel, count in zip(panels, threads, strict=True):
        rows = [row for row in report.rows if row.threads == count]
        for i, name in enumerate(names):
            at = [k - 0.4 + (i + 0.5) * width for k, row in enumerate(rows) if name in row.ms]
            times = [row.ms[name] for row in rows if name in row.ms]
            bars = panel.bar(at, times, width, label=name, color=f"C{i}")
            panel.bar_label(bars, fmt="%.3g", fontsize=7, padding=1)
        for k, row in enumerate(rows):
            label = "limit of the machine" if k == 0 else None
            panel.hlines(row.floor_ms, k - 0.4, k + 0.4, "black", "dashed", label=label)
        panel.set_yscale("log")
        panel.set_xticks(range(len(rows)), [row.workload for row in rows])
        panel.set_title(_threads(count))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ms a call (log scale)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(report.machine.cpu, fontsize=9)
    figure.savefig(path, dpi=150)
