"""What Python values are, in the terms of signatures, before anything of them is used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType as PythonFunction
from typing import Any, cast

import numpy as np

from dmc.api.donation import Donated
from dmc.api.records import all_sizes, declaration_of, hidden_sizes, record_in
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.ir.location import Span
from dmc.ir.types import Array, DType
from dmc.semantics.signature import (
    Given,
    GivenArray,
    GivenFunction,
    GivenNumber,
    GivenRecord,
    GivenTuple,
    NumberClass,
)
from dmc.semantics.types import (
    Declared,
    FieldDeclaration,
    FunctionType,
    KeyType,
    RecordDeclaration,
    RecordName,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    formed,
    resolved,
)
from dmc_runtime.leafwise import bfloat16
from dmc_runtime.records import Record, constants_of, spec_of, stack_of, values_of

PythonValue = Any
"""What users pass and get: arrays, numbers, records, tuples and functions."""


def refuse(code: str, message: str, span: Span | None, help_: str = "") -> Error:
    """The error for a value that does not fit; `span` is the declaration that was not met."""
    notes = (help_,) if help_ else ()
    label = None if span is None else Label(span)
    return error(Diagnostic(code, message, label, help=notes, at_call=True))


def fingerprint(value: PythonValue) -> object:
    """Something hashable that is equal for values of the same types and shapes."""
    kind = cast("type[object]", type(value))
    if kind is np.ndarray:
        return value.dtype, value.shape
    if kind is Donated:
        return kind, fingerprint(value.value)
    if isinstance(value, Record):
        return kind, stack_of(value), hidden_sizes(value), *map(fingerprint, values_of(value))
    if isinstance(value, tuple):
        return kind, *map(fingerprint, cast("tuple[PythonValue, ...]", value))
    if isinstance(value, np.ndarray | np.generic):
        # Not as a plain array: a masked one, say, is not taken for it.
        array = cast("Array", value)
        return kind, array.dtype, array.shape
    if _is_foreign(value):
        array = plain(value, "an argument", None)
        return kind, array.dtype, array.shape
    if isinstance(value, OfProgram):
        return value.declaration, value.brackets, fingerprint(value.receiver)
    return kind


def _is_foreign(value: PythonValue) -> bool:
    """Whether this is an array of another library, which NumPy can see through DLPack."""
    return hasattr(value, "__dlpack__") and not isinstance(value, type)


def is_array(value: PythonValue) -> bool:
    """Whether this is an array, or a number as one, of NumPy or of another library."""
    return isinstance(value, np.ndarray | np.generic) or _is_foreign(value)


def plain(value: PythonValue, where: str, span: Span | None) -> Array:
    """An array of NumPy without what a subclass adds; arrays of others share their memory.

    Raises dmc.Error for a masked array, or one of another library that NumPy cannot see.
    """
    if not isinstance(value, np.ndarray | np.generic):
        try:
            is_bfloat16 = str(getattr(value, "dtype", "")).endswith("bfloat16")
            return _of_bfloat16(value) if is_bfloat16 else np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError, AttributeError) as failure:
            name = type(cast("object", value)).__name__
            reason = str(failure).partition("\n")[0]
            message = f"{where} is a {name} that NumPy cannot see: {reason}"
            hint = "pass a NumPy array; a tensor of PyTorch as `x.detach().cpu()`"
            hint += ", or `dmc.torch.wrap(f)(x)` for gradients"
            if name.endswith("Tracer"):
                hint = "inside `jit`, `grad` and `vmap` of JAX, call `dmc.jax.wrap(f)(x)`"
            raise refuse("call.value", message, span, hint) from None
    # There are no masked arrays before NumPy has loaded their module.
    module = sys.modules.get("numpy.ma")
    if isinstance(value, getattr(module, "MaskedArray", ())):
        hint = f"fill it: `{where.rpartition(' ')[2]}.filled(…)`"
        raise refuse("call.value", f"{where} is a masked array", span, hint)
    return np.asarray(cast("Array", value))


def _of_bfloat16(value: PythonValue) -> Array:
    """An array of another library, of a type that NumPy does not take through DLPack."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.requires_grad:
            raise TypeError("it requires a gradient")
        return np.from_dlpack(value.view(torch.int16)).view(bfloat16())
    return np.asarray(value)


