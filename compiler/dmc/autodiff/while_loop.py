"""Tangent of `control.while`; its adjoint needs a tape that grows, which is refused for now."""

from __future__ import annotations

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import control
from dmc.ir import Block, Operation


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Carry tangents beside values; the condition looks at values only."""
    assert isinstance(op, control.While)
    active = [i for i, arg in enumerate(op.body.args) if arg in driver.active]
    test = Block()
    mapping = dict(driver.primal)
    for arg in op.condition.args:
        mapping[arg] = test.add_arg(arg.type, arg.name)
    for i in active:
        test.add_arg(op.condition.args[i].type)
    for inner_op in op.condition:
        test.insert(inner_op.clone(mapping))

    body = Block()
    inner = driver.inside(body)
    for arg in op.body.args:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    for i in active:
        inner.record(op.body.args[i], body.add_arg(op.body.args[i].type))
    inner.block(op.body)
    nexts = op.body.terminator.operands
    with inner.builder.at(driver.builder.location):
        control.make_yield(
            inner.builder,
            [
                *(inner.primal.get(v, v) for v in nexts),
                *(inner.tangent_or_zero(nexts[i]) for i in active),
            ],
        )
    inits = [driver.primal.get(v, v) for v in op.inits]
    inits += [driver.tangent_or_zero(op.inits[i]) for i in active]
    loop = control.make_while(driver.builder, inits, test, body)
    driver.adopt(op, loop, active)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Raises NotDifferentiable: the number of iterations to keep is unknown."""
    raise NotDifferentiable(
        "grad.while",
        "reverse mode through `while` is not supported yet",
        op.location,
        "declare its derivative: `derivative f(x) -> y { jvp(dx) = … }`, "
        "use `jvp`, or count the steps with `for`",
    )
