"""Contractions as generated code, in GFLOP/s and in percent of the measured FMA peak.

    python benchmarks/gemm.py [--threads 1,2] [--repeat 20] [--floors]

The peak is that of a loop of independent fused multiply-adds in registers, run in the same process
with the same code generator. `--floors` fails when 512³ in f32 is below 85 % of it on one thread,
or two threads are less than 1.7 times as fast as one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dmc.dialects import arith, func
from dmc.ir import AffineMap, Builder, DType, MemRefType, Module, TensorType, Value, tensor
from dmc.jit.engine import Engine, default_engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.pool import get_num_threads, pool, set_num_threads
from dmc.lowering.loop_builder import LoopBuilder, function, register_type
from dmc.lowering.to_llvm import PARALLEL_FOR, entry_symbol, lower_module
from dmc.lowering.to_loops import lower_to_loops
from dmc.transforms.generics import Read, make_generic

Array = npt.NDArray[Any]
PEAK_SUMS = 16
PEAK_STEPS = 200_000
FLOOR_OF_PEAK = 0.85
FLOOR_OF_SCALING = 1.7
SPELL = 0.25


@dataclass(frozen=True)
class Case:
    """`m × n × k` with operands stored as `a` and `b` say; `epilogue` adds a bias and clips."""

    m: int
    n: int
    k: int
    dtype: DType = DType.F32
    a: str = "mk"
    b: str = "kn"
    epilogue: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    def __str__(self) -> str:
        tail = "+relu" if self.epilogue else ""
        return f"{self.m}x{self.n}x{self.k} {self.a}·{self.b} {self.dtype.value}{tail}"


CASES = [
    *(Case(n, n, n) for n in (64, 128, 256, 512, 1024)),
    Case(512, 512, 512, DType.F64),
    Case(512, 512, 512, a="km"),
    Case(512, 2048, 2048, a="km"),
    Case(512, 512, 512, b="nk"),
    Case(512, 512, 512, epilogue=True),
    Case(128, 512, 784, epilogue=True),
    Case(784, 512, 128, a="km"),
    Case(128, 512, 512, b="nk"),
    Case(32, 1024, 256),
    Case(32, 256, 1024, b="nk"),
    Case(128, 10, 512),
    Case(512, 10, 128, a="km"),
    Case(1, 512, 512),
    Case(8, 512, 512),
    Case(512, 512, 4096),
]


def program(case: Case) -> tuple[Module, list[TensorType]]:
    """The kernel of a case as the function `main`."""
    size = {"m": case.m, "n": case.n, "k": case.k}
    number = {"m": 0, "n": 1, "k": 2}
    shapes = [tensor(case.dtype, *(size[axis] for axis in axes)) for axes in (case.a, case.b)]
    if case.epilogue:
        shapes.append(tensor(case.dtype, case.n))
    module = Module.empty()
    main, builder = func.function(module, "main", shapes)
    left, right, *bias = main.body.args

    def product(b: Builder, x: list[Value]) -> list[Value]:
        return [arith.multiply(b, x[0], x[1])]

    def after(b: Builder, x: list[Value]) -> list[Value]:
        return [b.insert(arith.Relu([arith.add(b, x[0], x[1])])).result] if bias else x

    maps = [AffineMap.select(3, [number[axis] for axis in axes]) for axes in (case.a, case.b)]
    made = make_generic(
        builder,
        (case.m, case.n, case.k),
        [Read(left, maps[0]), Read(right, maps[1])],
        product,
        [AffineMap.select(3, [0, 1])],
        ["add"],
        1,
        [Read(value, AffineMap.select(3, [1])) for value in bias],
        after,
    )
    func.finish(main, builder, made.results)
    return module, shapes


def load(
    engine: Engine, module: Module, arguments: Sequence[TensorType], results: Sequence[TensorType]
) -> Executable:
    """Machine code of the loop-level function `main`."""
    lowered = lower_module(module, engine.target.machine)
    lowered.module.triple = engine.target.triple
    entry = entry_symbol("main")
    code = engine.load([str(lowered.module)], [entry], {PARALLEL_FOR: pool().parallel_for})
    return Executable(
        code[entry],
        tuple(ArgumentSpec(t.dtype, t.shape) for t in arguments),
        tuple(ResultSpec(t.dtype, t.shape) for t in results),
        lowered.arena_bytes,
        lowered.scratch_bytes,
        keep=code,
    )


def seconds(run: Callable[[], object], repeat: int) -> float:
    """The shortest of `repeat` runs or more, after one to warm up.

    They go on for `SPELL` seconds: threads of NumPy's own library, which made the reference, spin
    on the other processors for a while.
    """
    run()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < repeat or time.perf_counter() - began < SPELL:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak(engine: Engine, dtype: DType, tasks: int, repeat: int) -> float:
    """GFLOP/s of fused multiply-adds on registers, in `tasks` parallel tasks."""
    machine = engine.target.machine
    lanes = machine.lanes(dtype)
    module = Module.empty()
    buffer = MemRefType((tasks,), dtype)
    main = function("main", [buffer, MemRefType((0,), DType.I8)], ["out", "arena"], private=False)
    b = LoopBuilder(main)
    type_ = register_type(dtype, lanes)

    def task(number: Value) -> None:
        x, y = (b.constant(c, type_) for c in (0.999, 0.001))

        def step(_: Value, sums: list[Value]) -> list[Value]:
            return [b.fma(total, x, y) for total in sums]

        inits = [b.constant(0.01 * i, type_) for i in range(min(PEAK_SUMS, _registers(engine)))]
        sums = b.for_(0, PEAK_STEPS, step, inits)
        while len(sums) > 1:
            sums = [
                *(arith.add(b.builder, *pair) for pair in zip(sums[::2], sums[1::2], strict=True))
            ]
        (total,) = b.fold_lanes(sums, lambda low, high: [arith.add(b.builder, low[0], high[0])])
        b.store(total, main.body.args[0], [number])

    b.parallel(tasks, task)
    module.append(b.finish())
    run = load(engine, module, [], [tensor(dtype, tasks)])
    count = min(PEAK_SUMS, _registers(engine))
    return 2e-9 * count * lanes * PEAK_STEPS * tasks / seconds(run, repeat)


def _registers(engine: Engine) -> int:
    """Chains that fit beside the two constants, a power of two."""
    return 16 if engine.target.machine.vector_registers >= 32 else 8


def measure(engine: Engine, case: Case, repeat: int) -> float:
    """GFLOP/s of a case, whose result is first held against NumPy's."""
    module, shapes = program(case)
    loops = lower_to_loops(module, "main", engine.target.machine)
    run = load(engine, loops.module, shapes, [tensor(case.dtype, case.m, case.n)])
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in shapes]
    left, right = (array.astype(np.float64) for array in arrays[:2])
    left = left if case.a == "mk" else left.T
    right = right if case.b == "kn" else right.T
    expected: Array = left @ right
    if case.epilogue:
        expected = np.maximum(expected + arrays[2], 0)
    bound = 1e-5 if case.dtype is DType.F32 else 1e-12
    np.testing.assert_allclose(run(*arrays)[0], expected, atol=bound * np.abs(expected).max())
    return 1e-9 * case.flops / seconds(lambda: run(*arrays), repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, such as 1,2")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--floors", action="store_true", help="fail below the promised speed")
    options = parser.parse_args()
    engine = default_engine()
    threads = [int(count) for count in options.threads.split(",")]
    speeds: dict[int, float] = {}
    shares: dict[int, float] = {}
    print(f"{'':36}" + "".join(f"{f'{n} thread' + 's' * (n > 1):>22}" for n in threads))
    peaks: dict[tuple[DType, int], float] = {}
    for dtype in (DType.F32, DType.F64):
        for count in threads:
            set_num_threads(count)
            peaks[dtype, count] = peak(engine, dtype, count, options.repeat)
    for case in CASES:
        cells: list[str] = []
        for count in threads:
            set_num_threads(count)
            assert get_num_threads() == count
            speed = measure(engine, case, options.repeat)
            share = speed / peaks[case.dtype, count]
            cells.append(f"{speed:10.1f} GF/s {100 * share:4.0f} %")
            if case == Case(512, 512, 512):
                speeds[count], shares[count] = speed, share
        print(f"{case!s:36}" + "  ".join(cells), flush=True)
    for (dtype, count), value in peaks.items():
        print(f"peak {dtype.value}, {count} threads: {value:.1f} GF/s")
    if options.floors:
        assert shares[1] >= FLOOR_OF_PEAK, f"{100 * shares[1]:.0f} % of peak"
        assert speeds[2] >= FLOOR_OF_SCALING * speeds[1], f"{speeds[2] / speeds[1]:.2f} times"


if __name__ == "__main__":
    main()
