"""Which numbers an element type holds."""

from __future__ import annotations

import math

import numpy as np

from dmc.ir.halves import rounded
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.types import element_text

__all__ = ["converts", "fits", "not_fitting"]

_LARGEST = {
    DType.F16: 65504.0,
    DType.BF16: 3.38953e38,
    DType.F32: 3.40282e38,
    DType.F64: 1.79769e308,
}


def fits(number: bool | int | float, dtype: DType) -> bool:
    """Whether a type holds a number, rounded where it is a float; infinities and NaN are floats."""
    if isinstance(number, bool) or dtype is DType.BOOL:
        return True
    if dtype.is_integer:
        low, high = _bounds(dtype)
        return math.isfinite(number) and low <= number <= high
    try:
        value = float(number)
    except OverflowError:
        return False
    if not math.isfinite(value):
        return True
    if dtype.is_half:
        return bool(np.isfinite(rounded(np.asarray(value), dtype)))
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(value).astype(dtype.numpy)))


def converts(number: bool | int | float, dtype: DType) -> bool:
    """Whether `dtype(number)` is as defined: a float always becomes an integer of some sort.

    Integers do not wrap around, and what is finite stays so.
    """
    return (isinstance(number, float) and dtype.is_integer) or fits(number, dtype)


def not_fitting(span: Span, dtype: DType) -> tuple[str, str]:
    """What is said of the number at `span`: a title and a label."""
    text, name = " ".join(span.file.quote(span).split()), element_text(dtype)
    what = f"`{text}`" if len(text) <= 40 else "this number"
    if dtype.is_integer:
        low, high = _bounds(dtype)
        return f"{what} does not fit {name}", f"{name} holds {low} to {high}"
    return f"{what} does not fit {name}", f"{name} holds numbers up to {_LARGEST[dtype]}"


def _bounds(dtype: DType) -> tuple[int, int]:
    bits = 8 * dtype.bytes - 1
    return -(1 << bits), (1 << bits) - 1
