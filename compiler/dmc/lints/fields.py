"""Which arguments and results of an instance belong to which fields of models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dmc.dialects.flow import ControlFlow, reach
from dmc.ir import Operation, Value
from dmc.lints.instances import InstanceOfFunction
from dmc.semantics.types import Leaf, RecordDeclaration, RecordType, Type, children, leaves, pruned

Field = tuple[RecordDeclaration, str]


def owned(type_: Type) -> Iterator[tuple[tuple[Field, ...], Leaf]]:
    """Every leaf of a type, in order, with the fields that hold it, outer before inner."""
    type_ = pruned(type_)
    parts = list(children(type_))
    if not parts:
        for leaf in leaves(type_):
            yield (), leaf
    owner = type_.declaration if isinstance(type_, RecordType) else None
    for name, part, role in parts:
        for fields, leaf in owned(part):
            is_trained = leaf.is_trained and role.is_trained
            own = leaf.role if leaf.path else role
            inner = Leaf((name, *leaf.path), leaf.type, own, is_trained)
            yield ((owner, name), *fields) if owner is not None else fields, inner


def arguments_of(instance: InstanceOfFunction) -> Iterator[tuple[Value, tuple[Field, ...], Leaf]]:
    """Every argument with the fields that it is of."""
    arguments = iter(instance.function.body.args)
    for _, type_ in instance.parameters:
        for fields, leaf in owned(type_):
            yield next(arguments), fields, leaf


def results_of(instance: InstanceOfFunction) -> Sequence[tuple[Value, tuple[Field, ...]]]:
    """Every result with the fields that it is of."""
    returned = instance.function.body.terminator.operands
    fields = [fields for fields, _ in owned(instance.result)]
    return list(zip(returned, fields, strict=True))


def reaches(instance: InstanceOfFunction, values: Iterable[Value], outputs: set[Value]) -> bool:
    """Whether one of `outputs` depends on one of `values`; what decides a way reaches all."""
    found = set(values)

    def step(op: Operation) -> Sequence[Value]:
        return () if found.isdisjoint(op.operands) else op.results

    reach(instance.function.body, found, step)
    controls = (op for op in instance.function.walk() if isinstance(op, ControlFlow))
    driven = any(not found.isdisjoint(op.drivers()) for op in controls)
    return not found.isdisjoint(outputs) or (driven and bool(outputs))
