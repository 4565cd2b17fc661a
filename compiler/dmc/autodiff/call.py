"""Tangent and adjoint of a call of a function that has a `derivative` rule.

The rule functions take the arguments and results of the call, then vectors for the float
arguments (jvp) or float results (vjp), and return the vectors of the other side.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.autodiff.activity import is_differentiable
from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import arith, autodiff, func
from dmc.ir import Builder, Module, Operation, Type, Value


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Call the function and its jvp rule, or transpose its vjp rule."""
    assert isinstance(op, func.Call)
    callee = func.lookup(driver.module, op.callee)
    copy = driver.builder.insert(op.clone(driver.primal))
    vectors = [driver.tangent_or_zero(v) for v in op.operands if is_differentiable(v)]
    floats = [value for value in op.results if is_differentiable(value)]
    arguments = [*copy.operands, *copy.results]
    if callee.jvp_rule is not None:
        rule = func.lookup(driver.module, callee.jvp_rule)
        outputs: Sequence[Value] = func.call(driver.builder, rule, [*arguments, *vectors])
    else:
        types = [value.type for value in floats]
        outputs = _transposed(driver.module, driver.builder, op, arguments, types, vectors)
    for value, vector in zip(floats, outputs, strict=True):
        driver.record(value, vector)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Call the function; the pullback calls its vjp rule or transposes its jvp rule."""
    assert isinstance(op, func.Call)
    callee = func.lookup(driver.module, op.callee)
    copy = driver.copy(op)

    def pull_back(reverse: AdjointDriver) -> None:
        results = [value for value in op.results if is_differentiable(value)]
        if not any(value in reverse.cotangents for value in results):
            return
        builder = reverse.builder
        with builder.at(op.location.by("adjoint")):
            bars = [reverse.cotangent_or_zero(value) for value in results]
            arguments = [*copy.operands, *copy.results]
            inputs = [value for value in op.operands if is_differentiable(value)]
            if callee.vjp_rule is not None:
                rule = func.lookup(reverse.module, callee.vjp_rule)
                outputs = func.call(builder, rule, [*arguments, *bars])
            else:
                types = [value.type for value in inputs]
                outputs = _transposed(reverse.module, builder, op, arguments, types, bars)
            for value, bar in zip(inputs, outputs, strict=True):
                reverse.accumulate(value, bar)

    return pull_back


def _transposed(
    module: Module,
    builder: Builder,
    op: func.Call,
    arguments: Sequence[Value],
    types: Sequence[Type],
    vectors: Sequence[Value],
) -> Sequence[Value]:
    """The only rule of a function, which takes vectors of `types`, transposed, on `vectors`.

    A rule is linear in its vectors, so its adjoint at zero vectors is its transpose.
    """
    callee = func.lookup(module, op.callee)
    symbol = callee.jvp_rule or callee.vjp_rule
    assert symbol is not None
    if callee.nonlinear_rules:
        mode, needed = ("reverse", "vjp") if callee.jvp_rule else ("forward", "jvp")
        raise NotDifferentiable(
            "grad.rule",
            f"`{callee.sym_name}` has no rule for {mode} mode, and its other is not linear",
            op.location,
            f"add a `{needed}` rule to its `derivative` declaration",
        )
    zeros = [arith.zeros(builder, type_) for type_ in types]
    wrt = range(len(arguments), len(arguments) + len(zeros))
    _, outputs = autodiff.vjp(
        builder,
        func.lookup(module, symbol),
        [*arguments, *zeros],
        vectors,
        wrt,
        range(len(vectors)),
    )
    return outputs
