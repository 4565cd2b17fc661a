"""`control`: structured control flow at tensor and kernel level.

Regions may use values defined around them. Loop indexes are 0-d `i64` tensors. Batch rules are in
`transforms/batch_maps`, tangents and adjoints in `autodiff/`: both transform whole regions.
"""

from dmc.dialects.control.loops import For, Loop, While, make_for, make_while
from dmc.dialects.control.regions import (
    INDEX,
    PREDICATE,
    If,
    Map,
    Yield,
    cost_of,
    make_if,
    make_map,
    make_yield,
)
from dmc.dialects.control.tapes import Empty, stacked, unstacked, zeros

__all__ = [
    "INDEX",
    "PREDICATE",
    "Empty",
    "For",
    "If",
    "Loop",
    "Map",
    "While",
    "Yield",
    "cost_of",
    "make_for",
    "make_if",
    "make_map",
    "make_while",
    "make_yield",
    "stacked",
    "unstacked",
    "zeros",
]
