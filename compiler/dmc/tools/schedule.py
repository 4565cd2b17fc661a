"""`dmc schedule`: the rates that a schedule gives, as a picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmc.api.function import Function
from dmc.ir.types import DType
from dmc.semantics.types import TensorType
from dmc.tools.arguments import add_arguments, prepare
from dmc.tools.failures import UsageError
from dmc.tools.functions import find
from dmc_runtime import STD_FOLDER
from dmc_runtime.plot import plot_rates

_COLUMNS, _ROWS = 64, 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_arguments(parser)
    parser.add_argument("--steps", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--output", metavar="FILE", help="write a picture as .png, or .npy")


def run(options: argparse.Namespace) -> int:
    """Call the schedule at every step and show what it gives."""
    if options.steps < 1:
        raise UsageError("`--steps` is at least 1")
    module, function = find(_file(options.file), options.function)
    step = _step_parameter(function)
    options.arguments = [f"{step}=0", *options.arguments]
    call = prepare(module, function, options)
    rates = [float(call.function(**call.named() | {step: t})) for t in range(options.steps)]
    if options.output is None:
        print("\n".join(_chart(rates)))
    elif options.output.endswith(".npy"):
        np.save(options.output, np.array(rates))
    else:
        plot_rates(rates, Path(options.output), f"{options.file} {options.function}")
    return 0


def _file(name: str) -> str:
    """A file, or a module of the library."""
    library = STD_FOLDER / f"{name}.dm"
    return str(library) if not Path(name).is_file() and library.is_file() else name


def _step_parameter(function: Function) -> str:
    """The first parameter, which counts steps."""
    parameters = function.checked.parameters
    first = parameters[0] if parameters else None
    if first is None or first.type != TensorType(DType.I64, ()):
        raise UsageError(f"`{function.signature}` is no schedule: its first parameter is `t: i64`")
    return first.name


def _chart(rates: Sequence[float]) -> list[str]:
    """A curve in characters, with its highest and lowest rate and its steps at the sides."""
    columns = min(_COLUMNS, len(rates))
    last = len(rates) - 1
    shown = [rates[round(c * last / max(columns - 1, 1))] for c in range(columns)]
    low, high = min(rates), max(rates)
    span = high - low or 1.0
    heights = [round((rate - low) / span * (_ROWS - 1)) for rate in shown]
    edge = {_ROWS - 1: f"{high:.4g}", 0: f"{low:.4g}"}
    width = max(map(len, edge.values()))
    lines = [
        f"{edge.get(row, ''):>{width}} │"
        + "".join("●" if height == row else " " for height in heights).rstrip()
        for row in reversed(range(_ROWS))
    ]
    steps = f"0{last:>{max(columns - 1, 1)}}"
    return [*lines, f"{'':>{width}} └{'─' * columns}", f"{'':>{width}}  {steps}"]
