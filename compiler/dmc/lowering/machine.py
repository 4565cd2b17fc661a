"""What schedules need to know of the processor and of rounding, and nothing else.

A schedule's reduction trees depend on the shape and on these figures, so two machines with equal
figures compute bitwise equal results.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from dmc.ir.types import DType


@dataclass(frozen=True, slots=True)
class Machine:
    """A core's vector unit and cache.

    `vector_bytes` and `vector_registers` size register tiles; `has_fma` says whether a multiply
    and an add round once, `has_masks` whether idle lanes of a load or store cost nothing,
    `converts_f16` whether an instruction converts between f16 and f32; `l2_bytes` sizes the blocks.
    `strict`: a sum of products that has an order keeps it, and each product is rounded before it is
    added.
    """

    vector_bytes: int
    vector_registers: int
    has_fma: bool
    has_masks: bool = False
    converts_f16: bool = False
    l2_bytes: int = 1024 * 1024
    strict: bool = False

    def lanes(self, dtype: DType) -> int:
        """How many elements a vector register holds (bools are as wide as bytes, at most 16)."""
        return max(1, self.vector_bytes // max(dtype.bytes, 4))

    @staticmethod
    def of(architecture: str, features: Set[str]) -> Machine:
        """From the first part of a target triple and LLVM's names of the features present."""
        if architecture in ("x86_64", "amd64", "i686"):
            converts = "f16c" in features
            if {"avx512f", "avx512dq", "avx512vl"} <= features:
                return Machine(64, 32, True, True, converts)
            if {"avx2", "fma"} <= features:
                return Machine(32, 16, True, True, converts, l2_bytes=512 * 1024)
            return Machine(16, 16, "fma" in features, False, converts, l2_bytes=256 * 1024)
        if architecture in ("aarch64", "arm64"):
            return Machine(16, 32, has_fma=True, converts_f16=True, l2_bytes=512 * 1024)
        return Machine(16, 16, has_fma=False, l2_bytes=256 * 1024)
