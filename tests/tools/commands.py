"""Running `dmc` in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from dmc.tools.cli import main

LINE = str(Path(__file__).parent / "line.dm")


@dataclass(frozen=True)
class Outcome:
    """What a command printed and its exit status."""

    status: int
    out: str
    err: str


def dmc(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the command line; argparse's own exits count like others."""
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    streams = capsys.readouterr()
    return Outcome(status, streams.out, streams.err)
