"""`dmc grad`: call a function and its gradient."""

from __future__ import annotations

import argparse

from dmc.api.differentiate import value_and_grad
from dmc.api.operators import Wrt
from dmc.tools.arguments import add_arguments, prepare
from dmc.tools.functions import find
from dmc.tools.values import show, write


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_arguments(parser)
    parser.add_argument(
        "--wrt",
        metavar="PATH,…",
        help="what to differentiate in, such as net.l1 (default: the first parameter)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the gradient as .npy or .npz")


def run(options: argparse.Namespace) -> int:
    """Show the value of the function and its gradient."""
    call = prepare(*find(options.file, options.function), options)
    wrt = parse_wrt(options.wrt)
    value, gradient = value_and_grad(call.function, wrt)(**call.named())
    show(value, "value")
    if options.output:
        write(gradient, options.output)
    else:
        show(gradient, "gradient")
    return 0


def parse_wrt(text: str | None) -> Wrt:
    """`w,net.l1` as a tuple of paths, one alone as itself."""
    if text is None:
        return None
    paths = tuple(part.strip() for part in text.split(",") if part.strip())
    return paths[0] if len(paths) == 1 else paths
