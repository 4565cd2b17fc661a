"""`tensor`: whole arrays as values, with StableHLO's names and semantics where it has the op.

StableHLO's specification: https://openxla.org/stablehlo/spec. Where an operation differs from it,
its docstring says so. Every operation has a builder function of the same name here.
"""

from dmc.dialects.tensor.access import Accumulate, Read, accumulate_at, read
from dmc.dialects.tensor.base import Reading
from dmc.dialects.tensor.batching import align, align_all, axis_sizes, union
from dmc.dialects.tensor.contraction import DotGeneral, dot_general, matmul
from dmc.dialects.tensor.creation import FromElements, Iota, arange, from_elements, iota
from dmc.dialects.tensor.gather import (
    Combiner,
    Gather,
    Scatter,
    Update,
    add_along,
    gather,
    scatter,
    take,
    take_along,
)
from dmc.dialects.tensor.indexing import (
    DynamicSlice,
    DynamicUpdateSlice,
    Extract,
    dynamic_add_slice,
    dynamic_slice,
    dynamic_update_slice,
    extract,
)
from dmc.dialects.tensor.movement import (
    Concatenate,
    Pad,
    Reverse,
    Slice,
    concatenate,
    index_axis,
    pad,
    reverse,
    slice_,
    slice_axis,
)
from dmc.dialects.tensor.patterns import PATTERNS
from dmc.dialects.tensor.reduction import (
    ArgReduce,
    Kind,
    Reduce,
    arg_reduce,
    reduce,
    reduce_sum,
)
from dmc.dialects.tensor.scan import CumProd, CumSum, cumprod, cumsum
from dmc.dialects.tensor.shape import (
    BroadcastInDim,
    Reshape,
    Transpose,
    broadcast,
    broadcast_in_dim,
    reshape,
    transpose,
)
from dmc.dialects.tensor.sorting import ArgSort, Sort, TopK, argsort, sort, top_k

__all__ = [
    "PATTERNS",
    "Accumulate",
    "ArgReduce",
    "ArgSort",
    "BroadcastInDim",
    "Combiner",
    "Concatenate",
    "CumProd",
    "CumSum",
    "DotGeneral",
    "DynamicSlice",
    "DynamicUpdateSlice",
    "Extract",
    "FromElements",
    "Gather",
    "Iota",
    "Kind",
    "Pad",
    "Read",
    "Reading",
    "Reduce",
    "Reshape",
    "Reverse",
    "Scatter",
    "Slice",
    "Sort",
    "TopK",
    "Transpose",
    "accumulate_at",
    "Update",
    "add_along",
    "align",
    "align_all",
    "arange",
    "arg_reduce",
    "argsort",
    "axis_sizes",
    "broadcast",
    "broadcast_in_dim",
    "concatenate",
    "cumprod",
    "cumsum",
    "dot_general",
    "dynamic_add_slice",
    "dynamic_slice",
    "dynamic_update_slice",
    "extract",
    "from_elements",
    "gather",
    "index_axis",
    "iota",
    "matmul",
    "pad",
    "read",
    "reduce",
    "reduce_sum",
    "reshape",
    "reverse",
    "scatter",
    "slice_",
    "slice_axis",
    "sort",
    "take",
    "take_along",
    "top_k",
    "transpose",
    "union",
]
