"""All lints of a file."""

from __future__ import annotations

from collections.abc import Iterator

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error
from dmc.lints.gradients import untrained_fields, zero_requests
from dmc.lints.instances import SMALLEST, InstanceOfFunction, declared_in, instantiate
from dmc.lints.keys import unspent_keys
from dmc.lints.singularities import singular_operands
from dmc.lints.state import dead_state
from dmc.lints.sums import inexact_sums
from dmc.semantics.program import FunctionDeclaration, Program, SourceModule
from dmc.semantics.types import RecordDeclaration, RecordType, children, pruned


def lint(program: Program) -> list[Diagnostic]:
    """The warnings for the main file of a program, and errors that IR shows, in order of place."""
    file = program.main
    instances: list[InstanceOfFunction] = []
    missing: set[RecordDeclaration] = set()
    found = list(unspent_keys(file))
    for declaration in declared_in(file):
        try:
            instance = instantiate(declaration, SMALLEST[0])
        except Error as failure:
            found += failure.diagnostics
            instance = None
        if instance is None:
            missing |= _models(declaration)
            continue
        instances.append(instance)
        found += _of_all_sizes(declaration, instance, file)
    found += untrained_fields(instances, file, missing)
    found += dead_state(instances, file, missing)
    first = {_place(each): each for each in reversed(found)}
    return [first[place] for place in sorted(first)]


def _of_all_sizes(
    declaration: FunctionDeclaration, instance: InstanceOfFunction, file: SourceModule
) -> Iterator[Diagnostic]:
    """What is found in a function whatever its sizes: in two instances."""
    found = list(_of_instance(instance, file))
    if found and instance.has_sizes:
        other = instantiate(declaration, SMALLEST[1])
        again = () if other is None else map(_place, _of_instance(other, file))
        kept = set(again)
        found = [each for each in found if _place(each) in kept]
    yield from found


def _of_instance(instance: InstanceOfFunction, file: SourceModule) -> Iterator[Diagnostic]:
    yield from zero_requests(instance, file)
    yield from singular_operands(instance, file)
    yield from inexact_sums(instance, file)
    for each in instance.dense:
        if each.primary is not None and each.primary.span.file is file.source:
            yield each


def _models(declaration: FunctionDeclaration) -> set[RecordDeclaration]:
    """The records that a function is given."""
    types = [symbol.type for symbol in (*declaration.symbols, declaration.self_symbol) if symbol]
    found: set[RecordDeclaration] = set()
    pending = list(map(pruned, types))
    while pending:
        type_ = pending.pop()
        if isinstance(type_, RecordType):
            found.add(type_.declaration)
        pending += [pruned(part) for _, part, _ in children(type_)]
    return found


def _place(diagnostic: Diagnostic) -> tuple[int, int, str]:
    assert diagnostic.primary is not None
    span = diagnostic.primary.span
    return span.start_line, span.start_column, diagnostic.code
