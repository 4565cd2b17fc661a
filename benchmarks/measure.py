"""Timing: contestants take turns in one process, so drift of the machine hits all alike."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.workload import Contestant, Outputs, Workload


@dataclass
class Timing:
    """One contestant's figures, in seconds."""

    first_call: float
    calls: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.calls)

    @property
    def median(self) -> float:
        return float(np.median(self.calls))


class Disagreement(Exception):
    """Two contestants computed different things."""


def measure(workload: Workload, peers: set[str], rounds: int) -> dict[str, Timing]:
    """Time dmc and those of its peers that can be imported. Raises Disagreement."""
    contestants: list[Contestant] = []
    timings: dict[str, Timing] = {}
    outputs: dict[str, Outputs] = {}
    for name, make in workload.makers.items():
        if name != "dmc" and name not in peers:
            continue
        try:
            contestant = make()
        except ImportError:
            continue
        start = time.perf_counter()
        out = contestant.call()
        timings[name] = Timing(time.perf_counter() - start)
        outputs[name] = contestant.outputs(out)
        contestants.append(contestant)
    agree(workload, outputs)
    for _ in range(rounds):
        for contestant in contestants:
            _take_turn(contestant, timings[contestant.name])
    return timings


def _take_turn(contestant: Contestant, timing: Timing) -> None:
    """An untimed call, then calls for a tenth of a second, three at least."""
    contestant.call()
    spent, count = 0.0, 0
    while count < 3 or spent < 0.1:
        start = time.perf_counter()
        contestant.call()
        seconds = time.perf_counter() - start
        timing.calls.append(seconds)
        spent += seconds
        count += 1


def agree(workload: Workload, outputs: dict[str, Outputs]) -> None:
    """Hold every output against that of the first contestant."""
    first, *others = outputs
    for other in others:
        for key, wanted in outputs[first].items():
            got = outputs[other][key]
            scale = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
            error = float(np.max(np.abs(got - wanted), initial=0.0)) / scale
            if not error <= workload.tolerance:
                message = f"{workload.name}: {key} of {other} differs from {first} by {error:.1e}"
                raise Disagreement(message)
