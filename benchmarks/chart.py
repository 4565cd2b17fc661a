"""The rows of a run as a picture: everybody's time over dmc's, and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import OURS, Row, count
from benchmarks.workload import System

MARKS = dict(zip((s.value for s in System), "osD^vPX", strict=True))


def chart(rows: Sequence[Row], path: Path) -> None:
    """A line for each workload, a panel for each number of threads. Raises ImportError."""
    from matplotlib.figure import Figure

    rows = [row for row in rows if OURS in row.ms]
    threads = sorted({row.threads for row in rows})
    names = list(dict.fromkeys(row.workload for row in rows))
    height = 1.6 + 0.28 * len(names)
    figure = Figure(figsize=(1.5 + 4.5 * max(1, len(threads)), height), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, max(1, len(threads)), sharey=True))
    systems = [s.value for s in System if any(_of(row, s.value) for row in rows)]
    for panel, number in zip(panels, threads, strict=False):
        shown = [row for row in rows if row.threads == number]
        at = {row.workload: names.index(row.workload) for row in shown}
        for index, system in enumerate(systems):
            points = [
                (ms / row.ms[OURS], at[row.workload]) for row in shown for ms in _of(row, system)
            ]
            panel.plot(
                *np.array(points or np.empty((0, 2))).T,
                MARKS[system],
                color="black" if system == OURS else f"C{index}",
                label=system,
                ms=5,
            )
        panel.plot(
            [row.floor_ms / row.ms[OURS] for row in shown],
            list(at.values()),
            "|",
            color="gray",
            ms=11,
            label="floor",
        )
        panel.axvline(1.0, color="black", lw=0.6)
        panel.set_xscale("log")
        panel.set_yticks(range(len(names)), names)
        panel.grid(axis="y", lw=0.3)
        panel.set_title(count(number))
        panel.set_xlabel("time over dmc's")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False
    )
    figure.suptitle(rows[0].machine if rows else "", fontsize=9)
    figure.savefig(path, dpi=150)


def _of(row: Row, system: str) -> list[float]:
    """Times of a system's contestants; a variant's name begins with that of its system."""
    best = [name for name in row.ms if _system(name) == system]
    return [row.ms[name] for name in best]


def _system(name: str) -> str:
    """The longest name of a system that a contestant's begins with."""
    fitting = [s.value for s in System if name == s.value or name.startswith(f"{s.value}_")]
    return max(fitting, key=len)
