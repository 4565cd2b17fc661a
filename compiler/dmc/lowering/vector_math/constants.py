"""Mathematical constants split into parts that a format can hold.

The digits are checked against mpmath by the tests.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Format

LN2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068000949339362196969")
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628621")
HALF_LOG_TWO_PI = Fraction("0.918938533204672741780329736405617639861397473637783412817151540483")
DIGAMMA_ROOT = Fraction("1.461632144968362341262659542325721328468196204006446351295988409")

# 2/π = 0.A2F9836E… in hexadecimal: as many bits as the largest double needs (Payne, Hanek 1983).
TWO_OVER_PI = int(
    "A2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561B7246E3A424DD2E0"
    "06492EEA09D1921CFE1DEB1CB129A73EE88235F52EBB4484E99C7026B45F7E413991D639835339F4"
    "9C845F8BBDF9283B1FF897FFDE05980FEF2F118B5A0A6D1F6D367ECF27CB09B74F463F669E5FEA2D"
    "7527BAC7EBE5F17B3D0739F78A5292EA6BFB5FB11F8D5D085603",
    16,
)
TWO_OVER_PI_BITS = 1168


@cache
def parts(value: Fraction, format_: Format, count: int) -> tuple[float, ...]:
    """`count` numbers of the format whose sum is `value`, each the rest rounded to nearest."""
    found: list[float] = []
    for _ in range(count):
        found.append(format_.round(float(value)))
        value -= Fraction(found[-1])
    return tuple(found)


@cache
def short_parts(value: Fraction, format_: Format, spare: int) -> tuple[float, float]:
    """`value` as a sum of two numbers, the first with `spare` trailing zeros in its fraction.

    Multiplying the first by an integer of at most `spare` bits is exact.
    """
    high = format_.decode(format_.encode(float(value)) >> spare << spare)
    return high, format_.round(float(value - Fraction(high)))
