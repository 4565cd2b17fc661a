"""`dmc check-grad`: a gradient against finite differences, parameter by parameter."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from dmc.api.check import compare_gradients
from dmc.api.check_rules import compare_rules, functions_with_rules, place_of
from dmc.api.function import Function
from dmc.api.slopes import GradientCheck, Tolerances
from dmc.diagnostics.errors import Error
from dmc.semantics.types import leaves
from dmc.tools.arguments import add_arguments, prepare
from dmc.tools.failures import MISTAKE, UsageError, wants_color
from dmc.tools.functions import find
from dmc.tools.grad import parse_wrt


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_arguments(parser)
    parser.add_argument(
        "--wrt", metavar="PATH,…", help="what to check (default: every parameter with floats)"
    )
    parser.add_argument("--step", type=float, metavar="H", help="of the central differences")
    parser.add_argument(
        "--tolerance", type=float, metavar="E", help="the largest error that passes"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=32,
        metavar="N",
        help="components of each array to perturb (default: 32)",
    )


def run(options: argparse.Namespace) -> int:
    """Print a row for each array; 1 when one of them fails."""
    call = prepare(*find(options.file, options.function), options)
    function, values = call.specialized()
    wrt = parse_wrt(options.wrt) or tuple(_floats(function, list(call.values)))
    if not wrt:
        raise UsageError(f"`{options.function}` has no parameter with floats")
    tolerances = Tolerances(options.step, options.tolerance)
    checks = compare_gradients(function, values, wrt, tolerances, options.samples, options.seed)
    if not all(check.passed for check in checks):
        checks += _rules_that_fail(function, options, tolerances)
    _print_table(checks)
    return 0 if all(check.passed for check in checks) else MISTAKE


def _rules_that_fail(
    function: Function, options: argparse.Namespace, tolerances: Tolerances
) -> list[GradientCheck]:
    """What is to blame: rules of functions that are called, with arguments drawn for each."""
    failing: list[GradientCheck] = []
    others = argparse.Namespace(**{**vars(options), "arguments": [], "sizes": {}})
    for used in functions_with_rules(function):
        for name, rule in used.rules.items():
            if rule.unchecked:
                print(f"dmc: unchecked, need not agree: {place_of(used, name)}", file=sys.stderr)
        try:
            call = prepare(*find(options.file, used.full_name), others)
            rows = compare_rules(
                *call.specialized(), tolerances, options.samples, np.random.default_rng(0)
            )
        except (Error, UsageError):
            continue  # it is not to be called from here, or not with what is drawn
        failing += [row for row in rows if not row.passed]
    return failing


def _floats(function: Function, given: list[str]) -> list[str]:
    return [
        p.name
        for p in function.checked.parameters
        if p.name in given and any(leaf.is_trained for leaf in leaves(p.type))
    ]


def _print_table(checks: list[GradientCheck]) -> None:
    color = wants_color(sys.stdout)
    width = max(9, *(len(check.path) for check in checks))
    print(f"{'parameter':<{width}}  {'elements':>8}  {'gradient':>9}  {'error':>8}")
    for check in checks:
        verdict = "ok" if check.passed else "FAILED" if check.checked else "NOT CHECKED"
        kinks = f" ({check.kinks} left out at kinks)" if check.kinks else ""
        if color:
            verdict = f"\x1b[{32 if check.passed else 31}m{verdict}\x1b[0m"
        print(
            f"{check.path:<{width}}  {check.count:>8}  {check.norm:>9.2e}  "
            f"{check.error:>8.1e}  {verdict}{kinks}"
        )
