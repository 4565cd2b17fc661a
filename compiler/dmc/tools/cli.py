"""The command `dmc`: finds the subcommand, and says plainly what went wrong.

Each subcommand is a module with `configure(parser)` and `run(options) -> int`, imported when it is
chosen, so that `dmc --help` costs nothing. Exit status: 0 for success, 1 when a program, its data
or a file is at fault, 2 for a wrong invocation, 70 for a bug in dmc, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, Protocol

from dmc.tools.limits import add_limits, limited
from dmc.version import VERSION

USAGE, INTERRUPTED = 2, 130


class CommandModule(Protocol):
    """What a subcommand's module has."""

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


@dataclass(frozen=True)
class Command:
    """A subcommand: its module in this package, a line of help, and examples."""

    module: str
    summary: str
    examples: str

    def load(self) -> CommandModule:
        return importlib.import_module(f"dmc.tools.{self.module}")  # pyright: ignore[reportReturnType]


COMMANDS: dict[str, Command] = {
    "check": Command(
        "check",
        "find every mistake in a program",
        "dmc check line.dm\ndmc check line.dm --format json     # for editors and scripts",
    ),
    "ir": Command(
        "ir",
        "show a function on its way to machine code",
        "dmc ir line.dm loss --stage adjoint --sizes N=32\n"
        "dmc ir line.dm loss --stage asm --target-cpu x86-64-v3\n"
        "dmc ir line.dm loss --stage all --output ir/     # a file for each stage\n"
        "dmc ir line.dm loss --stage kernel --print-after-all",
    ),
    "opt": Command(
        "opt",
        "run passes over textual IR of any level",
        'dmc opt loss.mlir --passes "canonicalize,cse,dce"\n'
        "dmc ir line.dm loss --stage tensor | dmc opt - --passes cse\n"
        "dmc opt --list                           # every pass and its options",
    ),
    "run": Command(
        "run",
        "call a function",
        "dmc run line.dm predict line.slope=2.0 line.offset=1.0 'x=[1.0, 2.0, 3.0]'\n"
        "dmc run line.dm loss x=@data.npz:x y=@data.npz:y   # what is not given is drawn\n"
        "dmc run line.dm predict --sizes N=4 --seed 7 --output y.npy\n"
        "dmc run digits.dm evaluate net=@run/best.safetensors:net x=@test.npz:x y=@test.npz:y",
    ),
    "grad": Command(
        "grad",
        "call a function and its gradient",
        "dmc grad line.dm loss line.slope=2.0 line.offset=0.0 'x=[1.0, 2.0]' 'y=[3.0, 5.0]'\n"
        "dmc grad line.dm loss --wrt line.slope,x --sizes N=4 --seed 7",
    ),
    "check-grad": Command(
        "check_grad",
        "hold a gradient against finite differences",
        "dmc check-grad line.dm loss\n"
        "dmc check-grad line.dm loss --wrt line --sizes N=100 --seed 1\n"
        "dmc check-grad digits.dm loss --sizes B=8,net.I=5,net.H=16,net.O=3",
    ),
    "memory": Command(
        "memory",
        "show what a function takes of memory, and which values take it",
        "dmc memory line.dm loss --sizes N=1000\n"
        "dmc memory digits.dm loss --gradient --sizes B=64,net.I=64,net.H=256,net.O=10\n"
        "dmc memory digits.dm loss --budget 256KiB --plot memory.png   # of its gradient",
    ),
    "train": Command(
        "train",
        "train a model as a recipe says",
        "dmc train examples/digits/recipe.toml\n"
        "dmc train recipe.toml --set steps=2000 --set arguments.rate=1e-4 --overwrite\n"
        "dmc train recipe.toml --resume             # go on where it stopped\n"
        "dmc train recipe.toml --resume --set epochs=80\n"
        "dmc train recipe.toml --evaluate           # score the best checkpoint again",
    ),
    "schedule": Command(
        "schedule",
        "plot a learning-rate schedule",
        "dmc schedule schedule cosine peak=0.1 total=100     # one of the library\n"
        "dmc schedule schedule one_cycle peak=0.1 total=500 --steps 500 --output rate.png",
    ),
    "explain": Command(
        "explain",
        "say what an error code means",
        "dmc explain shape.matmul\ndmc explain                    # every code",
    ),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints end with where to look."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\ntry `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of what stands where no command does: the list of commands, `--version`."""
    parser = Parser(
        prog="dmc",
        description="The compiler of dm, a language for differentiable programs.",
        epilog="`dmc COMMAND --help` shows how to use a command, by example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dmc {VERSION}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True, parser_class=Parser
    )
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary, allow_abbrev=False)
    return parser


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of what follows a command; options and arguments stand in any order."""
    command = COMMANDS[name]
    examples = "\n".join(f"  {line}" for line in command.examples.splitlines())
    parser = Parser(
        prog=f"dmc {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.load().configure(parser)
    add_limits(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `dmc`; the exit status is returned, except where argparse exits itself."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return _told(partial(_command, given))


def _command(given: list[str]) -> int:
    """Run the command that is given, within its limits."""
    if not given or given[0] not in COMMANDS:
        build_parser().parse_args(given)
        build_parser().error("the command comes first")
    name, *rest = given
    options = command_parser(name).parse_intermixed_args(rest)
    return limited(options, partial(_told, partial(COMMANDS[name].load().run, options)))


def _told(work: Callable[[], int]) -> int:
    """The status of work, and words for what goes wrong."""
    try:
        status = work()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough
        return 0
    except Exception as failure:  # noqa: BLE001  # the last place to turn it into words
        from dmc.tools.failures import is_output_full, report

        if is_output_full(failure):
            _drop_output()
        return report(failure)


def _drop_output() -> None:
    """What is still to be written goes nowhere, so that nothing complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
