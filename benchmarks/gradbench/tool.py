"""`python benchmarks/gradbench/tool.py`: dmc as a tool of GradBench.

Answers messages on standard input with responses on standard output, a line each. One thread runs
unless `--multithreaded` is given.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    # This folder's place is taken by the one from which the benchmarks are imported.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    dmc = import_module("dmc")
    modules = import_module("benchmarks.gradbench.evals").MODULES
    tool = import_module("benchmarks.gradbench.protocol").Tool(modules)
    parser = argparse.ArgumentParser(description="dmc as a tool of GradBench")
    parser.add_argument("--multithreaded", action="store_true", help="use all processors")
    arguments = parser.parse_args()
    dmc.set_num_threads((os.cpu_count() or 1) if arguments.multithreaded else 1)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        for response in tool.serve(sys.stdin):
            replies.write(response + "\n")
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
