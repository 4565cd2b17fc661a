"""Differentiation operators as `autodiff` operations on functions of the module."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith
from dmc.dialects.derivatives import Problem
from dmc.ir import DType, TensorType, Value
from dmc.semantics import typed
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.functions import Outlined, outline, register_call
from dmc.semantics.lower.values import (
    Array,
    Lowered,
    Pullback,
    Record,
    Tuple,
    flatten,
    rebuild,
    trained_positions,
)
from dmc.semantics.sizes import Size
from dmc.semantics.typed import Operator
from dmc.semantics.types import (
    FunctionType,
    TupleType,
    Type,
    leaves,
    pruned,
)


def _problem(derived: typed.Derived, outlined: Outlined) -> Problem:
    """A function with its arguments, and which leaves are differentiated."""
    captured, given = outlined.captured, outlined.given
    leaves: list[Value] = []
    offsets: list[int] = []
    for value in given:
        offsets.append(len(captured) + len(leaves))
        if isinstance(value, Array | Tuple | Record):
            leaves += flatten(value)
    target: list[int] = []
    for index, path in derived.wrt:
        value, start = given[index], offsets[index]
        for name in path:
            value, start = _enter(value, name, start)
        target += [start + offset for offset in trained_positions(value)]
    return Problem(outlined.function, (*captured, *leaves), tuple(target), derived.budget)


def _inner_type(node: typed.Node, derived: typed.Derived) -> Type:
    """The type of the inner call: only its numbers matter, and those are one scalar."""
    type_ = pruned(node.type)
    if derived.operator in (Operator.VALUE_AND_GRAD, Operator.JVP, Operator.VJP):
        assert isinstance(type_, TupleType)
        return type_.items[0]
    return type_


def _enter(value: Lowered, name: str, start: int) -> tuple[Lowered, int]:
    if not isinstance(value, Record):
        raise CompilerBug("a path leads through records")
    for field, part in value.fields.items():
        if field == name:
            return part, start
        start += len(flatten(part))
    raise CompilerBug(f"no field {name}")


# ---- operators --------------------------------------------------------------------------------


def _derive(
    body: Body,
    derived: typed.Derived,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    """The call of a function that a differentiation operator made.

    The function changes what it changes anyhow; of a `mut fn` the updated receiver comes out, too.
    """
    inner = typed.Node(_inner_type(node, derived), node.span)
    outlined = outline(body, derived.function, arguments, inner)
    problem = _problem(derived, outlined)
    receiver = _receiver(body, derived.function)
    changed = [*([receiver] if receiver is not None else []), *(c.type for c in outlined.cells)]
    extra = sum(1 for type_ in changed for _ in leaves(type_))
    count = len(problem.function.function_type.results) - extra
    result = _apply(body, problem, derived, node, count)
    values = iter(problem.call(body.builder)[count:] if extra else ())
    updated = rebuild(receiver, values) if receiver is not None else None
    for cell in outlined.cells:
        body.cells[cell] = rebuild(cell.type, values)
    return result if updated is None else Tuple((result, updated))


def _receiver(body: Body, callee: typed.Callee) -> Type | None:
    """The type of what a `mut fn` belongs to, whose new value its call gives too."""
    while isinstance(callee, typed.Derived):
        callee = callee.function
    if not isinstance(callee, typed.UserFunction) or callee.receiver is None:
        return None
    return body.type(callee.receiver) if callee.declaration.is_mutable else None


def _apply(
    body: Body, problem: Problem, derived: typed.Derived, node: typed.Node, count: int
) -> Lowered:
    """What the operator makes of the first `count` results of the function, its value."""
    type_ = body.substitution.type(pruned(node.type))
    if derived.entries is not None:
        return _sparse(body, problem, derived, type_)
    match derived.operator:
        case Operator.GRAD:
            return _gradient(body, problem, type_, count, with_value=False)
        case Operator.VALUE_AND_GRAD:
            return _gradient(body, problem, type_, count, with_value=True)
        case Operator.JVP:
            return _jvp(body, problem, derived, type_, count)
        case Operator.VJP:
            return _vjp(body, problem, derived, type_)
        case Operator.JACOBIAN:
            return _jacobian(body, problem, derived, type_)
        case Operator.HESSIAN:
            return _hessian(body, problem, type_)
        case Operator.HVP:
            return _hvp(body, problem, derived, type_)


def _gradient(body: Body, problem: Problem, type_: Type, count: int, with_value: bool) -> Lowered:
    outputs, gradient = problem.gradient(body.builder)
    outputs = outputs[:count]
    if with_value:
        return rebuild(type_, iter([*outputs, *gradient]))
    return rebuild(type_, iter([*gradient, *outputs[1:]]))


def _directions(body: Body, derived: typed.Derived) -> list[Value]:
    (along,) = derived.along
    return body.leaves(along)


def _trained_results(body: Body, derived: typed.Derived) -> tuple[int, ...]:
    """The results that are differentiated, by position."""
    found = leaves(body.substitution.type(pruned(derived.output)))
    return tuple(i for i, leaf in enumerate(found) if leaf.is_trained)


def _jvp(body: Body, problem: Problem, derived: typed.Derived, type_: Type, count: int) -> Lowered:
    assert isinstance(type_, TupleType)
    of, directions = _trained_results(body, derived), _directions(body, derived)
    if derived.stacked:
        outputs = problem.call(body.builder)
        tangents = problem.sweep(body.builder, directions, of, in_reverse=False)
    else:
        outputs, tangents = problem.push(body.builder, directions, of)
    return rebuild(type_, iter([*outputs[:count], *tangents]))


def _vjp(body: Body, problem: Problem, derived: typed.Derived, type_: Type) -> Lowered:
    assert isinstance(type_, TupleType)
    result, pull = type_.items
    outputs = problem.call(body.builder)
    of = _trained_results(body, derived)
    assert isinstance(pull, FunctionType)
    back = Pullback(problem, of, pull.result)
    return Tuple((rebuild(result, iter(outputs)), back))


def _pull(body: Body, node: typed.Pull) -> Lowered:
    back = body.environment[node.function]
    assert isinstance(back, Pullback)
    cotangents = body.leaves(node.cotangent)
    if node.stacked:
        found = back.problem.sweep(body.builder, cotangents, back.of, in_reverse=True)
    else:
        _, found = back.problem.pull(body.builder, cotangents, back.of)
    return rebuild(body.type(node), iter(found))


def _jacobian(body: Body, problem: Problem, derived: typed.Derived, type_: Type) -> Lowered:
    blocks = problem.jacobian(body.builder, _trained_results(body, derived))
    return rebuild(type_, iter([*blocks, *_rest(body, problem, derived)]))


def _sparse(body: Body, problem: Problem, derived: typed.Derived, type_: Type) -> Lowered:
    """`(values, rows, columns)`; the number of entries becomes known here."""
    assert derived.entries is not None
    of = _trained_results(body, derived)
    matrix_of = problem
    is_symmetric = derived.operator is Operator.HESSIAN
    if is_symmetric:
        of = tuple(range(len(problem.target)))
        matrix_of = problem.of_gradient(body.builder)
    matrix = body.lowering.compress(matrix_of, of, is_symmetric)
    body.opened[derived.entries] = Size.of(len(matrix.places))
    values = matrix_of.compressed(body.builder, of, matrix)
    table = TensorType(matrix.rows.shape, DType.I32)
    places = [arith.constant(body.builder, at, table) for at in (matrix.rows, matrix.columns)]
    found = [values, *places]
    return rebuild(type_, iter([*found, *_rest(body, problem, derived)]))


def _rest(body: Body, problem: Problem, derived: typed.Derived) -> Sequence[Value]:
    """What rides along with a Jacobian."""
    count = sum(1 for _ in leaves(body.substitution.type(pruned(derived.output))))
    is_alone = len(problem.function.function_type.results) <= count
    if derived.operator is Operator.HESSIAN or is_alone:
        return ()
    return problem.call(body.builder)[count:]


def _hessian(body: Body, problem: Problem, type_: Type) -> Lowered:
    gradient = problem.of_gradient(body.builder)
    blocks = gradient.jacobian(body.builder, range(len(problem.target)))
    return rebuild(type_, iter(blocks))


def _hvp(body: Body, problem: Problem, derived: typed.Derived, type_: Type) -> Lowered:
    gradient = problem.of_gradient(body.builder)
    directions = _directions(body, derived)
    of = range(len(problem.target))
    if derived.stacked:
        tangents = gradient.sweep(body.builder, directions, of, in_reverse=False)
    else:
        tangents = gradient.push(body.builder, directions, of)[1]
    return rebuild(type_, iter(tangents))


register_call(typed.Derived, _derive)
register(typed.Pull, _pull)
