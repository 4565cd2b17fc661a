"""Factorizations and systems beside NumPy and SciPy, whose LAPACK is OpenBLAS's.

    python -m benchmarks.linalg [--threads 1] [--dtype f64] [--only qr,eigh] [--sizes 256,1024]

Prints the least processor time of many calls of each, which other programs disturb less than that
of a clock, and how many times as long as dmc the other one takes; on several threads times are by
the clock. Small matrices come in batches, and their times are of one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

Run = Callable[..., Any]

PROGRAM = """
fn qr_[*S, N](a: f64[*S, N, N]) -> (f64[*S, N, N], f64[*S, N, N]) = qr(a)
fn eigh_[*S, N](a: f64[*S, N, N]) -> (f64[*S, N], f64[*S, N, N]) = eigh(a)
fn svd_[*S, N](a: f64[*S, N, N]) -> (f64[*S, N, N], f64[*S, N], f64[*S, N, N]) = svd(a)
fn cholesky_[*S, N](a: f64[*S, N, N]) -> f64[*S, N, N] = cholesky(a)
fn inv_[*S, N](a: f64[*S, N, N]) -> f64[*S, N, N] = inv(a)
fn logdet_[*S, N](a: f64[*S, N, N]) -> f64[*S] = logdet(a)
fn solve_[*S, N](a: f64[*S, N, N], b: f64[*S, N, 1]) -> f64[*S, N, 1] = solve(a, b)
fn solve_many[*S, N](a: f64[*S, N, N], b: f64[*S, N, N]) -> f64[*S, N, N] = solve(a, b)
fn lstsq_[N](a: f64[N, N], b: f64[N, 1]) -> f64[N, 1] = lstsq(a, b)
fn expm_[N](a: f64[N, N]) -> f64[N, N] = expm(a)
"""

BATCHES = {4: 256, 8: 256, 16: 64}
"""How many of the small matrices there are."""

WITH_RIGHT = ("solve_", "solve_many", "lstsq_")
POSITIVE = ("cholesky_", "logdet_")
SINGLE = ("lstsq_", "expm_")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("f64", "f32"), default="f64")
    parser.add_argument("--only", default="")
    parser.add_argument("--sizes", default="4,8,16,256,1024")
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    # Read when NumPy's library loads.
    os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    dmc, np = import_module("dmc"), import_module("numpy")
    linalg, scipy = np.linalg, import_module("scipy.linalg")
    dmc.set_num_threads(options.threads)
    program = dmc.loads(PROGRAM.replace("f64", options.dtype))
    peers: dict[str, Run] = {
        "qr_": linalg.qr,
        "eigh_": linalg.eigh,
        "svd_": lambda a: linalg.svd(a, full_matrices=False),
        "cholesky_": linalg.cholesky,
        "solve_": linalg.solve,
        "solve_many": linalg.solve,
        "inv_": linalg.inv,
        "logdet_": linalg.slogdet,
        "lstsq_": linalg.lstsq,
        "expm_": scipy.expm,
    }
    clock = time.process_time if options.threads == 1 else time.perf_counter
    wanted = options.only.split(",") if options.only else [name.strip("_") for name in peers]
    print("| function | n | dmc, µs | NumPy, µs | ratio |\n|---|--:|--:|--:|--:|")
    for name, peer in peers.items():
        for size in map(int, options.sizes.split(",")):
            count = BATCHES.get(size, 1)
            if name.strip("_") not in wanted or (count > 1 and name in SINGLE):
                continue
            arguments = inputs(np, name, size, options.dtype)
            calls, times = (getattr(program, name), peer), [float("inf")] * 2
            for i in (0, 1, 0, 1):
                least = shortest(calls[i], arguments, options.seconds, clock)
                times[i] = min(times[i], 1e6 * least / count)
            mine, other = times
            label = name.strip("_").replace("_", ", ")
            figures = f"{mine:,.3g} | {other:,.3g} | {other / mine:.2f}"
            print(f"| `{label}` | {size} | {figures} |", flush=True)


def inputs(np: Any, name: str, size: int, dtype: str) -> list[Any]:
    """The arguments of a function."""
    rng = np.random.default_rng(size)
    lead = (BATCHES[size],) if size in BATCHES else ()
    a = rng.standard_normal((*lead, size, size))
    turned = np.swapaxes(a, -1, -2)
    if name in POSITIVE:
        a = a @ turned + size * np.eye(size)
    elif name == "eigh_":
        a = a + turned
    elif name == "expm_":
        a = a / size**0.5
    out = [a]
    if name in WITH_RIGHT:
        columns = size if name == "solve_many" else 1
        out.append(rng.standard_normal((*lead, size, columns)))
    return [x.astype(np.float64 if dtype == "f64" else np.float32) for x in out]


def shortest(call: Run, arguments: list[Any], seconds: float, clock: Callable[[], float]) -> float:
    """The least time of a call, in many."""
    call(*arguments)
    least, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = clock()
        call(*arguments)
        least = min(least, clock() - start)
        if time.perf_counter() > end:
            return least


if __name__ == "__main__":
    main()
