"""Stand-ins for arguments that are not there yet, so that a function compiles ahead of its data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmc.api.conversion import PythonValue, refuse
from dmc.diagnostics.errors import Error
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.binding import bind
from dmc.semantics.signature import Given, GivenArray, GivenRecord, GivenTuple, Signature
from dmc.semantics.sizes import Size, SizeError
from dmc.semantics.types import (
    ElementName,
    GenericKind,
    KeyType,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    leaves,
    resolved,
)
from dmc_runtime.records import Record, constants_of, tree_leaves


def bare_sizes(signature: Signature) -> set[str]:
    """The sizes that bare records bring: `net.I` for `net: MLP`, which no axis need have."""
    axes = (axis for parameter in signature.parameters for axis in _axes(parameter.type))
    return {name for axis in axes for name in axis.names() if "." in name}


def _axes(type_: Type) -> Iterator[Size]:
    """All sizes in a type: of axes, of records and how many records a stack has."""
    match type_:
        case TensorType(_, shape):
            yield from (axis for axis in shape if isinstance(axis, Size))
        case RecordType():
            yield from type_.generics().sizes.values()
        case StackType(count, item):
            yield count
            yield from _axes(item)
        case _:
            pass
    for _, part, _ in children(type_):
        yield from _axes(part)


def sizes_in(signature: Signature, values: Mapping[str, PythonValue]) -> dict[str, int]:
    """The sizes that can be read off values: axes that are declared as a size alone."""
    found: dict[str, int] = {}
    for parameter in signature.parameters:
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if isinstance(value, Record):
            constants = constants_of(value).items()
            found.update({f"{parameter.name}.{name}": int(size) for name, size in constants})
        declared = [leaf for leaf in leaves(parameter.type) if leaf.role is not Role.HYPER]
        given = tree_leaves(value)
        if len(declared) != len(given):
            continue
        for leaf, array in zip(declared, given, strict=True):
            shape: tuple[int, ...] = getattr(array, "shape", ())
            if isinstance(leaf.type, TensorType) and len(shape) == len(leaf.type.shape):
                for axis, extent in zip(leaf.type.shape, shape, strict=True):
                    if isinstance(axis, Size) and axis.names() == frozenset({str(axis)}):
                        found.setdefault(str(axis), extent)
    names = set(size_names(signature))
    return {name: size for name, size in found.items() if name in names}


def elements_in(signature: Signature, values: Mapping[str, PythonValue]) -> dict[str, DType]:
    """The element types that arrays among the values give to type parameters."""
    found: dict[str, DType] = {}
    for parameter in signature.parameters:
        declared = [leaf for leaf in leaves(parameter.type) if leaf.role is not Role.HYPER]
        given = tree_leaves(values.get(parameter.name))
        for leaf, array in zip(declared, given, strict=False):
            element = resolved(leaf.type.element) if isinstance(leaf.type, TensorType) else None
            if isinstance(element, ElementName) and isinstance(array, np.ndarray | np.generic):
                with contextlib.suppress(KeyError):  # refused when it is bound
                    found.setdefault(element.name, DType.of(array.dtype))
    return found


def size_names(signature: Signature) -> list[str]:
    """Every size of a function: its own, and those of bare records."""
    own = [g.name for g in signature.generics if g.kind is GenericKind.SIZE]
    return own + sorted(bare_sizes(signature))


def placeholders(
    signature: Signature,
    given: Mapping[str, Given],
    values: Mapping[str, PythonValue],
    sizes: Mapping[str, int],
    brackets: Sequence[int | DType] = (),
) -> dict[str, Given]:
    """`given` with every missing parameter described by its declared type.

    Sizes come from `sizes` (by name, `net.D` for the size of a bare record), from `brackets` and
    from `values`, element types from the latter two. Raises dmc.Error naming a size that is not
    determined.
    """
    named = [g.name for g in signature.generics if g.kind is not GenericKind.PACK]
    bracketed = dict(zip(named, brackets, strict=False))
    known = {**sizes_in(signature, values), **sizes}
    known |= {name: size for name, size in bracketed.items() if isinstance(size, int)}
    elements = {g.name: g.default for g in signature.generics if g.default is not None}
    elements |= elements_in(signature, values)
    elements |= {name: kind for name, kind in bracketed.items() if isinstance(kind, DType)}
    out = dict(given)
    for parameter in signature.parameters:
        if parameter.name not in out and parameter.default is None:
            describer = _Describer(signature, parameter.name, parameter.span, known, elements)
            out[parameter.name] = describer.describe(parameter.type)
    return out


def fitting_sizes(
    signature: Signature, known: Mapping[str, int], smallest: int = 3
) -> dict[str, int]:
    """`known` and small sizes for the rest, different ones if the declaration then makes sense."""
    missing = [name for name in size_names(signature) if name not in known]
    proposals = [
        {name: smallest + i for i, name in enumerate(missing)},
        *(dict.fromkeys(missing, n) for n in (4, 8, 12, 16, 28, 32, 64) if n > smallest),
    ]
    own = {g.name for g in signature.generics}
    for proposal in proposals:
        sizes = {**known, **proposal}
        try:
            given = placeholders(signature, {}, {}, sizes)
            bind(signature, given, (), {n: v for n, v in sizes.items() if n in own})
        except Error:
            continue
        return sizes
    return {**known, **proposals[0]}


@dataclass(frozen=True)
class _Describer:
    """Describes the parameter `name` by its type."""

    signature: Signature
    name: str
    span: Span
    known: Mapping[str, int]
    elements: Mapping[str, DType]

    def describe(self, type_: Type) -> Given:
        match type_:
            case TensorType(element, shape):
                return GivenArray(self._dtype(resolved(element)), tuple(map(self._extent, shape)))
            case KeyType():
                return GivenArray(DType.I64, ())
            case TupleType(items):
                return GivenTuple(tuple(map(self.describe, items)))
            case RecordType(declaration, _, is_grad, forms):
                fields, sizes = self._fields(type_), self._sizes(type_)
                return GivenRecord(declaration, fields, is_grad, sizes, forms)
            case StackType(_, item):
                while isinstance(item, StackType):
                    item = item.item
                assert isinstance(item, RecordType)
                fields, sizes = self._fields(type_), self._sizes(item)
                return GivenRecord(item.declaration, fields, item.is_grad, sizes, item.forms)
            case _:
                message = f"{self.signature.name}: the argument `{self.name}` is missing"
                raise refuse("call.argument", message, self.span)

    def _fields(self, type_: Type) -> tuple[tuple[str, Given], ...]:
        return tuple((name, self.describe(part)) for name, part, _ in children(type_))

    def _sizes(self, record: RecordType) -> tuple[tuple[str, int], ...]:
        known = record.generics().sizes
        names = [g.name for g in record.declaration.generics if g.name in known]
        return tuple((name, self._extent(known[name])) for name in names)

    def _dtype(self, element: object) -> DType:
        if isinstance(element, DType):
            return element
        return self.elements.get(getattr(element, "name", ""), DType.F64)

    def _extent(self, axis: object) -> int:
        unknown = sorted(axis.names() - self.known.keys()) if isinstance(axis, Size) else []
        try:
            if isinstance(axis, Size) and not unknown:
                return axis.evaluate(self.known)
        except SizeError:
            pass
        message = f"{self.signature.name}: the size `{axis}` of `{self.name}` is unknown"
        help_ = f"give `{unknown[0]}=32`, or" if unknown else "give"
        raise refuse("call.size", message, self.span, f"{help_} an array as `{self.name}`")
