"""No function needs itself, nor does a derivative need itself of the same order.

The rule of a derivative may call the function that it belongs to, as that of `exp` does, and the
rules of two functions each other's, as those of `sin` and `cos`: each derivative takes one order
off. It may not take a derivative that needs this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.diagnostics.report import Diagnostics
from dmc.semantics.program import FunctionDeclaration


@dataclass(frozen=True)
class _Need:
    """The value of a function, or its derivative."""

    function: FunctionDeclaration
    is_derivative: bool = False

    def others(self) -> Iterator[_Need]:
        """What it needs in turn. A function that is passed on may be differentiated there."""
        function = self.function
        if self.is_derivative:
            yield _Need(function)
        uses_rules = self.is_derivative and bool(function.rules)
        for use in function.rule_uses if uses_rules else function.uses:
            yield _Need(use.function)
            if use.as_value or (self.is_derivative and not uses_rules):
                yield _Need(use.function, True)


def refuse_recursion(functions: Sequence[FunctionDeclaration], diagnostics: Diagnostics) -> None:
    """Report where one of the functions needs itself; if none does, where a derivative does."""
    found = list(_cycles([_Need(function) for function in functions]))
    found = found or list(_cycles([_Need(function, True) for function in functions]))
    for cycle in found:
        _report(diagnostics, cycle)


def _cycles(roots: Sequence[_Need]) -> Iterator[list[_Need]]:
    """Ways from something to itself."""
    done: set[_Need] = set()
    for root in roots:
        # Depth first without recursion of our own: call chains may be long.
        path: dict[_Need, None] = {}
        pending: list[tuple[_Need, bool]] = [(root, False)]
        while pending:
            need, is_left = pending.pop()
            if is_left:
                del path[need]
                done.add(need)
            elif need in path:
                yield [*path][[*path].index(need) :]
            elif need not in done:
                path[need] = None
                pending.append((need, True))
                pending += [(other, False) for other in need.others()]


def _report(diagnostics: Diagnostics, cycle: Sequence[_Need]) -> None:
    first = next((need for need in cycle if not need.is_derivative), cycle[0])
    start = cycle.index(first)
    names = dict.fromkeys(need.function.name for need in (*cycle[start:], *cycle[:start]))
    chain = " → ".join(f"`{name}`" for name in (*names, first.function.name))
    if first.is_derivative:
        title = f"the derivative of `{first.function.name}` needs itself"
        help = "a rule may call functions, this one too, but take derivatives of others only"
    else:
        title = f"`{first.function.name}` calls itself"
        help = "use `for` or `while`; recursion would need a tape without bound"
    span, label = first.function.span, chain if len(names) > 1 else ""
    diagnostics.report("name.recursive", title, span, label, help=[help])
