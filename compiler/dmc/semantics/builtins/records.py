"""`map`: a function on corresponding leaves of records."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir import dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import Called
from dmc.semantics.callees import check_lambda
from dmc.semantics.inference import unify
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.elementwise import convert
from dmc.semantics.lower.functions import nested
from dmc.semantics.lower.values import Array, Lowered, Record, Static
from dmc.semantics.operators import is_record, record_element
from dmc.semantics.types import (
    FunctionType,
    Pack,
    TensorType,
    children,
    gradient_type,
    pruned,
)
from dmc.syntax import ast


class _Map(Called):
    def check(self, call: Call) -> typed.Node:
        leading = call.arguments[0] if len(call.arguments) > 1 else None
        if not isinstance(leading, ast.Lambda):
            title = "`map` takes a function and records: `map(fn(p) => …, net)`"
            raise call.fail("call.count", title)
        trees = [call.context.check(argument) for argument in call.arguments[1:]]
        first = pruned(trees[0].type)
        if not is_record(first):
            raise call.context.fail(
                "type.operand", f"`map` runs over records, not {first}", trees[0].span
            )
        for tree in trees[1:]:
            if not unify(call.context.facts, gradient_type(tree.type), gradient_type(first)):
                title = f"{first} and {pruned(tree.type)} have different parts"
                raise call.context.fail("type.record", title, tree.span)
        leaf = TensorType(record_element(first), (Pack("leaf"),))
        wanted = FunctionType((leaf,) * len(trees), leaf)
        function = check_lambda(call.context, leading, wanted)
        assert isinstance(function, typed.FunctionValue)
        assert isinstance(function.callee, typed.Lambda)
        value = function.callee.body
        expect(call.context, value, leaf, leading.body.span, "the value for a leaf")
        return typed.MapLeaves(first, call.span, function.callee, tuple(trees))


def _lower(body: Body, node: typed.MapLeaves) -> Lowered:
    return _map(body, node.function, [body.value(tree) for tree in node.trees])


def _map(body: Body, function: typed.Lambda, trees: Sequence[Lowered]) -> Lowered:
    first = trees[0]
    if isinstance(first, Record):
        trained = {name for name, _, _ in children(gradient_type(first.type))}
        fields = dict(first.fields)
        for name in fields:
            if name in trained:
                parts = [t.fields[name] for t in trees if isinstance(t, Record)]
                fields[name] = _map(body, function, parts)
        return Record(first.type, fields)
    scope = nested(body, dict(body.environment), body.substitution)
    for parameter, tree in zip(function.parameters, trees, strict=True):
        scope.environment[parameter] = tree
    result = scope.lower(function.body)
    assert isinstance(first, Array)
    if isinstance(result, Static):
        leaf = first.value.type
        return Array(body.constant(result.value, dtype_of(leaf), *shape_of(leaf)))
    if isinstance(result, Array):
        return convert(body, result, dtype_of(first.value.type))
    return result


register(typed.MapLeaves, _lower)

MAP = _Map("map", "`map(fn(p) => …, record)`: a function applied to every leaf")
