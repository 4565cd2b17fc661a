"""Tangent and adjoint of a call of a function that has a `derivative` rule.

The rule functions take the arguments and results of the call, then vectors for the float
arguments (jvp) or float results (vjp), and return the vectors of the other side.
"""

from __future__ import annotations

from dmc.autodiff.activity import is_differentiable
from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import arith, autodiff, func
from dmc.ir import Operation


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Call the function and its jvp rule."""
    assert isinstance(op, func.Call)
    callee = func.lookup(driver.module, op.callee)
    copy = driver.builder.insert(op.clone(driver.primal))
    if callee.jvp_rule is None:
        raise _no_rule(callee, op, "forward", "jvp")
    rule = func.lookup(driver.module, callee.jvp_rule)
    vectors = [driver.tangent_or_zero(v) for v in op.operands if is_differentiable(v)]
    outputs = func.call(driver.builder, rule, [*copy.operands, *copy.results, *vectors])
    floats = [value for value in op.results if is_differentiable(value)]
    for value, vector in zip(floats, outputs, strict=True):
        driver.record(value, vector)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Call the function; the pullback calls its vjp rule or transposes its jvp rule.

    A jvp rule is linear in its vectors, so its adjoint at zero vectors is its transpose.
    """
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
            elif callee.jvp_rule is not None:
                rule = func.lookup(reverse.module, callee.jvp_rule)
                vectors = [arith.zeros(builder, value.type) for value in inputs]
                wrt = range(len(arguments), len(arguments) + len(vectors))
                _, outputs = autodiff.vjp(
                    builder, rule, [*arguments, *vectors], bars, wrt, range(len(bars))
                )
            else:
                raise _no_rule(callee, op, "reverse", "jvp")
            for value, bar in zip(inputs, outputs, strict=True):
                reverse.accumulate(value, bar)

    return pull_back


def _no_rule(callee: func.Func, op: Operation, mode: str, needed: str) -> NotDifferentiable:
    return NotDifferentiable(
        "grad.rule",
        f"`{callee.sym_name}` has no rule for {mode} mode",
        op.location,
        f"add a `{needed}` rule to its `derivative` declaration",
    )
