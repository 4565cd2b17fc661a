"""Steps in two halves: the gradient by shards of the batch, and the update unit by unit.

The numbers depend on the shards, not on how many processes share them: each takes some neighbours,
and the sum over all goes along one tree. While the last gradient of a process is being
computed, the parts of it that are known are already exchanged. Each process keeps, and updates, the
optimizer's state of some units only (Rajbhandari et al., "ZeRO: memory optimizations toward
training trillion parameter models", 2020: stage 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dmc_runtime import keys
from dmc_runtime.division import Division, Exchange, Row
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.exchange import Seats, TreeSum
from dmc_runtime.leafwise import is_float
from dmc_runtime.portions import Cutter, Portion, Shard
from dmc_runtime.recipe import Number, Quantity, Recipe
from dmc_runtime.runs import Functions, Scores, State
from dmc_runtime.sources import Tables
from dmc_runtime.step_halves import Halves
from dmc_runtime.steps import Stepper
from dmc_runtime.team import Team
from dmc_runtime.trees import Array


def stepper_of(recipe: Recipe, functions: Functions, tables: Tables, team: Team) -> Stepper:
    """What takes the steps of a recipe."""
    if functions.halves is not None:
        return ShardedStepper(recipe, functions, tables, team, functions.halves)
    if team.size > 1:
        raise TrainError(
            TrainCode.RECIPE,
            f"{team.size} processes need a step in two halves: name them in the recipe, "
            "`functions.gradient` and `functions.update`",
        )
    return Stepper(recipe, functions, tables)


class ShardedStepper(Stepper):
    """Takes the steps of a recipe by shards, which a team shares."""

    def __init__(
        self, recipe: Recipe, functions: Functions, tables: Tables, team: Team, halves: Halves
    ) -> None:
        shards = recipe.data.shards
        if shards < team.size:
            raise TrainError(
                TrainCode.RECIPE,
                f"{team.size} processes cannot share {shards} shards: set `data.shards` to "
                f"{1 << (team.size - 1).bit_length()} or more",
            )
        is_masked = Quantity.MASK in recipe.arguments.values()
        cutter = Cutter(shards, Seats(team.size).shards(team.rank, shards), is_masked)
        super().__init__(recipe, functions, tables, cutter)
        self._team = team
        self._halves = halves
        self._keys = [n for n, v in recipe.arguments.items() if v is Quantity.KEY]
        self._division: Division | None = None

    def step(
        self, state: State, batch: Portion, replaced: dict[str, Number] | None = None
    ) -> tuple[State, Scores]:
        """One step; `batch` is the part of this process. The model is written over."""
        division = self._division
        arguments = {**self.arguments(state, batch.here), **(replaced or {})}
        if division is None:
            plan = self._halves.update.plan(state.net, state.opt, **arguments)
            division = self._division = Division(self._team, plan, state)
        net = division.taken(state.net)
        sums: defaultdict[int, TreeSum] = defaultdict(TreeSum)
        rows: list[Row] = []
        with division.exchange() as exchange:
            for shard in batch.shards:
                given = {**self._given(state, shard), **(replaced or {})}
                is_last = shard is batch.shards[-1]
                ready = partial(_known, sums, shard, exchange if is_last else None)
                rows.append((shard.share, self._halves.gradient(ready, net, **given)))
            gradient = exchange.finish()
        opt, told = division.update(state.opt, gradient, arguments, rows)
        after = replace(state, net=division.net, opt=opt, step=state.step + 1)
        return after, _means(told)

    def whole(self, state: State) -> State:
        """The state with all that other processes hold, which the leader of the team gets."""
        return state if self._division is None else self._division.whole(state)

    def given(self, state: State, batch: Portion) -> dict[str, Any]:
        """Everything that the first shard of this process is given by name."""
        return self._given(state, batch.shards[0])

    def first_not_finite(self, state: State, step: int) -> str:
        """Where step `step`, from 0, first makes NaN or infinity, going there from `state`."""
        if self.comes_once or state.step > step:
            return ""
        self._division = None  # the state is another one
        for batch in self.stream(state.step):
            if state.step == step:
                break
            state, _ = self.step(state, batch)
        else:
            return ""
        blamed = (
            self._halves.gradient.blame(state.net, **self._given(state, shard))
            for shard in batch.shards
            if shard.share
        )
        told = self._team.share(next(filter(None, blamed), ""))
        return next(filter(None, told), "")

    def _given(self, state: State, shard: Shard) -> dict[str, Any]:
        """What the gradient of a shard of this process is given; a key of its own among it."""
        arguments = self.arguments(state, shard.here)
        drawn = {name: keys.fold(arguments[name], shard.number) for name in self._keys}
        return {**shard.examples.columns, **arguments, **drawn}


def _known(
    sums: Mapping[int, TreeSum],
    shard: Shard,
    exchange: Exchange | None,
    leaves: Mapping[int, Array],
) -> None:
    """Takes leaves of the gradient of a shard; those of the last one complete the sums."""
    for index, leaf in leaves.items():
        sums[index].add(_share(np.asarray(leaf), shard))
    if exchange is not None:
        exchange.start({index: sums[index].total for index in leaves})


def _share(leaf: Array, shard: Shard) -> Array:
    """What a shard adds to a mean. Of what is no float, the mean is what the first shard has."""
    share = shard.share if is_float(leaf) else float(shard.number == 0)
    return np.asarray(leaf * leaf.dtype.type(share)) if share else np.zeros_like(leaf)


def _means(rows: Sequence[Row]) -> Scores:
    """The means of loss and metrics over all shards."""
    counting = [(share, row) for share, row in rows if share]
    return {name: sum(share * row[name] for share, row in counting) for name in rows[0][1]}
