"""Types of the language, printed as users write them.

Sizes inside types keep the form of the source; two types are compared under the facts in scope (see
`dmc.semantics.sizes.Facts`), not with `==`, which is structural. A type whose sizes are all
constants is *concrete*: it describes values at the Python boundary and in lowered functions.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.requirements import Requirement
from dmc.semantics.sizes import Size

__all__ = [
    "Axis", "Element", "ElementName", "FieldDeclaration", "FunctionType", "Generic",
    "GenericKind", "GenericValue", "Hole", "KeyType", "Leaf", "Number", "NumberKind", "Pack",
    "PackValue", "RecordDeclaration", "RecordName", "RecordType", "Role", "Shape", "StackType",
    "Stretch", "Substitution", "TensorType", "TupleType", "Type", "UNIT", "children",
    "gradient_type", "element_text", "has_gradient", "leaves", "pruned",
    "resolved", "scalar", "shape_text", "stack",
]  # fmt: skip


# ---- elements ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ElementName:
    """An element type parameter: `F` in `fn f[F: float]`."""

    name: str


class NumberKind(enum.Enum):
    """What an untyped number may still become; a smaller set refines a larger one."""

    NUMBER = "any number type"
    INTEGER = "an integer type"
    FLOAT = "a float type"


@dataclass(eq=False, slots=True)
class Number:
    """The element type of a literal or size, fixed by the first typed value it meets.

    `target` is what it was unified with; an unmet one becomes `f64` or `i64` at the end of the
    body.
    """

    kind: NumberKind
    target: Element | None = None


Element = DType | ElementName | Number

_SPELLED = {DType.BOOL: "bool"}


def resolved(element: Element) -> Element:
    """Follow what a number was unified with."""
    while isinstance(element, Number) and element.target is not None:
        element = element.target
    return element


def element_text(element: Element) -> str:
    """As the language spells it."""
    element = resolved(element)
    match element:
        case DType():
            return _SPELLED.get(element, element.value)
        case ElementName(name):
            return name
        case Number(kind):
            return "f64" if kind is NumberKind.FLOAT else "i64"


# ---- shapes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pack:
    """A shape parameter inside a shape: `*S`."""

    name: str

    def __str__(self) -> str:
        return f"*{self.name}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The axis made by `_` in an index: it stretches to what it meets."""

    def __str__(self) -> str:
        return "_"


Axis = Size | Pack | Stretch
Shape = tuple[Axis, ...]


def shape_text(shape: Shape) -> str:
    """`[B, D]`; nothing for a scalar."""
    return f"[{', '.join(map(str, shape))}]" if shape else ""


# ---- types ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TensorType:
    """`f32[B, D]`; a scalar has no axes."""

    element: Element
    shape: Shape = ()

    def __str__(self) -> str:
        return element_text(self.element) + shape_text(self.shape)


@dataclass(frozen=True, slots=True)
class KeyType:
    """`Key`: a counter-based random key, one i64 at the boundary."""

    def __str__(self) -> str:
        return "Key"


