"""Random dm programs mean what the oracles say; `python -m tests.property.net` checks more."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import dmc
from dmc.dialects import loop
from tests.property.net import check, taylor
from tests.property.net.budgets import under_budgets
from tests.property.net.cases import Case, Series, draw_case
from tests.property.net.check import Checker, Finding, Verdict
from tests.property.net.known import KNOWN, SEEDS, KnownFault
from tests.property.net.shrink import shrink
from tests.property.net.syntax import TooLong
from tests.property.net.trapping import checked

FIXED = range(44)

KNOWN_NAMES = {fault.name for fault in KNOWN}


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.xfail(reason=SEEDS[seed])) if seed in SEEDS else seed
        for seed in FIXED
    ],
)
def test_program(seed: int) -> None:
    finding = Checker(draw_case(seed)).run()
    assert finding.verdict is not Verdict.FAULT, f"{finding.kind}\n{finding.detail}"


@pytest.mark.parametrize("seed", [18, 19])
def test_nest(seed: int) -> None:
    """Cells of tables computed from cells near by; in 19 some within an antidiagonal."""
    drawn = draw_case(seed, Series.NESTS)
    case = dataclasses.replace(drawn, modes=drawn.modes[:1])
    finding = Checker(case).quick()
    assert finding.verdict is Verdict.AGREES, f"{finding.kind}\n{finding.detail}"


@pytest.mark.parametrize("seed", [10031, 10086, 10121, 20237, 20948])
def test_indexes_that_may_be_outside(seed: int) -> None:
    """Each ends with the error that its meaning says: behind `and`, in loops, in derivatives."""
    finding = checked(draw_case(seed, Series.WILD))
    assert (finding.verdict, finding.kind) == (Verdict.AGREES, "trapped"), finding.detail


@pytest.mark.parametrize("seed", [500216, 500236])
def test_under_budgets(seed: int) -> None:
    """Loops without a bound, nested ones, calls, maps, `checkpoint`: the same bits."""
    finding = under_budgets(draw_case(seed))
    assert finding.verdict is Verdict.AGREES, f"{finding.kind}\n{finding.detail}"


def test_nests_run_along_antidiagonals() -> None:
    case = dataclasses.replace(draw_case(18, Series.NESTS), modes="")
    program = dmc.loads(check.source(case))
    given = [check.make(program, p, case.arguments) for p in case.program.entry.parameters]
    made = program.nest.specialize(*given).compilation.loops.module
    assert any(isinstance(op, loop.Gather) for op in made.walk())


@pytest.mark.xfail(reason="known")
@pytest.mark.parametrize("fault", KNOWN, ids=lambda fault: fault.name)
def test_known_fault(fault: KnownFault) -> None:
    got = fault.run(dmc.loads(fault.source))
    np.testing.assert_allclose(np.asarray(got), fault.expected, rtol=1e-9, atol=1e-12)


def test_seeds_name_known_faults() -> None:
    assert set(SEEDS.values()) <= KNOWN_NAMES


def test_most_programs_are_decided() -> None:
    """Valid programs are accepted, and the oracle can tell."""
    verdicts = [Checker(draw_case(seed)).run().verdict for seed in range(1000, 1012)]
    assert verdicts.count(Verdict.REFUSED) + verdicts.count(Verdict.UNDECIDED) <= 3


# The oracle itself


def slope(case: Case, step: float) -> float:
    """By central differences of the meaning, along the direction."""
    ahead, behind = (case.meaning(0, step=s)[0].value for s in (step, -step))
    return (ahead - behind) / (2 * step)


def is_smooth(case: Case, step: float) -> bool:
    """Whether no comparison turns out otherwise near by."""
    traces = [case.meaning(0, step=s)[1] for s in (-step, 0.0, step)]
    return traces[0].outcomes == traces[1].outcomes == traces[2].outcomes


def test_series_agree_with_finite_differences() -> None:
    checked = 0
    step = 1e-5
    for seed in range(2000, 2060):
        case = draw_case(seed)
        if "stop_gradient" in case.program.text():
            continue  # whose derivative is not meant to be that of its value
        try:
            if not case.is_loss or case.has_f32 or not is_smooth(case, step):
                continue
            (meaning, _), wanted = case.meaning(1), slope(case, step)
        except TooLong:
            continue
        got = meaning.c[1] if len(meaning.c) > 1 else 0.0
        if np.isfinite([got, wanted]).all():
            assert got == pytest.approx(wanted, rel=1e-4, abs=1e-5 * (1 + abs(meaning.value)))
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize("name", sorted(taylor.SMOOTH))
def test_derivatives_of_smooth_functions(name: str) -> None:
    x, step = 0.7, 1e-5
    derivatives = taylor.SMOOTH[name](x)
    ahead, behind = taylor.SMOOTH[name](x + step), taylor.SMOOTH[name](x - step)
    for order in range(3):
        wanted = (ahead[order] - behind[order]) / (2 * step)
        assert derivatives[order + 1] == pytest.approx(wanted, rel=1e-7, abs=1e-8)


# The net itself: planted faults are found, and made small


def planted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the oracle take the function `name` for another: then dmc seems wrong."""
    monkeypatch.setitem(taylor.SMOOTH, name, lambda x: [1.001 * d for d in taylor.SMOOTH["erf"](x)])


def test_a_planted_fault_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "tanh")
    for seed in range(3000, 3050):
        case = dataclasses.replace(draw_case(seed), modes="")
        finding = Checker(case).run()
        if finding.verdict is Verdict.FAULT:
            break
    else:
        pytest.fail("nothing was found")

    def holds(smaller: Case) -> bool:
        return again(smaller, finding)

    smallest = shrink(case, holds, seconds=20)
    text = check.source(smallest)
    assert "tanh" in text
    assert len(text.splitlines()) <= len(check.source(case).splitlines())


def again(case: Case, finding: Finding) -> bool:
    try:
        return Checker(case).run().kind == finding.kind
    except Exception:  # noqa: BLE001  # not a program any more
        return False
