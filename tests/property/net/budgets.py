"""Holds the gradient of a case under budgets against the one that keeps everything.

The bits are the same, a call takes no more than the budget, and what a refusal says is enough is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import dmc
from dmc.dialects import func
from dmc.transforms.memory import replay
from tests.property.net.cases import Case
from tests.property.net.check import Finding, Verdict, bug_kind, code_of, make, parts
from tests.property.net.syntax import RecordType


def under_budgets(case: Case) -> Finding:
    """The first thing that is wrong with gradients under budgets, or that all is well."""
    return Budgets(case).run()


@dataclass(frozen=True)
class Budgets:
    """Gradients in the parameters that are no records, in reverse mode."""

    case: Case

    @property
    def wrt(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.case.wrt if not isinstance(p.type, RecordType))

    def run(self) -> Finding:
        """The first thing that is wrong, or that all is well."""
        if not self.case.is_loss or not self.wrt:
            return Finding(Verdict.UNDECIDED, "no gradient")
        try:
            program = dmc.loads(self.case.program.text())
            entry = self.case.program.entry
            given = [make(program, p, self.case.arguments) for p in entry.parameters]
            return self._compare(getattr(program, entry.name), given)
        except dmc.CompilerBug as bug:
            return Finding(Verdict.FAULT, f"budget: {bug_kind(bug)}", str(bug))
        except dmc.Error as refusal:
            return Finding(Verdict.REFUSED, f"budget: {code_of(refusal)}", str(refusal))
        except Exception as bug:  # noqa: BLE001  # whatever it is, it is a fault
            return Finding(Verdict.FAULT, f"budget: {bug_kind(bug)}", repr(bug))

    def _compare(self, f: dmc.Function, given: Sequence[object]) -> Finding:
        whole = dmc.value_and_grad(f, wrt=self.wrt).compile(*given)
        expected = [part.tobytes() for part in parts(whole(*given))]
        most = taken(whole)
        smallest = least(f, self.wrt, given)
        if smallest > 1 and least(f, self.wrt, given, smallest - 1) != smallest:
            return Finding(Verdict.FAULT, "budget: another smallest one", f"{smallest}")
        for budget in dict.fromkeys((smallest, max(smallest, (smallest + most) // 2))):
            held = dmc.value_and_grad(f, wrt=self.wrt, budget=budget).compile(*given)
            if taken(held) > budget:
                told = f"{taken(held)} bytes under a budget of {budget}"
                return Finding(Verdict.FAULT, "budget: not kept", told)
            compilation = held.compilation
            replay(func.lookup(compilation.kernels, compilation.entry), held.memory().arena)
            got = parts(held(*given))
            if [part.tobytes() for part in got] != expected:
                largest = max(np.abs(part).max(initial=0.0) for part in got)
                told = f"under a budget of {budget}; numbers up to {largest}"
                return Finding(Verdict.FAULT, "budget: other bits", told)
        return Finding(Verdict.AGREES, "budget")


def taken(compiled: dmc.Compiled) -> int:
    """The arena, and the memory of one parallel task."""
    plan = compiled.compilation.memory()
    return plan.arena_bytes + plan.private_bytes


def least(f: dmc.Function, wrt: tuple[str, ...], given: Sequence[object], budget: int = 1) -> int:
    """What a refusal of a budget says is enough; the budget itself if that is."""
    try:
        dmc.value_and_grad(f, wrt=wrt, budget=budget).compile(*given)
    except dmc.OutOfMemory as refusal:
        return int(refusal.diagnostics[0].title.split()[-2])
    return budget
