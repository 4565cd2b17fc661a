"""Time against a budget of memory: `python -m benchmarks.memory` prints a table for docs/memory.md.

For every program: from all that is wanted to the smallest budget, in processor time of one thread,
the best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dmc

PROGRAMS = Path(__file__).parent / "programs"
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the way from the smallest budget to keeping everything."""
RUNS = 12


def cases() -> list[tuple[str, dmc.Function, Sequence[Any]]]:
    """The programs, each with the arguments of its loss."""
    numbers = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (numbers.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    program, gpt = dmc.load(PROGRAMS / "memory.dm"), dmc.load(PROGRAMS / "gpt.dm")
    net = gpt.GPT.init(dmc.key(0), V=256, C=128, D=64, H=4, L=6)
    ids = numbers.integers(0, 256, (4, 128)).astype(np.int32)
    return [
        ("mlp", program.mlp, (normal(7, 128, 128), normal(2048, 128))),
        ("recurrent", program.recurrent, (normal(64, 64), normal(16_384, 64))),
        ("gpt", gpt.loss, (net, ids, np.roll(ids, -1, axis=1))),
    ]


def seconds(compiled: dmc.Compiled, arguments: Sequence[Any]) -> float:
    """The best processor time of a call."""
    compiled(*arguments)
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        compiled(*arguments)
        best = min(best, time.process_time() - start)
    return best


def least(function: dmc.Function, arguments: Sequence[Any]) -> int:
    """The smallest budget, from the refusal of one byte."""
    try:
        dmc.value_and_grad(function, budget=1).compile(*arguments)
    except dmc.OutOfMemory as failure:
        return int(failure.diagnostics[0].title.split()[-2])
    return 1


def main() -> None:
    """Print a row for each budget."""
    dmc.set_num_threads(1)
    print("| program | budget | arena | time | of keeping all |")
    print("|---|---|---|---|---|")
    for name, function, arguments in cases():
        free = dmc.value_and_grad(function).compile(*arguments)
        most, smallest = free.memory().arena, least(function, arguments)
        whole = seconds(free, arguments)
        for share in SHARES:
            budget = round(smallest + share * (most + 4096 - smallest))
            held = dmc.value_and_grad(function, budget=budget).compile(*arguments)
            taken = seconds(held, arguments)
            arena = held.memory().arena
            figures = f"{budget / 1e6:.2f} MB | {arena / 1e6:.2f} MB | {1e3 * taken:.1f} ms"
            print(f"| {name} | {figures} | {taken / whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
