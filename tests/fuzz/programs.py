"""Well-typed programs of `tests/property/net`, held against their oracles there."""

from __future__ import annotations

from tests.fuzz.family import Fault, Outcome
from tests.property.net.cases import Case, draw_case
from tests.property.net.check import Checker, Verdict, source
from tests.property.net.shrink import shrink


class Programs:
    """A seed is one of the net's."""

    name = "programs"

    def check(self, seed: int) -> Outcome:
        finding = Checker(draw_case(seed)).run()
        if finding.verdict is Verdict.FAULT:
            return Fault(finding.kind, finding.detail)
        return str(finding.verdict)

    def shrunk(self, seed: int, fault: Fault) -> str:
        def holds(smaller: Case) -> bool:
            try:
                finding = Checker(smaller).run()
            except Exception:  # noqa: BLE001  # not a program any more
                return False
            return finding.verdict is Verdict.FAULT and finding.kind == fault.kind

        smallest = shrink(draw_case(seed), holds, seconds=60)
        given = [f"{name} = {value!r}" for name, value in smallest.arguments.items()]
        return "\n".join([source(smallest), *given])
