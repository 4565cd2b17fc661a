"""LLVM IR, written down as text while it is built.

The interface is the part of llvmlite's `ir` that lowering needs. llvmlite keeps an object for every
instruction and formats all of them in the end; that took a third of a compilation. Here a value is
its type and the text that names it, and an instruction is its line. LLVM itself checks what it
reads (`Engine`).
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import TypeAlias

Number: TypeAlias = int | float
Parts: TypeAlias = Sequence[int] | Sequence[float]
"""The lanes of a vector, or the elements of an array."""


# Types


class Type:
    """A type; `str` gives its text, which says all about it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def constant(self, value: Number | Parts | bytes) -> str:
        """The text of a constant of this type. Raises TypeError when it has no such constant."""
        raise TypeError(f"{self} has no constant {value!r}")

    @property
    def zero(self) -> str:
        """The text of zero."""
        return "zeroinitializer"


class VoidType(Type):
    """No value."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("void")


class PointerType(Type):
    """An address."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ptr")


class IntType(Type):
    """Integers of some bits."""

    __slots__ = ()

    def __init__(self, bits: int) -> None:
        super().__init__(f"i{bits}")

    def constant(self, value: Number | Parts | bytes) -> str:
        assert isinstance(value, int)
        return str(int(value))

    @property
    def zero(self) -> str:
        return "0"


class _FloatingType(Type):
    __slots__ = ()
    pack = ""
    """The format of `struct` that rounds to it."""

    def constant(self, value: Number | Parts | bytes) -> str:
        """LLVM spells a number by the bits of the double that is equal to it."""
        assert isinstance(value, int | float)
        try:
            (rounded,) = struct.unpack(self.pack, struct.pack(self.pack, value))
        except OverflowError:
            rounded = float("inf") if value > 0 else float("-inf")
        return f"0x{int.from_bytes(struct.pack('>d', rounded)):016X}"

    @property
    def zero(self) -> str:
        return "0.0"


class HalfType(_FloatingType):
    """f16."""

    __slots__ = ()
    pack = "e"

    def __init__(self) -> None:
        super().__init__("half")


class FloatType(_FloatingType):
    """f32."""

    __slots__ = ()
    pack = "f"

    def __init__(self) -> None:
        super().__init__("float")


class DoubleType(_FloatingType):
    """f64."""

    __slots__ = ()
    pack = "d"

    def __init__(self) -> None:
        super().__init__("double")


class VectorType(Type):
    """`count` lanes of `element`."""

    __slots__ = ("count", "element")

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"<{count} x {element}>")
        self.element = element
        self.count = count

    def constant(self, value: Number | Parts | bytes) -> str:
        """Of a list lane by lane, of a number in every lane."""
        if isinstance(value, Sequence):
            return f"<{', '.join(f'{self.element} {self.element.constant(v)}' for v in value)}>"
        return f"splat ({self.element} {self.element.constant(value)})"


_ESCAPES = {b: f"\\{b:02x}" for b in range(256) if not 32 <= b < 127 or b in b'"\\'}


class ArrayType(Type):
    """`count` times `element` in memory."""

    __slots__ = ("count", "element")

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"[{count} x {element}]")
        self.element = element
        self.count = count

    def constant(self, value: Number | Parts | bytes) -> str:
        """Of bytes, or of a list element by element."""
        if isinstance(value, bytes):
            return f'c"{value.decode("latin-1").translate(_ESCAPES)}"'
        assert isinstance(value, Sequence)
        return f"[{', '.join(f'{self.element} {self.element.constant(v)}' for v in value)}]"


class LiteralStructType(Type):
    """A structure of values."""

    __slots__ = ("elements",)

    def __init__(self, *elements: Type) -> None:
        super().__init__(f"{{{', '.join(map(str, elements))}}}")
        self.elements = elements


class IdentifiedStructType(Type):
    """A structure in memory, under a name, so that the text need not repeat it."""

    __slots__ = ("elements",)

    def __init__(self, name: str, elements: Sequence[Type]) -> None:
        super().__init__(f"%{name}")
        self.elements = tuple(elements)

    def definition(self) -> str:
        return f"{self} = type {{{', '.join(map(str, self.elements))}}}"


class FunctionType:
    """What a function takes and gives."""

    __slots__ = ("args", "return_type")

    def __init__(self, return_type: Type, args: Iterable[Type]) -> None:
        self.return_type = return_type
        self.args = tuple(args)


_POINTER = PointerType()
_I1 = IntType(1)


# Values


class Value:
    """A value: its type, and the text that names it."""

    __slots__ = ("text", "type")

    def __init__(self, type_: Type, text: str) -> None:
        self.type = type_
        self.text = text

    def __str__(self) -> str:
        return f"{self.type.text} {self.text}"


class _Content(Enum):
    UNDEFINED = auto()


Undefined = _Content.UNDEFINED
"""The content of a constant that nothing depends on."""


