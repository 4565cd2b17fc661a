"""Reading a reshaped tensor through affine subscripts into the original."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dmc.ir import AffineExpr, AffineMap


def through_view(
    map_: AffineMap, shape: Sequence[int], source: Sequence[int], sizes: Sequence[int]
) -> AffineMap | None:
    """What reads `source` where `map_` reads its row-major reshape `shape`, over points of `sizes`.

    None when a subscript would not be affine.
    """
    if 0 in sizes or prod(shape) == 0 or not map_.is_affine:
        return None
    dims = map_.dimensions
    coefficients = [0] * dims
    constant = 0
    stride = 1
    for expr, n in zip(reversed(map_.results), reversed(shape), strict=True):
        coefficients = [
            total + stride * c for total, c in zip(coefficients, expr.coefficients, strict=True)
        ]
        constant += stride * expr.constant
        stride *= n
    rest = AffineExpr(tuple(coefficients), constant)
    subscripts: list[AffineExpr] = []
    for axis in reversed(range(len(source))):
        if prod(source[:axis]) == 1:
            # The leading long axis takes what is left.
            subscripts.append(rest)
            rest = AffineExpr((0,) * dims)
            continue
        split = _divide(rest, source[axis], sizes)
        if split is None:
            return None
        rest, remainder = split
        subscripts.append(remainder)
    return AffineMap(dims, tuple(reversed(subscripts)))


def joined_axes(source: Sequence[int], shape: Sequence[int]) -> list[tuple[int, list[int]]]:
    """The axes of a row-major reshape that each are several of the axes of `source`, and those."""
    found: list[tuple[int, list[int]]] = []
    begin = 0
    for axis, n in enumerate(shape):
        end, size = begin, 1
        while size < n and end < len(source):
            size *= source[end]
            end += 1
        if size != n:
            return found
        if end - begin > 1:
            found.append((axis, list(source[begin:end])))
        begin = end
    return found


def _divide(expr: AffineExpr, n: int, sizes: Sequence[int]) -> tuple[AffineExpr, AffineExpr] | None:
    """Quotient and remainder by `n` over all points of `sizes`, if they are affine."""
    whole = tuple(c if c % n == 0 else 0 for c in expr.coefficients)
    part = tuple(0 if c % n == 0 else c for c in expr.coefficients)
    constant = expr.constant % n
    ends = [c * (size - 1) for c, size in zip(part, sizes, strict=True)]
    low = constant + sum(min(end, 0) for end in ends)
    high = constant + sum(max(end, 0) for end in ends)
    if low < 0 or high >= n:
        return None
    quotient = AffineExpr(tuple(c // n for c in whole), (expr.constant - constant) // n)
    return quotient, AffineExpr(part, constant)
