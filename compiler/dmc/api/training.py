"""Training from Python: the engine behind `dmc train`, with data and callbacks of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

from dmc.api.blame import blame
from dmc.api.conversion import PythonValue
from dmc.api.differentiate import grad
from dmc.api.function import Function
from dmc.api.gradients import Gradient
from dmc.api.loading import load
from dmc.api.module import Module
from dmc.api.operators import Held
from dmc.api.updates import Update
from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error, error
from dmc.process import lazy
from dmc_runtime import arguments, keys
from dmc_runtime import recipe as recipes
from dmc_runtime import train as engine
from dmc_runtime.budget import Budget
from dmc_runtime.errors import CheckpointError, TrainCode, TrainError
from dmc_runtime.rates import Range, RateSearch, find_rate
from dmc_runtime.recipe import Recipe
from dmc_runtime.records import Record
from dmc_runtime.runs import BEST, LAST, Callback, Functions, Report, Scores
from dmc_runtime.sizes import parse_bytes
from dmc_runtime.sources import Arrays, Given, Training
from dmc_runtime.spelling import did_you_mean
from dmc_runtime.step_halves import Halves
from dmc_runtime.team import of_this_process

T = TypeVar("T")
RecipeLike: TypeAlias = "str | Path | Mapping[str, object] | Recipe"


class Trainer:
    """A recipe made ready: its program is loaded, its data given or read when it runs.

    Args:
        recipe: the path of a TOML file, its content as a dict, or a `Recipe`.
        settings: values by dotted key, as in `{"arguments.rate": 0.1}`, in place of the recipe's.
        data, validation, test: arrays by the parameters of `step`, in place of files; `data` may
            also be an iterable of batches, each a dict of arrays.
        callbacks: each is called after every step with a `Moment` (`step`, `epoch`, `row`, `net`);
            one that gives something true ends the run, with everything saved.

    Raises dmc.Error for a recipe that is not valid, or functions that the program lacks.
    """

    def __init__(
        self,
        recipe: RecipeLike,
        *,
        settings: Mapping[str, object] | None = None,
        data: Training | None = None,
        validation: Arrays | None = None,
        test: Arrays | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.recipe = _told(partial(recipe_of, recipe, settings))
        self.callbacks = _callbacks(callbacks)
        self.given = Given(data, validation, test)

    @lazy
    def program(self) -> Module:
        """The program of the recipe."""
        return load(self.recipe.path(self.recipe.program))

    @lazy
    def functions(self) -> Functions:
        """What a run calls; each function is compiled when it is first called."""
        names = self.recipe.functions
        model = _model(self.program, self.recipe.model.name)
        constants: Mapping[str, PythonValue] = {
            **self.recipe.model.sizes,
            **self.recipe.model.hyper,
        }

        def init() -> Record:
            return model.init(keys.key(self.recipe.seed), **constants)

        step, blamed = _no_step, None
        if not names.gradient:
            whole = _function(self.program, names.step)
            step, blamed = _in_place(self._held(whole)), partial(_blame, whole)
        return Functions(
            init=init,
            start=_function(self.program, names.start),
            step=step,
            evaluate=_function(self.program, names.evaluate) if self._scores else None,
            gradient=self._watched(self.recipe.watch.loss, grad),
            activations=self._watched(self.recipe.watch.activations, _same),
            blame=blamed,
            halves=self._halves(names.gradient, names.update) if names.gradient else None,
        )

    def _halves(self, gradient: str, update: str) -> Halves:
        """A step as two functions; refuses arguments that neither takes."""
        functions = [_function(self.program, name) for name in (gradient, update)]
        taken = [p.name for function in functions for p in function.checked.parameters]
        for name in self.recipe.arguments:
            if name not in taken:
                message = f"neither `{gradient}` nor `{update}` takes the argument `{name}`"
                raise error(Diagnostic(TrainCode.RECIPE, message, at_call=True))
        return Halves(Gradient(self._held(functions[0])), Update(functions[1]))

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all that train together."""
        return _told(of_this_process).rank == 0

    def _held(self, step: Function) -> Function:
        """A step that takes no more than the recipe says beside its arguments and results."""
        memory, keep = self.recipe.memory, self.recipe.memory_keep
        return step.derived(Held(Budget(parse_bytes(memory), keep))) if memory else step

    def _watched(
        self, name: str, derived: Callable[[Function], Function]
    ) -> Callable[..., PythonValue] | None:
        """A function to look at, or what is derived of it, where the recipe looks at all."""
        if not self.recipe.watch.every or not name:
            return None
        return partial(_looked_at, derived(_function(self.program, name)))

    @property
    def _scores(self) -> bool:
        """Whether there is data to score."""
        data, given = self.recipe.data, self.given
        held_out = data.validation or data.test or given.validation is not None
        return bool(self.recipe.functions.evaluate and (held_out or given.test is not None))

    def run(
        self,
        *,
        resume: bool | str | Path = False,
        overwrite: bool = False,
        progress: bool = True,
        max_steps: int | None = None,
    ) -> Report:
        """Train as the recipe says; what there is of a run before is not lost.

        `resume` goes on from the last checkpoint of the recipe's folder, or from the one named;
        `overwrite` starts anew where the folder holds a run; `max_steps` stops after that many
        steps in all, as Ctrl-C would. Raises dmc.Error (`train.*`, `checkpoint.*`).
        """
        work = partial(
            engine.run,
            self.recipe,
            self.functions,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            max_steps=max_steps,
            given=self.given,
            callbacks=self.callbacks,
        )
        return _told(work)

    def evaluate(self, checkpoint: str | Path | None = None) -> Scores:
        """Scores of a checkpoint (else the best, else the last one) on data that is held out."""
        path = self.checkpoint if checkpoint is None else Path(checkpoint)
        return _told(partial(engine.evaluate, self.recipe, self.functions, path, self.given))

    def find_rate(
        self, argument: str = "rate", low: float = 1e-6, high: float = 10.0, steps: int = 100
    ) -> RateSearch:
        """Try growing values of an argument of `step`, from the start; nothing is written.

        The result has the `rates`, the smoothed `losses` and a `suggestion`: a tenth of the rate
        at which the loss was least, before it ran away (Smith, 2017).
        """
        tried = Range(low, high, steps)
        work = partial(find_rate, self.recipe, self.functions, argument, tried, self.given)
        return _told(work)

    @property
    def checkpoint(self) -> Path:
        """The best checkpoint of the recipe's folder, else the last."""
        folder = self.recipe.path(self.recipe.outputs.directory)
        best = folder / BEST
        return best if best.exists() else folder / LAST


