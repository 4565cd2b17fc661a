"""`dmc run`: call a function."""

from __future__ import annotations

import argparse

from dmc.tools.arguments import add_arguments, prepare
from dmc.tools.functions import find
from dmc.tools.values import show, write


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_arguments(parser)
    parser.add_argument("--output", metavar="FILE", help="write the result as .npy or .npz")


def run(options: argparse.Namespace) -> int:
    """Call the function and show what it gives."""
    call = prepare(*find(options.file, options.function), options)
    result = call.function(**call.named())
    if options.output:
        write(result, options.output)
    else:
        show(result)
    return 0
