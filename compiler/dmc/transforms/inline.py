"""Inlining of calls."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import func
from dmc.ir import Builder, Module
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import inline_block


@dataclass(frozen=True)
class Inline(Pass):
    """Replace every `func.call` by the body of its callee.

    Functions with a derivative rule of their own stay calls until `rules` is set, which is done
    once all derivatives have been taken. The language has no recursion, so this ends.
    """

    name = "inline"
    rules: bool = False

    def run(self, module: Module) -> None:
        done: set[func.Func] = set()
        for function in func.functions(module):
            self._inline_into(module, function, done)

    def _inline_into(self, module: Module, function: func.Func, done: set[func.Func]) -> None:
        if function in done:
            return
        done.add(function)
        for op in list(function.walk()):
            if not isinstance(op, func.Call):
                continue
            callee = func.lookup(module, op.callee)
            if callee.has_rule and not self.rules:
                continue
            self._inline_into(module, callee, done)
            body = callee.regions[0].clone({}).block
            replace_op(op, inline_block(body, op.operands, Builder.ahead_of(op)))
