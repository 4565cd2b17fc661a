"""Differentiation operators as `autodiff` operations on functions of the module."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, autodiff, control, func, tensor
from dmc.dialects.arith import Direction
from dmc.ir import Block, Builder, DType, TensorType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.functions import outline, register_call
from dmc.semantics.lower.values import (
    Array,
    Lowered,
    Pullback,
    Record,
    Tuple,
    flatten,
    rebuild,
)
from dmc.semantics.typed import Operator
from dmc.semantics.types import (
    FunctionType,
    TupleType,
    Type,
    children,
    gradient_type,
    leaves,
    pruned,
)


class _Problem:
    """A function with its arguments, and which leaves are differentiated.

    `wrt` are positions of arguments, ascending; `order[i]` is where the i-th leaf of the target
    stands in `wrt`.
    """

    def __init__(
        self,
        body: Body,
        derived: typed.Derived,
        arguments: Sequence[Lowered | None],
        node: typed.Node,
    ) -> None:
        inner = typed.Node(self._inner_type(node, derived), node.span)
        self.function, captured, given = outline(body, derived.function, arguments, inner)
        leaves: list[Value] = []
        positions: list[int] = []
        offsets: list[int] = []
        for value in given:
            offsets.append(len(captured) + len(leaves))
            if not isinstance(value, Array | Tuple | Record):
                continue
            leaves += flatten(value)
        self.arguments = [*captured, *leaves]
        for index, path in derived.wrt:
            value, start = given[index], offsets[index]
            for name in path:
                value, start = _enter(value, name, start)
            positions += [start + offset for offset in _trained(value)]
        self.wrt = tuple(sorted(positions))
        self.order = tuple(self.wrt.index(position) for position in positions)

    @staticmethod
    def _inner_type(node: typed.Node, derived: typed.Derived) -> Type:
        """The type of the inner call: only its numbers matter, and those are one scalar."""
        type_ = pruned(node.type)
        if derived.operator in (Operator.VALUE_AND_GRAD, Operator.JVP, Operator.VJP):
            assert isinstance(type_, TupleType)
            return type_.items[0]
        return type_

    def pull(self, builder: Builder, cotangents: Sequence[Value], of: Sequence[int]) -> list[Value]:
        """Cotangents of the target's leaves."""
        _, found = autodiff.vjp(builder, self.function, self.arguments, cotangents, self.wrt, of)
        return [found[i] for i in self.order]

    def push(
        self, builder: Builder, tangents: Sequence[Value], of: Sequence[int]
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """Results and tangents of those in `of`, from tangents of the target's leaves."""
        ordered = list(tangents)
        for tangent, place in zip(tangents, self.order, strict=True):
            ordered[place] = tangent
        return autodiff.jvp(builder, self.function, self.arguments, ordered, self.wrt, of)

    @property
    def results(self) -> tuple[TensorType, ...]:
        return tuple(t for t in self.function.function_type.results if isinstance(t, TensorType))


def _enter(value: Lowered, name: str, start: int) -> tuple[Lowered, int]:
    if not isinstance(value, Record):
        raise CompilerBug("a path leads through records")
    for field, part in value.fields.items():
        if field == name:
            return part, start
        start += len(flatten(part))
    raise CompilerBug(f"no field {name}")


def _trained(value: Lowered) -> list[int]:
    """Positions of the differentiable leaves of a value among its leaves."""
    found: list[int] = []
    position = 0

    def visit(item: Lowered, is_trained: bool) -> None:
        nonlocal position
        match item:
            case Array(inner):
                if is_trained and dtype_of(inner.type).is_float:
                    found.append(position)
                position += 1
            case Tuple(items):
                for part in items:
                    visit(part, is_trained)
            case Record(type_, fields):
                kept = {name for name, _, _ in children(gradient_type(type_))}
                for name, part in fields.items():
                    visit(part, is_trained and name in kept)
            case _:
                raise CompilerBug("functions carry no derivative")

    visit(value, True)
    return found


# ---- operators --------------------------------------------------------------------------------


def _derive(
    body: Body,
    derived: typed.Derived,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    """The call of a function that a differentiation operator made."""
    problem = _Problem(body, derived, arguments, node)
    type_ = body.substitution.type(pruned(node.type))
    match derived.operator:
        case Operator.GRAD:
            return _gradient(body, problem, type_, with_value=False)
        case Operator.VALUE_AND_GRAD:
            return _gradient(body, problem, type_, with_value=True)
        case Operator.JVP:
            return _jvp(body, problem, derived, type_)
        case Operator.VJP:
            return _vjp(body, problem, type_)
        case Operator.JACOBIAN:
            return _jacobian(body, problem, type_)
        case Operator.HESSIAN:
            return _hessian(body, problem, type_)
        case Operator.HVP:
            return _hvp(body, problem, derived, type_)


def _gradient(body: Body, problem: _Problem, type_: Type, with_value: bool) -> Lowered:
    one = arith.ones(body.builder, problem.results[0])
    outputs, found = autodiff.vjp(
        body.builder, problem.function, problem.arguments, [one], problem.wrt, (0,)
    )
    gradient = [found[i] for i in problem.order]
    if with_value:
        return rebuild(type_, iter([*outputs, *gradient]))
    return rebuild(type_, iter([*gradient, *outputs[1:]]))


def _directions(body: Body, derived: typed.Derived) -> list[Value]:
    (along,) = derived.along
    return body.leaves(along)


def _float_leaves(problem: _Problem, count: int) -> tuple[int, ...]:
    """The differentiable results among the first `count`."""
    return tuple(i for i, t in enumerate(problem.results[:count]) if t.dtype.is_float)


def _leaf_count(type_: Type) -> int:
    return sum(1 for _ in leaves(type_))


def _first(result: Type) -> Type:
    """What is differentiated: the first component of a tuple."""
    result = pruned(result)
    return result.items[0] if isinstance(result, TupleType) and result.items else result


def _jvp(body: Body, problem: _Problem, derived: typed.Derived, type_: Type) -> Lowered:
    assert isinstance(type_, TupleType)
    of = _float_leaves(problem, _leaf_count(_first(type_.items[0])))
    outputs, tangents = problem.push(body.builder, _directions(body, derived), of)
    return rebuild(type_, iter([*outputs, *tangents]))


def _vjp(body: Body, problem: _Problem, type_: Type) -> Lowered:
    assert isinstance(type_, TupleType)
    result, pull = type_.items
    outputs = func.call(body.builder, problem.function, problem.arguments)
    of = _float_leaves(problem, _leaf_count(_first(result)))
    assert isinstance(pull, FunctionType)
    back = Pullback(
        problem.function, tuple(problem.arguments), problem.wrt, of, pull.result, problem.order
    )
    return Tuple((rebuild(result, iter(outputs)), back))


def _pull(body: Body, node: typed.Pull) -> Lowered:
    back = body.environment[node.function]
    assert isinstance(back, Pullback)
    cotangents = body.leaves(node.cotangent)
    _, found = autodiff.vjp(
        body.builder, back.function, back.arguments, cotangents, back.wrt, back.of
    )
    return rebuild(body.type(node), iter([found[i] for i in back.order]))


def _jacobian(body: Body, problem: _Problem, type_: Type) -> Lowered:
    """One pull for every element of the result, or one push for every element of the target."""
    output = problem.results[0]
    if sum(_leaf_sizes(problem)) < output.size:
        return _pushed_jacobian(body, problem, type_)
    block = Block([control.INDEX] * len(output.shape))
    inner = body.inside(block)
    seed = _one_hot(inner.builder, output, block.args)
    control.make_yield(inner.builder, problem.pull(inner.builder, [seed], (0,)))
    rows = control.make_map(body.builder, output.shape, block).results
    rest: Sequence[Value] = ()
    if len(problem.results) > 1:
        rest = func.call(body.builder, problem.function, problem.arguments)[1:]
    return rebuild(type_, iter([*rows, *rest]))


def _leaf_sizes(problem: _Problem) -> list[int]:
    """The number of elements of each leaf of the target."""
    types = [problem.arguments[position].type for position in problem.wrt]
    return [type_.size for type_ in types if isinstance(type_, TensorType)]


def _pushed_jacobian(body: Body, problem: _Problem, type_: Type) -> Lowered:
    """Columns by forward mode, turned so that the axes of the result come first."""
    targets = [problem.arguments[problem.wrt[place]].type for place in problem.order]
    blocks: list[Value] = []
    for chosen, target in enumerate(targets):
        assert isinstance(target, TensorType)
        block = Block([control.INDEX] * len(target.shape))
        inner = body.inside(block)
        tangents = [
            _one_hot(inner.builder, target, block.args)
            if i == chosen
            else arith.zeros(inner.builder, other)
            for i, other in enumerate(targets)
        ]
        _, columns = problem.push(inner.builder, tangents, (0,))
        control.make_yield(inner.builder, columns)
        (table,) = control.make_map(body.builder, target.shape, block).results
        lead, rank = len(target.shape), len(shape_of(table.type))
        turned = [*range(lead, rank), *range(lead)]
        blocks.append(tensor.transpose(body.builder, table, turned))
    rest: Sequence[Value] = ()
    if len(problem.results) > 1:
        rest = func.call(body.builder, problem.function, problem.arguments)[1:]
    return rebuild(type_, iter([*blocks, *rest]))


def _one_hot(builder: Builder, type_: TensorType, point: Sequence[Value]) -> Value:
    """One at a point, zero elsewhere."""
    inside: Value | None = None
    for axis, index in enumerate(point):
        places = tensor.iota(builder, TensorType(type_.shape, DType.I64), axis)
        spread = tensor.broadcast_in_dim(builder, index, type_.shape, ())
        here = arith.compare(builder, Direction.EQ, places, spread)
        inside = here if inside is None else arith.logical_and(builder, inside, here)
    if inside is None:
        return arith.ones(builder, type_)
    return arith.convert(builder, inside, type_.dtype)


def _gradient_function(body: Body, problem: _Problem) -> func.Func:
    """A function of the same arguments that gives the gradient."""
    types = [value.type for value in problem.arguments]
    function, builder = func.function(
        body.lowering.module,
        f"{problem.function.sym_name}_grad",
        types,
        [value.name for value in problem.arguments],
        body.builder.location,
        private=True,
    )
    one = arith.ones(builder, problem.results[0])
    _, found = autodiff.vjp(builder, problem.function, function.body.args, [one], problem.wrt, (0,))
    return func.finish(function, builder, found)


def _hessian(body: Body, problem: _Problem, type_: Type) -> Lowered:
    """Forward over reverse: one push of the gradient for every element of the target."""
    gradient = _gradient_function(body, problem)
    target = gradient.function_type.results[0]
    assert isinstance(target, TensorType)
    block = Block([control.INDEX] * len(target.shape))
    inner = body.inside(block)
    seed = _one_hot(inner.builder, target, block.args)
    _, tangents = autodiff.jvp(
        inner.builder, gradient, problem.arguments, [seed], problem.wrt, (0,)
    )
    control.make_yield(inner.builder, tangents)
    rows = control.make_map(body.builder, target.shape, block).results
    # The Hessian is symmetric: which axes are the direction's does not matter.
    return rebuild(type_, iter(rows))


def _hvp(body: Body, problem: _Problem, derived: typed.Derived, type_: Type) -> Lowered:
    gradient = _gradient_function(body, problem)
    directions = _directions(body, derived)
    ordered = list(directions)
    for direction, place in zip(directions, problem.order, strict=True):
        ordered[place] = direction
    every = range(len(problem.wrt))
    _, tangents = autodiff.jvp(
        body.builder, gradient, problem.arguments, ordered, problem.wrt, every
    )
    return rebuild(type_, iter([tangents[i] for i in problem.order]))


register_call(typed.Derived, _derive)
register(typed.Pull, _pull)
