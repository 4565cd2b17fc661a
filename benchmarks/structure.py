"""Values and gradients of programs written by their subscripts: time, and memory of a call.

    python -m benchmarks.structure

Prints for each program its size, the bytes of its arguments, those of the arena, the time of the
first call (compilation included) and the best of several later ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dmc

PROGRAM = dmc.load(Path(__file__).parent / "programs" / "structure.dm")
RNG = np.random.default_rng(0)
ROUNDS = 5


def narrow(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def heads(t: int) -> list[Any]:
    return [PROGRAM.Heads(q=narrow(8, t, 64), k=narrow(8, t, 64), v=narrow(8, t, 64))]


Arguments = Callable[[], list[Any]]
CASES: list[tuple[str, str, Arguments]] = [
    ("attention", "H=8, T=512, K=64", lambda: heads(512)),
    ("attention", "H=8, T=2048, K=64", lambda: heads(2048)),
    (
        "convolution",
        "B=32, 32x32, 32 to 64",
        lambda: [narrow(3, 3, 32, 64), narrow(32, 32, 32, 32)],
    ),
    ("heat", "256x256, 100 steps", lambda: [RNG.standard_normal((256, 256))]),
    ("lagged", "T=16,384", lambda: [RNG.standard_normal(16_384)]),
    ("pairs", "N=4,096", lambda: [RNG.standard_normal(4096)]),
    ("soft_dtw", "N=M=200", lambda: [*RNG.standard_normal((2, 200)), 0.1]),
]


def bytes_of(value: Any) -> int:
    if hasattr(value, "items"):
        return sum(leaf.nbytes for _, leaf in value.items())
    return np.asarray(value).nbytes


def main() -> None:
    print(f"{'program':12} {'size':24} {'arguments':>12} {'arena':>14} {'first s':>8} {'ms':>8}")
    for name, size, make in CASES:
        arguments = make()
        function = dmc.value_and_grad(getattr(PROGRAM, name))
        start = time.perf_counter()
        function(*arguments)
        first = time.perf_counter() - start
        times: list[float] = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            function(*arguments)
            times.append(time.perf_counter() - start)
        arena = function.specialize(*arguments).compilation.loops.arena_bytes
        given = sum(map(bytes_of, arguments))
        row = f"{given:>12,} {arena:>14,} {first:>8.2f} {1e3 * min(times):>8.2f}"
        print(f"{name:12} {size:24} {row}")


if __name__ == "__main__":
    main()
