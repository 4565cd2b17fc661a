"""What can happen around a process: kills, a damaged cache, no home, others at the same time."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dmc_runtime import metrics
from tests.fuzz.family import Fault, Outcome
from tests.tools.test_train import tensors, write

PATIENCE = 600.0
"""Seconds after which a process counts as hanging, however busy the machine is."""
CALL = """
import numpy as np, dmc
mod = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(sin(x) * x)")
print(repr(float(mod.f(np.arange(9.0)))), dmc.grad(mod.f)(np.arange(3.0)).tolist())
"""
TRAIN = "import sys; from dmc.tools.cli import main; sys.exit(main(sys.argv[1:]))"


class Failed(Exception):
    """A process that did not do what it should."""


def run(program: str, *arguments: str, **environment: str | None) -> str:
    """What a Python program prints. Raises Failed when it fails, complains or hangs."""
    process = start(program, *arguments, **environment)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed("hangs") from None
    if process.returncode or err:
        raise Failed(f"status {process.returncode}: {err[-500:]}")
    return out


def start(program: str, *arguments: str, **environment: str | None) -> subprocess.Popen[str]:
    changed: Mapping[str, str | None] = {**os.environ, **environment}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in changed.items() if value is not None},
    )


# What is done to a file of the cache


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def swap(path: Path, rng: random.Random) -> None:
    """Put another entry in its place."""
    others = [other for other in path.parent.rglob("*") if other.is_file() and other != path]
    if others:
        shutil.copyfile(rng.choice(others), path)


def pipe(path: Path, rng: random.Random) -> None:
    del rng
    path.unlink()
    os.mkfifo(path)


def directory(path: Path, rng: random.Random) -> None:
    del rng
    path.unlink()
    path.mkdir()


def dangling(path: Path, rng: random.Random) -> None:
    del rng
    path.unlink()
    path.symlink_to("nowhere")


Damage = Callable[[Path, random.Random], None]
DAMAGE: tuple[Damage, ...] = (truncate, flip, swap, pipe, directory, dangling)


# Scenarios: each leaves what it used in a folder, and gives a word for how it went


def damaged_cache(folder: Path, rng: random.Random) -> str:
    wanted = run(CALL, DMC_CACHE_DIR=str(folder / "cache"))
    harm = rng.choice(DAMAGE)
    return f"{harm.__name__} of {harmed(folder / 'cache', wanted, harm, rng)}"


def harmed(cache: Path, wanted: str, harm: Damage, rng: random.Random) -> int:
    """Damage all files of a cache that has been used; how many there are."""
    files = [path for path in sorted(cache.rglob("*")) if path.is_file()]
    for path in files:
        harm(path, rng)
    found = run(CALL, DMC_CACHE_DIR=str(cache))
    if found != wanted:
        raise Failed(f"{harm.__name__}: {found} instead of {wanted}")
    return len(files)


def no_home(folder: Path, rng: random.Random) -> str:
    """Neither a home nor a folder for the cache that could be written to."""
    (folder / "file").write_text("")
    home = rng.choice(("/nonexistent", str(folder / "file"), "", None))
    run(CALL, HOME=home, XDG_CACHE_HOME=None, DMC_CACHE_DIR=None)
    run(CALL, DMC_CACHE_DIR=str(folder / "file"))
    return f"home {home!r}"


def many_processes(folder: Path, rng: random.Random) -> str:
    del rng
    cache = str(folder / "cache")
    processes = [start(CALL, DMC_CACHE_DIR=cache) for _ in range(8)]
    told = [process.communicate(timeout=PATIENCE) for process in processes]
    if len(set(told)) != 1 or told[0][1]:
        raise Failed(f"{told}")
    return "8 processes"


def killed_training(folder: Path, rng: random.Random) -> str:
    """SIGKILL at any moment; what is resumed ends with the bits of a run that was left alone."""
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=(x @ np.array([1, -2, 3]) + 0.5).astype(np.float32))
    recipe = str(write(folder, epochs=60))
    last = folder / "run" / "last.safetensors"
    run(TRAIN, "train", recipe, "--no-progress")
    whole = tensors(last)
    shutil.rmtree(folder / "run")
    kills = 0
    arguments = ["train", recipe, "--no-progress"]
    for _ in range(4):
        process = start(TRAIN, *arguments)
        while not last.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.5)
        kills += process.poll() is None
        process.kill()
        process.communicate()
        arguments = ["train", recipe, "--no-progress", "--resume"]
    run(TRAIN, *arguments)
    if tensors(last) != whole:
        raise Failed("a killed and resumed run ends otherwise")
    steps = [row["step"] for row in metrics.read(folder / "run")]
    if steps != list(range(1, len(steps) + 1)) or len(steps) < 60:
        raise Failed(f"the log of a killed and resumed run tells of {steps}")
    left = [path.name for path in (folder / "run").iterdir() if path.name.startswith(".")]
    if left:
        raise Failed(f"{left} stays")
    return f"{kills} kills"


SCENARIOS = (damaged_cache, no_home, many_processes, damaged_cache, killed_training, damaged_cache)


class Faults:
    """A seed decides the scenario and what happens in it."""

    name = "faults"

    def check(self, seed: int) -> Outcome:
        rng = random.Random(f"fault {seed}")
        scenario = SCENARIOS[seed % len(SCENARIOS)]
        with tempfile.TemporaryDirectory() as folder:
            try:
                scenario(Path(folder), rng)
            except Failed as failure:
                return Fault(scenario.__name__, str(failure))
        return scenario.__name__

    def shrunk(self, seed: int, fault: Fault) -> str:
        return f"seed {seed}: {fault.detail}"
