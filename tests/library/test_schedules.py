"""Schedules at the steps where they turn; the oracle holds whole curves against the peers."""

import numpy as np
import pytest

import dmc

PROGRAM = """
import schedule

fn rates(t: i64) -> f32[11] = [
    schedule.step(t, 0.8, 10, 0.5), schedule.multi_step(t, 0.8, [5, 20], 0.5),
    schedule.piecewise(t, [5, 20], [0.1, 0.2, 0.3]), schedule.exponential(t, 0.8, 0.5),
    schedule.polynomial(t, 0.8, 20, 0.2, 2.0), schedule.linear(t, 0.2, 0.8, 20),
    schedule.inverse_sqrt(t, 0.8, 10), schedule.cosine_restarts(t, 0.8, 10, 2),
    schedule.one_cycle(t, 0.8, 20), schedule.cyclic(t, 0.2, 0.8, 5, 10),
    schedule.warmup(t, schedule.cosine(t, 0.8, 20), 10)
]

fn precise(t: i64) -> f64 = schedule.cosine(t, f64(0.1), 30)
"""


def test_turning_points():
    program = dmc.loads(PROGRAM)
    found = {t: program.rates(t) for t in (0, 5, 10, 20, 25, 30)}
    expected = {
        0: [0.8, 0.8, 0.1, 0.8, 0.8, 0.2, 0.08, 0.8, 0.032, 0.2, 0.08],
        5: [0.8, 0.4, 0.2, 0.025, 0.5375, 0.35, 0.4, 0.4, 0.8, 0.8, None],
        10: [0.4, 0.4, 0.2, None, 0.35, 0.5, 0.8, 0.8, None, 0.5, 0.4],
        20: [0.2, 0.2, 0.3, None, 0.2, 0.8, 0.8 / 2**0.5, 0.4, 0.0, 0.8, 0.0],
        30: [0.1, 0.2, 0.3, None, 0.2, 0.8, 0.8 / 3**0.5, 0.8, 0.0, 0.2, 0.0],
    }
    for t, rates in expected.items():
        for place, rate in enumerate(rates):
            if rate is not None:
                assert found[t][place] == pytest.approx(rate, rel=1e-5, abs=1e-5), (t, place)
    assert program.precise(15) == pytest.approx(0.05, rel=1e-15)
    assert program.rates(0).dtype == np.float32


def test_a_plateau():
    schedule = dmc.loads("import schedule\nfn f(x: f64) -> f64 = x\n").schedule
    state = schedule.plateau_init(1.0)
    rates = []
    for score in [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.5, 3.5]:
        state = schedule.plateau(state, score, factor=0.5, patience=1, rest=1)
        rates.append(state.rate)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert state.best == 3
