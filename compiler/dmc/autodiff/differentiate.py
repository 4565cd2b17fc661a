"""The two transformations, with the rules of all structured operations plugged in."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.autodiff import branch, call, loop, map_region
from dmc.autodiff.adjoint import AdjointRule, emit_adjoint
from dmc.autodiff.tangent import TangentRule, emit_tangent
from dmc.dialects import control, func
from dmc.ir import Module, Operation

TANGENT_RULES: dict[type[Operation], TangentRule] = {
    control.For: loop.tangent_of_for,
    control.If: branch.tangent,
    control.While: loop.tangent_of_while,
    control.Map: map_region.tangent,
    func.Call: call.tangent,
}

ADJOINT_RULES: dict[type[Operation], AdjointRule] = {
    control.For: loop.adjoint_of_for,
    control.If: branch.adjoint,
    control.While: loop.adjoint_of_while,
    control.Map: map_region.adjoint,
    func.Call: call.adjoint,
}


def tangent(module: Module, source: func.Func, wrt: Sequence[int], of: Sequence[int]) -> func.Func:
    """Add the tangent of `source` to `module`.

    `wrt` are indexes of float arguments, `of` of float results. The new function takes the
    arguments and a tangent for each of `wrt`; it returns the results and a tangent for each of
    `of`. `source` must hold no derivative requests and call only functions with rules.
    Raises NotDifferentiable.
    """
    return emit_tangent(module, source, wrt, of, TANGENT_RULES)


def adjoint(module: Module, source: func.Func, wrt: Sequence[int], of: Sequence[int]) -> func.Func:
    """Add the adjoint of `source` to `module`.

    The new function takes the arguments and a cotangent for each of `of`; it returns the results
    and a cotangent for each of `wrt`. `source` must hold no derivative requests and call only
    functions with rules. Raises NotDifferentiable.
    """
    return emit_adjoint(module, source, wrt, of, ADJOINT_RULES)