class OfProgram:
    """What Python calls of a loaded program; not all of it is a function value there."""

    receiver: PythonValue = None
    """The record that a method is called on."""
    brackets: tuple[int | DType, ...] = ()
    """Generic arguments, from the first."""

    @property
    def declaration(self) -> Declared | None:
        """The function that this is as an argument of another; None where it cannot be one."""
        return None

    @property
    def kind(self) -> str:
        """What it is, for a message."""
        return "a function"

    @property
    def way_in(self) -> str:
        """How to have it where a program wants a function."""
        return "pass a function, or a model, of the loaded program"


@dataclass(frozen=True)
class Describer:
    """Describes Python values for `Signature.bind`; `caller` starts every message."""

    caller: str

    def give(self, value: PythonValue, declared: Type, where: str, span: Span) -> Given:
        """Describe one value; `declared` tells a gradient from a whole record.

        Raises dmc.Error for values of no known kind.
        """
        if isinstance(value, OfProgram) and value.declaration is not None:
            if value.receiver is None:
                return GivenFunction(value.declaration, brackets=value.brackets)
            record = self._give_record(value.receiver, declared, where, span)
            return GivenFunction(value.declaration, record, value.brackets)
        if is_array(value):
            array = plain(value, f"{self.caller}: {where}", span)
            library = type(value).__module__.partition(".")[0]
            return self._give_array(array, library, where, span)
        if isinstance(declared, KeyType) and isinstance(value, int):
            hint = f"make a key of it: `dmc.key({value if abs(value) < 10**6 else 'seed'})`"
            raise refuse("call.value", f"{self.caller}: {where} is a number, not a key", span, hint)
        if isinstance(value, bool):
            return GivenNumber(NumberClass.BOOL)
        if isinstance(value, int):
            return GivenNumber(NumberClass.INT)
        if isinstance(value, float):
            return GivenNumber(NumberClass.FLOAT)
        if isinstance(value, Record):
            return self._give_record(value, declared, where, span)
        if isinstance(value, tuple):
            items = cast("tuple[PythonValue, ...]", value)
            return self._give_tuple(items, declared, where, span)
        raise refuse_kind(value, declared, f"{self.caller}: {where}", span)

    def _give_tuple(
        self, items: tuple[PythonValue, ...], declared: Type, where: str, span: Span
    ) -> Given:
        types = declared.items if isinstance(declared, TupleType) else (declared,) * len(items)
        return GivenTuple(
            tuple(
                self.give(item, type_, f"{where}[{i}]", span)
                for i, (item, type_) in enumerate(zip(items, types, strict=False))
            )
        )

    def _give_array(self, value: Array, library: str, where: str, span: Span) -> Given:
        dtype: np.dtype[Any] = value.dtype
        if not dtype.isnative:
            native = dtype.newbyteorder("=").name
            hint = f"convert it: `{where}.astype(np.{native})`"
            raise refuse("call.byteorder", f"{self.caller}: {where} is byte-swapped", span, hint)
        try:
            return GivenArray(DType.of(dtype), value.shape, library)
        except KeyError:
            message = f"{self.caller}: {where} has dtype {dtype}"
            hint = "the element types are f16, bf16, f32, f64, i32, i64 and bool"
            raise refuse("call.dtype", message, span, hint) from None

    def _give_record(self, value: Record, declared: Type, where: str, span: Span) -> GivenRecord:
        declaration = declaration_of(type(value))
        if declaration is None:
            message = f"{self.caller}: {where} is a record of no program"
            raise refuse("call.value", message, span)
        wanted = declared
        while isinstance(wanted, StackType):
            wanted = wanted.item
        is_grad = isinstance(wanted, RecordType | RecordName) and wanted.is_grad
        forms = wanted.forms if isinstance(wanted, RecordType | RecordName) else ()
        if isinstance(wanted, RecordType) and wanted.declaration is not declaration:
            self._refuse_other_record(wanted, type(value), where, span)
        is_grad = is_grad or _lacks_leaves(value, declaration)
        fields = dict(zip(spec_of(value).names, values_of(value), strict=True))
        values: Mapping[str, PythonValue] = {**constants_of(value), **fields}
        entries: list[tuple[FieldDeclaration, PythonValue]] = []
        for entry in declaration.fields:
            item = values.get(entry.name)
            if item is not None and (entry.role.is_trained or not is_grad):
                entries.append((entry, item))
        listed: list[tuple[str, Given]] = []
        for entry, item in entries:
            inner = _as_gradient(entry.type) if is_grad else entry.type
            for form in forms:
                inner = formed(form, inner)
            given = self.give(item, inner, f"{where}.{entry.name}", span)
            listed.append((entry.name, given))
        sizes = all_sizes(value) if forms else hidden_sizes(value)
        return GivenRecord(declaration, tuple(listed), is_grad, sizes, forms)

    def _refuse_other_record(
        self, wanted: RecordType, cls: type[Record], where: str, span: Span
    ) -> None:
        other = spec_of(cls).name
        if other != wanted.declaration.name:
            message = f"{self.caller}: {where} is a {other}, not a {wanted.declaration.name}"
            raise refuse("call.value", message, span)
        message = f"{self.caller}: {where} is a {other} of another program"
        hint = "it was loaded apart: `dmc.convert(record, program)` makes one of this program"
        raise refuse("call.value", message, span, hint)


