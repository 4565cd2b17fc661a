"""`python -m benchmarks`: time dmc beside its peers; write `benchmarks/results/latest.{json,png}`.

Every contestant has a process of its own. Values and gradients are held against each other before
anything is timed; then all contestants of a workload take turns. Peers that are not installed are
left out (`make bench` uses an environment that has them).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.messages import Turn
from benchmarks.process import Settings
from benchmarks.race import race
from benchmarks.report import Row, limits_text, row, table, to_json
from benchmarks.roofline import Measured
from benchmarks.workload import FOLDER, System
from benchmarks.workloads import LARGE, NAMES, load

RESULTS = FOLDER / "results"


def main() -> None:
    arguments = _parser().parse_args()
    names = [name for name in arguments.only.split(",") if name] or NAMES
    known = [*NAMES, *LARGE]
    if unknown := set(names) - set(known):
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    systems = {System(name) for name in arguments.contestants.split(",")}
    turn = Turn(arguments.seconds)
    rows: list[Row] = []
    heads: list[str] = []
    for number in map(int, arguments.threads.split(",")):
        settings = Settings(number, arguments.peers_python, arguments.patience)
        machine = _measured(number)
        print(machine.machine, limits_text(machine.limits), sep="\n", file=sys.stderr, flush=True)
        heads += [h for h in (machine.machine, limits_text(machine.limits)) if h not in heads]
        for name in names:
            print(f"{name}, {number}:", file=sys.stderr, flush=True)
            workload = load(name)
            results = race(workload, settings, systems, arguments.rounds, turn)
            rows.append(row(workload, machine.limits, machine.machine, results))
            _write(rows, RESULTS)
    rows.sort(key=lambda row: (known.index(row.workload), row.threads))
    _write(rows, RESULTS)
    print("\n".join(heads), table(rows), sep="\n\n")
    print(f"\nwritten to {RESULTS / 'latest.json'}")
    try:
        chart(rows, RESULTS / "latest.png")
    except ImportError:
        print("no chart: matplotlib is not installed (`pip install 'dmc[plot]'`)")


def _write(rows: list[Row], folder: Path) -> None:
    """After every row, so that a run that is interrupted has not been in vain."""
    folder.mkdir(exist_ok=True)
    (folder / "latest.json").write_text(to_json(rows))


def _parser() -> argparse.ArgumentParser:
    everybody = ",".join(system.value for system in System)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, such as mlp,gmm")
    parser.add_argument("--threads", default="1,2", help="thread counts (default 1,2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a turn is")
    parser.add_argument("--contestants", default=everybody, help=f"of {everybody}")
    parser.add_argument("--peers-python", default=sys.executable, help="the peers' interpreter")
    parser.add_argument(
        "--patience", type=float, default=600.0, help="seconds that a contestant may take to start"
    )
    return parser


def _measured(threads: int) -> Measured:
    """The machine's limits, measured in a process that is pinned as the contestants are."""
    command = [sys.executable, "-m", "benchmarks.roofline", str(threads)]
    environment = dict(os.environ, DMC_NUM_THREADS=str(threads))
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return Measured.from_json(done.stdout.decode())


if __name__ == "__main__":
    main()
