"""What derivatives of GradBench's evals cost in evaluations.

    python -m benchmarks.gradbench.ratios [--only gmm,ba] [--seconds 1]

Asks the tool, in this process and on one thread, for functions and derivatives at sizes that
GradBench has too, and prints the least processor time of each and their quotient.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import dmc
from benchmarks.gradbench.evals import MODULES
from benchmarks.gradbench.fields import Fields
from benchmarks.gradbench.protocol import Run
from benchmarks.workload import Foreign

RNG = np.random.default_rng(0)


def _ba() -> Foreign:
    camera = [0.3, -0.2, 0.4, 0.1, 0.2, -0.3, 500.0, 320.0, 240.0, 0.05, 0.02]
    place, seen = [0.5, -0.4, 6.0], [330.0, 200.0]
    return {"n": 49, "m": 7776, "p": 31843, "cam": camera, "x": place, "w": 0.8, "feat": seen}


def _gmm() -> Foreign:
    n, d, k = 1000, 32, 25
    sizes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2), "x": (n, d)}
    arrays = {name: (0.3 * RNG.normal(size=size)).tolist() for name, size in sizes.items()}
    return {"d": d, "k": k, "n": n, "m": 0, "gamma": 1.0, **arrays}


def _lstm() -> Foreign:
    layers, letters, bits = 4, 1024, 14
    sizes = {"main_params": (2 * layers, 4 * bits), "extra_params": (3, bits)}
    arrays = {name: RNG.random(size).tolist() for name, size in sizes.items()}
    sequence = RNG.integers(0, 2, (letters, bits)).tolist()
    return {"state": RNG.random((2 * layers, bits)).tolist(), "sequence": sequence, **arrays}


def _kmeans() -> Foreign:
    return {"points": RNG.random((10_000, 32)).tolist(), "centroids": RNG.random((50, 32)).tolist()}


def _det() -> Foreign:
    return {"A": RNG.random(100).tolist(), "ell": 10}


INPUTS: dict[str, Callable[[], Foreign]] = {
    "ba": _ba,
    "det": _det,
    "gmm": _gmm,
    "kmeans": _kmeans,
    "llsq": lambda: {"x": RNG.normal(size=128).tolist(), "n": 4096},
    "lse": lambda: {"x": RNG.normal(size=1_000_000).tolist()},
    "lstm": _lstm,
    "ode": lambda: {"x": RNG.random(100).tolist(), "s": 1000},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(INPUTS))
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    dmc.set_num_threads(1)
    print("| eval | function, ms | derivative, ms | quotient |\n|---|--:|--:|--:|")
    for name in options.only.split(","):
        given = Fields(INPUTS[name](), "the input")
        runs = [function(given) for function in MODULES[name]().values()]
        first, second = (_least(run, options.seconds) for run in runs)
        print(f"| `{name}` | {first:.3g} | {second:.3g} | {second / first:.2f} |", flush=True)


def _least(run: Run, seconds: float) -> float:
    """The least time of a call, in many."""
    run.call()
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        run.call()
        least = min(least, time.process_time() - start)
    return 1e3 * least


if __name__ == "__main__":
    main()
