"""`dmc train`: a recipe, its program compiled, run by the training loop."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from dmc.api.training import Trainer
from dmc_runtime.recipe import setting
from dmc_runtime.runs import Report


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
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="put a value in place of the recipe's, as in `--set arguments.rate=1e-4`",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="start anew where the folder holds a run"
    )
    parser.add_argument(
        "--find-rate",
        metavar="ARGUMENT",
        help="do not train; try growing values of an argument of `step`, and suggest one",
    )
    parser.add_argument("--max-steps", type=int, metavar="N", help="stop after N steps in all")
    parser.add_argument(
        "--memory-budget",
        metavar="SIZE",
        help="what a step may take beside its arguments and results, such as 256MB; "
        "the numbers stay the same",
    )
    parser.add_argument(
        "--memory-keep",
        choices=("bf16", "i8"),
        help="for that, what waits for the reverse pass may be kept in fewer bits",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Train or evaluate, and say how it went; 130 after Ctrl-C."""
    settings = dict(map(setting, options.settings))
    if options.memory_budget:
        settings["memory"] = options.memory_budget
    if options.memory_keep:
        settings["memory_keep"] = options.memory_keep
    trainer = Trainer(options.recipe, settings=settings)
    if options.find_rate:
        search = trainer.find_rate(options.find_rate)
        if not trainer.leads:
            return 0
        for rate, loss in zip(search.rates, search.losses, strict=True):
            print(f"{rate:.3e} {loss:.6g}")
        print(f"suggestion: {search.suggestion:.2g}")
        return 0
    if options.evaluate:
        path = trainer.checkpoint if options.evaluate is True else options.evaluate
        scores = trainer.evaluate(path)
        if trainer.leads:
            print(f"{path}: {_scores(scores)}")
        return 0
    report = trainer.run(
        resume=options.resume,
        overwrite=options.overwrite,
        progress=not options.no_progress,
        max_steps=options.max_steps,
    )
    if trainer.leads:
        _print_report(report)
    return 130 if report.interrupted else 0


def _print_report(report: Report) -> None:
    if report.changed:
        print(f"went on with other values of {', '.join(report.changed)}")
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
    if report.stopped:
        print("stopped early: the score had not become better")
    for finding in report.findings:
        print(f"warning: {finding}")
    print(f"checkpoint: {report.checkpoint}")
    if report.plot is not None:
        print(f"plot: {report.plot}")


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in scores.items())
