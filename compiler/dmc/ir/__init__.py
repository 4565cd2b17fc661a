"""The intermediate representation itself. It knows no dialect."""

from dmc.ir.attributes import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Attribute,
    DenseElements,
    SymbolRef,
)
from dmc.ir.builder import Builder
from dmc.ir.errors import PassFailure, VerifyError
from dmc.ir.interpreter import Interpreter
from dmc.ir.location import UNKNOWN, Location, Span
from dmc.ir.module import Module
from dmc.ir.operation import (
    Block,
    Operation,
    Region,
    RuleMissing,
    Trait,
    Value,
    attribute,
    int_tuple,
    operand,
    operands,
    region,
    result,
)
from dmc.ir.rules import Batched, Cost
from dmc.ir.types import (
    Array,
    DType,
    FunctionType,
    MemRefType,
    ScalarType,
    ShapedType,
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
    "Array",
    "ArrayAttr",
    "Attribute",
    "Batched",
    "Block",
    "Builder",
    "Cost",
    "DType",
    "DenseElements",
    "FunctionType",
    "Interpreter",
    "Location",
    "MemRefType",
    "Module",
    "Operation",
    "PassFailure",
    "Region",
    "RuleMissing",
    "ScalarType",
    "ShapedType",
    "Span",
    "SymbolRef",
    "TensorType",
    "Trait",
    "Type",
    "Value",
    "VectorType",
    "VerifyError",
    "attribute",
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
