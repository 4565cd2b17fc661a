"""Declared derivatives keep zeros exact, as the derivatives of operations do."""

from __future__ import annotations

from dmc.autodiff.activity import active_values
from dmc.dialects import arith, func, tensor
from dmc.ir import Builder, Module, Operation, Value
from dmc.ir.rewriter import replace_op


def guard_rules(module: Module) -> None:
    """Guard the products by which the rules of `module` scale their vectors.

    A rule is linear in its vectors; what depends on one and is zero stays zero, whatever the
    coefficient is. Dividing a vector is scaling it by the reciprocal, as for `arith.divide` itself.
    """
    for function in func.functions(module):
        given = len(function.function_type.inputs) + len(function.function_type.results)
        for name in (function.jvp_rule, function.vjp_rule):
            if name is not None:
                rule = func.lookup(module, name)
                linear = active_values(rule.body, rule.body.args[given:])
                for op in list(rule.walk()):
                    _guard(op, linear)


def _guard(op: Operation, linear: set[Value]) -> None:
    builder = Builder.ahead_of(op)
    builder.location = op.location
    match op:
        case arith.Multiply() if (op.lhs in linear) != (op.rhs in linear):
            new = arith.product(builder, op.lhs, op.rhs, op.lhs in linear, op.rhs in linear)
        case arith.Divide() if op.lhs in linear and op.rhs not in linear:
            one = arith.ones(builder, op.rhs.type)
            new = arith.guarded_multiply(builder, op.lhs, arith.divide(builder, one, op.rhs))
        case tensor.DotGeneral():
            op.attributes["lhs_absorbs"] = op.lhs in linear
            op.attributes["rhs_absorbs"] = op.rhs in linear
            return
        case _:
            return
    linear.add(new)
    replace_op(op, [new])
