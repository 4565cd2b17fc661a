"""Functions of records leaf by leaf: `map`, and `leaves`, which marks leaves by their paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmc.dialects import control
from dmc.ir import Block, Value, dtype_of, shape_of
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import Called, ValueFunction
from dmc.semantics.callees import check_lambda
from dmc.semantics.context import Context
from dmc.semantics.inference import is_leaf_element, same_shape, unify
from dmc.semantics.lower.access import element
from dmc.semantics.lower.body import Body, register, trained_part
from dmc.semantics.lower.elementwise import convert
from dmc.semantics.lower.functions import nested
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple, flatten, rebuild
from dmc.semantics.operators import is_record, record_element
from dmc.semantics.program import SizeEntity
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    ElementName,
    Form,
    FunctionType,
    Pack,
    PackValue,
    RecordType,
    Shape,
    Side,
    StackType,
    TensorType,
    Type,
    children,
    formed,
    gradient_type,
    pruned,
    unformed,
)
from dmc.syntax import ast
from dmc_runtime.spelling import did_you_mean

_ANY = "leaf"
"""The axes of a leaf in a `map` that says nothing of them."""


class _Map(Called):
    """`map(fn(p) => …, tree, …)`, `map[R, C](fn(p) => …, tree, …)`."""

    def check(self, call: Call) -> typed.Node:
        leading = call.arguments[0] if len(call.arguments) > 1 else None
        if not isinstance(leading, ast.Lambda):
            title = "`map` takes a function and records: `map(fn(p) => …, net)`"
            help_: list[str] = []
            if len(call.arguments) > 1:
                given = [call.context.quote(argument) for argument in call.arguments]
                help_ = [
                    f"over an array: `[i] => {given[0]}({', '.join(f'{x}[i]' for x in given[1:])})`"
                ]
            raise call.fail("call.count", title, help=help_)
        trees = [call.context.check(argument) for argument in call.arguments[1:]]
        first = pruned(trees[0].type)
        if not is_record(first):
            raise call.context.fail(
                "type.operand", f"`map` runs over records, not {first}", trees[0].span
            )
        base, _ = unformed(gradient_type(first))
        for tree in trees[1:]:
            if not unify(call.context.facts, unformed(gradient_type(tree.type))[0], base):
                title = f"{first} and {pruned(tree.type)} have different parts"
                raise call.context.fail("type.record", title, tree.span)
        with call.context.nested(), call.context.independent():
            leaf = TensorType(record_element(base), _leaf_shape(call))
            leaves = [self._leaf(call, tree, leaf) for tree in trees]
            function = check_lambda(call.context, leading, FunctionType(tuple(leaves), leaf))
        assert isinstance(function, typed.FunctionValue)
        assert isinstance(function.callee, typed.Lambda)
        value = function.callee.body
        form = self._form(call, value, leaf, trees[0])
        given = leaf if form is None else form.leaf(leaf)
        expect(call.context, value, given, leading.body.span, "the value for a leaf")
        result = base if form is None else formed(form, base)
        if unify(call.context.facts, result, gradient_type(first)):
            result = first
        return typed.MapLeaves(result, call.span, function.callee, tuple(trees), leaf)

    def _leaf(self, call: Call, tree: typed.Node, leaf: TensorType) -> Type:
        """What stands in a tree for a leaf of the record."""
        _, forms = unformed(tree.type)
        if len(forms) > 1 or not all(isinstance(form, Side) for form in forms):
            title = f"`map` does not run over {pruned(tree.type)}"
            raise call.context.fail("type.operand", title, tree.span)
        return forms[0].leaf(leaf) if forms else leaf

    def _form(
        self, call: Call, value: typed.Node, leaf: TensorType, first: typed.Node
    ) -> Form | None:
        """What the function makes of leaves; without axes to tell, what the first record has."""
        _, forms = unformed(first.type)
        type_ = pruned(value.type)
        known: list[Form | None] = [None, *Side] if len(leaf.shape) == 2 else []
        for form in known:
            made = leaf if form is None else form.leaf(leaf)
            assert isinstance(made, TensorType)
            if isinstance(type_, TensorType) and same_shape(
                call.context.facts, made.shape, type_.shape
            ):
                return form
        return forms[0] if forms else None


def _leaf_shape(call: Call) -> Shape:
    """The sizes that brackets name: only leaves of so many axes are mapped."""
    if call.bracket is None:
        return (Pack(_ANY),)
    sizes: list[Size] = []
    for item in call.bracket.items:
        if not isinstance(item, ast.Name):
            title = "`map` names the axes of the leaves that it takes: `map[R, C](fn(w) => …, net)`"
            raise call.context.fail("shape.axis", title, item.span)
        size = Size.named(item.text)
        call.context.declare(ast.Identifier(item.span, item.text), SizeEntity(size, item.span))
        sizes.append(size)
    return tuple(sizes)


def _lower(body: Body, node: typed.MapLeaves) -> Lowered:
    trees = [body.value(tree) for tree in node.trees]
    base, _ = unformed(gradient_type(body.substitution.type(pruned(node.trees[0].type))))
    return _map(body, node, trees, base, body.type(node))


def _map(
    body: Body, node: typed.MapLeaves, trees: Sequence[Lowered], base: Type, result: Type
) -> Lowered:
    """`base` is the gradient that says which leaves are mapped, `result` what is made."""
    first = trees[0]
    if not isinstance(first, Record):
        assert isinstance(base, TensorType)
        return _leaf(body, node, trees, base)
    if isinstance(first.type, StackType):
        stacks = [t for t in trees if isinstance(t, Record)]
        return _map_layers(body, node, stacks, base, result)
    parts = {name: part for name, part, _ in children(base)}
    fields: dict[str, Lowered] = {}
    for name, part, _ in children(result):
        if name in parts:
            inner = [t.fields[name] for t in trees if isinstance(t, Record)]
            fields[name] = _map(body, node, inner, parts[name], part)
        else:
            fields[name] = first.fields[name]
    assert isinstance(result, RecordType)
    return Record(result, fields)


def _map_layers(
    body: Body, node: typed.MapLeaves, stacks: Sequence[Record], base: Type, result: Type
) -> Lowered:
    """Each layer of a stack by itself; what is not trained stays as it is."""
    first = stacks[0]
    assert isinstance(first.type, StackType)
    assert isinstance(base, StackType)
    assert isinstance(result, StackType)
    block = Block([control.INDEX], ["layer"])
    with body.independent(block, node.span) as inner:
        layers = [_layer(inner, stack, block.args[0], node.span) for stack in stacks]
        mapped = trained_part(_map(inner, node, layers, base.item, result.item))
    control.make_yield(inner.builder, flatten(mapped))
    count = body.size(first.type.count, node.span)
    results = control.make_map(body.builder, [count], block).results
    if unformed(result)[1]:
        return rebuild(result, iter(results))
    return _with_trained(Record(result, first.fields), iter(map(Array, results)))


def _layer(inner: Body, stack: Record, place: Value, span: Span) -> Lowered:
    assert isinstance(stack.type, StackType)
    leaves = (element(inner, leaf, place, span) for leaf in flatten(stack))
    return rebuild(stack.type.item, leaves)


def _with_trained(whole: Record, leaves: Iterator[Array]) -> Record:
    """A record with the leaves of its trained part replaced."""
    trained = {name for name, _, _ in children(gradient_type(whole.type))}
    fields = {
        name: whole.fields[name] for name, _, _ in children(whole.type) if name in whole.fields
    }
    for name, value in fields.items():
        if name in trained:
            fields[name] = (
                _with_trained(value, leaves) if isinstance(value, Record) else next(leaves)
            )
    return Record(whole.type, fields)


def _leaf(
    body: Body, node: typed.MapLeaves, leaves: Sequence[Lowered], base: TensorType
) -> Lowered:
    """The function on one leaf; a leaf of another number of axes than it takes stays as it is."""
    first = leaves[0]
    assert isinstance(first, Array)
    dtype = dtype_of(first.value.type)
    axes = base.shape
    declared = node.leaf.shape
    substitution = body.substitution
    if isinstance(node.leaf.element, ElementName) and is_leaf_element(node.leaf.element):
        substitution = substitution.extended(node.leaf.element.name, dtype)
    if any(isinstance(axis, Pack) for axis in declared):
        substitution = substitution.extended(_ANY, PackValue(axes))
    elif len(declared) != len(axes):
        return first
    for name, size in zip(declared, axes, strict=False):
        if isinstance(name, Size) and isinstance(size, Size):
            substitution = substitution.extended(str(name), size)
    scope = nested(body, dict(body.environment), substitution)
    for parameter, value in zip(node.function.parameters, leaves, strict=True):
        scope.environment[parameter] = value
    result = scope.lower(node.function.body)
    if isinstance(result, Static):
        return Array(body.constant(result.value, dtype, *shape_of(first.value.type)))
    return convert(body, result, dtype) if isinstance(result, Array) else result


class _Leaves(ValueFunction):
    """`leaves[bias, head.w](net)`: 1 on the leaves whose paths contain one of these, else 0."""

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = pruned(values[0].type)
        if not is_record(type_):
            raise call.context.fail(
                "type.operand", f"`leaves` marks parts of records, not of {type_}", values[0].span
            )
        if call.bracket is None:
            title = "`leaves` needs the paths to mark: `leaves[bias](net)`"
            raise call.fail("shape.axis", title)
        paths = tuple(_path(call.context, item) for item in call.bracket.items)
        spans = tuple(item.span for item in call.bracket.items)
        return typed.MarkLeaves(gradient_type(type_), call.span, values[0], paths, spans)


def _path(context: Context, item: ast.Item) -> tuple[str, ...]:
    match item:
        case ast.Name(text=text):
            return (text,)
        case ast.Member(base=base, name=name):
            return (*_path(context, base), name.text)
        case _:
            title = "a path is names joined by dots, as in `leaves[bias, head.w](net)`"
            raise context.fail("shape.axis", title, item.span)


def _lower_leaves(body: Body, node: typed.MarkLeaves) -> Lowered:
    found: set[tuple[str, ...]] = set()
    known: set[str] = set()

    def mark(value: Lowered, path: tuple[str, ...]) -> Lowered:
        match value:
            case Record(type_, fields):
                marked = {name: mark(part, (*path, name)) for name, part in fields.items()}
                return Record(type_, marked)
            case Tuple(items):
                return Tuple(tuple(mark(part, path) for part in items))
            case Array(inner):
                known.update(path)
                hits = [wanted for wanted in node.paths if _contains(path, wanted)]
                found.update(hits)
                shape, dtype = shape_of(inner.type), dtype_of(inner.type)
                return Array(body.constant(1 if hits else 0, dtype, *shape))
            case other:
                return other

    marked = mark(trained_part(body.value(node.operand)), ())
    for path, span in zip(node.paths, node.path_spans, strict=True):
        if path not in found:
            title = (
                f"no trained leaf of {body.type(node.operand)} has `{'.'.join(path)}` in its path"
            )
            raise body.fail("name.field", title, span, help=did_you_mean(path[-1], sorted(known)))
    return marked


def _contains(path: Sequence[str], part: Sequence[str]) -> bool:
    """Whether the names of `part` stand somewhere in `path`, one after another."""
    places = range(len(path) - len(part) + 1)
    return any(tuple(path[i : i + len(part)]) == tuple(part) for i in places)


register(typed.MapLeaves, _lower)
register(typed.MarkLeaves, _lower_leaves)

MAP = _Map(
    "map",
    "`map(fn(p) => …, record)`: a function applied to every leaf, of a stack layer by layer;"
    " `map[R, C](fn(w) => …, record)`: to every matrix, which may become its rows or columns",
)
LEAVES = _Leaves(
    "leaves",
    "`leaves[bias, head.w](net)`: 1 on the leaves that have one of these in their paths, else 0",
    is_step=True,
)
