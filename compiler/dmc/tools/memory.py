"""`dmc memory`: what a function takes of memory, and which values take it."""

from __future__ import annotations

import argparse

from dmc.api.differentiate import value_and_grad
from dmc.tools.functions import add_function, complete_sizes, find
from dmc.tools.grad import parse_wrt


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_function(parser)
    parser.add_argument("--gradient", action="store_true", help="of its value and gradient")
    parser.add_argument(
        "--wrt", metavar="PATH,…", help="of its value and gradient, in these arguments"
    )
    parser.add_argument(
        "--budget",
        metavar="SIZE",
        help="of its value and gradient, held to so much, such as 256MB or 64KiB",
    )
    parser.add_argument(
        "--keep",
        choices=("bf16", "i8"),
        help="what waits for the reverse pass may be kept in fewer bits under the budget",
    )
    parser.add_argument(
        "--donate", metavar="NAME,…", help="with the buffers of these parameters given up"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw it over the program, as a .png")


def run(options: argparse.Namespace) -> int:
    """Compile the function and print its memory."""
    _, function = find(options.file, options.function)
    sizes = complete_sizes(function.checked, options.sizes, {})
    if options.gradient or options.wrt or options.budget or options.keep:
        wrt = parse_wrt(options.wrt)
        function = value_and_grad(function, wrt, options.budget, options.keep)
    donated = tuple(options.donate.split(",")) if options.donate else ()
    memory = function.specialize(donate=donated, **sizes).memory()
    print(memory)
    if options.plot:
        memory.plot(options.plot)
    return 0
