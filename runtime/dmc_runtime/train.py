"""The training loop: a recipe and compiled functions in, checkpoints, metrics and a plot out.

The functions are callables of arrays and records; whoever compiled them is not known here. A run
is exact: stopped at any step and resumed, it ends with the same bits as one that was not stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime import checkpoint, data, keys, plot
from dmc_runtime.buffers import pack
from dmc_runtime.checkpoint import Json
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.files import discard_unfinished, writing
from dmc_runtime.interrupt import interruptible
from dmc_runtime.metrics import MetricsLog, Row, read
from dmc_runtime.progress import Progress
from dmc_runtime.recipe import Mode, Quantity, Recipe, difference
from dmc_runtime.records import Record
from dmc_runtime.trees import Tree, spec_of, values_of

Scores: TypeAlias = dict[str, float]
LAST, BEST, PLOT = "last.safetensors", "best.safetensors", "training.png"


@dataclass(frozen=True)
class Functions:
    """What a run calls.

    Attributes:
        init: initial parameters.
        start: `start(net)` gives the optimizer state before the first step.
        step: `step(net, opt, **inputs, **arguments)` gives `(loss, net, opt)`, or `(loss, net, opt,
            metrics)` with a record of numbers.
        evaluate: `evaluate(net, **inputs)` gives a record of numbers, or one number, the loss; each
            a mean over the examples it was given.
    """

    init: Callable[[], Record]
    start: Callable[[Record], Tree]
    step: Callable[..., tuple[Any, ...]]
    evaluate: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Best:
    """The best validation score so far and the step that reached it."""

    score: float
    step: int


@dataclass(frozen=True)
class State:
    """Where a run is: everything that the next step depends on, and the time spent."""

    net: Record
    opt: Tree
    step: int = 0
    seconds: float = 0.0
    best: Best | None = None


@dataclass(frozen=True)
class Report:
    """How a run ended.

    Attributes:
        steps: steps taken in all, also before resuming.
        seconds: spent training and evaluating, also before resuming.
        training: loss and metrics of the last step.
        validation: scores at the end, if there is held-out data.
        test: scores of the best (else the last) model on the test data, if there is any.
        checkpoint: the file that holds the model that was tested.
        interrupted: whether Ctrl-C stopped the run early.
    """

    steps: int
    seconds: float
    training: Scores
    validation: Scores
    test: Scores
    checkpoint: Path
    plot: Path | None
    interrupted: bool


@dataclass(frozen=True)
class Tables:
    """The data of a recipe: training, validation and test part."""

    train: data.Table
    validation: data.Table | None
    test: data.Table | None


def run(
    recipe: Recipe,
    functions: Functions,
    *,
    resume: bool | str | Path = False,
    progress: bool = True,
    max_steps: int | None = None,
) -> Report:
    """Trains as the recipe says.

    Args:
        resume: continue from `last.safetensors` in the output folder, or from the file given.
        progress: show a progress bar when standard error is a terminal.
        max_steps: stop after this many steps in all, as Ctrl-C would; `None` runs to the end.

    Raises:
        TrainError: for data or functions that do not fit the recipe, a checkpoint of another
            recipe, or a loss that is not finite; the last checkpoint is then still good.
        CheckpointError: when a checkpoint cannot be written or read.
        MissingExtraError: when safetensors, tqdm or (for a plot) matplotlib is missing.
    """
    if recipe.outputs.plot:
        plot.require()
    return _Run(recipe, functions, load_tables(recipe)).run(resume, progress, max_steps)


def evaluate(recipe: Recipe, functions: Functions, path: str | Path) -> Scores:
    """Scores of a checkpoint on the test data of the recipe (its validation data without any)."""
    tables = load_tables(recipe)
    table = tables.test or tables.validation
    if table is None or functions.evaluate is None:
        raise TrainError(TrainCode.RECIPE, "the recipe names no held-out data or no `evaluate`")
    net = checkpoint.restore(path, functions.init(), part="net")
    return _scores(functions.evaluate, net, table, recipe.data.evaluation_batch_size)


def load_tables(recipe: Recipe) -> Tables:
    """Reads the files of a recipe, puts columns together as inputs, and splits."""
    train = _inputs(recipe, recipe.data.train)
    test = _inputs(recipe, recipe.data.test) if recipe.data.test else None
    validation = None
    if recipe.data.validation > 0:
        train, validation = data.split(train, recipe.data.validation, recipe.seed)
    return Tables(train, validation, test)


class _Run:
    """One run of a recipe."""

    def __init__(self, recipe: Recipe, functions: Functions, tables: Tables) -> None:
        self.recipe = recipe
        self.functions = functions
        self.tables = tables
        self.folder = recipe.path(recipe.outputs.directory)
        self.batches = data.Batches(
            tables.train,
            recipe.data.batch_size,
            recipe.seed,
            recipe.data.shuffle,
            recipe.data.drop_last,
        )
        self.total = recipe.epochs * self.batches.per_epoch

    def run(self, resume: bool | str | Path, progress: bool, max_steps: int | None) -> Report:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for name in (LAST, BEST):
            discard_unfinished(self.folder / name)
        source = self.folder / LAST if isinstance(resume, bool) else Path(resume)
        state = self.fresh() if resume is False else self.resumed(source)
        first = state.step
        end = self.total if max_steps is None else min(self.total, max_steps)
        training: Scores = {}
        with Progress(self.total, state.step, progress) as bar, interruptible() as interrupt:
            log: MetricsLog | None = None
            validation = self.validate(state)
            batches = self.batches.stream(state.step)
            began = time.perf_counter() - state.seconds
            try:
                while state.step < end and not interrupt.wanted:
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
            finally:
                if log is not None:
                    log.close()
            self.save(state, LAST)
        return self.report(state, training, validation, interrupt.wanted)

    def fresh(self) -> State:
        """The state before the first step, saved so that a checkpoint always exists."""
        with writing(self.folder / BEST):
            (self.folder / BEST).unlink(missing_ok=True)
        net = self.functions.init()
        state = _in_flat_buffers(net, self.functions.start(net))
        self.save(state, LAST)
        return state

    def resumed(self, path: Path) -> State:
        """The state in a checkpoint; `TrainError` when another recipe made it."""
        saved = checkpoint.read(path)
        told = _told(saved, path)
        differs = difference(told.recipe, self.identity())
        if differs:
            raise TrainError(
                TrainCode.RESUME, f"`{path}` was made with another recipe: `{differs}` differs"
            )
        net = self.functions.init()
        like = {"net": net, "opt": self.functions.start(net)}
        tree = checkpoint.assemble(saved, like, source=str(path))
        state = _in_flat_buffers(cast("Record", tree["net"]), tree["opt"])
        return replace(state, step=told.step, seconds=told.seconds, best=told.best)

    def identity(self) -> dict[str, Any]:
        """The parts of the recipe that decide the numbers, for `resume` to compare."""
        content = self.recipe.content()
        del content["outputs"]
        return {**content, "examples": len(self.tables.train)}

    def step(self, state: State, batch: data.Table) -> tuple[State, Scores]:
        """One step; refuses a loss or metric that is not finite before anything of it is kept."""
        result = self.functions.step(
            state.net, state.opt, **batch.columns, **self.arguments(state.step)
        )
        if len(result) not in (3, 4):
            raise TrainError(
                TrainCode.STEP, "`step` must give (loss, net, opt) or (loss, net, opt, metrics)"
            )
        training = {"loss": float(result[0]), **(_numbers(result[3]) if len(result) == 4 else {})}
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

    def arguments(self, step: int) -> dict[str, Any]:
        """The arguments of `step` that do not come from the data."""
        return {
            name: self.quantity(value, step) if isinstance(value, Quantity) else value
            for name, value in self.recipe.arguments.items()
        }

    def quantity(self, name: Quantity, step: int) -> int | np.int64:
        """A value of the run; a key is one of its own for each step."""
        match name:
            case Quantity.STEPS:
                return self.total
            case Quantity.EPOCHS:
                return self.recipe.epochs
            case Quantity.STEPS_PER_EPOCH:
                return self.batches.per_epoch
            case Quantity.KEY:
                return keys.fold(keys.fold_path(keys.key(self.recipe.seed), "step"), step)

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
        scores = _scores(self.functions.evaluate, state.net, self.tables.validation, size)
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
        test: Scores = {}
        if self.tables.test is not None and self.functions.evaluate is not None and not interrupted:
            net = checkpoint.restore(path, state.net, part="net")
            size = self.recipe.data.evaluation_batch_size
            test = _scores(self.functions.evaluate, net, self.tables.test, size)
        picture = None
        if self.recipe.outputs.plot and state.step:
            picture = self.folder / PLOT
            with writing(picture):
                plot.plot(read(self.folder), picture, self.recipe.model.name)
        return Report(
            state.step, state.seconds, training, validation, test, path, picture, interrupted
        )


@dataclass(frozen=True)
class _Told:
    """What a checkpoint tells of the run that wrote it."""

    recipe: dict[str, Any]
    step: int
    seconds: float
    best: Best | None


def _told(saved: checkpoint.Checkpoint, path: Path) -> _Told:
    """Raises TrainError (`train.resume`) for a checkpoint that no run wrote."""
    told = cast("dict[str, Any]", saved.metadata)
    try:
        best = (
            Best(float(told["best"]["score"]), int(told["best"]["step"])) if told["best"] else None
        )
        found = _Told(dict(told["recipe"]), int(told["step"]), float(told["seconds"]), best)
    except (KeyError, TypeError, ValueError, OverflowError):
        found = None
    if found is None or found.step < 0 or not math.isfinite(found.seconds):
        message = f"`{path}` holds no run that could go on: `dmc train` did not write it"
        raise TrainError(TrainCode.RESUME, message)
    return found


def _in_flat_buffers(net: Record, opt: Tree) -> State:
    """A state whose arrays are views of one allocation for each dtype.

    A step that may overwrite its state leaves it there, so nothing is allocated from then on.
    """
    tree = pack({"net": net, "opt": opt}).tree
    return State(cast("Record", tree["net"]), tree["opt"])


def _scores(function: Callable[..., Any], net: Record, table: data.Table, size: int) -> Scores:
    """Mean scores over a table, in batches of `size` (0: all at once)."""
    batches = data.Batches(table, size or len(table), shuffle=False)
    totals: Scores = {}
    for batch in batches.epoch(0):
        for name, value in _numbers(function(net, **batch.columns)).items():
            totals[name] = totals.get(name, 0.0) + value * len(batch)
    return {name: total / len(table) for name, total in totals.items()}


def _numbers(result: Any) -> Scores:
    """The numbers that a function reports: by the fields of its record, or one number, the loss."""
    if isinstance(result, Record):
        names = spec_of(result).names
        values = values_of(result)
    else:
        names, values = ("loss",), (result,)
    numbers: Scores = {}
    for name, value in zip(names, values, strict=True):
        if np.ndim(cast("Any", value)) != 0:
            raise TrainError(TrainCode.STEP, f"the metric `{name}` is an array, not a number")
        numbers[name] = float(cast("Any", value))
    return numbers


def _inputs(recipe: Recipe, name: str) -> data.Table:
    """The inputs of a recipe from one of its files."""
    kinds = {column: _dtype(kind) for column, kind in recipe.data.dtypes.items()}
    table = data.load(recipe.path(name), kinds)
    columns = {
        parameter: table[column]
        if isinstance(column, str)
        else np.stack([table[part] for part in column], axis=1)
        for parameter, column in recipe.data.inputs.items()
    }
    return data.Table(columns)


def _dtype(name: str) -> np.dtype[Any]:
    known = {"f16": "f2", "f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8", "bool": "?"}
    if name not in known:
        expected = ", ".join(known)
        raise TrainError(TrainCode.RECIPE, f"`{name}` is no dtype of data; known: {expected}")
    return np.dtype(known[name])
