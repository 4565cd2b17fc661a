"""State that nothing reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    """Fields of state on which nothing depends but their own new value.

    `missing` are the models of functions that there is no instance of; a model without functions
    is read elsewhere.
    """
    read = {field for instance in instances for field in _read(instance)}
    for model in file.models.values():
        declaration = model.declaration
        if declaration in missing or not model.methods:
            continue
        for entry in declaration.fields:
            if entry.role is Role.STATE and (declaration, entry.name) not in read:
                yield warning(
                    "lint.state",
                    f"nothing reads the state `{entry.name}`",
                    (entry.span, f"no result of a function of `{declaration.name}` depends on it"),
                    "leave it out, or let a function tell it: "
                    f"`fn {entry.name}_now() -> {entry.type} = {entry.name}`",
                )


def _read(instance: InstanceOfFunction) -> Iterator[Field]:
    """The fields that something else depends on."""
    held: dict[Field, set[Value]] = {}
    for value, fields, leaf in arguments_of(instance):
        for field in fields if leaf.role is Role.STATE else ():
            held.setdefault(field, set()).add(value)
    for field, values in held.items():
        outputs = {value for value, fields in results_of(instance) if field not in fields}
        if reaches(instance, values, outputs):
            yield field
