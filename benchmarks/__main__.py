"""`python -m benchmarks`: time dmc beside its peers and write `benchmarks/results/latest.json`.

Peers take part when they are installed in the environment that runs this (see `make bench`).
Each thread count has a process of its own, in which all contestants take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "latest.json"
Row = dict[str, Any]


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.child:
        json.dump(_measure(arguments), sys.stdout)
        return
    rows: list[Row] = []
    for threads in (int(t) for t in arguments.threads.split(",")):
        rows += _in_child(arguments, threads)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    print(f"\nwritten to {RESULTS}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, such as mlp,gmm")
    parser.add_argument("--threads", default="2,1", help="thread counts, such as 2,1")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--peers", default="jax,torch", help="who takes part beside dmc")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def _in_child(arguments: argparse.Namespace, threads: int) -> list[Row]:
    environment = dict(os.environ)
    for name in ("OMP", "MKL", "OPENBLAS", "DMC"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    environment["JAX_ENABLE_X64"] = "1"
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment["XLA_FLAGS"] = flags
    command = [sys.executable, "-m", "benchmarks", "--child", str(threads)]
    command += ["--only", arguments.only, "--rounds", str(arguments.rounds)]
    command += ["--peers", arguments.peers]
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        command = ["taskset", "-c", ",".join(map(str, cores)), *command]
    with tempfile.TemporaryDirectory() as cache:
        environment["DMC_CACHE_DIR"] = cache
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _measure(arguments: argparse.Namespace) -> list[Row]:
    from benchmarks.measure import measure
    from benchmarks.roofline import roofline
    from benchmarks.workloads import WORKLOADS

    wanted = set(filter(None, arguments.only.split(",")))
    chosen = [w for w in WORKLOADS if not wanted or w.name in wanted]
    if "torch" in arguments.peers:
        _limit_torch(arguments.child)
    machine = roofline(arguments.child)
    rows: list[Row] = []
    for workload in chosen:
        print(f"{workload.name}, {arguments.child} threads …", file=sys.stderr, flush=True)
        timings = measure(workload, set(arguments.peers.split(",")), arguments.rounds)
        peak = machine.fma_f32 if workload.dtype == "f32" else machine.fma_f64
        floor = max(workload.flops / peak, workload.bytes / machine.bandwidth)
        rows.append(
            {
                "workload": workload.name,
                "what": workload.what,
                "threads": arguments.child,
                "ms": {name: timing.best * 1e3 for name, timing in timings.items()},
                "median_ms": {name: timing.median * 1e3 for name, timing in timings.items()},
                "floor_ms": floor * 1e3,
                "compile_s": {name: timing.first_call for name, timing in timings.items()},
                "gflops": workload.flops / timings["dmc"].best / 1e9,
                "peak_gflops": peak / 1e9,
            }
        )
    return rows


def _limit_torch(threads: int) -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


def table(rows: list[Row]) -> str:
    """The rows as text: best times in ms, the median in parentheses."""
    lines = ["workload   threads   dmc ms           best peer ms       ratio   floor ms   % peak"]
    for row in rows:
        peers = {name: ms for name, ms in row["ms"].items() if name != "dmc"}
        mine = f"{row['ms']['dmc']:.3f} ({row['median_ms']['dmc']:.3f})"
        line = f"{row['workload']:10} {row['threads']:^7}   {mine:16}"
        if peers:
            best = min(peers, key=lambda name: peers[name])
            theirs = f"{best} {peers[best]:.3f}"
            line += f" {theirs:18} {peers[best] / row['ms']['dmc']:5.2f}"
        else:
            line += f" {'-':18} {'-':>5}"
        line += f"   {row['floor_ms']:8.3f}   {100 * row['gflops'] / row['peak_gflops']:5.1f}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
