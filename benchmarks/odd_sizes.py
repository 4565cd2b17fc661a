"""Sizes that fill no vector, beside round ones.

    python -m benchmarks.odd_sizes [--only mlp,heads] [--threads 1] [--seconds 1]

Times a value and gradient at an odd size and at the nearest sizes that whole vectors fill, turn by
turn, and prints how many times as long the odd size takes for each floating-point operation of its
products.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import dmc
from benchmarks.systems import program
from benchmarks.workload import Array, Foreign

ROUNDS = 4


@dataclass(frozen=True)
class Case:
    """A function at two sizes, in the letters of its `what`."""

    what: str
    odd: tuple[int, ...]
    round: tuple[int, ...]
    make: Callable[..., Callable[[], object]]
    """From sizes to a call of the function's value and gradient."""
    work: Callable[..., float]
    """From sizes to multiplications, as far as they grow with the sizes."""


def _floats(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype("f4") * np.float32(0.1)


def _labels(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 10, shape).astype("i4")


def _bound(function: Foreign, *arguments: Foreign) -> Callable[[], object]:
    run = dmc.value_and_grad(function)
    return lambda: run(*arguments)


def _mlp(b: int, d: int) -> Callable[[], object]:
    module = program("mlp")
    sizes = ((d, d), (d, d), (d, 10))
    layers = [module.Linear(w=_floats(n, m), b=_floats(m)) for n, m in sizes]
    net = module.MLP(l0=layers[0], l1=layers[1], l2=layers[2])
    return _bound(module.loss, net, _floats(b, d), _labels(b))


def _attention(t: int, k: int) -> Callable[[], object]:
    module = program("attention")
    names = ("q", "k", "v")
    return _bound(module.loss, module.Heads(**{name: _floats(8, t, k) for name in names}))


def _ln_block(n: int, d: int) -> Callable[[], object]:
    module = program("ln_block")
    net = module.Block.init(dmc.key(0), D=d, F=4 * d)
    return _bound(module.loss, net, _floats(n, d))


def _lstm(t: int, b: int, h: int) -> Callable[[], object]:
    module = program("lstm")
    shapes = {"wx": (4 * h, h), "wh": (4 * h, h), "b": (4 * h,), "wo": (h, 10), "bo": (10,)}
    net = module.Net(**{name: _floats(*shape) for name, shape in shapes.items()})
    return _bound(module.loss, net, _floats(t, b, h), _labels(t, b))


CASES = {
    "batch": Case("mlp: B rows of D", (37, 304), (40, 304), _mlp, lambda b, d: b * d * d),
    "mlp": Case("mlp: B rows of D", (128, 301), (128, 304), _mlp, lambda b, d: b * d * d),
    "both": Case("mlp: B rows of D", (37, 301), (40, 304), _mlp, lambda b, d: b * d * d),
    "norm": Case(
        "layer norm and mlp: N rows of D", (193, 301), (192, 304), _ln_block, lambda n, d: n * d * d
    ),
    "heads": Case(
        "attention: T places, heads of K", (192, 24), (192, 32), _attention, lambda t, k: t * t * k
    ),
    "places": Case(
        "attention: T places, heads of K", (193, 64), (192, 64), _attention, lambda t, k: t * t * k
    ),
    "lstm": Case(
        "lstm: T steps, B rows of H",
        (33, 37, 101),
        (32, 40, 104),
        _lstm,
        lambda t, b, h: t * b * h * h,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.odd_sizes", description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    dmc.set_num_threads(options.threads)
    names = options.only.split(",") if options.only else list(CASES)
    print("| | odd | ms | round | ms | time for an operation |\n|---|---|--:|---|--:|--:|")
    for name in names:
        case = CASES[name]
        calls = [case.make(*case.odd), case.make(*case.round)]
        times = [float("inf")] * 2
        for turn in range(2 * ROUNDS):
            least = _shortest(calls[turn % 2], options.seconds / ROUNDS)
            times[turn % 2] = min(times[turn % 2], least)
        odd, even = times
        quotient = (odd / case.work(*case.odd)) / (even / case.work(*case.round))
        sizes = [", ".join(map(str, each)) for each in (case.odd, case.round)]
        print(
            f"| {case.what} | {sizes[0]} | {1e3 * odd:.3g} | {sizes[1]} | {1e3 * even:.3g} |"
            f" {quotient:.2f} |",
            flush=True,
        )


def _shortest(call: Callable[[], object], seconds: float) -> float:
    """The least processor time of a call, in seconds."""
    call()
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        call()
        least = min(least, time.process_time() - start)
    return least


if __name__ == "__main__":
    main()
