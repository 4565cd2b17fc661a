"""`python -m benchmarks`: time dmc beside its peers; write `benchmarks/results/latest.{json,png}`.

Peers take part when they are installed in the environment that runs this (see `make bench`).
Each thread count has a process of its own, in which all contestants take turns.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Timing, measure
from benchmarks.report import OURS, Machine, Report, Row, chart, read, table
from benchmarks.roofline import Roofline, roofline
from benchmarks.workload import Workload, peer
from benchmarks.workloads import WORKLOADS
from dmc.jit.engine import default_engine

RESULTS = Path(__file__).parent / "results"
PACKAGES = (OURS, "numpy", "llvmlite", "jax", "jaxlib", "torch")


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.child:
        print(_measure(arguments).json())
        return
    reports = [_in_child(arguments, int(threads)) for threads in arguments.threads.split(",")]
    report = Report(
        reports[0].machine,
        [roofline for part in reports for roofline in part.rooflines],
        [row for part in reports for row in part.rows],
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(report.json())
    print(table(report))
    print(f"\nwritten to {RESULTS / 'latest.json'}")
    try:
        chart(report, RESULTS / "latest.png")
    except ImportError:
        print("no chart: matplotlib is not installed (`pip install 'dmc[plot]'`)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, such as mlp,gmm")
    parser.add_argument("--threads", default="2,1", help="thread counts, such as 2,1")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--peers", default="jax,torch", help="who takes part beside dmc")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def _in_child(arguments: argparse.Namespace, threads: int) -> Report:
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
    return read(done.stdout.decode())


def _measure(arguments: argparse.Namespace) -> Report:
    wanted = set(filter(None, arguments.only.split(",")))
    peers = set(arguments.peers.split(","))
    if "torch" in peers:
        _limit_torch(arguments.child)
    before = roofline(arguments.child)
    measured: list[tuple[Workload, dict[str, Timing]]] = []
    for workload in WORKLOADS:
        if wanted and workload.name not in wanted:
            continue
        print(f"{workload.name}, {arguments.child} threads …", file=sys.stderr, flush=True)
        measured.append((workload, measure(workload, peers, arguments.rounds)))
    # Measured twice, because another process may disturb it.
    limits = before.or_better(roofline(arguments.child))
    rows = [_row(workload, limits, timings) for workload, timings in measured]
    return Report(_machine(), [limits], rows)


def _row(workload: Workload, limits: Roofline, timings: dict[str, Timing]) -> Row:
    peak = limits.fma_f32 if workload.dtype == "f32" else limits.fma_f64
    return Row(
        workload=workload.name,
        what=workload.what,
        threads=limits.threads,
        ms={name: timing.best * 1e3 for name, timing in timings.items()},
        median_ms={name: timing.median * 1e3 for name, timing in timings.items()},
        compile_s={name: timing.first_call for name, timing in timings.items()},
        floor_ms=max(workload.flops / peak, workload.bytes / limits.bandwidth) * 1e3,
        gflops=workload.flops / timings[OURS].best / 1e9,
        peak_gflops=peak / 1e9,
    )


def _limit_torch(threads: int) -> None:
    try:
        torch = peer("torch")
    except ImportError:
        return
    torch.set_num_threads(threads)


def _machine() -> Machine:
    target = default_engine().target
    installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    versions = {p: importlib.metadata.version(p) for p in PACKAGES if p in installed}
    width = 8 * target.machine.vector_bytes
    return Machine(_cpu(), f"{target.cpu}, vectors of {width} bits", versions)


def _cpu() -> str:
    """The processor as Linux calls it, or what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


if __name__ == "__main__":
    main()