class Constant(Value):
    """A constant: a number, lanes, elements, `Undefined`, or zero (None)."""

    __slots__ = ()

    def __init__(self, type_: Type, value: Number | Parts | bytes | _Content | None) -> None:
        if value is None:
            text = type_.zero
        elif isinstance(value, _Content):
            text = "undef"
        else:
            text = type_.constant(value)
        super().__init__(type_, text)


class Literal(Constant):
    """A constant given by its text."""

    __slots__ = ()

    def __init__(self, type_: Type, text: str) -> None:
        Value.__init__(self, type_, text)


class Phi(Value):
    """A value that depends on the block control came from."""

    __slots__ = ("incoming",)

    def __init__(self, type_: Type, text: str) -> None:
        super().__init__(type_, text)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """From `block` it is `value`."""
        self.incoming.append(f"[{value.text}, %{block.name}]")

    @property
    def line(self) -> str:
        return f"  {self.text} = phi {self.type.text} {', '.join(self.incoming)}"


class Block:
    """Instructions of a function, of which only the last leads elsewhere."""

    __slots__ = ("function", "lines", "name")

    def __init__(self, function: Function, name: str) -> None:
        self.function = function
        self.name = name
        self.lines: list[str | Phi] = []

    def text(self) -> str:
        lines = [line if isinstance(line, str) else line.line for line in self.lines]
        return "\n".join([f"{self.name}:", *lines])


def _global_name(name: str) -> str:
    plain = name if name.isascii() else "".join(f"\\{byte:02x}" for byte in name.encode())
    return f'@"{plain}"'


class Function(Value):
    """A function of a module: declared, and defined once it has blocks."""

    __slots__ = (
        "_count",
        "args",
        "attributes",
        "blocks",
        "function_type",
        "linkage",
        "module",
        "name",
        "reserved",
    )

    def __init__(self, module: Module, type_: FunctionType, name: str) -> None:
        super().__init__(_POINTER, _global_name(name))
        self.module = module
        self.function_type = type_
        self.name = name
        self.linkage = ""
        self.attributes: set[str] = set()
        self.blocks: list[Block] = []
        self.reserved: list[str] = []
        """What is on the stack for as long as the function runs."""
        self._count = len(type_.args)
        self.args = tuple([Value(each, f"%.{i}") for i, each in enumerate(type_.args)])
        module.globals[name] = self

    def number(self) -> int:
        """Another number than all before."""
        self._count += 1
        return self._count

    def append_basic_block(self, name: str = "block") -> Block:
        made = Block(self, f"{name}.{self.number()}" if self.blocks else name)
        self.blocks.append(made)
        return made

    def definition(self) -> str:
        given, attributes = self.function_type.return_type, sorted(self.attributes)
        if not self.blocks:
            taken = ", ".join(map(str, self.function_type.args))
            return " ".join(["declare", f"{given} {self.text}({taken})", *attributes])
        taken = ", ".join(map(str, self.args))
        linkage = [self.linkage] if self.linkage else []
        head = " ".join(["define", *linkage, f"{given} {self.text}({taken})", *attributes])
        first, *others = self.blocks
        first.lines[:0] = self.reserved
        self.reserved = []
        return "\n".join([f"{head} {{", first.text(), *(b.text() for b in others), "}"])


class GlobalVariable(Value):
    """Data of a module; a value of it is its address."""

    __slots__ = ("align", "global_constant", "initializer", "linkage", "value_type")

    def __init__(self, module: Module, type_: Type, name: str) -> None:
        super().__init__(_POINTER, _global_name(name))
        self.value_type = type_
        self.linkage = ""
        self.global_constant = False
        self.initializer: Value | None = None
        self.align = 0
        module.globals[name] = self

    def definition(self) -> str:
        kind = "constant" if self.global_constant else "global"
        words = [self.text, "=", *([self.linkage] if self.linkage else []), kind]
        words.append(str(self.initializer or self.value_type))
        return " ".join(words) + (f", align {self.align}" if self.align else "")


class Module:
    """Functions and data; `str` gives the text."""

    def __init__(self) -> None:
        self.triple = ""
        self.globals: dict[str, Function | GlobalVariable] = {}
        self._structures: dict[tuple[Type, ...], IdentifiedStructType] = {}
        self._weights: dict[tuple[int, int], str] = {}

    def structure(self, types: Sequence[Type]) -> IdentifiedStructType:
        """The structure in memory of these types."""
        key = tuple(types)
        if key not in self._structures:
            made = IdentifiedStructType(f"dmc.context.{len(self._structures)}", types)
            self._structures[key] = made
        return self._structures[key]

    def weights(self, weights: tuple[int, int]) -> str:
        """The name of the metadata that says how likely two branches are."""
        return self._weights.setdefault(weights, f"!{len(self._weights)}")

    def __str__(self) -> str:
        parts = [f'target triple = "{self.triple}"'] if self.triple else []
        parts += [each.definition() for each in self._structures.values()]
        parts += [each.definition() for each in self.globals.values()]
        parts += [
            f'{name} = !{{!"branch_weights", i32 {first}, i32 {second}}}'
            for (first, second), name in self._weights.items()
        ]
        return "\n".join([*parts, ""])


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
