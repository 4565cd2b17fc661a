"""A race: all contestants of a workload start, are held against each other, then take turns.

Turns are interleaved, so that drift of the machine hits all alike.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.agreement import disagreement
from benchmarks.messages import Absent, Ready, Times, Turn
from benchmarks.process import Settings, Worker
from benchmarks.workload import Arrays, Entry, System, Workload

REFERENCES = (System.JAX, System.TORCH, System.NUMPY, System.NUMBA, System.C)
"""Whose outputs the others are held against: the first of these that takes part."""


@dataclass
class Result:
    """What one contestant did. Times in seconds, passed and of all processors together, by call.

    `absent` says why there are none; `predicted_s` is what a cost model says, if it has one.
    """

    compile_s: float | None = None
    seconds: list[float] = field(default_factory=list[float])
    processor: list[float] = field(default_factory=list[float])
    peak_bytes: int = 0
    absent: Absent | None = None
    predicted_s: float | None = None

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def race(
    workload: Workload, settings: Settings, systems: Collection[System], rounds: int, turn: Turn
) -> dict[str, Result]:
    """Run all contestants of some systems; results by name."""
    entries = [entry for entry in workload.entries if entry.system in systems]
    results = {entry.name: Result() for entry in entries}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        running: list[Worker] = []
        for entry in entries:
            _tell(f"  {entry.name} …")
            worker = Worker(workload, entry, settings, folder)
            stack.callback(worker.end)
            reply = worker.reply()
            if isinstance(reply, Ready):
                results[entry.name].compile_s = reply.compile_s
                results[entry.name].predicted_s = reply.predicted_s
                running.append(worker)
            else:
                _leave(worker, results[entry.name], reply)
        running = _agreeing(workload, running, results)
        for _ in range(rounds):
            for worker in list(running):
                result, reply = results[worker.entry.name], worker.turn(turn)
                if isinstance(reply, Times):
                    result.seconds += reply.seconds
                    result.processor += reply.processor
                    result.peak_bytes = max(result.peak_bytes, reply.peak_bytes)
                else:
                    running.remove(worker)
                    _leave(worker, result, reply)
    return results


def _agreeing(
    workload: Workload, running: list[Worker], results: dict[str, Result]
) -> list[Worker]:
    """Those whose outputs are right; the others leave."""
    if not running:
        return []
    outputs = {worker.entry.name: _read(worker.outputs) for worker in running}
    reference = _reference([worker.entry for worker in running])
    agreeing: list[Worker] = []
    for worker in running:
        name = worker.entry.name
        wrong = disagreement(outputs[reference], outputs[name], workload.tolerance(name))
        if wrong is None:
            agreeing.append(worker)
        else:
            _leave(worker, results[name], Absent("wrong", f"{wrong} from {reference}"))
    return agreeing


def _reference(entries: list[Entry]) -> str:
    first = {system: place for place, system in enumerate(REFERENCES)}
    return min(entries, key=lambda entry: first.get(entry.system, len(first))).name


def _read(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _leave(worker: Worker, result: Result, reply: object) -> None:
    assert isinstance(reply, Absent), reply
    worker.end()
    result.absent = reply
    _tell(f"  {worker.entry.name} {reply.kind}: {reply.why}")
    if reply.kind == "failed":
        _tell(worker.log())


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
