"""Python classes for the structs and models of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    GenericKind,
    RecordDeclaration,
    RecordType,
    StackType,
    TensorType,
    Type,
    leaves,
)
from dmc.semantics.types import Role as DeclaredRole
from dmc_runtime.records import Check, Field, Record, Role, constants_of, make_record, spec_of
from dmc_runtime.spelling import did_you_mean

_ROLES = {
    DeclaredRole.DATA: Role.DATA,
    DeclaredRole.PARAM: Role.PARAM,
    DeclaredRole.SUB: Role.DATA,
    DeclaredRole.FROZEN: Role.FROZEN,
    DeclaredRole.FROZEN_SUB: Role.FROZEN,
    DeclaredRole.STATE: Role.STATE,
}
_DECLARATION, _HIDDEN = "__declaration__", "__hidden__"

_loaded: WeakValueDictionary[RecordDeclaration, type[Record]] = WeakValueDictionary()
"""The classes of all programs: a record may be passed to, and come back from, another program."""


class Classes:
    """The record classes of one program, by declaration."""

    def __init__(self) -> None:
        self._classes: dict[RecordDeclaration, type[Record]] = {}

    def __getitem__(self, declaration: RecordDeclaration) -> type[Record]:
        own = self._classes.get(declaration)
        return _loaded[declaration] if own is None else own

    def __contains__(self, declaration: RecordDeclaration) -> bool:
        return declaration in self._classes

    def make(self, declaration: RecordDeclaration, check: Check, members: dict[str, Any]) -> None:
        """Make the class of a declaration, those of the records it holds being made already."""
        fields = [
            Field(
                entry.name,
                _ROLES[entry.role],
                type=str(entry.type),
                doc=entry.doc or "",
                record=self._record_in(entry.type),
            )
            for entry in declaration.fields
            if entry.role is not DeclaredRole.HYPER
        ]
        made = self._classes[declaration] = make_record(
            declaration.name,
            fields,
            sizes=[generic.name for generic in declaration.generics] + list(declaration.dims),
            hyper=[f.name for f in declaration.fields if f.role is DeclaredRole.HYPER],
            module=declaration.module,
            doc=declaration.doc or "",
            check=check,
            namespace={
                **members,
                "__init__": _constructor(declaration),
                _DECLARATION: declaration,
                _HIDDEN: _hidden(declaration),
            },
        )
        _loaded[declaration] = made

    def _record_in(self, type_: Type) -> type[Record] | None:
        held = record_in(type_)
        return None if held is None else self._classes.get(held)


def _hidden(declaration: RecordDeclaration) -> tuple[str, ...]:
    """The sizes of a record that its arrays do not show, such as a number of heads."""
    shown = {
        str(axis)
        for leaf in leaves(declaration.itself())
        if isinstance(leaf.type, TensorType)
        for axis in leaf.type.shape
        if isinstance(axis, Size)
    }
    sizes = [g.name for g in declaration.generics if g.kind is GenericKind.SIZE]
    return tuple(name for name in sizes if name not in shown)


def has_hidden_sizes(cls: type[Record]) -> bool:
    """Whether a record has sizes that its arrays do not show."""
    return bool(getattr(cls, _HIDDEN, ()))


def hidden_sizes(record: Record) -> tuple[tuple[str, int], ...]:
    """The sizes of a record that its arrays do not show, with their values."""
    names: tuple[str, ...] = getattr(type(record), _HIDDEN, ())
    if not names:
        return ()
    constants = constants_of(record)
    return tuple((name, int(constants[name])) for name in names if name in constants)


def all_sizes(record: Record) -> tuple[tuple[str, int], ...]:
    """The sizes of a record that it knows, with their values."""
    declaration = declaration_of(type(record))
    generics = declaration.generics if declaration is not None else ()
    known = constants_of(record)
    names = [g.name for g in generics if g.kind is GenericKind.SIZE and g.name in known]
    return tuple((name, int(known[name])) for name in names)


def _constructor(declaration: RecordDeclaration) -> Callable[..., None]:
    """Takes fields by position, as in the language, or by name; sizes and hyperparameters too."""

    def __init__(self: Record, *values: Any, **given: Any) -> None:  # noqa: N807  # of a class
        spec = spec_of(self)
        if len(values) > len(spec.names):
            given_count = f"{len(values)} values were given for {len(spec.names)} fields"
            raise _refuse(declaration, given_count, _listed(spec.names))
        for name, value in zip(spec.names, values, strict=False):
            if name in given:
                raise _refuse(declaration, f"`{name}` is given twice")
            given[name] = value
        known = (*spec.names, *spec.constants)
        for name in given:
            if name not in known:
                (hint,) = did_you_mean(name, known) or (_listed(spec.names),)
                raise _refuse(declaration, f"there is no field `{name}`", hint)
        Record.__init__(self, **given)

    return __init__


def _listed(names: Sequence[str]) -> str:
    return f"its fields are {', '.join(names)}" if names else "it has no fields"


def _refuse(declaration: RecordDeclaration, message: str, hint: str = "") -> Error:
    title = f"{declaration.name}: {message}"
    help_ = (hint,) if hint else ()
    return error(Diagnostic("call.field", title, Label(declaration.span), help=help_, at_call=True))


def declaration_of(cls: type[Record]) -> RecordDeclaration | None:
    """The declaration behind a record class; None for a class made otherwise."""
    return cls.__dict__.get(_DECLARATION)


def record_in(type_: Type) -> RecordDeclaration | None:
    """The record that a field of this type holds, alone or in a stack."""
    while isinstance(type_, StackType):
        type_ = type_.item
    return type_.declaration if isinstance(type_, RecordType) else None
