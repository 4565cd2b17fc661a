"""Steps in two halves: the gradient by shards of the batch, and the update unit by unit.

The numbers depend on the shards, not on how many processes share them: each takes as many shards as
the others, and the sum over all goes along one tree. While the last gradient of a process is being
computed, the parts of it that are known are already exchanged. Each process keeps, and updates, the
optimizer's state of some units only (Rajbhandari et al., "ZeRO: memory optimizations toward
training trillion parameter models", 2020: stage 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dmc_runtime import data, keys
from dmc_runtime.division import Division, Exchange
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.exchange import TreeSum
from dmc_runtime.leafwise import params
from dmc_runtime.recipe import Number, Quantity, Recipe
from dmc_runtime.runs import Functions, Scores, State
from dmc_runtime.sources import Tables
from dmc_runtime.step_halves import Halves
from dmc_runtime.steps import Stepper
from dmc_runtime.team import Team
from dmc_runtime.trees import Array, tree_leaves


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
        if shards % team.size:
            raise TrainError(
                TrainCode.RECIPE,
                f"{team.size} processes do not share {shards} shards evenly: set `data.shards`",
            )
        super().__init__(recipe, functions, tables, (team.rank, team.size))
        self._team = team
        self._halves = halves
        self._count = shards // team.size
        self._first = team.rank * self._count
        self._keys = [n for n, v in recipe.arguments.items() if v is Quantity.KEY]
        self._division: Division | None = None

    def step(
        self, state: State, batch: data.Table, replaced: dict[str, Number] | None = None
    ) -> tuple[State, Scores]:
        """One step; `batch` is the part of this process. The model is written over."""
        division = self._division
        if division is None:
            arguments = self.arguments(state, batch)
            plan = self._halves.update.plan(state.net, state.opt, **arguments)
            division = self._division = Division(self._team, plan, state, self.recipe.data.shards)
        net = division.taken(state.net)
        sums = [TreeSum() for _ in tree_leaves(params(net))]
        rows: list[Scores] = []
        with division.exchange() as exchange:
            for number in range(self._count):
                given = {**self._shard(state, batch, number), **(replaced or {})}
                is_last = number == self._count - 1
                ready = partial(_known, sums, exchange if is_last else None)
                rows.append(self._halves.gradient(ready, net, **given))
            gradient = exchange.finish()
        given = {**self.arguments(state, batch), **(replaced or {})}
        opt, told = division.update(state.opt, gradient, given, rows)
        after = replace(state, net=division.net, opt=opt, step=state.step + 1)
        return after, _means(told)

    def whole(self, state: State) -> State:
        """The state with all that other processes hold, which the leader of the team gets."""
        return state if self._division is None else self._division.whole(state)

    def given(self, state: State, batch: data.Table) -> dict[str, Any]:
        """Everything that the first shard of this process is given by name."""
        return self._shard(state, batch, 0)

    def first_not_finite(self, state: State, step: int) -> str:
        """Where step `step`, from 0, first makes NaN or infinity, going there from `state`."""
        if self.comes_once or state.step > step:
            return ""
        self._division = None  # the state is another one
        for batch in self.batches.stream(state.step):
            if state.step == step:
                break
            state, _ = self.step(state, batch)
        else:
            return ""
        blamed = (
            self._halves.gradient.blame(state.net, **self._shard(state, batch, number))
            for number in range(self._count)
        )
        told = self._team.share(next(filter(None, blamed), ""))
        return next(filter(None, told), "")

    def _shard(self, state: State, batch: data.Table, number: int) -> dict[str, Any]:
        """What the gradient of a shard of this process is given; a key of its own among it."""
        shard = batch.part(number, self._count)
        given = super().given(state, shard)
        return given | {name: keys.fold(given[name], self._first + number) for name in self._keys}


def _known(sums: Sequence[TreeSum], exchange: Exchange | None, leaves: Mapping[int, Array]) -> None:
    """Takes leaves of a gradient; those of the last shard complete the sums."""
    for index, leaf in leaves.items():
        sums[index].add(np.asarray(leaf))
    if exchange is not None:
        exchange.start({index: sums[index].total for index in leaves})


def _means(rows: Sequence[Scores]) -> Scores:
    """The means of loss and metrics over all shards."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
