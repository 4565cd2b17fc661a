"""What a training run is made of: the functions that it calls, where it is, how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime import checkpoint, data
from dmc_runtime.buffers import pack
from dmc_runtime.errors import CheckpointError, TrainCode, TrainError
from dmc_runtime.metrics import Row
from dmc_runtime.monitor import Finding
from dmc_runtime.records import Record
from dmc_runtime.step_halves import Halves
from dmc_runtime.team import Team
from dmc_runtime.trees import Tree, spec_of, tree_map, values_of

Scores: TypeAlias = dict[str, float]
LAST, BEST = "last.safetensors", "best.safetensors"
PLOT, REPORT = "training.png", "report.html"


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
        gradient: `gradient(net, **given)`, of all that a step is given, is the gradient to watch.
        activations: `activations(net, **given)` gives the arrays to watch.
        blame: `blame(net, opt, **given)` says where a step first makes NaN or infinity, in words.
        halves: the step as two functions, for shards; then `step` is not called.
    """

    init: Callable[[], Record]
    start: Callable[[Record], Tree]
    step: Callable[..., tuple[Any, ...]]
    evaluate: Callable[..., Any] | None = None
    gradient: Callable[..., Tree] | None = None
    activations: Callable[..., Tree] | None = None
    blame: Callable[..., str] | None = None
    halves: Halves | None = None


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
class Moment:
    """What a callback is told after each step.

    Attributes:
        step: steps taken in all, of `steps`.
        epoch: the epoch that the step belongs to, from 1.
        row: loss and metrics of the step, and scores of held-out data where there are new ones.
        folder: where the results go.
    """

    step: int
    steps: int
    epoch: int
    row: Row
    folder: Path
    state: State

    @property
    def net(self) -> Record:
        """A copy of the model, which later steps leave alone."""
        return tree_map(np.array, self.state.net)


Callback: TypeAlias = Callable[[Moment], object]
"""Is called after each step; what it gives that is true ends the run, with everything saved."""


@dataclass(frozen=True)
class Report:
    """How a run ended.

    Attributes:
        net: the best model, or the last without held-out data.
        steps: steps taken in all, also before resuming.
        seconds: spent training and evaluating, also before resuming.
        training: loss and metrics of the last step.
        validation: scores at the end, if there is held-out data.
        test: scores of the best (else the last) model on the test data, if there is any.
        checkpoint: the file that holds the model that was tested.
        interrupted: whether Ctrl-C stopped the run early.
        stopped: whether the scores had not become better for as long as the recipe waits.
        findings: what looked wrong on the way (see `dmc_runtime.monitor`).
        changed: the keys of the recipe that are not what they were before resuming.
    """

    net: Record
    steps: int
    seconds: float
    training: Scores
    validation: Scores
    test: Scores
    checkpoint: Path
    plot: Path | None
    interrupted: bool
    stopped: bool = False
    findings: tuple[Finding, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What a checkpoint tells of the run that wrote it."""

    recipe: dict[str, Any]
    step: int
    seconds: float
    best: Best | None

    @classmethod
    def of(cls, saved: checkpoint.Checkpoint, path: Path) -> Told:
        """Raises TrainError (`train.resume`) for a checkpoint that no run wrote."""
        told = cast("dict[str, Any]", saved.metadata)
        try:
            best = told["best"]
            best = Best(float(best["score"]), int(best["step"])) if best else None
            found = cls(dict(told["recipe"]), int(told["step"]), float(told["seconds"]), best)
        except (KeyError, TypeError, ValueError, OverflowError):
            found = None
        if found is None or found.step < 0 or not math.isfinite(found.seconds):
            message = f"`{path}` holds no run that could go on: `dmc train` did not write it"
            raise TrainError(TrainCode.RESUME, message)
        return found


def steps_in(folder: Path) -> int | None:
    """The steps of the run that a folder holds; `None` when it cannot be told, 0 without one."""
    if not any((folder / name).exists() for name in (LAST, BEST)):
        return 0
    try:
        steps = Told.of(checkpoint.read(folder / LAST), folder / LAST).step
    except (CheckpointError, TrainError):
        return None
    return steps or (None if (folder / BEST).exists() else 0)


def in_flat_buffers(net: Record, opt: Tree) -> State:
    """A state whose arrays are views of one allocation for each dtype.

    A step that may overwrite its state leaves it there, so nothing is allocated from then on.
    """
    tree = pack({"net": net, "opt": opt}).tree
    return State(cast("Record", tree["net"]), tree["opt"])


def scores_of(
    function: Callable[..., Any], net: Record, table: data.Table, size: int, team: Team
) -> Scores:
    """Mean scores over a table, in batches of `size` (0: all at once), which a team shares."""
    batches = data.Batches(table, size or len(table), shuffle=False, last=data.Last.SHORT)
    order = np.arange(len(table))
    found: dict[int, tuple[int, Scores]] = {}
    for number in range(team.rank, batches.per_epoch, team.size):
        batch = table.take(order[number * batches.size : (number + 1) * batches.size])
        found[number] = len(batch), numbers_of(function(net, **batch.columns))
    told = {number: scores for part in team.share(found) for number, scores in part.items()}
    totals: Scores = {}
    for number in sorted(told):
        length, scores = told[number]
        for name, value in scores.items():
            totals[name] = totals.get(name, 0.0) + value * length
    return {name: total / len(table) for name, total in totals.items()}


def numbers_of(result: Any) -> Scores:
    """The numbers that a function reports: by the fields of its record, or one number, the loss."""
    names: Sequence[str] = ("loss",)
    values: Sequence[Any] = (result,)
    if isinstance(result, Record):
        names, values = spec_of(result).names, cast("Sequence[Any]", values_of(result))
    numbers: Scores = {}
    for name, value in zip(names, values, strict=True):
        if np.ndim(value) != 0:
            raise TrainError(TrainCode.STEP, f"the metric `{name}` is an array, not a number")
        numbers[name] = float(value)
    return numbers
