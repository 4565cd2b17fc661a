"""`python -m tests.fuzz`: as many trials of every family as a time allows.

Trials run in a process of their own, which is watched: it may neither die nor be silent for long.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dmc.jit.cache import DIRECTORY_VARIABLE
from tests.fuzz.dumps import Dumps
from tests.fuzz.family import Family, Fault, Outcome
from tests.fuzz.faults import Faults
from tests.fuzz.files import Files
from tests.fuzz.guards import Guards
from tests.fuzz.misuse import Misuse
from tests.fuzz.programs import Programs
from tests.fuzz.sources import Sources
from tests.fuzz.valgrind import Valgrind

SILENCE = 600.0
"""Seconds without a word after which a trial counts as hanging, however busy the machine is."""
MEMORY = 8 << 30
"""Bytes that a process of trials may use beside what it has at the start."""
FAMILIES = (
    *("sources", "programs", "dumps", "guards", "valgrind"),
    *("files", "misuse", "faults"),
)


def family_of(name: str) -> Family:
    match name:
        case "sources":
            return Sources()
        case "programs":
            return Programs()
        case "dumps":
            return Dumps()
        case "guards":
            return Guards()
        case "valgrind":
            return Valgrind()
        case "files":
            return Files(Path(tempfile.mkdtemp()))
        case "misuse":
            return Misuse(Path(tempfile.mkdtemp()))
        case "faults":
            return Faults()
        case _:
            raise SystemExit(f"there is no family `{name}`: {', '.join(FAMILIES)}")


@dataclass(frozen=True)
class Trial:
    """What a trial came to; `smallest` is the case of a fault."""

    seed: int
    outcome: Outcome
    smallest: str = ""


# The process of trials


def work(name: str, seed: int, shrink: bool) -> None:
    """Carry out trials from `seed` on, and say of each when it begins and how it ended."""
    family = family_of(name)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    known: set[str] = set()
    while True:
        print(json.dumps({"begun": seed}), file=told, flush=True)
        outcome = family.check(seed)
        line: dict[str, object] = {"seed": seed}
        if isinstance(outcome, Fault):
            fresh = outcome.kind not in known and shrink
            known.add(outcome.kind)
            smallest = family.shrunk(seed, outcome) if fresh else ""
            line |= {"fault": outcome.kind, "detail": outcome.detail, "smallest": smallest}
        else:
            line["held"] = outcome
        print(json.dumps(line), file=told, flush=True)
        seed += 1


# Watching it


def trials(name: str, seed: int, seconds: float, shrink: bool) -> Iterator[Trial]:
    """Those that a time allows; a process that dies or hangs is one more fault."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        command = [sys.executable, "-m", "tests.fuzz", "--work", name, "--seed", str(seed)]
        command += [] if shrink else ["--no-shrink"]
        quiet = subprocess.DEVNULL
        hangs, died = False, None
        # Many changes leave the code as it was, which a cache has; the user's is not for them.
        with (
            tempfile.TemporaryDirectory() as cache,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=quiet,
                env={**os.environ, DIRECTORY_VARIABLE: cache},
            ) as process,
        ):
            assert process.stdout is not None
            while time.monotonic() < end:
                if not select.select([process.stdout], [], [], SILENCE)[0]:
                    hangs = True
                    break
                line = process.stdout.readline()
                if not line:
                    died = process.wait()
                    break
                told = json.loads(line)
                if "held" in told:
                    yield Trial(seed, told["held"])
                    seed += 1
                elif "fault" in told:
                    yield Trial(seed, Fault(told["fault"], told["detail"]), told["smallest"])
                    seed += 1
            process.kill()
        if hangs:
            yield Trial(seed, Fault("hangs", f"no word for {SILENCE:.0f} s"))
            seed += 1
        elif died is not None:
            how = signal.Signals(-died).name if died < 0 else f"status {died}"
            yield Trial(seed, Fault(f"the process ended: {how}", ""))
            seed += 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Throw everything random at dmc.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all families together")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="the first; others follow it")
    parser.add_argument("--no-shrink", action="store_true", help="leave faults as they are")
    parser.add_argument("--work", metavar="FAMILY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.seed, not options.no_shrink)
    families = options.family or list(FAMILIES)
    found = 0
    for name in families:
        counts: collections.Counter[str] = collections.Counter()
        share = options.seconds / len(families)
        with contextlib.suppress(KeyboardInterrupt):  # what was tried until then counts
            for trial in trials(name, options.seed, share, not options.no_shrink):
                if isinstance(trial.outcome, str):
                    counts[trial.outcome] += 1
                    continue
                found += 1
                counts[f"FAULT {trial.outcome.kind}"] += 1
                if counts[f"FAULT {trial.outcome.kind}"] == 1:
                    print(f"\n{name} {trial.seed}: {trial.outcome.kind}\n{trial.outcome.detail}")
                    print(trial.smallest, flush=True)
        listed = ", ".join(f"{count} {what}" for what, count in counts.most_common())
        print(f"{name}: {counts.total()} trials from seed {options.seed} on: {listed}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
