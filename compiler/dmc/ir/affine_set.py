"""Sets of points of an iteration space: where affine expressions are not negative.

These are MLIR's integer sets (https://mlir.llvm.org/docs/Dialects/Affine/#integer-sets) without
equalities, which are two inequalities here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmc.ir.affine import AffineExpr, AffineMap, read_map
from dmc.ir.types import Array


@dataclass(frozen=True, slots=True)
class AffineSet:
    """`(d0, d1) : (d0 - d1 >= 0)`: the points where no constraint is negative.

    The constraints are affine.
    """

    dimensions: int = 0
    constraints: tuple[AffineExpr, ...] = ()

    def __str__(self) -> str:
        dims = ", ".join(f"d{d}" for d in range(self.dimensions))
        parts = ", ".join(f"{expr} >= 0" for expr in self.constraints) or "0 == 0"
        return f"({dims}) : ({parts})"

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.constraints

    def dims(self) -> frozenset[int]:
        """The dimensions that some constraint depends on."""
        return frozenset[int]().union(*(expr.dims() for expr in self.constraints))

    def holds(self, grid: Sequence[Array]) -> Array:
        """Which points are in the set, of a shape that broadcasts over `grid`."""
        found = np.ones((), np.bool_)
        for expr in self.constraints:
            found = found & (expr.evaluate(grid) >= 0)
        return found

    def count(self, sizes: Sequence[int]) -> int:
        """How many points of a space of `sizes` are in the set."""
        used = self.dims()
        rest = math.prod(n for d, n in enumerate(sizes) if d not in used)
        if any(expr.constant < 0 for expr in self.constraints if not expr.dims()):
            return 0
        if not used:
            return rest
        # Along the longest dimension the points are an interval.
        last = max(used, key=lambda d: sizes[d])
        grid = np.ix_(
            *(np.arange(n if d in used and d != last else 1) for d, n in enumerate(sizes))
        )
        low, high = np.asarray(0), np.asarray(sizes[last])
        for expr in self.constraints:
            at = expr.evaluate(grid)
            match expr.coefficients[last]:
                case 0:
                    high = np.where(at >= 0, high, 0)
                case c if c > 0:
                    low = np.maximum(low, -(at // c))
                case c:
                    high = np.minimum(high, at // -c + 1)
        return rest * int(np.maximum(high - low, 0).sum())


def tightened(expr: AffineExpr) -> AffineExpr:
    """A constraint that is not negative at the same points, in smallest numbers."""
    divisor = math.gcd(*expr.coefficients)
    if divisor <= 1:
        return expr
    return AffineExpr(tuple(c // divisor for c in expr.coefficients), expr.constant // divisor)


_SET = re.compile(r"\(([^()]*)\)\s*:\s*\((.*)\)")


def read_set(text: str) -> AffineSet:
    """A set from its text. Raises ValueError when it is not one."""
    match = _SET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not a set of points")
    parts = [part.strip() for part in match[2].split(",")]
    if parts == ["0 == 0"]:
        parts = []
    if not all(part.endswith(">= 0") for part in parts):
        raise ValueError("a constraint of a set reads `d0 - d1 >= 0`")
    exprs = ", ".join(part.removesuffix(">= 0") for part in parts)
    map_: AffineMap = read_map(f"({match[1]}) -> ({exprs})")
    if not map_.is_affine:
        raise ValueError("the constraints of a set are affine")
    return AffineSet(map_.dimensions, map_.results)
