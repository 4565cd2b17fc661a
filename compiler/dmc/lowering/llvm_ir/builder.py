"""The builder of instructions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from dmc.lowering.llvm_ir.types import (
    IntType,
    LiteralStructType,
    PointerType,
    Type,
    VectorType,
    VoidType,
)
from dmc.lowering.llvm_ir.values import Block, Constant, Function, Module, Phi, Value

_POINTER = PointerType()
_I1 = IntType(1)

_RELATIONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_SIGNED = {k: v if v in ("eq", "ne") else f"s{v}" for k, v in _RELATIONS.items()}
_UNSIGNED = {k: v if v in ("eq", "ne") else f"u{v}" for k, v in _RELATIONS.items()}
_ORDERED = {**{k: f"o{v}" for k, v in _RELATIONS.items()}, "ord": "ord"}
_UNORDERED = {**{k: f"u{v}" for k, v in _RELATIONS.items()}, "uno": "uno"}

Weights: TypeAlias = tuple[int, int]


class IRBuilder:
    """Appends instructions to `block`."""

    def __init__(self, block: Block) -> None:
        self.block = block

    @property
    def function(self) -> Function:
        return self.block.function

    @property
    def module(self) -> Module:
        return self.block.function.module

    # Places

    def position_at_end(self, block: Block) -> None:
        self.block = block

    def append_basic_block(self, name: str = "block") -> Block:
        return self.block.function.append_basic_block(name)

    @contextmanager
    def goto_block(self, block: Block) -> Generator[None]:
        """Append to `block` inside of the `with`."""
        outer, self.block = self.block, block
        try:
            yield
        finally:
            self.block = outer

    @contextmanager
    def if_then(self, condition: Value, weights: Weights | None = None) -> Generator[None]:
        """What is built inside runs only if `condition` holds."""
        then, after = self.append_basic_block("if"), self.append_basic_block("endif")
        self.cbranch(condition, then, after, weights)
        self.block = then
        yield
        self.branch(after)
        self.block = after

    # Instructions

    def _value(self, type_: Type, line: str) -> Value:
        block = self.block
        text = f"%.{block.function.number()}"
        block.lines.append(f"  {text} = {line}")
        return Value(type_, text)

    def _binary(self, name: str, x: Value, y: Value) -> Value:
        return self._value(x.type, f"{name} {x.type.text} {x.text}, {y.text}")

    def add(self, x: Value, y: Value, flags: str = "") -> Value:
        return self._binary(f"add {flags}" if flags else "add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self._binary("sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self._binary("mul", x, y)

    def sdiv(self, x: Value, y: Value) -> Value:
        return self._binary("sdiv", x, y)

    def and_(self, x: Value, y: Value) -> Value:
        return self._binary("and", x, y)

    def or_(self, x: Value, y: Value) -> Value:
        return self._binary("or", x, y)

    def xor(self, x: Value, y: Value) -> Value:
        return self._binary("xor", x, y)

    def shl(self, x: Value, y: Value) -> Value:
        return self._binary("shl", x, y)

    def lshr(self, x: Value, y: Value) -> Value:
        return self._binary("lshr", x, y)

    def ashr(self, x: Value, y: Value) -> Value:
        return self._binary("ashr", x, y)

    def fadd(self, x: Value, y: Value) -> Value:
        return self._binary("fadd", x, y)

    def fsub(self, x: Value, y: Value) -> Value:
        return self._binary("fsub", x, y)

    def fmul(self, x: Value, y: Value) -> Value:
        return self._binary("fmul", x, y)

    def fdiv(self, x: Value, y: Value) -> Value:
        return self._binary("fdiv", x, y)

    def fneg(self, x: Value) -> Value:
        return self._value(x.type, f"fneg {x}")

    def neg(self, x: Value) -> Value:
        return self._binary("sub", Constant(x.type, None), x)

    def not_(self, x: Value) -> Value:
        return self._binary("xor", x, Constant(x.type, -1))

    def _compare(self, name: str, x: Value, y: Value) -> Value:
        type_ = x.type
        of = VectorType(_I1, type_.count) if isinstance(type_, VectorType) else _I1
        return self._value(of, f"{name} {type_.text} {x.text}, {y.text}")

    def icmp_signed(self, relation: str, x: Value, y: Value) -> Value:
        return self._compare(f"icmp {_SIGNED[relation]}", x, y)

    def icmp_unsigned(self, relation: str, x: Value, y: Value) -> Value:
        return self._compare(f"icmp {_UNSIGNED[relation]}", x, y)

    def fcmp_ordered(self, relation: str, x: Value, y: Value) -> Value:
        return self._compare(f"fcmp {_ORDERED[relation]}", x, y)

    def fcmp_unordered(self, relation: str, x: Value, y: Value) -> Value:
        return self._compare(f"fcmp {_UNORDERED[relation]}", x, y)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self._value(x.type, f"select {condition}, {x}, {y}")

    def _cast(self, name: str, x: Value, type_: Type) -> Value:
        if x.type == type_:
            return x
        return self._value(type_, f"{name} {x} to {type_.text}")

    def bitcast(self, x: Value, type_: Type) -> Value:
        return self._cast("bitcast", x, type_)

    def trunc(self, x: Value, type_: Type) -> Value:
        return self._cast("trunc", x, type_)

    def zext(self, x: Value, type_: Type) -> Value:
        return self._cast("zext", x, type_)

    def sext(self, x: Value, type_: Type) -> Value:
        return self._cast("sext", x, type_)

    def fptrunc(self, x: Value, type_: Type) -> Value:
        return self._cast("fptrunc", x, type_)

    def fpext(self, x: Value, type_: Type) -> Value:
        return self._cast("fpext", x, type_)

    def sitofp(self, x: Value, type_: Type) -> Value:
        return self._cast("sitofp", x, type_)

    def uitofp(self, x: Value, type_: Type) -> Value:
        return self._cast("uitofp", x, type_)

    def inttoptr(self, x: Value, type_: Type) -> Value:
        return self._cast("inttoptr", x, type_)

    # Vectors and structures

    def extract_element(self, vector: Value, place: Value) -> Value:
        type_ = vector.type
        assert isinstance(type_, VectorType)
        return self._value(type_.element, f"extractelement {vector}, {place}")

    def insert_element(self, vector: Value, element: Value, place: Value) -> Value:
        return self._value(vector.type, f"insertelement {vector}, {element}, {place}")

    def shuffle_vector(self, x: Value, y: Value, order: Value) -> Value:
        type_, by = x.type, order.type
        assert isinstance(type_, VectorType)
        assert isinstance(by, VectorType)
        made = VectorType(type_.element, by.count)
        return self._value(made, f"shufflevector {x}, {y}, {order}")

    def extract_value(self, whole: Value, place: int) -> Value:
        type_ = whole.type
        assert isinstance(type_, LiteralStructType)
        return self._value(type_.elements[place], f"extractvalue {whole}, {place}")

    def insert_value(self, whole: Value, part: Value, place: int) -> Value:
        return self._value(whole.type, f"insertvalue {whole}, {part}, {place}")

    # Memory

    def alloca(self, type_: Type) -> Value:
        """Memory on the stack, taken once when the function is entered."""
        function = self.block.function
        text = f"%.{function.number()}"
        function.reserved.append(f"  {text} = alloca {type_}")
        return Value(_POINTER, text)

    def gep(
        self, base: Value, indices: Sequence[Value], *, source_etype: Type, inbounds: bool = False
    ) -> Value:
        """The address of an element; of one for each lane of an index that is a vector."""
        last = indices[-1].type
        type_ = VectorType(_POINTER, last.count) if isinstance(last, VectorType) else _POINTER
        name = "getelementptr inbounds" if inbounds else "getelementptr"
        places = ", ".join([f"{each.type.text} {each.text}" for each in indices])
        return self._value(type_, f"{name} {source_etype.text}, {base}, {places}")

    def load(self, address: Value, typ: Type, align: int | None = None) -> Value:
        behind = f", align {align}" if align else ""
        return self._value(typ, f"load {typ.text}, ptr {address.text}{behind}")

    def load_atomic(self, address: Value, ordering: str, align: int, typ: Type) -> Value:
        line = f"load atomic {typ}, ptr {address.text} {ordering}, align {align}"
        return self._value(typ, line)

    def store(self, value: Value, address: Value, align: int | None = None) -> None:
        behind = f", align {align}" if align else ""
        self.block.lines.append(f"  store {value}, ptr {address.text}{behind}")

    # Control

    def phi(self, type_: Type) -> Phi:
        block = self.block
        made = Phi(type_, f"%.{block.function.number()}")
        block.lines.append(made)
        return made

    def call(self, function: Function, operands: Sequence[Value]) -> Value:
        """The result of a call; where it has none, a value that nothing may use."""
        taken = ", ".join([f"{each.type.text} {each.text}" for each in operands])
        given = function.function_type.return_type
        line = f"call {given.text} {function.text}({taken})"
        if not isinstance(given, VoidType):
            return self._value(given, line)
        self.block.lines.append(f"  {line}")
        return Value(given, "")

    def branch(self, block: Block) -> None:
        self.block.lines.append(f"  br label %{block.name}")

    def cbranch(
        self, condition: Value, then: Block, otherwise: Block, weights: Weights | None = None
    ) -> None:
        """Go to `then` if `condition` holds. `weights` says how likely it does and does not."""
        behind = "" if weights is None else f", !prof {self.module.weights(weights)}"
        line = f"  br i1 {condition.text}, label %{then.name}, label %{otherwise.name}{behind}"
        self.block.lines.append(line)

    def ret(self, value: Value) -> None:
        self.block.lines.append(f"  ret {value}")

    def ret_void(self) -> None:
        self.block.lines.append("  ret void")
