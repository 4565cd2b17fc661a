"""Types, and the texts of their constants."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Number: TypeAlias = int | float
Parts: TypeAlias = Sequence[int] | Sequence[float]
"""The lanes of a vector, or the elements of an array."""


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
