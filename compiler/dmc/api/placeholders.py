"""Stand-ins for arguments that are not there yet, so that a function compiles ahead of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmc.api.conversion import PythonValue, refuse
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.signature import Given, GivenArray, GivenRecord, GivenTuple, Signature
from dmc.semantics.sizes import Size, SizeError
from dmc.semantics.types import (
    KeyType,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    leaves,
    resolved,
)
from dmc_runtime.records import Record, constants_of


def bare_sizes(signature: Signature) -> set[str]:
    """The sizes that bare records bring: `net.I` for `net: MLP`."""
    axes = [
        axis
        for parameter in signature.parameters
        for leaf in leaves(parameter.type)
        if isinstance(leaf.type, TensorType)
        for axis in leaf.type.shape
        if isinstance(axis, Size)
    ]
    return {name for axis in axes for name in axis.names() if "." in name}


def placeholders(
    signature: Signature,
    given: Mapping[str, Given],
    values: Mapping[str, PythonValue],
    sizes: Mapping[str, int],
) -> dict[str, Given]:
    """`given` with every missing parameter described by its declared type.

    Sizes come from `sizes` (by name, `net.D` for the size of a bare record) and from the records
    among `values`. Raises dmc.Error naming a size that is not determined.
    """
    known = dict(sizes)
    for name, value in values.items():
        if isinstance(value, Record):
            constants = constants_of(value).items()
            known.update({f"{name}.{key}": int(size) for key, size in constants})
    out = dict(given)
    for parameter in signature.parameters:
        if parameter.name not in out and parameter.default is None:
            describer = _Describer(signature, parameter.name, parameter.span, known)
            out[parameter.name] = describer.describe(parameter.type)
    return out


def describe(type_: Type, signature: Signature, name: str, span: Span) -> Given:
    """A value of a concrete type, for the parameter `name`."""
    return _Describer(signature, name, span, {}).describe(type_)


@dataclass(frozen=True)
class _Describer:
    """Describes the parameter `name` by its type."""

    signature: Signature
    name: str
    span: Span
    known: Mapping[str, int]

    def describe(self, type_: Type) -> Given:
        match type_:
            case TensorType(element, shape):
                return GivenArray(self._dtype(resolved(element)), tuple(map(self._extent, shape)))
            case KeyType():
                return GivenArray(DType.I64, ())
            case TupleType(items):
                return GivenTuple(tuple(map(self.describe, items)))
            case RecordType(declaration, _, is_grad):
                return GivenRecord(declaration, self._fields(type_), is_grad)
            case StackType(_, item):
                while isinstance(item, StackType):
                    item = item.item
                assert isinstance(item, RecordType)
                return GivenRecord(item.declaration, self._fields(type_), item.is_grad)
            case _:
                message = f"{self.signature.name}: the argument `{self.name}` is missing"
                raise refuse("call.argument", message, self.span)

    def _fields(self, type_: Type) -> tuple[tuple[str, Given], ...]:
        return tuple((name, self.describe(part)) for name, part, _ in children(type_))

    def _dtype(self, element: object) -> DType:
        if isinstance(element, DType):
            return element
        defaults = {g.name: g.default for g in self.signature.generics}
        return defaults.get(getattr(element, "name", "")) or DType.F64

    def _extent(self, axis: object) -> int:
        try:
            assert isinstance(axis, Size)
            return axis.evaluate(self.known)
        except (SizeError, KeyError, AssertionError):
            message = f"{self.signature.name}: the size `{axis}` of `{self.name}` is unknown"
            raise refuse(
                "call.size", message, self.span, f"give it by name, such as `{axis}=32`"
            ) from None