@dataclass(frozen=True, slots=True)
class TupleType:
    """`(f32, f32[N])`; the empty one is the type of statements."""

    items: tuple[Type, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`(f64[N]) -> f64`: arguments and locals only."""

    parameters: tuple[Type, ...]
    result: Type
    is_pull: bool = False

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) -> {self.result}"


@dataclass(frozen=True, slots=True)
class RecordType:
    """A struct or model with values for its generic parameters; `is_grad` marks `Grad[…]` of it."""

    declaration: RecordDeclaration
    arguments: tuple[GenericValue, ...]
    is_grad: bool = False

    def __str__(self) -> str:
        name = self.declaration.name
        if self.arguments and not _is_bare(self):
            name += f"[{', '.join(map(_argument_text, self.arguments))}]"
        return f"Grad[{name}]" if self.is_grad else name

    def generics(self) -> Substitution:
        """The values of the generic parameters, `dim` members included."""
        return self.declaration.substitution(self.arguments)


@dataclass(frozen=True, slots=True)
class RecordName:
    """A record parameter: `M` in `fn f[M: record]`, or `Grad[M]`."""

    name: str
    is_grad: bool = False

    def __str__(self) -> str:
        return f"Grad[{self.name}]" if self.is_grad else self.name


@dataclass(frozen=True, slots=True)
class StackType:
    """`L * Block[D]`: each leaf has a leading axis. Made by `stack`, never of a tensor."""

    count: Size
    item: Type

    def __str__(self) -> str:
        return f"{_count_text(self.count)} * {self.item}"


@dataclass(eq=False, slots=True)
class Hole:
    """The type of `zeros` or `normal(key)` until context gives it; a lone one is a scalar.

    `element` is what is known of its elements, such as f32 in `std * normal(key)`.
    """

    element: Number
    target: Type | None = None

    def __str__(self) -> str:
        return str(self.target) if self.target is not None else element_text(self.element)


Type = TensorType | KeyType | TupleType | FunctionType | RecordType | RecordName | StackType | Hole

UNIT = TupleType(())


def scalar(element: Element) -> TensorType:
    """The type with no axes."""
    return TensorType(element)


def pruned(type_: Type) -> Type:
    """What a hole was filled with; other types unchanged."""
    while isinstance(type_, Hole) and type_.target is not None:
        type_ = type_.target
    return type_


def stack(count: Size, item: Type) -> Type:
    """`count * item`: a leading axis on every leaf; of a tensor a tensor, of a tuple a tuple."""
    match pruned(item):
        case TensorType(element, shape):
            return TensorType(element, (count, *shape))
        case TupleType(items):
            return TupleType(tuple(stack(count, part) for part in items))
        case _:
            return StackType(count, item)


def _count_text(count: Size) -> str:
    text = str(count)
    return f"({text})" if " " in text else text


def _argument_text(value: GenericValue) -> str:
    match value:
        case DType() | ElementName() | Number():
            return element_text(value)
        case PackValue(axes):
            return ", ".join(map(str, axes))
        case _:
            return str(value)


def _is_bare(record: RecordType) -> bool:
    """Whether this is `net: GPT`, whose sizes are named after the parameter."""
    sizes = [
        (generic.name, str(value))
        for generic, value in zip(record.declaration.generics, record.arguments, strict=True)
        if isinstance(value, Size)
    ]
    return bool(sizes) and all("." in text and text.endswith("." + name) for name, text in sizes)


# ---- generics ---------------------------------------------------------------------------------


class GenericKind(enum.Enum):
    """The four kinds of generic parameters; the value is the word after the colon."""

    SIZE = "size"
    PACK = "pack"
    ELEMENT = "float"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Generic:
    """One generic parameter: `N`, `*S`, `F: float = f32`, `M: record`."""

    name: str
    kind: GenericKind
    span: Span
    default: DType | None = None

    def as_value(self) -> GenericValue:
        """The parameter standing for itself, inside its own declaration."""
        match self.kind:
            case GenericKind.SIZE:
                return Size.named(self.name)
            case GenericKind.PACK:
                return PackValue((Pack(self.name),))
            case GenericKind.ELEMENT:
                return ElementName(self.name)
            case GenericKind.RECORD:
                return RecordName(self.name)


@dataclass(frozen=True, slots=True)
class PackValue:
    """What a pack stands for."""

    axes: Shape


GenericValue = Size | PackValue | Element | Type


@dataclass(frozen=True, slots=True)
class Substitution:
    """Values for generic parameters and for the sizes of bare records (`net.D`)."""

    sizes: Mapping[str, Size] = field(default_factory=dict[str, Size])
    packs: Mapping[str, Shape] = field(default_factory=dict[str, Shape])
    elements: Mapping[str, Element] = field(default_factory=dict[str, Element])
    records: Mapping[str, Type] = field(default_factory=dict[str, Type])

    def size(self, size: Size) -> Size:
        return size.substitute(self.sizes)

    def element(self, element: Element) -> Element:
        element = resolved(element)
        return (
            self.elements.get(element.name, element)
            if isinstance(element, ElementName)
            else element
        )

    def shape(self, shape: Shape) -> Shape:
        result: list[Axis] = []
        for axis in shape:
            match axis:
                case Size():
                    result.append(self.size(axis))
                case Pack(name):
                    result.extend(self.packs.get(name, (axis,)))
                case Stretch():
                    result.append(axis)
        return tuple(result)

    def type(self, type_: Type) -> Type:
        match type_:
            case TensorType(element, shape):
                return TensorType(self.element(element), self.shape(shape))
            case TupleType(items):
                return TupleType(tuple(map(self.type, items)))
            case FunctionType(parameters, result):
                return FunctionType(
                    tuple(map(self.type, parameters)), self.type(result), type_.is_pull
                )
            case RecordType(arguments=arguments, is_grad=is_grad):
                record = replace(type_, arguments=tuple(map(self.value, arguments)), is_grad=False)
                return gradient_type(record) if is_grad else record
            case RecordName(name, is_grad):
                found = self.records.get(name)
                if found is None:
                    return type_
                return gradient_type(found) if is_grad else found
            case StackType(count, item):
                return stack(self.size(count), self.type(item))
            case KeyType():
                return type_
            case Hole(element, target):
                return (
                    self.type(target) if target is not None else TensorType(self.element(element))
                )

    def value(self, value: GenericValue) -> GenericValue:
        match value:
            case Size():
                return self.size(value)
            case PackValue(axes):
                return PackValue(self.shape(axes))
            case DType() | ElementName() | Number():
                return self.element(value)
            case _:
                return self.type(value)

    def extended(self, name: str, value: GenericValue) -> Substitution:
        """With one more parameter bound."""
        match value:
            case Size():
                return replace(self, sizes={**self.sizes, name: value})
            case PackValue(axes):
                return replace(self, packs={**self.packs, name: axes})
            case DType() | ElementName() | Number():
                return replace(self, elements={**self.elements, name: value})
            case _:
                return replace(self, records={**self.records, name: value})


# ---- records ----------------------------------------------------------------------------------


class Role(enum.Enum):
    """What a field of a record is for."""

    DATA = "field"
    PARAM = "param"
    FROZEN = "frozen param"
    STATE = "state"
    HYPER = "hyperparameter"
    SUB = "sub-model"
    FROZEN_SUB = "frozen sub-model"

    @property
    def is_trained(self) -> bool:
        """Whether float leaves of the field belong to `Grad`."""
        return self in (Role.DATA, Role.PARAM, Role.SUB)


@dataclass(frozen=True, slots=True)
class FieldDeclaration:
    """A field of a struct; a param, state, sub-model or hyperparameter of a model."""

    name: str
    type: Type
    role: Role
    span: Span
    doc: str | None = None
    has_default: bool = False


@dataclass(eq=False, slots=True)
class Declared:
    """What can be called from outside the language: a function, or a model that is made.

    It is the declaration itself that counts, never its name, which is for people: `half`,
    `MLP.forward`, `MLP.init`.
    """

    full_name: str


@dataclass(eq=False, slots=True)
class RecordDeclaration:
    """A `struct` or `model`. Fields are in order of declaration, hyperparameters first.

    The checker makes it empty and fills it in, so that declarations may come in any order.
    """

    name: str
    is_model: bool
    module: str
    span: Span
    generics: tuple[Generic, ...] = ()
    fields: tuple[FieldDeclaration, ...] = ()
    dims: Mapping[str, Size] = field(default_factory=dict[str, Size])
    requirements: tuple[Requirement, ...] = ()
    doc: str | None = None
    body: Declared | None = None
    """How values of a model are made and used; None for a struct."""

    def field(self, name: str) -> FieldDeclaration | None:
        return next((f for f in self.fields if f.name == name), None)

    def substitution(self, arguments: tuple[GenericValue, ...]) -> Substitution:
        result = Substitution()
        for generic, value in zip(self.generics, arguments, strict=True):
            result = result.extended(generic.name, value)
        for name, size in self.dims.items():
            result = result.extended(name, result.size(size))
        return result

    def itself(self) -> RecordType:
        """The record with its own parameters as arguments, as seen from inside."""
        return RecordType(self, tuple(g.as_value() for g in self.generics))

    def __repr__(self) -> str:
        return f"<{'model' if self.is_model else 'struct'} {self.name}>"


def gradient_type(type_: Type) -> Type:
    """`Grad[T]`: the float, non-frozen, non-state part.

    A tensor is its own gradient type, and so is a struct in which everything is trained.
    """
    match type_:
        case RecordType():
            return type_ if _is_all_trained(type_) else replace(type_, is_grad=True)
        case RecordName():
            return replace(type_, is_grad=True)
        case StackType(count, item):
            return StackType(count, gradient_type(item))
        case TupleType(items):
            return TupleType(tuple(gradient_type(item) for item in items))
        case _:
            return type_


def _is_all_trained(type_: Type) -> bool:
    match pruned(type_):
        case TensorType(element):
            element = resolved(element)
            return not isinstance(element, DType) or element.is_float
        case RecordType(declaration, _, False) as record:
            fields = declaration.fields
            parts = [part for _, part, _ in children(record)]
            return not declaration.is_model and bool(fields) and all(map(_is_all_trained, parts))
        case StackType(_, item):
            return _is_all_trained(item)
        case _:
            return False


def has_gradient(type_: Type) -> bool:
    """Whether a value of the type holds anything that derivatives are taken in."""
    match type_:
        case TensorType(element):
            element = resolved(element)
            return not isinstance(element, DType) or element.is_float
        case RecordType():
            return any(has_gradient(part) for _, part, _ in children(gradient_type(type_)))
        case RecordName():
            return True
        case StackType(_, item):
            return has_gradient(item)
        case TupleType(items):
            return any(map(has_gradient, items))
        case KeyType() | FunctionType():
            return False
        case Hole(_, target):
            return target is None or has_gradient(target)


def children(type_: Type) -> Iterator[tuple[str, Type, Role]]:
    """Named parts, in order: the fields of a record (of each record of a stack), items of a tuple.

    Nothing for a tensor or a key. `Grad[R]` has only the trained fields that hold floats.
    """
    match type_:
        case RecordType(declaration, _, is_grad):
            generics = type_.generics()
            for entry in declaration.fields:
                part = generics.type(entry.type)
                if is_grad:
                    if not entry.role.is_trained or not has_gradient(part):
                        continue
                    part = gradient_type(part)
                yield entry.name, part, entry.role
        case StackType(count, item):
            for name, part, role in children(item):
                yield name, stack(count, part), role
        case TupleType(items):
            for index, part in enumerate(items):
                yield str(index), part, Role.DATA
        case _:
            return


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of a flattened value. `path` holds field names and tuple positions."""

    path: tuple[str, ...]
    type: TensorType | KeyType
    role: Role
    is_trained: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)


def leaves(type_: Type, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """The arrays of a value of this type, depth first in order of declaration.

    Keys inside stacks and functions have no leaves; the checker refuses the former.
    """
    yield from _leaves(type_, path, Role.DATA, True)


def _leaves(type_: Type, path: tuple[str, ...], role: Role, is_trained: bool) -> Iterator[Leaf]:
    match pruned(type_):
        case TensorType() as tensor:
            element = resolved(tensor.element)
            is_float = not isinstance(element, DType) or element.is_float
            yield Leaf(path, tensor, role, is_trained and is_float)
        case KeyType() as key:
            yield Leaf(path, key, role, False)
        case RecordType() | StackType() | TupleType():
            for name, part, inner in children(type_):
                yield from _leaves(part, (*path, name), inner, is_trained and inner.is_trained)
        case FunctionType() | RecordName() | Hole():
            return
