"""`python -m benchmarks.compile_time`: from a loaded program to a ready function, in seconds.

Each row is a function of one of the three programs that the project was proved on. `cold` compiles
with an empty cache of machine code, `warm` finds the machine code in it; both run all passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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
}


def measure(name: str) -> list[float]:
    """Seconds to check the file, then to compile its loss, then the gradient of it."""
    import dmc

    path, function, sizes = PROGRAMS[name]
    # Loading LLVM and the grammar is start-up, not compilation.
    warm_up = dmc.loads("fn f(x: f64) -> f64 = x * x")
    warm_up.f(1.0)
    times: list[float] = []
    start = time.perf_counter()
    program = dmc.load(path)
    times.append(time.perf_counter() - start)
    loss: Any = getattr(program, function)
    for f in (loss, dmc.value_and_grad(loss)):
        start = time.perf_counter()
        f.compile(**sizes)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    if len(sys.argv) > 1:
        print(*measure(sys.argv[1]))
        return
    print("program   check   loss cold   warm   gradient cold   warm")
    for name in PROGRAMS:
        with tempfile.TemporaryDirectory() as folder:
            cold, warm = (_in_child(name, folder) for _ in range(2))
        print(
            f"{name:8} {cold[0]:6.3f}   {cold[1]:9.3f}  {warm[1]:5.3f}"
            f"   {cold[2]:13.3f}  {warm[2]:5.3f}"
        )


def _in_child(name: str, cache: str) -> list[float]:
    """Each in a process of its own, so that nothing is left in memory."""
    environment = {**os.environ, "DMC_CACHE_DIR": cache}
    command = [sys.executable, "-m", "benchmarks.compile_time", name]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
