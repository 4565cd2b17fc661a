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
from dmc.semantics.elements import (
    Axis,
    Element,
    ElementName,
    Number,
    NumberKind,
    Pack,
    Shape,
    Stretch,
    element_text,
    resolved,
    shape_text,
)
from dmc.semantics.requirements import Requirement
from dmc.semantics.roles import Role
from dmc.semantics.sizes import Size

__all__ = [
    "Axis", "Blocks", "Element", "ElementName", "FieldDeclaration", "Form", "FunctionType",
    "Generic", "GenericKind", "GenericValue", "Hole", "KeyType", "Leaf", "Number", "NumberKind",
    "Pack", "PackValue", "RecordDeclaration", "RecordName", "RecordType", "Role", "Shape", "Side",
    "StackType", "Stretch", "Substitution", "TensorType", "TupleType", "Type", "UNIT", "children",
    "element_text", "formed", "gradient_type", "has_gradient", "leaves", "pruned", "resolved",
    "scalar", "shape_text", "stack", "unformed",
]  # fmt: skip


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
        count = len(self.items)
        if count > 8 and all(item == self.items[0] for item in self.items):
            return f"({self.items[0]}, …), {count} in all"
        return f"({', '.join(map(str, self.items))})"


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`(f64[N]) -> f64`: arguments and locals only."""

    parameters: tuple[Type, ...]
    result: Type
    is_pull: bool = False

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) -> {self.result}"


class Side(enum.Enum):
    """A matrix summed up in what is left of it: `Rows[T]`, `Columns[T]`; other leaves stay."""

    ROWS = "Rows"
    COLUMNS = "Columns"

    def text(self, inner: str) -> str:
        return f"{self.value}[{inner}]"

    def leaf(self, leaf: TensorType) -> Type:
        """What stands in the place of a leaf."""
        if len(leaf.shape) != 2:
            return leaf
        return TensorType(leaf.element, (leaf.shape[0 if self is Side.ROWS else 1],))


@dataclass(frozen=True, slots=True)
class Blocks:
    """`Jacobian[R, T]`: a gradient, of type `inner`, for each element of a leaf of `R`."""

    inner: Type

    def text(self, inner: str) -> str:
        return f"Jacobian[{inner}, {self.inner}]"

    def leaf(self, leaf: TensorType) -> Type:
        """What stands in the place of a leaf."""
        return _spread(leaf.shape, self.inner)


def _spread(shape: Shape, inner: Type) -> Type:
    """The type with the axes of a shape in front of those of each leaf."""
    match pruned(inner):
        case TensorType(element, axes):
            return TensorType(element, (*shape, *axes))
        case TupleType(items):
            return TupleType(tuple(_spread(shape, item) for item in items))
        case other:
            for axis in reversed(shape):
                assert isinstance(axis, Size)
                other = stack(axis, other)
            return other


Form = Side | Blocks
"""What leaves of a gradient give way to."""


def formed(form: Form, type_: Type) -> Type:
    """A gradient type with other leaves."""
    match pruned(type_):
        case TensorType() as leaf:
            return form.leaf(leaf)
        case RecordType() | RecordName() as record:
            return replace(record, is_grad=True, forms=(*record.forms, form))
        case StackType(count, item):
            return stack(count, formed(form, item))
        case TupleType(items):
            return TupleType(tuple(formed(form, item) for item in items))
        case other:
            return other


def unformed(type_: Type) -> tuple[Type, tuple[Form, ...]]:
    """A gradient type without forms, and those of its leaves."""
    match pruned(type_):
        case RecordType() | RecordName() as record:
            return replace(record, forms=()), record.forms
        case StackType(count, item):
            inner, forms = unformed(item)
            return stack(count, inner), forms
        case TupleType(items) if items:
            parts = [unformed(item) for item in items]
            return TupleType(tuple(part for part, _ in parts)), parts[0][1]
        case other:
            return other, ()


def _formed_text(name: str, is_grad: bool, forms: tuple[Form, ...]) -> str:
    text = f"Grad[{name}]" if is_grad and not forms else name
    for form in forms:
        text = form.text(text)
    return text


@dataclass(frozen=True, slots=True)
class RecordType:
    """A struct or model with values for its generic parameters; `is_grad` marks `Grad[…]` of it.

    One with `forms` is a gradient with other leaves.
    """

    declaration: RecordDeclaration
    arguments: tuple[GenericValue, ...]
    is_grad: bool = False
    forms: tuple[Form, ...] = ()

    def __str__(self) -> str:
        name = self.declaration.name
        if self.arguments and not _is_bare(self):
            name += f"[{', '.join(map(_argument_text, self.arguments))}]"
        return _formed_text(name, self.is_grad, self.forms)

    def generics(self) -> Substitution:
        """The values of the generic parameters, `dim` members included."""
        return self.declaration.substitution(self.arguments)


@dataclass(frozen=True, slots=True)
class RecordName:
    """A record parameter: `M` in `fn f[M: record]`, `Grad[M]`, or that with other leaves."""

    name: str
    is_grad: bool = False
    forms: tuple[Form, ...] = ()

    def __str__(self) -> str:
        return _formed_text(self.name, self.is_grad, self.forms)


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
            case RecordType(declaration, arguments, is_grad, forms):
                record = RecordType(declaration, tuple(map(self.value, arguments)))
                return self._formed(gradient_type(record) if is_grad else record, forms)
            case RecordName(name, is_grad, forms):
                found = self.records.get(name)
                if found is None:
                    return type_
                return self._formed(gradient_type(found) if is_grad else found, forms)
            case StackType(count, item):
                return stack(self.size(count), self.type(item))
            case KeyType():
                return type_
            case Hole(element, target):
                return (
                    self.type(target) if target is not None else TensorType(self.element(element))
                )

    def _formed(self, type_: Type, forms: tuple[Form, ...]) -> Type:
        for form in forms:
            own = Blocks(self.type(form.inner)) if isinstance(form, Blocks) else form
            type_ = formed(own, type_)
        return type_

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
            parts = (part for _, part, _ in children(record))
            may_be = not declaration.is_model and bool(declaration.fields)
            return may_be and all(map(_is_all_trained, parts))
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
        case RecordType(declaration, _, is_grad, forms):
            generics = type_.generics()
            for entry in declaration.fields:
                part = generics.type(entry.type)
                if is_grad:
                    if not entry.role.is_trained or not has_gradient(part):
                        continue
                    part = gradient_type(part)
                for form in forms:
                    part = formed(form, part)
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
