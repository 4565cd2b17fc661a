"""`dmc opt`: passes over textual IR."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pkgutil
import sys
from pathlib import Path

from dmc import transforms
from dmc.driver import run_textual
from dmc.ir.operation import VerifyError
from dmc.ir.parser import IRSyntaxError
from dmc.ir.passes import Pass, PipelineError
from dmc.syntax.files import decode
from dmc.tools.failures import InputError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="textual IR; - is standard input")
    parser.add_argument(
        "--passes", default="", metavar="PIPELINE", help='such as "cse,unroll{limit=4}"'
    )
    parser.add_argument("--generic", action="store_true", help="print MLIR's generic syntax")
    parser.add_argument(
        "--print-after-all", action="store_true", help="show the IR after every pass, on stderr"
    )
    parser.add_argument("--list", action="store_true", help="show every pass and its options")


def run(options: argparse.Namespace) -> int:
    """Read IR, run the passes, print what comes out."""
    for module in pkgutil.walk_packages(transforms.__path__, "dmc.transforms."):
        importlib.import_module(module.name)
    if options.list:
        for name, cls in sorted(Pass.registry.items()):
            print(f"{name:<24}{(cls.__doc__ or '').splitlines()[0]}")
            for field in dataclasses.fields(cls):
                print(f"    {field.name}={str(field.default).lower()}")
        return 0
    if options.file is None:
        raise UsageError("name a file of textual IR, or - for standard input")
    try:
        text = run_textual(
            _read(options.file),
            options.passes,
            file=options.file,
            generic=options.generic,
            on_print=_show if options.print_after_all else None,
        )
    except PipelineError as failure:
        raise UsageError(str(failure)) from None
    except (IRSyntaxError, VerifyError) as failure:
        raise InputError(str(failure)) from None
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0


def _read(file: str) -> str:
    if file == "-":
        return decode(sys.stdin.buffer.read(), "standard input")
    return decode(Path(file).read_bytes(), file)


def _show(title: str, text: str) -> None:
    print(f"// ---- {title}\n{text}", file=sys.stderr)
