"""The loop dialect: explicit loops over buffers, with vectors and parallel tasks.

Arithmetic on loop-level scalars and vectors is that of the `arith` and `math` dialects. Subscripts
and trip counts are `i64`. The file `structure` has functions and control flow, `memory` buffers,
loads and stores, `vector` what has no counterpart on scalars.
"""

from dmc.dialects.loop.memory import (
    Alloca,
    Gather,
    Global,
    Load,
    MaskedLoad,
    MaskedStore,
    Scatter,
    Store,
    SubView,
    VectorLoad,
    VectorStore,
    View,
    strides_of,
)
from dmc.dialects.loop.structure import (
    INDEX,
    Call,
    For,
    Func,
    If,
    Parallel,
    Return,
    While,
    Yield,
)
from dmc.dialects.loop.vector import (
    Broadcast,
    ExtractLane,
    FusedMultiplyAdd,
    IotaVector,
    Shuffle,
    SliceVector,
    TailMask,
)

__all__ = [
    "INDEX",
    "Alloca",
    "Broadcast",
    "Call",
    "ExtractLane",
    "For",
    "Func",
    "FusedMultiplyAdd",
    "Gather",
    "Global",
    "If",
    "IotaVector",
    "Load",
    "MaskedLoad",
    "MaskedStore",
    "Parallel",
    "Return",
    "Scatter",
    "Shuffle",
    "SliceVector",
    "Store",
    "SubView",
    "TailMask",
    "VectorLoad",
    "VectorStore",
    "View",
    "While",
    "Yield",
    "strides_of",
]
