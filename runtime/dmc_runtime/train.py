"""The training loop: a recipe and compiled functions in, checkpoints, metrics and a plot out.

The functions are callables of arrays and records; whoever compiled them is not known here. A run
is exact: stopped at any step and resumed, it ends with the same bits as one that was not stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from dmc_runtime import checkpoint, data, plot
from dmc_runtime.budget import Keep
from dmc_runtime.checkpoint import Json
from dmc_runtime.errors import CheckpointError, TrainCode, TrainError
from dmc_runtime.files import discard_unfinished, write, writing
from dmc_runtime.interrupt import Interrupt, interruptible
from dmc_runtime.metrics import MetricsLog, Row, read
from dmc_runtime.portions import Portion
from dmc_runtime.prefetch import prefetched
from dmc_runtime.progress import Progress
from dmc_runtime.recipe import FREE, Mode, Recipe, differences
from dmc_runtime.records import Record
from dmc_runtime.report import page
from dmc_runtime.runs import (
    BEST,
    LAST,
    PLOT,
    REPORT,
    Best,
    Callback,
    Functions,
    Moment,
    Report,
    Scores,
    State,
    Told,
    in_flat_buffers,
    scores_of,
    steps_in,
)
from dmc_runtime.shards import stepper_of
from dmc_runtime.sources import Given, Tables, load_tables
from dmc_runtime.team import Team, any_of, led, of_this_process
from dmc_runtime.watch import Watcher
from dmc_runtime.watch import read as read_looks


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
    team: Team | None = None,
) -> Report:
    """Trains as the recipe says.

    Args:
        resume: continue from `last.safetensors` in the output folder, or from the file given.
        overwrite: start anew where the output folder holds a run already.
        progress: show a progress bar when standard error is a terminal.
        max_steps: stop after this many steps in all, as Ctrl-C would; `None` runs to the end.
        given: data in place of what the recipe names.
        callbacks: called after each step, in order; see `Callback`.
        team: the processes that train together; by default those started with this one.

    Raises:
        TrainError: where a run would be written over, for data or functions that do not fit the
            recipe, a checkpoint of another recipe, or a loss that is not finite; the last
            checkpoint is then still good.
        CheckpointError: when a checkpoint cannot be written or read.
        MissingExtraError: when safetensors, tqdm or (for a plot) matplotlib is missing.
    """
    if recipe.outputs.plot:
        plot.require()
    team = team or of_this_process()
    try:
        run = _Run(recipe, functions, load_tables(recipe, given), callbacks, team)
        return run.run(resume, overwrite, progress, max_steps)
    except BaseException:
        team.give_up()
        raise


def evaluate(
    recipe: Recipe, functions: Functions, path: str | Path, given: Given | None = None
) -> Scores:
    """Scores of a checkpoint on the test data of the recipe (its validation data without any)."""
    tables = load_tables(recipe, given)
    table = tables.test or tables.validation
    if table is None or functions.evaluate is None:
        raise TrainError(TrainCode.RECIPE, "the recipe names no held-out data or no `evaluate`")
    net = checkpoint.restore(path, functions.init(), part="net")
    size = recipe.data.evaluation_batch_size
    return scores_of(functions.evaluate, net, table, size, of_this_process())


@dataclass(frozen=True)
class _Ended:
    """Where a run was when it ended, and whether it was tired of waiting for a better score."""

    state: State
    training: Scores
    validation: Scores
    tired: bool


class _Run:
    """One run of a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        functions: Functions,
        tables: Tables,
        callbacks: Sequence[Callback],
        team: Team,
    ) -> None:
        self.team = team
        self.leads = team.rank == 0
        self.recipe = recipe
        self.callbacks = callbacks
        self.functions = functions
        self.tables = tables
        self.folder = recipe.path(recipe.outputs.directory)
        self.stepper = stepper_of(recipe, functions, tables, team)
        self.batches = self.stepper.batches
        self.total = self.stepper.total
        self.changed: tuple[str, ...] = ()

    def run(
        self, resume: bool | str | Path, overwrite: bool, progress: bool, max_steps: int | None
    ) -> Report:
        led(self.team, partial(self.prepare, must_be_new=resume is False and not overwrite))
        source = self.folder / LAST if isinstance(resume, bool) else Path(resume)
        state = self.fresh() if resume is False else self.resumed(source)
        end = self.total if max_steps is None else min(self.total, max_steps)
        watcher = Watcher(
            self.folder if self.leads else None,
            self.functions.gradient,
            self.functions.activations,
            state.step,
        )
        stream = self.stepper.stream(state.step)
        with (
            Progress(self.total, state.step, progress and self.leads) as bar,
            interruptible() as interrupt,
            prefetched(stream, self.recipe.data.prefetch) as batches,
        ):
            ended = self.go(state, end, batches, watcher, bar, interrupt)
            self.save(ended.state, LAST)
        return self.report(ended, any_of(self.team, interrupt.wanted), watcher)

    def prepare(self, must_be_new: bool) -> None:
        """Makes the folder of the run ready."""
        if must_be_new:
            self.require_new()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for name in (LAST, BEST, PLOT, REPORT):
            discard_unfinished(self.folder / name)

    def go(
        self,
        state: State,
        end: int,
        batches: Iterator[Portion],
        watcher: Watcher,
        bar: Progress,
        interrupt: Interrupt,
    ) -> _Ended:
        """Takes steps until the end, a wish to stop, or no better score for too long."""
        log: MetricsLog | None = None
        first, training, tired = state.step, Scores(), False
        stopped = any_of(self.team, interrupt.wanted)
        validation = self.validate(state)
        began = time.perf_counter() - state.seconds
        try:
            while state.step < end and not (stopped or tired):
                batch = next(batches)
                self.watch(watcher, state, batch)
                state, training = self.step(state, batch)
                watcher.loss(training["loss"], state.step)
                row: Row = {"step": state.step, "epoch": self.epoch(state.step), **training}
                if self.due(state.step, self.recipe.outputs.evaluate_every):
                    validation = self.validate(state)
                    row |= {plot.HELD_OUT + name: v for name, v in validation.items()}
                state = replace(state, seconds=time.perf_counter() - began)
                row["seconds"] = round(state.seconds, 6)
                if log is None and self.leads:
                    log = self.open_log(row, validation, first)
                if log is not None:
                    log.write(row)
                state = self.keep_best(state, row)
                if self.due(state.step, self.recipe.outputs.checkpoint_every):
                    if log is not None:
                        log.flush()
                    self.save(state, LAST)
                bar.show(state.step, training, validation)
                wishes = self.called_back(state, row) or interrupt.wanted
                stopped = any_of(self.team, wishes)
                tired = self.is_tired(state)
        finally:
            if log is not None:
                log.close()
        return _Ended(state, training, validation, tired)

    def watch(self, watcher: Watcher, state: State, batch: Portion) -> None:
        """Looks at gradients and activations where a look is due."""
        every = self.recipe.watch.every
        if every and state.step % every == 0 and self.leads:
            watcher.look(state.net, self.stepper.given(state, batch), state.step + 1)

    def is_tired(self, state: State) -> bool:
        """Whether the score has not become better for as long as the recipe waits."""
        patience = self.recipe.watch.patience
        if not patience or state.best is None:
            return False
        wait = patience * self.recipe.outputs.evaluate_every * self.batches.per_epoch
        return state.step - state.best.step >= wait

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
        if not self.callbacks or not self.leads:
            return False
        epoch = self.epoch(state.step)
        moment = Moment(state.step, self.total, epoch, row, self.folder, state)
        return bool(sum(bool(callback(moment)) for callback in self.callbacks))

    def fresh(self) -> State:
        """The state before the first step, saved so that a checkpoint always exists."""
        led(self.team, self.forget_best)
        net = self.functions.init()
        state = in_flat_buffers(net, self.functions.start(net))
        self.save(state, LAST)
        return state

    def forget_best(self) -> None:
        """Removes the best model of the run before."""
        with writing(self.folder / BEST):
            (self.folder / BEST).unlink(missing_ok=True)

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
        del content["outputs"], content["watch"]
        if self.recipe.memory_keep is Keep.WHOLE:
            del content["memory"], content["memory_keep"]
        del content["data"]["prefetch"]
        train = self.tables.train
        return {**content, "examples": 0 if isinstance(train, data.Stream) else len(train)}

    def step(self, state: State, batch: Portion) -> tuple[State, Scores]:
        """One step; refuses a loss or metric that is not finite before anything of it is kept."""
        after, training = self.stepper.step(state, batch)
        for name, value in training.items():
            if not math.isfinite(value):
                raise self.not_finite(state.step, f"`{name}` is {value}")
        return after, training

    def not_finite(self, step: int, what: str) -> TrainError:
        """The refusal of a step counted from 0, which is taken again to see where it goes wrong."""
        last = self.folder / LAST
        place = self.stepper.place(step)
        try:
            cause = self.stepper.first_not_finite(self.resumed(last), step)
        except (TrainError, CheckpointError):  # the checkpoint there is of another run
            cause = ""
        return TrainError(
            TrainCode.NONFINITE,
            f"{what} at {place}{f'; {cause}' if cause else ''}; `{last}` holds the last good "
            "checkpoint",
        )

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
        table = self.tables.validation
        scores = scores_of(self.functions.evaluate, state.net, table, size, self.team)
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
        columns = [*first, *(plot.HELD_OUT + name for name in validation)]
        return MetricsLog(self.folder, columns, resume_at, self.recipe.outputs.tensorboard)

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
        whole = self.stepper.whole(state)
        tree = {"net": whole.net, "opt": whole.opt}
        led(self.team, partial(checkpoint.save, tree, self.folder / name, metadata))

    def require_finite(self, state: State) -> None:
        """Refuses parameters that are not finite."""
        for path, leaf in state.net.params:
            if not np.isfinite(leaf).all():
                raise self.not_finite(state.step - 1, f"`{path}` is not finite")

    def report(self, ended: _Ended, interrupted: bool, watcher: Watcher) -> Report:
        state, outputs = ended.state, self.recipe.outputs
        path = self.folder / (BEST if state.best else LAST)
        net = checkpoint.restore(path, state.net, part="net")
        test: Scores = {}
        if self.tables.test is not None and self.functions.evaluate is not None and not interrupted:
            size = self.recipe.data.evaluation_batch_size
            test = scores_of(self.functions.evaluate, net, self.tables.test, size, self.team)
        rows = read(self.folder)
        picture = self.folder / PLOT if outputs.plot and rows else None
        report = Report(
            net=net,
            steps=state.step,
            seconds=state.seconds,
            training=ended.training,
            validation=ended.validation,
            test=test,
            checkpoint=path,
            plot=picture,
            interrupted=interrupted,
            stopped=ended.tired,
            findings=tuple(watcher.findings),
            changed=self.changed,
        )
        led(self.team, partial(self.write_pictures, report, rows))
        return report

    def write_pictures(self, report: Report, rows: Sequence[Row]) -> None:
        """Writes what people look at."""
        if report.plot is not None:
            with writing(report.plot):
                plot.plot(rows, report.plot, self.recipe.model.name)
        if self.recipe.outputs.report and rows:
            self.write_page(report, rows)

    def write_page(self, report: Report, rows: Sequence[Row]) -> None:
        """Writes `report.html`."""
        scores = {
            "training": report.training,
            "validation": report.validation,
            "test": report.test,
        }
        text = page(
            f"{self.recipe.model.name}: {report.steps} steps in {report.seconds:.1f} s",
            self.recipe.content(),
            rows,
            read_looks(self.folder),
            [str(finding) for finding in report.findings],
            scores,
        )
        target = self.folder / REPORT
        with writing(target):
            write(target, text.encode())
