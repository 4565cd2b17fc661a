"""Python classes for the structs and models of a program."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

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
_DECLARATION = "__declaration__"

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
            namespace={**members, _DECLARATION: declaration},
        )
        _loaded[declaration] = made

    def _record_in(self, type_: Type) -> type[Record] | None:
        held = record_in(type_)
        return None if held is None else self._classes.get(held)


def declaration_of(cls: type[Record]) -> RecordDeclaration | None:
    """The declaration behind a record class; None for a class made otherwise."""
    return cls.__dict__.get(_DECLARATION)


def record_in(type_: Type) -> RecordDeclaration | None:
    """The record that a field of this type holds, alone or in a stack."""
    while isinstance(type_, StackType):
        type_ = type_.item
    return type_.declaration if isinstance(type_, RecordType) else None
