"""State that nothing reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.ir import Value
from dmc.lints.fields import Field, arguments_of, reaches, results_of
from dmc.lints.instances import InstanceOfFunction
from dmc.lints.warning import warning
from dmc.semantics.program import SourceModule
from dmc.semantics.types import RecordDeclaration, Role


def dead_state(
    instances: Iterable[InstanceOfFunction], file: SourceModule, missing: set[RecordDeclaration]
) -> Iterator[Diagnostic]:
    """Fields of state on which nothing depends but the new values of such fields.

    `missing` are the models of functions that there is no instance of; a model without functions
    is read elsewhere.
    """
    dead = _dead(list(instances), missing)
    for model in file.models.values():
        declaration = model.declaration
        if declaration in missing or not model.methods:
            continue
        for entry in declaration.fields:
            if entry.role is Role.STATE and (declaration, entry.name) in dead:
                yield warning(
                    "lint.state",
                    f"nothing reads the state `{entry.name}`",
                    (entry.span, f"no result of a function of `{declaration.name}` depends on it"),
                    "leave it out, or let a function tell it: "
                    f"`fn {entry.name}_now() -> {entry.type} = {entry.name}`",
                )


def _dead(instances: Sequence[InstanceOfFunction], missing: set[RecordDeclaration]) -> set[Field]:
    """The largest set of fields of state that reach nothing outside of it."""
    held = [_held(instance) for instance in instances]
    dead = {field for fields in held for field in fields if field[0] not in missing}
    while True:
        read = {
            field
            for instance, fields in zip(instances, held, strict=True)
            for field in dead & fields.keys()
            if reaches(instance, fields[field], _outside(instance, dead))
        }
        if not read:
            return dead
        dead -= read


def _held(instance: InstanceOfFunction) -> dict[Field, set[Value]]:
    """The arguments that each field of state is of."""
    held: dict[Field, set[Value]] = {}
    for value, fields, leaf in arguments_of(instance):
        for field in fields if leaf.role is Role.STATE else ():
            held.setdefault(field, set()).add(value)
    return held


def _outside(instance: InstanceOfFunction, dead: set[Field]) -> set[Value]:
    """The results that are not new values of these fields."""
    return {value for value, fields in results_of(instance) if dead.isdisjoint(fields)}
