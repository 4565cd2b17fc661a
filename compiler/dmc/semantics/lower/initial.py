"""`Model.init`: every parameter drawn from a key folded with the path of its field."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, control, random
from dmc.ir import Block, Value
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.values import Array, Lowered, Record, flatten, rebuild
from dmc.semantics.program import Initializer, ModelBody, body_of
from dmc.semantics.types import (
    RecordType,
    Role,
    StackType,
    Type,
    children,
)

__all__ = ["build_model", "field_number"]

_OFFSET, _PRIME = 0xCBF29CE484222325, 0x100000001B3


def field_number(name: str) -> int:
    """A field's name as a signed 64-bit number: FNV-1a (Fowler, Noll, Vo)."""
    total = _OFFSET
    for byte in name.encode():
        total = ((total ^ byte) * _PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return total - (1 << 64) if total >= 1 << 63 else total


def build_model(body: Body, type_: RecordType, key: Value, hypers: Mapping[str, Lowered]) -> Record:
    """A model with its initial parameters; hyperparameters not given take their defaults."""
    model = body_of(type_.declaration)
    assert model is not None
    inner = Body(body.lowering, body.builder, type_.generics(), {})
    parts = {name: part for name, part, _ in children(type_)}
    fields: dict[str, Lowered] = {}
    for entry in type_.declaration.fields:
        if entry.role is Role.HYPER:
            value = hypers.get(entry.name)
            if value is None:
                value = inner.lower(model.defaults[entry.name])
            fields[entry.name] = inner.materialize(value, parts[entry.name])
            inner.environment[model.hypers[entry.name]] = fields[entry.name]
    for initializer in model.initializers:
        name = initializer.entry.name
        fields[name] = _field(inner, model, initializer, parts[name], key)
    return Record(type_, {name: fields[name] for name in parts})


def _field(
    body: Body, model: ModelBody, initializer: Initializer, type_: Type, key: Value
) -> Lowered:
    number = arith.index(body.builder, field_number(initializer.entry.name))
    own = random.fold(body.builder, key, number)
    if initializer.value is not None:
        assert model.key is not None
        body.environment[model.key] = Array(own)
        value = body.materialize(body.lower(initializer.value), type_)
        if isinstance(value, Array) and not value.value.name:
            value.value.name = initializer.entry.name
        return value
    hypers = {name: body.value(node) for name, node in initializer.arguments.items()}
    return _sub_model(body, type_, own, hypers)


def _sub_model(body: Body, type_: Type, key: Value, hypers: Mapping[str, Lowered]) -> Lowered:
    match type_:
        case RecordType():
            return build_model(body, type_, key, hypers)
        case StackType(count, item):
            trips = count.constant or 0
            block = Block([control.INDEX], ["layer"])
            inner = body.inside(block)
            own = random.fold(inner.builder, key, block.args[0])
            value = _sub_model(inner, item, own, hypers)
            control.make_yield(inner.builder, flatten(value))
            total = arith.index(body.builder, trips)
            loop = control.make_for(body.builder, total, (), (), block, trips)
            return rebuild(type_, iter(loop.stacks))
        case _:
            raise CompilerBug(f"{type_} is not a sub-model")