def train(
    recipe: RecipeLike,
    *,
    settings: Mapping[str, object] | None = None,
    data: Training | None = None,
    validation: Arrays | None = None,
    test: Arrays | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool | str | Path = False,
    overwrite: bool = False,
    progress: bool = True,
    max_steps: int | None = None,
) -> Report:
    """Train as a recipe says and report: `dmc.Trainer(recipe, …).run(…)` in one call."""
    trainer = Trainer(
        recipe, settings=settings, data=data, validation=validation, test=test, callbacks=callbacks
    )
    return trainer.run(resume=resume, overwrite=overwrite, progress=progress, max_steps=max_steps)


def _callbacks(given: object) -> tuple[Callback, ...]:
    """The callbacks, in a list or tuple."""
    several = cast("Sequence[object]", given) if isinstance(given, list | tuple) else (given,)
    if not isinstance(given, list | tuple) or not all(map(callable, several)):
        told = arguments.shown(cast("object", given))
        message = f"`dmc.Trainer`: `callbacks` is {told}, not a list of functions"
        raise error(Diagnostic("call.value", message, at_call=True))
    return tuple(cast("Sequence[Callback]", several))


def recipe_of(given: RecipeLike, settings: Mapping[str, object] | None) -> Recipe:
    """A recipe from its path or its content. Raises TrainError of the runtime."""
    chosen: Mapping[str, object] = {} if settings is None else settings
    if isinstance(given, Recipe):
        return recipes.parse(given.content(), "recipe", given.folder, chosen)
    if isinstance(given, Mapping):
        return recipes.parse(given, "recipe", Path(), chosen)
    return recipes.load(arguments.path(given, "`dmc.Trainer`: the recipe"), chosen)


def _told(work: Callable[[], T]) -> T:
    """What `work` gives; its refusals are raised as the errors that users know."""
    try:
        return work()
    except (CheckpointError, TrainError) as failure:
        raise error(Diagnostic(failure.code, str(failure), at_call=True)) from None


def _no_step(*_: PythonValue, **__: PythonValue) -> tuple[PythonValue, ...]:
    raise TypeError("the step is in two halves")


def _in_place(step: Function) -> Callable[..., PythonValue]:
    """A step that writes the new model and optimizer state over the old ones."""
    updated = tuple(parameter.name for parameter in step.checked.parameters[:2])
    return partial(step, donate=updated)


def _function(module: Module, name: str) -> Function:
    found: object = getattr(module, name, None)
    if isinstance(found, Function):
        return found
    raise _missing(module, "function", name)


def _model(module: Module, name: str) -> PythonValue:
    found = getattr(module, name, None)
    if hasattr(found, "init"):
        return found
    raise _missing(module, "model", name)


def _missing(module: Module, kind: str, name: str) -> Error:
    hint = "".join(f"; {help_}" for help_ in did_you_mean(name, dir(module)))
    message = f"`{module.__file__}` has no {kind} `{name}`{hint}"
    return error(Diagnostic(TrainCode.RECIPE, message, at_call=True))


def _same(function: Function) -> Function:
    return function


def _looked_at(function: Function, net: Record, /, **given: PythonValue) -> PythonValue:
    """A function of the model and those of the arguments of a step that it takes."""
    first, *rest = (parameter.name for parameter in function.checked.parameters)
    named = {name: given[name] for name in rest if name in given}
    result: PythonValue = function(**{first: net}, **named)
    # The gradient of a function with auxiliary results comes with these.
    if function.operators and isinstance(result, tuple):
        return cast("tuple[PythonValue, ...]", result)[0]
    return result


def _blame(step: Function, net: Record, opt: PythonValue, /, **given: PythonValue) -> str:
    """Where a step first makes NaN or infinity of finite numbers, in words."""
    names = [parameter.name for parameter in step.checked.parameters]
    return blame(step, {names[0]: net, names[1]: opt, **given})
