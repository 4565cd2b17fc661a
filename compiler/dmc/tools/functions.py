"""Finding the function that a command is about, and sizes for it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping

from dmc.api.conversion import PythonValue
from dmc.api.function import Function
from dmc.api.loading import load
from dmc.api.module import Module
from dmc.api.placeholders import fitting_sizes, size_names, sizes_in
from dmc.semantics.signature import Signature
from dmc.tools.failures import UsageError
from dmc_runtime.spelling import did_you_mean

Sizes = dict[str, int]
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def add_function(parser: argparse.ArgumentParser) -> None:
    """Declare the positional arguments FILE and FUNCTION, and `--sizes`."""
    parser.add_argument("file", metavar="FILE", help="a .dm file")
    parser.add_argument("function", metavar="FUNCTION", help="a function, or MODEL.METHOD")
    parser.add_argument(
        "--sizes",
        type=parse_sizes,
        default={},
        metavar="NAME=N,…",
        help="sizes by name; `net.I` is the size I of a parameter `net: MLP`",
    )


def parse_sizes(text: str) -> Sizes:
    """`B=32,net.I=64` as a mapping; argparse shows what is wrong with it."""
    sizes: Sizes = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (part.strip() for part in item.partition("="))
        digits = value.replace("_", "")
        if not separator or not _NAME.fullmatch(name) or not digits.isdecimal():
            raise argparse.ArgumentTypeError(f"`{item}` is not a size: write NAME=NUMBER")
        if name in sizes:
            raise argparse.ArgumentTypeError(f"`{name}` is given twice")
        if len(digits) > 18:
            raise argparse.ArgumentTypeError(f"`{name}` is too large")
        sizes[name] = int(digits)
    return sizes


def find(file: str, name: str) -> tuple[Module, Function]:
    """The function or method `name` of a program. Raises dmc.Error or UsageError."""
    module = load(file)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Function):
        return module, found
    known = list(functions_of(module))
    if isinstance(found, type):
        methods = [k for k in known if k.startswith(f"{name}.")]
        such = f", such as `{methods[-1]}`" if methods else ""
        raise UsageError(f"`{name}` is a record; name a function{such}")
    listed = ", ".join(known) or "no functions"
    (hint,) = did_you_mean(name, known) or (f"it has {listed}",)
    raise UsageError(f"`{file}` has no function `{name}`: {hint}")


def functions_of(module: Module) -> Iterator[str]:
    """The names of all functions and methods of a module."""
    for name in dir(module):
        entity: object = getattr(module, name)
        if isinstance(entity, Function):
            yield name
        elif isinstance(entity, type):
            for member in vars(entity):
                if isinstance(getattr(entity, member, None), Function):
                    yield f"{name}.{member}"


def require_known(signature: Signature, sizes: Mapping[str, int]) -> None:
    """Raise UsageError for a size that the function does not have."""
    names = size_names(signature)
    for name in sizes:
        if name not in names:
            listed = ", ".join(names) or "none"
            (hint,) = did_you_mean(name, names) or (f"its sizes are: {listed}",)
            raise UsageError(f"`{signature.name}` has no size `{name}`: {hint}")


def complete_sizes(
    signature: Signature, sizes: Mapping[str, int], values: Mapping[str, PythonValue]
) -> Sizes:
    """`sizes` with those that `values` have, and small ones for the rest, said on stderr."""
    require_known(signature, sizes)
    known = {**sizes_in(signature, values), **sizes}
    missing = [name for name in size_names(signature) if name not in known]
    if not missing:
        return known
    chosen = fitting_sizes(signature, known)
    listed = ",".join(f"{name}={chosen[name]}" for name in missing)
    print(f"dmc: sizes chosen: {listed} (others with --sizes)", file=sys.stderr)
    return chosen
