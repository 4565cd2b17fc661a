"""Finding a learning rate: steps at rates that grow, until the loss runs away (Smith, 2017)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.recipe import Recipe
from dmc_runtime.runs import Functions, State, in_flat_buffers
from dmc_runtime.shards import stepper_of
from dmc_runtime.sources import Given, load_tables
from dmc_runtime.team import of_this_process

_SMOOTHING = 0.9
_RUNAWAY = 4.0


@dataclass(frozen=True)
class RateSearch:
    """The rates that were tried, the loss (smoothed) at each, and the rate to use.

    `suggestion` is a tenth of the rate at which the loss is least.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


@dataclass(frozen=True)
class Range:
    """The rates to try."""

    low: float = 1e-6
    high: float = 10.0
    steps: int = 100

    def at(self, step: int) -> float:
        return self.low * (self.high / self.low) ** (step / max(self.steps - 1, 1))


def find_rate(
    recipe: Recipe,
    functions: Functions,
    argument: str,
    tried: Range | None = None,
    given: Given | None = None,
) -> RateSearch:
    """Takes steps from the start of a run, each with a larger value of an argument of `step`.

    Nothing is written. The search ends where the loss is not finite or four times the least.
    """
    tried = tried or Range()
    if argument not in recipe.arguments:
        known = ", ".join(recipe.arguments) or "none"
        raise TrainError(TrainCode.RECIPE, f"`step` has no argument `{argument}`; it has {known}")
    stepper = stepper_of(recipe, functions, load_tables(recipe, given), of_this_process())
    net = functions.init()
    state: State = in_flat_buffers(net, functions.start(net))
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    for step, batch in enumerate(itertools.islice(stepper.stream(), tried.steps)):
        rate = tried.at(step)
        state, training = stepper.step(state, batch, {argument: rate})
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * training["loss"]
        loss = mean / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (losses and loss > _RUNAWAY * min(losses) > 0):
            break
        rates.append(rate)
        losses.append(loss)
    if len(rates) < 3:
        raise TrainError(TrainCode.NONFINITE, f"the loss runs away at {tried.low:g} already")
    return RateSearch(tuple(rates), tuple(losses), rates[losses.index(min(losses))] / 10)
