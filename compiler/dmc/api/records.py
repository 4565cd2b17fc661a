"""Python classes for the structs and models of a program."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from dmc.semantics.types import RecordDeclaration, RecordType, StackType, Type
from dmc.semantics.types import Role as DeclaredRole
from dmc_runtime.records import Check, Field, Record, Role, make_record

_ROLES = {
    DeclaredRole.DATA: Role.DATA,
    DeclaredRole.PARAM: Role.PARAM,
    DeclaredRole.SUB: Role.DATA,
    DeclaredRole.FROZEN: Role.FROZEN,
    DeclaredRole.FROZEN_SUB: Role.FROZEN,
    DeclaredRole.STATE: Role.STATE,
}

_classes: WeakKeyDictionary[RecordDeclaration, type[Record]] = WeakKeyDictionary()
_declarations: WeakKeyDictionary[type[Record], RecordDeclaration] = WeakKeyDictionary()


def make_class(declaration: RecordDeclaration, check: Check, members: dict[str, Any]) -> None:
    """Make the Python class of a declaration, those of the records it holds being made already."""
    fields = [
        Field(
            entry.name,
            _ROLES[entry.role],
            type=str(entry.type),
            doc=entry.doc or "",
            record=_record_in(entry.type),
        )
        for entry in declaration.fields
        if entry.role is not DeclaredRole.HYPER
    ]
    cls = make_record(
        declaration.name,
        fields,
        sizes=[generic.name for generic in declaration.generics] + list(declaration.dims),
        hyper=[f.name for f in declaration.fields if f.role is DeclaredRole.HYPER],
        module=declaration.module,
        doc=declaration.doc or "",
        check=check,
        namespace=members,
    )
    _classes[declaration] = cls
    _declarations[cls] = declaration


def record_class(declaration: RecordDeclaration) -> type[Record]:
    """Raises KeyError when the program of the declaration has not been loaded."""
    return _classes[declaration]


def declaration_of(cls: type[Record]) -> RecordDeclaration | None:
    """The declaration behind a record class; None for a class made otherwise."""
    return _declarations.get(cls)


def _record_in(type_: Type) -> type[Record] | None:
    while isinstance(type_, StackType):
        type_ = type_.item
    return _classes.get(type_.declaration) if isinstance(type_, RecordType) else None
