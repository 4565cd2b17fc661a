"""`python -m benchmarks.compile_time [NAMES]`: from a source file to a called function, in seconds.

Processor time, the best of some processes: what other programs do at the same time disturbs it
least. `cold` starts with an empty cache, `warm` finds there what `cold` compiled. Loading Python,
NumPy, the grammar and LLVM is start-up and not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
PROGRAMS: dict[str, tuple[Path, str, dict[str, int]]] = {
    "digits": (
        ROOT / "examples" / "digits" / "digits.dm",
        "loss",
        {"B": 64, "net.I": 64, "net.H": 256, "net.O": 10},
    ),
    "gmm": (
        ROOT / "benchmarks" / "programs" / "gmm.dm",
        "log_posterior",
        {"K": 25, "D": 32, "N": 1000},
    ),
    "ode": (ROOT / "benchmarks" / "programs" / "ode.dm", "misfit", {"E": 50}),
    "mlp": (
        ROOT / "benchmarks" / "programs" / "mlp.dm",
        "loss",
        {"B": 128, "net.I": 784, "net.H": 512, "net.O": 10},
    ),
}


def chain(count: int) -> str:
    """A chain of statements on whole arrays that all stay alive until the gradient."""
    lines = [
        f"    let a{i} = tanh(a{i - 1} * {1 + i / count:.3f} + a{i // 2})" for i in range(1, count)
    ]
    last = f"    sum(a{count - 1} * a0)"
    return "\n".join(["fn f[N](x: f64[N]) -> f64 {", "    let a0 = sin(x)", *lines, last, "}\n"])


def scalars(count: int) -> str:
    """Unrolled steps on a number."""
    lines = [f"    let y{i} = sin(y{i - 1}) * y{i - 1}" for i in range(1, count + 1)]
    return "\n".join(["fn f(x: f64) -> f64 {", "    let y0 = x", *lines, f"    y{count}", "}\n"])


GENERATED: dict[str, tuple[Callable[[int], str], int, dict[str, int]]] = {
    **{f"{n} statements": (chain, n, {"N": 1000}) for n in (160, 640, 2000)},
    "200 unrolled steps": (scalars, 200, {}),
}
LAYERS = {f"gpt, {n} layers": n for n in (4, 12)}
"""Transformers by their depth; B = 4, T = 128, D = 256, 8 heads."""

RUNS = 3


def measure(name: str) -> list[float]:
    """Processor seconds to check the program, and to compile the value and gradient of it."""
    import dmc

    warm_up = dmc.loads("fn f(x: f64) -> f64 = x * x")
    dmc.grad(warm_up.f)(1.0)
    sizes: dict[str, int] = {}
    if name in GENERATED:
        write, count, sizes = GENERATED[name]
        path, function = Path(tempfile.gettempdir()) / "program.dm", "f"
        path.write_text(write(count))
    elif name in LAYERS:
        path, function = ROOT / "benchmarks" / "programs" / "gpt.dm", "loss"
    else:
        path, function, sizes = PROGRAMS[name]
    start = time.process_time()
    program = dmc.load(path)
    checked = time.process_time() - start
    loss: Any = getattr(program, function)
    arguments: list[Any] = []
    if name in LAYERS:
        net = program.GPT.init(dmc.key(0), V=512, C=128, D=256, H=8, L=LAYERS[name])
        arguments = [net, *(np.zeros((4, 128), np.int32) for _ in range(2))]
    start = time.process_time()
    dmc.value_and_grad(loss).compile(*arguments, **sizes)
    return [checked, time.process_time() - start]


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measure(sys.argv[2]))
        return
    known = [*PROGRAMS, *GENERATED, *LAYERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names: list[str] = parser.parse_args().names
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no program {unknown[0]!r}; there are {', '.join(known)}")
    print("program              check    cold    warm")
    for name in names or [*PROGRAMS, *GENERATED]:
        runs = [_cold_and_warm(name) for _ in range(RUNS)]
        check, cold, warm = (min(times) for times in zip(*runs, strict=True))
        print(f"{name:18} {check:7.3f} {cold:7.3f} {warm:7.3f}", flush=True)


def _cold_and_warm(name: str) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DMC_CACHE_DIR": str(Path(folder) / "cache"), "TMPDIR": folder}
        (check, cold), (_, warm) = (_in_child(name, environment) for _ in range(2))
    return check, cold, warm


def _in_child(name: str, environment: dict[str, str]) -> list[float]:
    """Each in a process of its own, so that nothing is left in memory."""
    command = [sys.executable, "-m", "benchmarks.compile_time", "--one", name]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
