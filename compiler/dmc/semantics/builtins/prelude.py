"""The names that every program knows, under their NumPy and SciPy names."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dmc.semantics.builtins import creation, ordering, selection, shapes
from dmc.semantics.builtins.called import Called
from dmc.semantics.builtins.derivatives import OPERATORS
from dmc.semantics.builtins.elementwise import FUNCTIONS
from dmc.semantics.builtins.linear_algebra import LINEAR_ALGEBRA
from dmc.semantics.builtins.randomness import RANDOM
from dmc.semantics.builtins.records import LEAVES, MAP
from dmc.semantics.builtins.reduction import REDUCTIONS
from dmc.semantics.primitive import Constant, Fill, Primitive

CONSTANTS = (
    Constant("pi", value=math.pi),
    Constant("inf", value=math.inf),
    Constant("nan", value=math.nan),
    Constant("KiB", value=2**10),
    Constant("MiB", value=2**20),
    Constant("GiB", value=2**30),
)

FILLS = (Fill("zeros", value=0), Fill("ones", value=1))

OTHERS: tuple[Called, ...] = (
    selection.WHERE,
    selection.PICK,
    MAP,
    LEAVES,
    shapes.CAST,
    shapes.RANK,
    shapes.RESHAPE,
    shapes.CONCAT,
    shapes.PAD,
    shapes.REPEAT,
    selection.CROSS,
    shapes.STOP_GRADIENT,
    creation.ONE_HOT,
    creation.ARANGE,
    creation.LINSPACE,
    creation.EYE,
    creation.TRIL,
    creation.TRIU,
    ordering.CUMSUM,
    ordering.CUMPROD,
    ordering.SORT,
    ordering.ARGSORT,
    ordering.TOP_K,
    ordering.FLIP,
    ordering.ROLL,
)

SECTIONS: Mapping[str, tuple[Primitive, ...]] = {
    "Constants": CONSTANTS,
    "Filled arrays, shaped by context or by brackets": FILLS,
    "Elementwise": FUNCTIONS,
    "Reductions: `f(x)`, `f[D](x)`, `f[-1](x)`, `f[i](…)`": REDUCTIONS,
    "[Derivatives](derivatives.md)": OPERATORS,
    "[Randomness](randomness.md)": RANDOM,
    "Linear algebra: of the matrices in the last two axes": LINEAR_ALGEBRA,
    "Others": OTHERS,
}
"""As the documentation lists them."""

PRELUDE: Mapping[str, Primitive] = {
    entry.name: entry for section in SECTIONS.values() for entry in section
}
