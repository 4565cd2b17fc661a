"""The `kernel` dialect: how work is grouped into passes over memory.

`kernel.generic` follows the idea of MLIR's structured operations
(https://mlir.llvm.org/docs/Dialects/Linalg/): an iteration space, an affine map for each operand
and result, reduction axes, and scalar code for one point. What is no map or reduction has an
operation of its own: scatter, scan, sort, window update, concatenation, view, copy.

In bodies every value is a 0-d tensor. They hold elementwise and constant operations,
`kernel.index`, `kernel.inside` and `kernel.load`, and capture nothing but tensors that
`kernel.load` reads; a 0-d tensor comes in as an operand whose map has no subscripts. Outside of
kernels, arithmetic on 0-d tensors stays as it is (it is done in registers), `kernel.load` reads
one element and `kernel.store` changes one.
"""

from dmc.dialects.kernel.generic import Contraction, Generic
from dmc.dialects.kernel.movement import (
    Concatenate,
    Copy,
    FromElements,
    Store,
    UpdateWindow,
    View,
)
from dmc.dialects.kernel.ordered import Scan, Scatter, Sort
from dmc.dialects.kernel.scalar import (
    COMBINE,
    COMBINERS,
    OVERWRITE,
    Gate,
    Index,
    Inside,
    Load,
    Structured,
    Yield,
    combines_exactly,
    element_type,
    identity_of,
    is_scalar_integer,
)

__all__ = [
    "COMBINE",
    "COMBINERS",
    "OVERWRITE",
    "Concatenate",
    "Contraction",
    "Copy",
    "FromElements",
    "Gate",
    "Generic",
    "Index",
    "Inside",
    "Load",
    "Scan",
    "Scatter",
    "Sort",
    "Store",
    "Structured",
    "UpdateWindow",
    "View",
    "Yield",
    "element_type",
    "combines_exactly",
    "identity_of",
    "is_scalar_integer",
]
