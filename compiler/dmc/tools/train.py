"""`dmc train`: a recipe, its program compiled, run by the training loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dmc.api.function import Function
from dmc.api.loading import load
from dmc.api.module import Module
from dmc_runtime import keys, train
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.recipe import Recipe
from dmc_runtime.recipe import load as load_recipe
from dmc_runtime.records import Record
from dmc_runtime.spelling import did_you_mean
from dmc_runtime.train import BEST, LAST, Functions, Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("recipe", metavar="RECIPE", help="a .toml file; see docs/training.md")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on from a checkpoint (default: the last one of the recipe)",
    )
    parser.add_argument(
        "--evaluate",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="do not train; score a checkpoint (default: the best one of the recipe)",
    )
    parser.add_argument("--max-steps", type=int, metavar="N", help="stop after N steps in all")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Train or evaluate, and say how it went; 130 after Ctrl-C."""
    recipe = load_recipe(options.recipe)
    functions = functions_of(recipe)
    if options.evaluate:
        path = _checkpoint(recipe) if options.evaluate is True else Path(options.evaluate)
        print(f"{path}: {_scores(train.evaluate(recipe, functions, path))}")
        return 0
    report = train.run(
        recipe,
        functions,
        resume=options.resume,
        progress=not options.no_progress,
        max_steps=options.max_steps,
    )
    _print_report(report)
    return 130 if report.interrupted else 0


def functions_of(recipe: Recipe) -> Functions:
    """The functions of the recipe's program; each is compiled when it is first called."""
    module = load(recipe.path(recipe.program))
    names = recipe.functions
    model: Any = _entity(module, recipe.model.name, "model")
    constants: Mapping[str, Any] = {**recipe.model.sizes, **recipe.model.hyper}

    def init() -> Record:
        return model.init(keys.key(recipe.seed), **constants)

    return Functions(
        init=init,
        start=_entity(module, names.start, "function"),
        step=_in_place(_entity(module, names.step, "function")),
        evaluate=_entity(module, names.evaluate, "function") if names.evaluate else None,
    )


def _in_place(step: Function) -> Callable[..., Any]:
    """A step that writes the new model and optimizer state over the old ones."""
    updated = tuple(parameter.name for parameter in step.checked.parameters[:2])
    return partial(step, donate=updated)


def _entity(module: Module, name: str, kind: str) -> Any:
    found: object = getattr(module, name, None)
    is_right = hasattr(found, "init") if kind == "model" else isinstance(found, Function)
    if is_right:
        return found
    hint = "".join(f"; {help_}" for help_ in did_you_mean(name, dir(module)))
    message = f"`{module.__file__}` has no {kind} `{name}`{hint}"
    raise TrainError(TrainCode.RECIPE, message)


def _checkpoint(recipe: Recipe) -> Path:
    """The best checkpoint of a recipe, else its last."""
    folder = recipe.path(recipe.outputs.directory)
    best = folder / BEST
    return best if best.exists() else folder / LAST


def _print_report(report: Report) -> None:
    verb = "interrupted" if report.interrupted else "trained"
    print(f"{verb}: {report.steps} steps in {report.seconds:.1f} s")
    parts = (
        ("training", report.training),
        ("validation", report.validation),
        ("test", report.test),
    )
    for name, scores in parts:
        if scores:
            print(f"{name}: {_scores(scores)}")
    print(f"checkpoint: {report.checkpoint}")
    if report.plot is not None:
        print(f"plot: {report.plot}")


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in scores.items())
