"""Taking the steps of a run: the batches, the arguments of `step`, and what it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmc_runtime import data, keys
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.portions import Cutter, Portion
from dmc_runtime.recipe import Number, Quantity, Recipe
from dmc_runtime.runs import Functions, Scores, State, numbers_of
from dmc_runtime.sources import Tables, batches_of
from dmc_runtime.trees import Array


class Stepper:
    """Takes the steps of a recipe.

    Attributes:
        batches: where batches come from.
        total: the steps of the whole run.
    """

    def __init__(
        self, recipe: Recipe, functions: Functions, tables: Tables, cutter: Cutter | None = None
    ) -> None:
        """`cutter` says which parts of every batch are taken here; all of it by default."""
        self.recipe = recipe
        self.functions = functions
        self.batches = batches_of(recipe, tables.train)
        self._cutter = cutter or Cutter()
        self.total = recipe.steps or recipe.epochs * self.batches.per_epoch
        self._train = tables.train
        self._weights: Array | None = None

    def stream(self, step: int = 0) -> Iterator[Portion]:
        """What is taken here of all batches without end, from a step on."""
        return self._cutter.stream(self.batches, step)

    def step(
        self, state: State, batch: Portion, replaced: dict[str, Number] | None = None
    ) -> tuple[State, Scores]:
        """One step, with some arguments replaced; loss and metrics may be anything."""
        given = {**self.given(state, batch), **(replaced or {})}
        result = self.functions.step(state.net, state.opt, **given)
        if len(result) not in (3, 4):
            raise TrainError(
                TrainCode.STEP, "`step` must give (loss, net, opt) or (loss, net, opt, metrics)"
            )
        metrics = numbers_of(result[3]) if len(result) == 4 else {}
        training = {"loss": float(result[0]), **metrics}
        return replace(state, net=result[1], opt=result[2], step=state.step + 1), training

    def whole(self, state: State) -> State:
        """The state with all that belongs to it, for it to be kept."""
        return state

    @property
    def comes_once(self) -> bool:
        """Whether batches cannot be had again."""
        train = self._train
        return isinstance(train, data.Stream) and iter(train.batches) is train.batches

    def given(self, state: State, batch: Portion) -> dict[str, Any]:
        """Everything that a step is given by name."""
        return {**batch.shards[0].examples.columns, **self.arguments(state, batch.here)}

    def arguments(self, state: State, here: NDArray[np.bool_]) -> dict[str, Any]:
        """The arguments of `step` that are no columns of the data; `here` is its mask."""
        return {
            name: self._quantity(value, state, here) if isinstance(value, Quantity) else value
            for name, value in self.recipe.arguments.items()
        }

    def first_not_finite(self, state: State, step: int) -> str:
        """Where step `step`, from 0, first makes NaN or infinity, going there from `state`.

        Nothing where that cannot be told: batches that come only once are gone.
        """
        blame = self.functions.blame
        if blame is None or self.comes_once or state.step > step:
            return ""
        for batch in self.stream(state.step):
            if state.step == step:
                return blame(state.net, state.opt, **self.given(state, batch))
            state, _ = self.step(state, batch)
        return ""

    def place(self, step: int) -> str:
        """Step `step`, from 0, in words."""
        epoch, number = divmod(step, self.batches.per_epoch)
        return (
            f"step {step + 1} (epoch {epoch + 1}, batch {number + 1} of {self.batches.per_epoch})"
        )

    def _quantity(self, name: Quantity, state: State, here: NDArray[np.bool_]) -> Any:
        """A value of the run; a key is one of its own for each step."""
        match name:
            case Quantity.STEPS:
                return self.total
            case Quantity.EPOCHS:
                return math.ceil(self.total / self.batches.per_epoch)
            case Quantity.STEPS_PER_EPOCH:
                return self.batches.per_epoch
            case Quantity.KEY:
                return keys.fold(keys.fold_path(keys.key(self.recipe.seed), "step"), state.step)
            case Quantity.MASK:
                return here
            case Quantity.CLASS_WEIGHTS:
                return self._class_weights(state)

    def _class_weights(self, state: State) -> Array:
        """Weights of the classes in the training data, in the element type of the model."""
        if self._weights is None:
            if isinstance(self._train, data.Stream):
                raise TrainError(TrainCode.DATA, "a stream of batches has no class weights")
            leaf = next(leaf for _, leaf in state.net.params)
            weights = data.class_weights(self._train[self.recipe.data.labels])
            self._weights = weights.astype(np.asarray(leaf).dtype)
        return self._weights
