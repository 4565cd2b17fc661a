"""Floats of 16 bits: `f16` is IEEE 754's binary16, `bf16` the upper half of a binary32.

They are for storage: what computes widens to f32, and its result is rounded. Here is how numbers
become such floats, rounding once, to nearest, ties to even.
"""

from __future__ import annotations

import numpy as np

from dmc.ir.types import Array, DType


def widened(array: Array) -> Array:
    """An array of 16-bit floats in f32, which holds them exactly; every other array itself."""
    return array.astype(np.float32) if is_half(array) else array


def is_half(array: Array) -> bool:
    """Whether elements are f16 or bf16."""
    return array.dtype.itemsize == 2


def is_float(array: Array) -> bool:
    """Whether elements are floats, of any width."""
    return array.dtype.kind == "f" or is_half(array)


def array_of(value: Array | float | int | bool, dtype: DType) -> Array:
    """Numbers as an array of an element type, rounded once."""
    return rounded(np.asarray(value), dtype) if dtype.is_half else np.asarray(value, dtype.numpy)


def rounded(array: Array, dtype: DType) -> Array:
    """Numbers of any type as 16-bit floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(_odd(array).astype(np.float32).astype(dtype.numpy))


def _odd(array: Array) -> Array:
    """Numbers rounded to f32 such that rounding that again gives what rounding them once does.

    What f32 does not hold becomes the odd one of its two neighbours (Boldo and Melquiond 2008,
    "Emulation of FMA and correctly rounded sums").
    """
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        # What f64 does not hold becomes odd likewise, in units of 2^11.
        low = array & 0x7FF
        odd = (array - low) | np.where(low != 0, 0x800, 0)
        array = np.where(np.abs(array.astype(np.float64)) < 2.0**53, array, odd)
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype != np.float64:
        return array
    near = array.astype(np.float32)
    inexact = (near != array) & ~np.isnan(array)
    beyond = np.abs(near.astype(np.float64)) > np.abs(array)
    bits = near.view(np.uint32)
    return ((bits - (inexact & beyond)) | inexact).astype(np.uint32).view(np.float32)
