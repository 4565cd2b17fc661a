"""LLVM IR, written down as text while it is built.

The interface is the part of llvmlite's `ir` that lowering needs. llvmlite keeps an object for every
instruction and formats all of them in the end, which takes as long as the lowering to loops. Here a
value is its type and the text that names it, and an instruction is its line. LLVM itself checks
what it reads (`Engine`).
"""

from dmc.lowering.llvm_ir.builder import IRBuilder
from dmc.lowering.llvm_ir.types import (
    ArrayType,
    DoubleType,
    FloatType,
    FunctionType,
    HalfType,
    IdentifiedStructType,
    IntType,
    LiteralStructType,
    PointerType,
    Type,
    VectorType,
    VoidType,
)
from dmc.lowering.llvm_ir.values import (
    Block,
    Constant,
    Function,
    GlobalVariable,
    Literal,
    Module,
    Phi,
    Undefined,
    Value,
)

__all__ = [
    "ArrayType",
    "Block",
    "Constant",
    "DoubleType",
    "FloatType",
    "Function",
    "FunctionType",
    "GlobalVariable",
    "HalfType",
    "IRBuilder",
    "IdentifiedStructType",
    "IntType",
    "Literal",
    "LiteralStructType",
    "Module",
    "Phi",
    "PointerType",
    "Type",
    "Undefined",
    "Value",
    "VectorType",
    "VoidType",
]
