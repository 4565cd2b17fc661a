"""Inlining of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from dmc.dialects import func
from dmc.ir import Block, Builder, Module, Operation, SymbolRef
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import inline_block

MOST_OPERATIONS = 1 << 20
"""A function with more when its calls are written out takes longer to compile than anyone waits."""


class TooLarge(Exception):
    """A function calls, and these call, so often that it is too large with all of it written out.

    `operations` are how many it would have, more than `MOST_OPERATIONS`.
    """

    def __init__(self, function: func.Func, operations: int) -> None:
        super().__init__(f"{function.sym_name} would have {operations} operations")
        self.function = function
        self.operations = operations


@dataclass(frozen=True)
class Inline(Pass):
    """Replace every `func.call` by the body of its callee.

    Functions with a derivative rule of their own stay calls until `rules` is set, which is done
    once all derivatives have been taken. A private function goes with its last call. Raises
    TooLarge.
    """

    name = "inline"
    rules: bool = False

    def run(self, module: Module) -> None:
        named = {function.sym_name: function for function in func.functions(module)}
        calls = {function: self._calls(named, function.body) for function in named.values()}
        callees = {function: set(found.values()) for function, found in calls.items()}
        waiting = Counter(callee for found in calls.values() for callee in found.values())
        kept = _referenced(module, {call for found in calls.values() for call in found})
        _refuse_too_large(calls, callees)
        # Callers first, so that what is copied and moved is as written: each operation goes once.
        for function in reversed(list(TopologicalSorter(callees).static_order())):
            pending = list(calls[function].items()) if function.parent is not None else []
            while pending:
                call, callee = pending.pop()
                waiting[callee] -= 1
                is_last = not waiting[callee] and callee.is_private and callee.sym_name not in kept
                block = callee.body if is_last else callee.regions[0].clone({}).block
                inner = self._calls(named, block)
                waiting.update(() if is_last else inner.values())
                pending += inner.items()
                replace_op(call, inline_block(block, call.operands, Builder.ahead_of(call)))
                if is_last:
                    callee.erase()

    def _calls(self, named: Mapping[str, func.Func], within: Block) -> dict[func.Call, func.Func]:
        """The calls that are to go, and what they call."""
        calls = [op for outer in within for op in outer.walk() if isinstance(op, func.Call)]
        found = {call: named[call.callee.name] for call in calls}
        return {c: callee for c, callee in found.items() if self.rules or not callee.has_rule}


def _refuse_too_large(
    calls: Mapping[func.Func, Mapping[func.Call, func.Func]],
    callees: Mapping[func.Func, set[func.Func]],
) -> None:
    sizes: dict[func.Func, int] = {}
    for function in TopologicalSorter(callees).static_order():
        own = sum(1 for op in function.body for _ in op.walk())
        sizes[function] = own + sum(sizes[callee] for callee in calls[function].values())
        if sizes[function] > MOST_OPERATIONS:
            raise TooLarge(function, sizes[function])


def _referenced(module: Module, calls: Container[Operation]) -> set[str]:
    """Names of functions that an operation other than `calls` refers to."""
    return {
        value.name
        for op in module.walk()
        if op not in calls
        for value in op.attributes.values()
        if isinstance(value, SymbolRef)
    }
