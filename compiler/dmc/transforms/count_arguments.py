"""Which arguments of a function decide how often a loop runs."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import control, func
from dmc.dialects.flow import reach
from dmc.ir import Module, Operation, SymbolRef, Value


def count_arguments(module: Module, function: func.Func) -> list[int]:
    """Positions of the arguments from which counts known only at run time are computed.

    Counts of loops in functions that it calls or differentiates are among them.
    """
    return sorted(_Search(module).deciding(function))


class _Search:
    def __init__(self, module: Module) -> None:
        self._module = module
        self._known: dict[func.Func, frozenset[int]] = {}

    def deciding(self, function: func.Func) -> frozenset[int]:
        """The positions in one function; nothing calls itself."""
        known = self._known.get(function)
        if known is None:
            arguments = enumerate(function.body.args)
            found = (position for position, value in arguments if self._decides(function, value))
            known = self._known[function] = frozenset(found)
        return known

    def _decides(self, function: func.Func, argument: Value) -> bool:
        made = {argument}

        def step(op: Operation) -> Sequence[Value]:
            return () if made.isdisjoint(op.operands) else op.results

        reach(function.body, made, step)
        return any(self._is_decided(op, made) for op in function.walk())

    def _is_decided(self, op: Operation, made: set[Value]) -> bool:
        """Whether the count of a loop that `op` is or calls is one of the values `made`."""
        if isinstance(op, control.For):
            return op.trip_count < 0 and op.count in made
        callee = op.attributes.get("callee")
        if not isinstance(callee, SymbolRef):
            return False
        called = func.lookup(self._module, callee.name)
        return any(op.operands[position] in made for position in self.deciding(called))