def _as_gradient(type_: Type) -> Type:
    match type_:
        case RecordType(declaration, arguments):
            return RecordType(declaration, arguments, is_grad=True)
        case StackType(count, item):
            return StackType(count, _as_gradient(item))
        case _:
            return type_


def _lacks_leaves(record: Record, declaration: RecordDeclaration) -> bool:
    """Whether this is a gradient, which has no values for what carries none."""
    fields = dict(zip(spec_of(record).names, values_of(record), strict=True))
    for entry in declaration.fields:
        item = fields.get(entry.name)
        held = record_in(entry.type)
        if item is None and entry.role is not Role.HYPER:
            return True
        if held is not None and isinstance(item, Record) and _lacks_leaves(item, held):
            return True
    return False


def refuse_kind(value: PythonValue, wanted: Type, where: str, span: Span) -> Error:
    """The error for a Python value of a kind that `wanted` never takes."""
    kind = "None" if value is None else _kind(value)
    name = where.rpartition(" ")[2]
    match wanted:
        case RecordType(declaration) if declaration.is_model:
            hint = f"make one: `{declaration.name}.init(key, …)`"
        case RecordType(declaration):
            hint = f"make one: `{declaration.name}({declaration.fields[0].name}=…, …)`"
        case FunctionType():
            hint = (value if isinstance(value, OfProgram) else OfProgram()).way_in
        case TupleType(items):
            hint = f"pass a tuple of {len(items)}"
        case TensorType(element, shape) if isinstance(value, list):
            dtype = resolved(element)
            into = dtype.numpy.name if isinstance(dtype, DType) else "float64"
            package = "ml_dtypes" if dtype is DType.BF16 else "np"
            hint = f"make it an array: `np.asarray({name}, {package}.{into})`"
            if not shape:
                hint = f"pass a number: `{name}[0]`"
        case _:
            hint = "pass a NumPy array"
    return refuse("call.value", f"{where} is {kind}, not {wanted}", span, hint)


def _kind(value: PythonValue) -> str:
    """What a value is, for a message."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, OfProgram):
        return value.kind
    if isinstance(value, PythonFunction):
        return "a function of Python"
    return f"a {cast('type[object]', type(value)).__name__}"
