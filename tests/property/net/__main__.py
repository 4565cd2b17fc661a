"""`python -m tests.property.net`: check as many programs as a time allows."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys
import time
from collections.abc import Callable

from tests.property.net.budgets import under_budgets
from tests.property.net.cases import Case, Series, draw_case
from tests.property.net.check import Finding, Verdict, source
from tests.property.net.shrink import shrink
from tests.property.net.trapping import checked


def show(case: Case, finding: Finding) -> str:
    lines = [source(case)]
    lines += [f"{name} = {value!r}" for name, value in case.arguments.items()]
    lines += [f"along {name} = {value!r}" for name, value in case.directions.items()]
    return "\n".join([*lines, f"{finding.kind}", finding.detail])


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold random programs against the oracles.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; others follow it")
    parser.add_argument("--series", type=Series, choices=Series, default=Series.LARGE)
    parser.add_argument("--count", type=int, default=None, help="how many seeds at most")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds for each fault")
    parser.add_argument("--kinds", type=int, default=3, help="how many of a kind are shown")
    parser.add_argument("--order", type=int, default=0, help="only derivatives of this order on")
    parser.add_argument("--highest", type=int, default=3, help="no derivatives of a higher order")
    parser.add_argument("--budgets", action="store_true", help="gradients under budgets instead")
    options = parser.parse_args()
    check = under_budgets if options.budgets else checked
    counts: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + options.seconds
    seed = options.seed
    while time.monotonic() < end and (options.count is None or seed < options.seed + options.count):
        drawn = draw_case(seed, options.series)
        case = dataclasses.replace(drawn, modes=drawn.modes[: options.highest])
        if options.order > (len(case.modes) if case.is_loss else 0):
            seed += 1
            continue
        finding = check(case)
        name = f"{finding.verdict}: {finding.kind}"
        counts[name] += 1
        if finding.verdict is Verdict.FAULT and counts[name] <= options.kinds:
            print(f"\nseed {seed}: {finding.kind}", flush=True)

            def holds(smaller: Case, kind: str = finding.kind) -> bool:
                return found_again(check, smaller, kind)

            smallest = shrink(case, holds, options.shrink)
            print(show(smallest, check(smallest)), flush=True)
        seed += 1
    print(f"\n{counts.total()} programs, seeds {options.seed} to {seed - 1}")
    for name, count in counts.most_common():
        print(f"{count:5} {name}")
    return any(name.startswith(Verdict.FAULT) for name in counts)


def found_again(check: Callable[[Case], Finding], case: Case, kind: str) -> bool:
    """Whether a case shows a fault of a kind; what cannot be evaluated shows none."""
    try:
        finding = check(case)
    except Exception:  # noqa: BLE001  # a name that is gone, an empty array that is reduced, …
        return False
    return finding.verdict is Verdict.FAULT and finding.kind == kind


if __name__ == "__main__":
    sys.exit(main())
