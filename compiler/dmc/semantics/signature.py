"""What a function takes and gives, for callers outside the language.

A `Signature` describes parameters and result as types whose leaves are the arrays that cross the
boundary. `dmc.semantics.binding.bind` matches it with the dtypes and shapes of an actual call: it
solves the sizes, checks `requires` once, and says which arrays the compiled function takes, in
order. Nothing here touches data.

    binding = bind(signature, {"p": GivenRecord(...), "x": GivenArray(DType.F64, (100, 3)), ...})
    binding.instance    # hashable: which compiled copy of the function this call needs
    binding.arguments   # the leaves to pass, flattened, with the dtype of each
    binding.result      # concrete type; `leaves(binding.result)` are the arrays that come back
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.requirements import Requirement
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Declared,
    Form,
    Generic,
    GenericKind,
    GenericValue,
    Leaf,
    RecordDeclaration,
    Substitution,
    Type,
    leaves,
)

__all__ = [
    "Binding", "Default", "Given", "GivenArray", "GivenFunction", "GivenNumber", "GivenRecord",
    "GivenTuple", "Instance", "NumberClass", "Parameter", "Requirement", "Signature",
]  # fmt: skip


# ---- the description --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Default:
    """A default value: its source text, and the constant when it is a plain literal."""

    text: str
    constant: bool | int | float | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `is_mutable` when written with `var`; its new value is not returned."""

    name: str
    type: Type
    span: Span
    default: Default | None = None
    is_mutable: bool = False

    def __str__(self) -> str:
        default = f" = {self.default.text}" if self.default else ""
        return f"{'var ' if self.is_mutable else ''}{self.name}: {self.type}{default}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The interface of one function, method (`self` is its first parameter) or `init` of a model.

    `declaration` is what is called: two programs may give the same `name` to different things.
    `generics` are those of the function in order of declaration: what brackets supply. Sizes of
    bare records are not generics: `net: MLP` brings the sizes `net.I`, `net.H`, `net.O`.
    """

    declaration: Declared
    generics: tuple[Generic, ...]
    parameters: tuple[Parameter, ...]
    result: Type
    span: Span
    requirements: tuple[Requirement, ...] = ()
    doc: str | None = None
    is_mutable: bool = False

    @property
    def name(self) -> str:
        return self.declaration.full_name

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)

    def __str__(self) -> str:
        generics = f"[{', '.join(map(_generic_text, self.generics))}]" if self.generics else ""
        parameters = ", ".join(map(str, self.parameters))
        clauses = ", ".join(r.text for r in self.requirements)
        return f"fn {self.name}{generics}({parameters}) -> {self.result}" + (
            f" requires {clauses}" if clauses else ""
        )


def _generic_text(generic: Generic) -> str:
    match generic.kind:
        case GenericKind.SIZE:
            return generic.name
        case GenericKind.PACK:
            return f"*{generic.name}"
        case GenericKind.ELEMENT | GenericKind.RECORD:
            default = f" = {generic.default.value}" if generic.default else ""
            return f"{generic.name}: {generic.kind.value}{default}"


# ---- a call -----------------------------------------------------------------------------------


class NumberClass(enum.Enum):
    """Python numbers, which adapt to the declared element type."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class GivenArray:
    """An array or NumPy scalar; must have the declared dtype. `library` is the package it is of."""

    dtype: DType
    shape: tuple[int, ...]
    library: str = field(default="numpy", compare=False)


@dataclass(frozen=True, slots=True)
class GivenNumber:
    """A Python `bool`, `int` or `float`."""

    number: NumberClass


@dataclass(frozen=True, slots=True)
class GivenTuple:
    """A tuple of values."""

    items: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class GivenRecord:
    """A record value: one entry per field in declaration order (of `Grad`: per trained field).

    A stack is a record whose leaves have a leading axis. `sizes` are those that no leaf shows, such
    as a number of heads. With `forms` its leaves are other than those of the gradient.
    """

    declaration: RecordDeclaration
    fields: tuple[tuple[str, Given], ...]
    is_grad: bool = False
    sizes: tuple[tuple[str, int], ...] = ()
    forms: tuple[Form, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenFunction:
    """A function of this program or another, for a parameter of function type.

    A method comes with the record that it is called on, `f[4]` with its brackets: generic arguments
    from the first.
    """

    declaration: Declared
    receiver: GivenRecord | None = None
    brackets: tuple[int | DType, ...] = ()

    def __str__(self) -> str:
        inside = ", ".join(map(str, self.brackets))
        return f"{self.declaration.full_name}[{inside}]" if inside else self.declaration.full_name


Given = GivenArray | GivenNumber | GivenTuple | GivenRecord | GivenFunction


@dataclass(frozen=True, slots=True)
class Instance:
    """Which copy of a function: a value for every generic and every size of a bare record.

    Hashable, so it can key a cache of compiled functions. `functions` are the values of
    function-typed parameters, instances too; where such a value is a method of a model, `receivers`
    has the model's type, and the model is an argument. `defaults` names the parameters that take
    their default (they are not arguments then).
    """

    declaration: Declared
    generics: tuple[tuple[str, GenericValue], ...] = ()
    functions: tuple[tuple[str, Instance], ...] = ()
    receivers: tuple[tuple[str, Type], ...] = ()
    defaults: frozenset[str] = frozenset()

    @property
    def substitution(self) -> Substitution:
        result = Substitution()
        for name, value in self.generics:
            result = result.extended(name, value)
        return result

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes alone; `N` and `net.D`, and not packs."""
        return {
            name: value.constant
            for name, value in self.generics
            if isinstance(value, Size) and value.constant is not None
        }


@dataclass(frozen=True, slots=True)
class Binding:
    """A signature matched with a call: all types concrete."""

    signature: Signature
    instance: Instance
    parameters: tuple[Parameter, ...]
    result: Type

    @property
    def arguments(self) -> tuple[Leaf, ...]:
        """The arrays to pass, in order; the path of each starts with the parameter's name."""
        return tuple(leaf for p in self.parameters for leaf in leaves(p.type, (p.name,)))

    @property
    def results(self) -> tuple[Leaf, ...]:
        """The arrays that come back, in order."""
        return tuple(leaves(self.result))
