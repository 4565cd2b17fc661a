"""The intermediate representation itself. It knows no dialect."""

from dmc.ir.affine import AffineExpr, AffineMap, Clamp, FloorDiv, Mod
from dmc.ir.affine_set import AffineSet
from dmc.ir.attributes import (
    ArrayAttr,
    Attribute,
    DenseElements,
    SymbolRef,
)
from dmc.ir.cost import Cost
from dmc.ir.declarations import Trait, attribute, int_tuple
from dmc.ir.location import UNKNOWN, Location, Span
from dmc.ir.module import Module
from dmc.ir.operation import (
    Batched,
    Block,
    Builder,
    Interpreter,
    Operation,
    Region,
    RuleMissing,
    Value,
    VerifyError,
    bytes_of,
    operand,
    operands,
    region,
    result,
)
from dmc.ir.passes import PassFailure
from dmc.ir.types import (
    Array,
    DType,
    FunctionType,
    MemRefType,
    ScalarType,
    ShapedType,
    TapeType,
    TensorType,
    Type,
    VectorType,
    dtype_of,
    shape_of,
    tensor,
    with_dtype,
)
from dmc.ir.verifier import verify

__all__ = [
    "UNKNOWN",
    "AffineExpr",
    "AffineMap",
    "AffineSet",
    "Array",
    "ArrayAttr",
    "Attribute",
    "Batched",
    "Block",
    "Builder",
    "Clamp",
    "Cost",
    "DType",
    "DenseElements",
    "FloorDiv",
    "FunctionType",
    "Interpreter",
    "Location",
    "MemRefType",
    "Mod",
    "Module",
    "Operation",
    "PassFailure",
    "Region",
    "RuleMissing",
    "ScalarType",
    "ShapedType",
    "Span",
    "SymbolRef",
    "TapeType",
    "TensorType",
    "Trait",
    "Type",
    "Value",
    "VectorType",
    "VerifyError",
    "attribute",
    "bytes_of",
    "dtype_of",
    "int_tuple",
    "operand",
    "operands",
    "region",
    "result",
    "shape_of",
    "tensor",
    "verify",
    "with_dtype",
]
