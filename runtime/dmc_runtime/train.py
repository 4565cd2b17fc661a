"""The training loop: a recipe and compiled functions in, checkpoints, metrics and a plot out.

The functions are callables of arrays and records; whoever compiled them is not known here. A run
is exact: stopped at any step and resumed, it ends with the same bits as one that was not stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from dmc_runtime import checkpoint, data, keys, plot
from dmc_runtime.checkpoint import Json
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.files import discard_unfinished, writing
from dmc_runtime.interrupt import interruptible
from dmc_runtime.metrics import MetricsLog, Row, read
from dmc_runtime.prefetch import prefetched
from dmc_runtime.progress import Progress
from dmc_runtime.recipe import FREE, Mode, Quantity, Recipe, differences
from dmc_runtime.records import Record
from dmc_runtime.runs import (
    BEST,
    LAST,
    PLOT,
    Best,
    Callback,
    Functions,
    Moment,
    Report,
    Scores,
    State,
    Told,
    in_flat_buffers,
    numbers_of,
    scores_of,
    steps_in,
)
from dmc_runtime.sources import Given, Tables, batches_of, load_tables
from dmc_runtime.trees import Array


def run(
    recipe: Recipe,
    functions: Functions,
    *,
    resume: bool | str | Path = False,
    overwrite: bool = False,
    progress: bool = True,
    max_steps: int | None = None,
    given: Given | None = None,
    callbacks: Sequence[Callback] = (),
) -> Report:
    """Trains as the recipe says.

    Args:
        resume: continue from `last.safetensors` in the output folder, or from the file given.
        overwrite: start anew where the output folder holds a run already.
        progress: show a progress bar when standard error is a terminal.
        max_steps: stop after this many steps in all, as Ctrl-C would; `None` runs to the end.
        given: data in place of what the recipe names.
        callbacks: called after each step, in order; see `Callback`.

    Raises:
        TrainError: where a run would be written over, for data or functions that do not fit the
            recipe, a checkpoint of another recipe, or a loss that is not finite; the last
            checkpoint is then still good.
        CheckpointError: when a checkpoint cannot be written or read.
        MissingExtraError: when safetensors, tqdm or (for a plot) matplotlib is missing.
    """
    if recipe.outputs.plot:
        plot.require()
    run = _Run(recipe, functions, load_tables(recipe, given), callbacks)
    return run.run(resume, overwrite, progress, max_steps)


def evaluate(
    recipe: Recipe, functions: Functions, path: str | Path, given: Given | None = None
) -> Scores:
    """Scores of a checkpoint on the test data of the recipe (its validation data without any)."""
    tables = load_tables(recipe, given)
    table = tables.test or tables.validation
    if table is None or functions.evaluate is None:
        raise TrainError(TrainCode.RECIPE, "the recipe names no held-out data or no `evaluate`")
    net = checkpoint.restore(path, functions.init(), part="net")
    return scores_of(functions.evaluate, net, table, recipe.data.evaluation_batch_size)


class _Run:
    """One run of a recipe."""

    def __init__(
        self, recipe: Recipe, functions: Functions, tables: Tables, callbacks: Sequence[Callback]
    ) -> None:
        self.recipe = recipe
        self.callbacks = callbacks
        self.functions = functions
        self.tables = tables
        self.folder = recipe.path(recipe.outputs.directory)
        self.batches = batches_of(recipe, tables.train)
        self.total = recipe.steps or recipe.epochs * self.batches.per_epoch
        self.changed: tuple[str, ...] = ()
        self.weights: Array | None = None

    def run(
        self, resume: bool | str | Path, overwrite: bool, progress: bool, max_steps: int | None
    ) -> Report:
        if resume is False and not overwrite:
            self.require_new()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for name in (LAST, BEST):
            discard_unfinished(self.folder / name)
        source = self.folder / LAST if isinstance(resume, bool) else Path(resume)
        state = self.fresh() if resume is False else self.resumed(source)
        first = state.step
        end = self.total if max_steps is None else min(self.total, max_steps)
        training: Scores = {}
        stream = self.batches.stream(state.step)
        with (
            Progress(self.total, state.step, progress) as bar,
            interruptible() as interrupt,
            prefetched(stream, self.recipe.data.prefetch) as batches,
        ):
            log: MetricsLog | None = None
            validation = self.validate(state)
            began = time.perf_counter() - state.seconds
            try:
                stopped = False
                while state.step < end and not interrupt.wanted and not stopped:
                    state, training = self.step(state, next(batches))
                    row: Row = {"step": state.step, "epoch": self.epoch(state.step), **training}
                    if self.due(state.step, self.recipe.outputs.evaluate_every):
                        validation = self.validate(state)
                        row |= {plot.HELD_OUT + name: v for name, v in validation.items()}
                    state = replace(state, seconds=time.perf_counter() - began)
                    row["seconds"] = round(state.seconds, 6)
                    if log is None:
                        log = self.open_log(row, validation, first)
                    log.write(row)
                    state = self.keep_best(state, row)
                    if self.due(state.step, self.recipe.outputs.checkpoint_every):
                        log.flush()
                        self.save(state, LAST)
                    bar.show(state.step, training, validation)
                    stopped = self.called_back(state, row)
            finally:
                if log is not None:
                    log.close()
            self.save(state, LAST)
        return self.report(state, training, validation, interrupt.wanted)

    def require_new(self) -> None:
        """Refuses to write over a run."""
        steps = steps_in(self.folder)
        if steps != 0:
            told = "a run" if steps is None else f"a run of {steps} steps"
            raise TrainError(
                TrainCode.EXISTS,
                f"`{self.folder}` holds {told}: go on with it (`--resume`, `resume=True`), write "
                "over it (`--overwrite`, `overwrite=True`), or set another `outputs.directory`",
            )

    def called_back(self, state: State, row: Row) -> bool:
        """Tells the callbacks of a step; whether one of them ends the run."""
        if not self.callbacks:
            return False
        epoch = self.epoch(state.step)
        moment = Moment(state.step, self.total, epoch, row, self.folder, state)
        return bool(sum(bool(callback(moment)) for callback in self.callbacks))

    def fresh(self) -> State:
        """The state before the first step, saved so that a checkpoint always exists."""
        with writing(self.folder / BEST):
            (self.folder / BEST).unlink(missing_ok=True)
        net = self.functions.init()
        state = in_flat_buffers(net, self.functions.start(net))
        self.save(state, LAST)
        return state

    def resumed(self, path: Path) -> State:
        """The state in a checkpoint; `TrainError` when another recipe made it."""
        saved = checkpoint.read(path)
        told = Told.of(saved, path)
        differs = differences(told.recipe, self.identity())
        fixed = [key for key in differs if key.partition(".")[0] not in FREE]
        if fixed:
            raise TrainError(
                TrainCode.RESUME, f"`{path}` was made with another recipe: `{fixed[0]}` differs"
            )
        self.changed = tuple(differs)
        net = self.functions.init()
        like = {"net": net, "opt": self.functions.start(net)}
        tree = checkpoint.assemble(saved, like, source=str(path))
        state = in_flat_buffers(cast("Record", tree["net"]), tree["opt"])
        return replace(state, step=told.step, seconds=told.seconds, best=told.best)

    def identity(self) -> dict[str, Any]:
        """The parts of the recipe that decide the numbers, for those who resume to compare."""
        content = self.recipe.content()
        del content["outputs"]
        del content["data"]["prefetch"]
        train = self.tables.train
        return {**content, "examples": 0 if isinstance(train, data.Stream) else len(train)}

    def step(self, state: State, batch: data.Table) -> tuple[State, Scores]:
        """One step; refuses a loss or metric that is not finite before anything of it is kept."""
        result = self.functions.step(
            state.net, state.opt, **batch.columns, **self.arguments(state, batch)
        )
        if len(result) not in (3, 4):
            raise TrainError(
                TrainCode.STEP, "`step` must give (loss, net, opt) or (loss, net, opt, metrics)"
            )
        training = {"loss": float(result[0]), **(numbers_of(result[3]) if len(result) == 4 else {})}
        for name, value in training.items():
            if not math.isfinite(value):
                raise self.not_finite(state.step, f"`{name}` is {value}")
        return replace(state, net=result[1], opt=result[2], step=state.step + 1), training

    def not_finite(self, step: int, what: str) -> TrainError:
        """The refusal of a step counted from 0."""
        epoch, number = divmod(step, self.batches.per_epoch)
        return TrainError(
            TrainCode.NONFINITE,
            f"{what} at step {step + 1} (epoch {epoch + 1}, batch {number + 1} of "
            f"{self.batches.per_epoch}); `{self.folder / LAST}` holds the last good checkpoint",
        )

    def arguments(self, state: State, batch: data.Table) -> dict[str, Any]:
        """The arguments of `step` that are no columns of the data."""
        return {
            name: self.quantity(value, state, batch) if isinstance(value, Quantity) else value
            for name, value in self.recipe.arguments.items()
        }

    def quantity(self, name: Quantity, state: State, batch: data.Table) -> Any:
        """A value of the run; a key is one of its own for each step."""
        match name:
            case Quantity.STEPS:
                return self.total
            case Quantity.EPOCHS:
                return -(-self.total // self.batches.per_epoch)
            case Quantity.STEPS_PER_EPOCH:
                return self.batches.per_epoch
            case Quantity.KEY:
                return keys.fold(keys.fold_path(keys.key(self.recipe.seed), "step"), state.step)
            case Quantity.MASK:
                return self.batches.mask(state.step, len(batch))
            case Quantity.CLASS_WEIGHTS:
                return self.class_weights(state)

    def class_weights(self, state: State) -> Array:
        """Weights of the classes in the training data, in the element type of the model."""
        if self.weights is None:
            train = self.tables.train
            if isinstance(train, data.Stream):
                raise TrainError(TrainCode.DATA, "a stream of batches has no class weights")
            kind = next(leaf for _, leaf in state.net.params)
            self.weights = data.class_weights(train[self.recipe.data.labels])
            self.weights = self.weights.astype(np.asarray(kind).dtype)
        return self.weights

    def epoch(self, step: int) -> int:
        """The epoch (from 1) that a finished step belongs to."""
        return (step - 1) // self.batches.per_epoch + 1

    def due(self, step: int, every: int) -> bool:
        """Whether a finished step ends one of every `every` epochs, or the run."""
        return step % (every * self.batches.per_epoch) == 0 or step == self.total

    def validate(self, state: State) -> Scores:
        """Scores on the validation data; none without such data or function.

        Refuses scores that are not finite: nothing could be said to be better or worse than they.
        """
        if self.tables.validation is None or self.functions.evaluate is None:
            return {}
        size = self.recipe.data.evaluation_batch_size
        scores = scores_of(self.functions.evaluate, state.net, self.tables.validation, size)
        if self.recipe.outputs.best not in scores:
            raise TrainError(
                TrainCode.STEP, f"`evaluate` gives no score `{self.recipe.outputs.best}`"
            )
        for name, value in scores.items():
            if not math.isfinite(value):
                self.require_finite(state)
                message = f"`{name}` of the validation data is {value} after {state.step} steps"
                raise TrainError(TrainCode.NONFINITE, message)
        return scores

    def open_log(self, row: Row, validation: Scores, resume_at: int) -> MetricsLog:
        first = [name for name in row if not name.startswith(plot.HELD_OUT)]
        return MetricsLog(
            self.folder, [*first, *(plot.HELD_OUT + name for name in validation)], resume_at
        )

    def keep_best(self, state: State, row: Row) -> State:
        """Saves a model whose validation score is better than all before."""
        wanted = plot.HELD_OUT + self.recipe.outputs.best
        if wanted not in row:
            return state
        score = float(row[wanted])
        sign = 1 if self.recipe.outputs.best_mode is Mode.MAX else -1
        if state.best is not None and sign * score <= sign * state.best.score:
            return state
        state = replace(state, best=Best(score, state.step))
        self.save(state, BEST)
        return state

    def save(self, state: State, name: str) -> None:
        """Writes a checkpoint, which must be usable: all its parameters are finite."""
        self.require_finite(state)
        metadata: dict[str, Json] = {
            "recipe": self.identity(),
            "step": state.step,
            "seconds": state.seconds,
            "best": asdict(state.best) if state.best else None,
        }
        checkpoint.save({"net": state.net, "opt": state.opt}, self.folder / name, metadata)

    def require_finite(self, state: State) -> None:
        """Refuses parameters that are not finite."""
        for path, leaf in state.net.params:
            if not np.isfinite(leaf).all():
                raise self.not_finite(state.step - 1, f"`{path}` is not finite")

    def report(
        self, state: State, training: Scores, validation: Scores, interrupted: bool
    ) -> Report:
        path = self.folder / (BEST if state.best else LAST)
        net = checkpoint.restore(path, state.net, part="net")
        test: Scores = {}
        if self.tables.test is not None and self.functions.evaluate is not None and not interrupted:
            size = self.recipe.data.evaluation_batch_size
            test = scores_of(self.functions.evaluate, net, self.tables.test, size)
        picture = None
        if self.recipe.outputs.plot and state.step:
            picture = self.folder / PLOT
            with writing(picture):
                plot.plot(read(self.folder), picture, self.recipe.model.name)
        return Report(
            net,
            state.step,
            state.seconds,
            training,
            validation,
            test,
            path,
            picture,
            interrupted,
            self.changed,
        )
