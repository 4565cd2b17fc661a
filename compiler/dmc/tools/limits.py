"""Bounds of time and memory for what a stranger wrote: `--limit-seconds`, `--limit-memory`.

The command then runs in a process of its own, which is watched: native code that never returns is
ended like everything else.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_KIND = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
_POLL = 0.02
_EXCEEDED = 1


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Declare both options."""
    group = parser.add_argument_group("for what a stranger wrote")
    group.add_argument(
        "--limit-seconds", type=_seconds, metavar="N", help="end the command after N seconds"
    )
    group.add_argument(
        "--limit-memory", type=_bytes, metavar="SIZE", help="give it no more memory, such as 2G"
    )


def limited(options: argparse.Namespace, run: Callable[[], int]) -> int:
    """What `run` gives, within the limits that the options set; 1 where it exceeds one."""
    seconds: float | None = options.limit_seconds
    size: int | None = options.limit_memory
    if seconds is None and size is None:
        return run()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _work(run, size)
    status = _watched(child, math.inf if seconds is None else seconds)
    if status is None:
        print(f"dmc: not done after {seconds:g} s (--limit-seconds)", file=sys.stderr)
        return _EXCEEDED
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    name = signal.Signals(os.WTERMSIG(status)).name
    hint = "" if size is None else f", perhaps for want of memory ({size} bytes, --limit-memory)"
    print(f"dmc: ended by {name}{hint}", file=sys.stderr)
    return _EXCEEDED


def _work(run: Callable[[], int], size: int | None) -> NoReturn:
    """Run in the child; leaves with the status."""
    if size is not None:
        _, hard = resource.getrlimit(_KIND)
        bound = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(_KIND, (bound, hard))
    sys.exit(run())


def _watched(child: int, seconds: float) -> int | None:
    """The status of a process; None for one that had to be ended after a time."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(_POLL)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of seconds")
    return seconds


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"`{text}` is not a size: write 500M or 2G")
    return int(found[1]) * _UNITS[found[2].upper()]
