"""`dmc ir`: a function on its way to machine code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dmc.api.entry import Entry
from dmc.api.function import Function
from dmc.driver import Compilation, Stage
from dmc.ir.passes import Pass
from dmc.jit.engine import default_engine, engine_for
from dmc.jit.target import NAMES, named
from dmc.syntax.dump import dump
from dmc.syntax.files import read_source
from dmc.syntax.parser import parse
from dmc.tools.failures import UsageError
from dmc.tools.functions import add_function, complete_sizes, find
from dmc_runtime.files import write

_SYNTAX, _ALL = "syntax", "all"
_SUFFIXES = {_SYNTAX: "txt", Stage.LLVM.value: "ll", Stage.ASM.value: "s"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_function(parser)
    stages = [_SYNTAX, *(stage.value for stage in Stage)]
    parser.add_argument(
        "--stage",
        choices=[*stages, _ALL],
        default=Stage.TENSOR.value,
        metavar="STAGE",
        help=f"{', '.join(stages)}, or all of them into --output (default: tensor)",
    )
    parser.add_argument("--generic", action="store_true", help="MLIR's generic syntax")
    parser.add_argument(
        "--locations", action="store_true", help="every operation's place and producer"
    )
    parser.add_argument(
        "--print-after-all", action="store_true", help="show the IR after every pass"
    )
    parser.add_argument(
        "--print-after", default="", metavar="PASS,…", help="show the IR after these passes"
    )
    parser.add_argument(
        "--target-cpu",
        metavar="CPU",
        help=f"{', '.join(NAMES)} (default: this machine's)",
    )
    parser.add_argument("--output", metavar="PATH", help="a file; a folder for --stage all")


def run(options: argparse.Namespace) -> int:
    """Print or write the stages asked for."""
    if options.stage == _ALL and not options.output:
        raise UsageError("`--stage all` writes files: say where with --output FOLDER")
    _, function = find(options.file, options.function)
    if options.stage == _SYNTAX:
        _deliver(_syntax(options.file, options.function), options.output)
        return 0
    compilation = _compilation(function, options)
    if options.stage != _ALL:
        _deliver(_text(compilation, Stage(options.stage), options), options.output)
        return 0
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {_SYNTAX: _syntax(options.file, options.function)}
    texts |= {stage.value: _text(compilation, stage, options) for stage in Stage}
    for name, text in texts.items():
        file = folder / f"{options.function}.{name}.{_SUFFIXES.get(name, 'mlir')}"
        write(file, _ended(text).encode())
        print(file)
    return 0


def _text(compilation: Compilation, stage: Stage, options: argparse.Namespace) -> str:
    return compilation.ir(stage, generic=options.generic, locations=options.locations)


def _compilation(function: Function, options: argparse.Namespace) -> Compilation:
    passes = {name.strip() for name in options.print_after.split(",") if name.strip()}
    for name in sorted(passes - Pass.registry.keys()):
        known = ", ".join(sorted(Pass.registry))
        raise UsageError(f"there is no pass `{name}`; there are {known}")
    sizes = complete_sizes(function.checked, options.sizes, {})
    entry: Entry = function.specialize(**sizes).entry
    return Compilation(
        entry.lowered.module,
        entry.lowered.function.sym_name,
        engine=engine_for(named(options.target_cpu)) if options.target_cpu else default_engine(),
        print_after=frozenset({"*"} if options.print_after_all else passes),
        on_print=_show,
        checked=True,
    )


def _show(title: str, text: str) -> None:
    print(f"// ---- {title}\n{_ended(text)}")


def _syntax(file: str, name: str) -> str:
    """The syntax tree of one declaration."""
    first, _, method = name.partition(".")
    for node in parse(read_source(file)).declarations:
        if getattr(getattr(node, "name", None), "text", None) != first:
            continue
        for member in getattr(node, "members", ()) if method else ():
            if member.name.text == method:
                return dump(member)
        return dump(node)
    raise UsageError(f"`{name}` is imported: show it from the file that declares it")


def _deliver(text: str, output: str | None) -> None:
    if output:
        write(Path(output), _ended(text).encode())
    else:
        sys.stdout.write(_ended(text))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
