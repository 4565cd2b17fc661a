"""Well-typed programs of `tests/property/net`, held against their oracles there.

Most are small, since small programs show most faults and take a third of the time; of one in eight
every prefix of the passes is interpreted, too.
"""

from __future__ import annotations

import numpy as np

import dmc
from dmc.driver import Compilation
from dmc.ir import Array, Interpreter
from dmc.ir.passes import PassManager
from dmc.ir.printer import print_module
from dmc.transforms import pipeline
from tests.fuzz.family import Fault, Outcome, raised
from tests.property.net.cases import Case, Series, draw_case
from tests.property.net.check import (
    Checker,
    Verdict,
    brief,
    flat_argument,
    is_close,
    make,
    source,
)
from tests.property.net.shrink import shrink
from tests.property.net.trapping import checked


def case_of(seed: int) -> Case:
    """Five of eight are small, one is a nest of loops over tables, one has wild indexes."""
    others = {0: Series.LARGE, 2: Series.WILD, 4: Series.NESTS}
    return draw_case(seed, others.get(seed % 8, Series.SMALL))


def prefixes(case: Case) -> Fault | None:
    """The first pass after which the interpreter gives something else, derivatives included."""
    program = dmc.loads(source(case))
    entry = case.program.entry
    arguments = [make(program, p, case.arguments) for p in entry.parameters]
    leaves = [x for p in entry.parameters for x in flat_argument(case.arguments[p.name])]
    if case.is_loss:
        arguments += [make(program, p, case.directions) for p in case.wrt]
        leaves += [x for p in case.wrt for x in flat_argument(case.directions[p.name])]
    name = "joined" if case.is_loss else entry.name
    try:
        made = getattr(program, name).specialize(*arguments).compilation
        return first_wrong_pass(made, leaves, Checker(case).tolerance)
    except dmc.Error:
        return None


def first_wrong_pass(
    compilation: Compilation, leaves: list[Array], tolerance: float
) -> Fault | None:
    """The first pass of a compilation after which the interpreter gives something else."""
    module, entry = compilation.expanded.copy(), compilation.entry
    wanted = _wide(Interpreter(module).call(entry, leaves))
    text = print_module(module, generic=True)
    for item in [*pipeline.optimize(), *pipeline.to_kernels()]:
        try:
            PassManager([item]).run(module)
            before, text = text, print_module(module, generic=True)
            if text == before:
                continue
            got = _wide(Interpreter(module).call(entry, leaves))
        except Exception as failure:  # noqa: BLE001
            return raised(f"after {item.name}", failure)
        if not is_close(got, wanted, tolerance):
            return Fault(f"{item.name} changes what is computed", f"{brief(got)}\n{brief(wanted)}")
    return None


def _wide(arrays: list[Array]) -> list[Array]:
    return [np.asarray(array).astype(np.float64) for array in arrays]


class Programs:
    """A seed is one of the net's, of the small ones or of the others."""

    name = "programs"

    def check(self, seed: int) -> Outcome:
        return self.outcome(case_of(seed), passes=seed % 8 == 1)

    def outcome(self, case: Case, *, passes: bool) -> Outcome:
        """What becomes of a case; after each of the passes, if that is asked."""
        finding = checked(case)
        if finding.verdict is Verdict.FAULT:
            return Fault(finding.kind, finding.detail)
        if passes and finding.verdict is Verdict.AGREES:
            with np.errstate(all="ignore"):
                return prefixes(case) or "agrees after each pass"
        return str(finding.verdict)

    def shrunk(self, seed: int, fault: Fault) -> str:
        def holds(smaller: Case) -> bool:
            try:
                found = self.outcome(smaller, passes=seed % 8 == 1)
            except Exception:  # noqa: BLE001  # not a program any more
                return False
            return isinstance(found, Fault) and found.kind == fault.kind

        smallest = shrink(case_of(seed), holds, seconds=60)
        given = [f"{name} = {value!r}" for name, value in smallest.arguments.items()]
        return "\n".join([source(smallest), *given])
