"""Stand-ins for arguments that are not there yet, so that a function compiles ahead of its data."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.api.conversion import PythonValue
from dmc.ir.types import DType
from dmc.semantics.signature import Given, GivenArray, GivenRecord, GivenTuple, Parameter, Signature
from dmc.semantics.sizes import Size, SizeError
from dmc.semantics.types import (
    FunctionType,
    KeyType,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    resolved,
)
from dmc.syntax.diagnostics import Diagnostic, Label
from dmc.syntax.errors import error
from dmc_runtime.records import Record, constants_of


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
            out[parameter.name] = _describe(signature, parameter, parameter.type, known)
    return out


def _describe(
    signature: Signature, parameter: Parameter, type_: Type, known: Mapping[str, int]
) -> Given:
    def inner(part: Type) -> Given:
        return _describe(signature, parameter, part, known)

    match type_:
        case TensorType(element, shape):
            dtype = resolved(element)
            extents: list[int] = []
            for axis in shape:
                try:
                    assert isinstance(axis, Size)
                    extents.append(axis.evaluate(known))
                except (SizeError, KeyError, AssertionError):
                    raise error(
                        Diagnostic(
                            "call.size",
                            f"{signature.name}: the size `{axis}` of `{parameter.name}` is unknown",
                            Label(parameter.span),
                            help=(f"give it by name, such as `{axis}=32`",),
                            at_call=True,
                        )
                    ) from None
            return GivenArray(dtype if isinstance(dtype, DType) else DType.F32, tuple(extents))
        case KeyType():
            return GivenArray(DType.I64, ())
        case TupleType(items):
            return GivenTuple(tuple(inner(item) for item in items))
        case RecordType(declaration, _, is_grad):
            fields = tuple((name, inner(part)) for name, part, _ in children(type_))
            return GivenRecord(declaration, fields, is_grad)
        case StackType(_, item):
            while isinstance(item, StackType):
                item = item.item
            assert isinstance(item, RecordType)
            fields = tuple((name, inner(part)) for name, part, _ in children(type_))
            return GivenRecord(item.declaration, fields, item.is_grad)
        case FunctionType() | _:
            raise error(
                Diagnostic(
                    "call.argument",
                    f"{signature.name}: the argument `{parameter.name}` is missing",
                    Label(parameter.span),
                    at_call=True,
                )
            )
