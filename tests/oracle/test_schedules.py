"""Schedules of the library against PyTorch's and optax's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, torch

pytestmark = pytest.mark.oracle
LIBRARY = dmc.load(HERE / "schedules.dm")
optax: Any = importlib.import_module("optax")
r = torch.optim.lr_scheduler
STEPS = 60


def of_torch(make: Callable[[Any], Any], rate: float = 0.5) -> Any:
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], rate)
    schedule, rates = make(optimizer), []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < STEPS:
            schedule.step()
    return np.array(rates)


def of_optax(schedule: Callable[[int], Any]) -> Any:
    return np.array([float(schedule(t)) for t in range(STEPS)])


def half_cycles(mode: str) -> Any:
    return of_torch(lambda o: r.CyclicLR(o, 0.1, 0.5, 6, 9, mode=mode, cycle_momentum=False), 0.1)


def test_schedules() -> None:
    wanted = [
        of_torch(lambda o: r.StepLR(o, 7, 0.3)),
        of_torch(lambda o: r.MultiStepLR(o, [9, 31], 0.3)),
        of_torch(lambda o: r.ExponentialLR(o, 0.93)),
        of_optax(optax.polynomial_schedule(0.5, 0.1, 2, 40)),
        of_optax(optax.linear_schedule(0.1, 0.7, 40)),
        of_optax(optax.cosine_decay_schedule(0.5, 40, 0.2)),
        of_torch(lambda o: r.CosineAnnealingWarmRestarts(o, 9, eta_min=0.1)),
        of_torch(lambda o: r.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.1)),
        of_torch(lambda o: r.OneCycleLR(o, 0.5, 60, cycle_momentum=False)),
        half_cycles("triangular"),
        half_cycles("triangular2"),
        # optax begins at 0 and is at its peak after ten steps, where dmc begins one step in.
        np.where(
            np.arange(STEPS) < 10,
            0.05 * (np.arange(STEPS) + 1),
            of_optax(optax.warmup_cosine_decay_schedule(0.0, 0.5, 10, 40, 0.1)),
        ),
    ]
    found = LIBRARY.rates[STEPS](np.array([9, 31]))
    for place, rates in enumerate(wanted):
        close(found[:, place], rates, 1e-6, f"schedule {place}")


def test_plateau() -> None:
    scores = np.abs(np.random.default_rng(0).standard_normal(STEPS)) + 3 / (1 + np.arange(STEPS))
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.5)
    schedule, rates = (
        r.ReduceLROnPlateau(
            optimizer, factor=0.3, patience=2, threshold=0.01, cooldown=3, min_lr=0.02
        ),
        [],
    )
    for score in scores:
        schedule.step(score)
        rates.append(optimizer.param_groups[0]["lr"])
    close(LIBRARY.falling(scores), np.array(rates), 1e-12)
    close(LIBRARY.falling(scores.astype(np.float32)), np.array(rates), 1e-6)
    assert len(set(rates)) >= 3
