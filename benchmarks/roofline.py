"""The machine's limits, measured with code that dmc's own engine compiles.

`python -m benchmarks.roofline THREADS` prints them as JSON, with what machine this is.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dmc.ir.types import DType
from dmc.jit.engine import default_engine
from dmc.jit.rates import ACCUMULATORS, copy_text, fma_text

_COPIED = 192 << 20
_STEPS = 5_000_000


@dataclass(frozen=True)
class Roofline:
    """Floating-point operations and bytes copied per second by `threads` threads together."""

    threads: int
    fma_f32: float
    fma_f64: float
    bandwidth: float

    def or_better(self, other: Roofline) -> Roofline:
        """The higher of each figure of two measurements."""
        return Roofline(
            self.threads,
            max(self.fma_f32, other.fma_f32),
            max(self.fma_f64, other.fma_f64),
            max(self.bandwidth, other.bandwidth),
        )


@dataclass(frozen=True)
class Measured:
    """A machine, with the instructions that are used of it, and its limits."""

    machine: str
    limits: Roofline

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Measured:
        fields = json.loads(text)
        return Measured(fields["machine"], Roofline(**fields["limits"]))


def main() -> None:
    threads = int(sys.argv[1])
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    # Measured twice, because another process may disturb it.
    limits = roofline(threads).or_better(roofline(threads))
    print(Measured(f"{processor()}, {instructions()}", limits).to_json())


def processor() -> str:
    """The processor as Linux calls it, or what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0]} ({default_engine().target.cpu})" if named else platform.machine()


def instructions() -> str:
    """The vector instructions that code is generated for."""
    target = default_engine().target
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse2": "SSE2", "neon": "NEON"}
    named = next((name for feature, name in known.items() if feature in target.features), "no")
    return f"{named}, vectors of {8 * target.machine.vector_bytes} bits"


def roofline(threads: int) -> Roofline:
    """Measure for about a second: fused multiply-adds in registers, and copies past the caches."""
    engine = default_engine()
    texts = [fma_text(dtype, engine.target.lanes(dtype)) for dtype in (DType.F32, DType.F64)]
    code = engine.load([*texts, copy_text(temporal=False)], ["fma_f32", "fma_f64", "copy"])

    def fma_rate(dtype: DType) -> float:
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(code[f"fma_{dtype.value}"])
        work = _STEPS * ACCUMULATORS * 2 * engine.target.lanes(dtype)
        return work * threads / _fastest(threads, lambda _: function(_STEPS), 5)

    part = _COPIED // threads // 64 * 64
    source, target = (np.ones(_COPIED + 64, np.uint8) for _ in range(2))
    copy = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(code["copy"])

    def copy_part(thread: int) -> None:
        starts = [a.ctypes.data + -a.ctypes.data % 64 + thread * part for a in (target, source)]
        copy(*starts, part)

    bandwidth = 2 * part * threads / _fastest(threads, copy_part, 7)
    return Roofline(threads, fma_rate(DType.F32), fma_rate(DType.F64), bandwidth)


def _fastest(threads: int, work: Callable[[int], object], times: int) -> float:
    """The shortest time in which all threads do `work`; ctypes releases the interpreter."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        best = float("inf")
        for _ in range(times):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
