"""Guarded products become plain ones where no zero has come from something not selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmc.autodiff.activity import is_differentiable
from dmc.dialects import arith, autodiff, func, linalg, tensor
from dmc.dialects.elementwise import elements_of
from dmc.dialects.flow import reach
from dmc.ir import Module, Operation, Value, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.guards import Guarded, guard


@dataclass(frozen=True)
class RelaxGuards(Pass):
    """Drop guards that no exact zero can reach.

    A tangent or cotangent is exactly zero where something is not selected: by a mask, a branch, an
    index, or because a carried value is not used after its loop. All of these zeros are constants
    somewhere in the program, or meant by what gives them (`autodiff.direction`, `arith.weight`);
    what none of them reaches needs no guard. Zeros that come out of arithmetic do not count. This
    is part of what a derivative means and runs at the end of `expand-autodiff`.
    """

    name = "relax-guards"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            zeros = Zeros(function)
            for op in list(function.walk()):
                _relax(op, zeros)


def _relax(op: Operation, zeros: Zeros) -> None:
    if isinstance(op, autodiff.Direction | arith.Weight):
        marked = op.operands[-1]
        zeros.replace(op.result, marked)
        replace_op(op, [marked])
    if isinstance(op, linalg.Solver):
        op.attributes["absorbs"] = op.absorbs and op.right in zeros
        return
    if isinstance(op, Guarded):
        result = op.result
        new = guard(op, op.lhs_absorbs and op.lhs in zeros, op.rhs_absorbs and op.rhs in zeros)
        if new is not None:
            zeros.replace(result, new)


class Zeros:
    """The values that may hold a zero that a constant put there."""

    def __init__(self, function: func.Func) -> None:
        self._found: set[Value] = set()
        if function.is_private:
            self._found.update(function.body.args)
        reach(function.body, self._found, self._step)

    def __contains__(self, value: Value) -> bool:
        return value in self._found

    def replace(self, old: Value, new: Value) -> None:
        """Know of `new` what is known of `old`, which is about to go."""
        if old in self._found:
            self._found.add(new)

    def _step(self, op: Operation) -> Sequence[Value]:
        return op.results if self._makes_zeros(op) else ()

    def _makes_zeros(self, op: Operation) -> bool:
        match op:
            case arith.Constant():
                array = elements_of(op.result)
                return array is not None and not bool(np.all(array))
            case arith.Add() | arith.Subtract():
                # Where one side is not zero the sum is not.
                return op.lhs in self._found and op.rhs in self._found
            case arith.GuardedMultiply():
                # A partial derivative that is zero is none of its concern.
                return op.lhs in self._found
            case tensor.CumSum() if op.exclusive:
                return True
            case tensor.Reduce() if 0 in shape_of(op.operand.type):
                return True
            case tensor.DotGeneral() if 0 in shape_of(op.lhs.type):
                return True
            case func.Call() | autodiff.Direction() | arith.Weight():
                return True
            case _:
                floats = [v for v in op.operands if is_differentiable(v)]
                return any(value in self._found for value in floats)
