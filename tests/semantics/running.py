"""Running dm text through the checker, lowering and the reference interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.ir import Interpreter, Module
from dmc.ir.types import DType
from dmc.ir.verifier import verify
from dmc.semantics import binding
from dmc.semantics.lower.program import lower
from dmc.semantics.modules import check_program, check_text
from dmc.semantics.program import FunctionDeclaration, Program
from dmc.semantics.signature import (
    Binding,
    Given,
    GivenArray,
    GivenNumber,
    GivenRecord,
    GivenTuple,
    NumberClass,
    Signature,
)
from dmc.semantics.types import KeyType, RecordDeclaration, RecordType, StackType, Type, children
from dmc.sparsity.layout import compressed
from dmc.transforms.expand_autodiff import ExpandAutodiff
from tests.programs import FOLDER


@dataclass
class Rec:
    """A record value for tests: its fields by name."""

    declaration: RecordDeclaration
    fields: Mapping[str, Any]


def load(name: str) -> Program:
    return check_program(FOLDER / f"{name}.dm")


def record(program: Program, name: str, **fields: Any) -> Rec:
    return Rec(program.main.records[name], fields)


def given(value: Any) -> Given:
    match value:
        case Rec(declaration, fields):
            return GivenRecord(declaration, tuple((n, given(v)) for n, v in fields.items()))
        case tuple():
            return GivenTuple(tuple(map(given, value)))
        case bool():
            return GivenNumber(NumberClass.BOOL)
        case int():
            return GivenNumber(NumberClass.INT)
        case float():
            return GivenNumber(NumberClass.FLOAT)
        case _:
            return GivenArray(DType.of(value.dtype), value.shape)


def arrays(value: Any) -> Iterator[Any]:
    match value:
        case Rec(_, fields):
            for item in fields.values():
                yield from arrays(item)
        case tuple():
            for item in value:
                yield from arrays(item)
        case _:
            yield value


def function(program: Program, name: str) -> FunctionDeclaration:
    """A function of the main module, or a method such as `MLP.forward`."""
    owner, _, method = name.rpartition(".")
    if not owner:
        return program.main.functions[name]
    return program.main.models[program.main.records[owner]].methods[method]


def signature(program: Program, name: str) -> Signature:
    model, _, method = name.rpartition(".")
    if method == "init" and model:
        return program.main.models[program.main.records[model]].init_signature
    return function(program, name).signature


def bind(
    program: Program,
    name: str,
    arguments: Mapping[str, Any],
    brackets: Sequence[int] = (),
    sizes: Mapping[str, int] | None = None,
) -> Binding:
    described = {key: given(value) for key, value in arguments.items()}
    return binding.bind(signature(program, name), described, brackets, sizes)


def module(program: Program | str, name: str, **arguments: Any) -> Module:
    """The verified IR of an instance."""
    program = check_text(program) if isinstance(program, str) else program
    lowered = lower(bind(program, name, arguments), compressed)
    verify(lowered)
    return lowered


def run(
    program: Program | str,
    name: str,
    *brackets: int,
    sizes: Mapping[str, int] | None = None,
    **arguments: Any,
) -> list[Any]:
    """The leaves of the result, by the reference interpreter."""
    program = check_text(program) if isinstance(program, str) else program
    binding = bind(program, name, arguments, brackets, sizes)
    lowered = lower(binding, compressed)
    verify(lowered)
    ExpandAutodiff().run(lowered)
    verify(lowered)
    values = [v for p in binding.parameters for v in arrays(arguments[p.name])]
    typed = [
        np.asarray(value, np.int64 if isinstance(leaf.type, KeyType) else _dtype(leaf.type.element))
        for value, leaf in zip(values, binding.arguments, strict=True)
    ]
    return Interpreter(lowered).call(binding.signature.name, typed)


def _dtype(element: object) -> np.dtype[Any]:
    assert isinstance(element, DType)
    return element.numpy


def build(type_: Type, values: Iterator[Any]) -> Any:
    """A record from its leaves, as `init` returns them."""
    if isinstance(type_, RecordType | StackType):
        item: Type = type_
        while isinstance(item, StackType):
            item = item.item
        assert isinstance(item, RecordType)
        parts = {name: build(part, values) for name, part, _ in children(type_)}
        return Rec(item.declaration, parts)
    return next(values)


def init(program: Program, name: str, key: int, **sizes: int) -> Rec:
    binding = bind(program, f"{name}.init", {"key": np.int64(key)}, sizes=sizes)
    leaves = run(program, f"{name}.init", sizes=sizes, key=np.int64(key))
    return build(binding.result, iter(leaves))
