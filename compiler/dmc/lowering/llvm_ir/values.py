"""Values, and what they are in: blocks, functions, modules."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from dmc.lowering.llvm_ir.types import (
    FunctionType,
    IdentifiedStructType,
    Number,
    Parts,
    PointerType,
    Type,
)

_POINTER = PointerType()


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
