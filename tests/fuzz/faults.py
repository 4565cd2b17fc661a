"""What can happen around a process: kills, a damaged cache, no home, others at the same time."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dmc.jit.cache import ObjectCache
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


def write_data(folder: Path, epochs: int) -> Path:
    """A recipe and the data that it names."""
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=(x @ np.array([1, -2, 3]) + 0.5).astype(np.float32))
    return write(folder, epochs=epochs)


def killed_training(folder: Path, rng: random.Random) -> str:
    """SIGKILL at any moment; what is resumed ends with the bits of a run that was left alone."""
    recipe = str(write_data(folder, epochs=60))
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
        said = process.communicate()[1]
        if process.returncode not in (0, -signal.SIGKILL):
            raise Failed(f"status {process.returncode}: {said[-500:]}")
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


# Where there is no room


def has_own_mounts() -> bool:
    """Whether this user may mount something that only a process of its own sees."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


def full_training(folder: Path, rng: random.Random) -> str:
    """A run whose disk fills up says so, and goes on with the same bits when there is room."""
    room = rng.randrange(1, 16) * 4
    if has_own_mounts():
        fill = f"mount -t tmpfs -o size={room}k tmpfs $1/run"
        free = "mount -o remount,size=1g $1/run"
    else:
        fill, free = f"ulimit -S -f {room}", "ulimit -S -f unlimited"
    return filled_training(folder, fill, free, room)


def small_files(folder: Path, rng: random.Random) -> str:
    """As `full_training`, where files may not be large."""
    room = rng.randrange(1, 60)
    return filled_training(folder, f"ulimit -S -f {room}", "ulimit -S -f unlimited", room)


def filled_training(folder: Path, fill: str, free: str, room: int) -> str:
    recipe = write_data(folder, epochs=40)
    recipe.write_text(recipe.read_text().replace("plot = false", "plot = true"))
    run(TRAIN, "train", str(recipe), "--no-progress")
    whole = tensors(folder / "run" / "last.safetensors")
    shutil.rmtree(folder / "run")
    (folder / "run").mkdir()
    script = f"""
        train() {{ "$2" -c "$3" train $1/recipe.toml --no-progress "$4"; }}
        {fill}
        train "$1" "$2" "$3" --overwrite 2> $1/said; echo $? > $1/status
        {free}
        how=--overwrite; [ -e $1/run/last.safetensors ] && how=--resume
        train "$1" "$2" "$3" $how 2>&1 && cp $1/run/last.safetensors $1/ended
        ls -A $1/run > $1/left
    """
    own = ["unshare", "--mount"] if "mount" in fill else []
    command = [*own, "bash", "-c", script, "bash", str(folder), sys.executable, TRAIN]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    said, status = (folder / "said").read_text(), (folder / "status").read_text().strip()
    full = "error[train.output]" in said or "error[checkpoint.full]" in said
    if (status, full) not in (("1", True), ("0", False)) or "Traceback" in said:
        raise Failed(f"{room} KiB: status {status}: {said[-500:]}")
    if full and "full" not in said and "too large" not in said:
        raise Failed(f"{room} KiB: {said[-500:]}")
    if not (folder / "ended").exists() or tensors(folder / "ended") != whole:
        raise Failed(f"{room} KiB: the run that went on ends otherwise: {done.stdout[-500:]}")
    if any(name.startswith(".") for name in (folder / "left").read_text().split()):
        raise Failed(f"{room} KiB: {(folder / 'left').read_text()} stays")
    return f"{room} KiB: status {status}"


def full_cache(folder: Path, rng: random.Random) -> str:
    """A cache that cannot hold what is written costs time only."""
    room = rng.choice((0, 4, 8, 40, 100, 400))
    wanted = run(CALL, DMC_CACHE_DIR="")
    (folder / "cache").mkdir()
    fill, own = f"ulimit -S -f {room}", list[str]()
    if room and has_own_mounts():
        fill, own = f"mount -t tmpfs -o size={room}k tmpfs $1", ["unshare", "--mount"]
    script = f'{fill}; export DMC_CACHE_DIR=$1; "$2" -c "$3" && "$2" -c "$3"'
    arguments = ["bash", str(folder / "cache"), sys.executable, CALL]
    done = subprocess.run(
        [*own, "bash", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if (done.stdout, done.stderr) != (wanted * 2, ""):
        raise Failed(f"{room} KiB: {done.stdout} {done.stderr[-500:]}")
    return f"{room} KiB"


# Others


def planted_cache(folder: Path, rng: random.Random) -> str:
    """Whole entries with another's code, made by another user, are not called."""
    if os.geteuid():
        return "only for root"
    cache = ObjectCache(folder / "cache")
    wanted = run(CALL, DMC_CACHE_DIR=str(cache.directory))
    paths = sorted(cache.directory.glob("??/*.o"))
    names = [path.parent.name + path.stem for path in paths]
    contents = [cache.get(name) for name in names]
    for path, name in zip(paths, names, strict=True):
        cache.put(name, rng.choice(contents) or b"")
        os.chown(path, 65534, 65534)
    if (found := run(CALL, DMC_CACHE_DIR=str(cache.directory))) != wanted:
        raise Failed(f"{found} instead of {wanted}")
    return f"{len(paths)} entries"


BUSY = """
import os, random, signal, sys, threading, time
import numpy as np, dmc
source = "fn f[N](x: f64[N]) -> f64 = sum(sin(x) * x)\\nfn g[N](x: f64[N]) -> f64 = sum(x)"
rng, mod, stop = random.Random(int(sys.argv[1])), dmc.loads(source), threading.Event()
x = np.linspace(0.0, 1.0, 200_000)
wanted = mod.f(x)
def calls():
    while not stop.is_set():
        assert mod.f(x) == wanted
def compiles():
    for n in range(1, 1000):
        if stop.is_set():
            return
        assert mod.g(np.ones(n)) == n
def resizes():
    while not stop.is_set():
        dmc.set_num_threads(rng.randrange(1, 9))
threads = [threading.Thread(target=act) for act in (calls, calls, compiles, resizes)]
for thread in threads:
    thread.start()
for n in range(8):
    time.sleep(rng.random() * 0.1)
    child = os.fork()
    if not child:
        signal.alarm(300)
        same = mod.f(x) == wanted and mod.g(np.ones(2000 + n)) == 2000 + n
        os._exit(0 if same else 1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
stop.set()
for thread in threads:
    thread.join()
"""


def busy_forks(folder: Path, rng: random.Random) -> str:
    """Forks of a process that calls, compiles and changes the number of threads meanwhile."""
    run(BUSY, str(rng.randrange(1000)), PYTHONWARNINGS="ignore", DMC_CACHE_DIR=str(folder))
    return "8 forks"


ENDLESS = """
import os, sys, time, threading, signal
import dmc
# Who starts trials in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
mod = dmc.loads('''
fn endless(x: f64) -> f64 {
    var y = x
    while y == x { y = x }
    y
}
fn short(x: f64) -> f64 = 2.0 * x
''')
mod.short(1.0)
mod.endless.compile(x=1.0)
sent = []
def interrupt():
    time.sleep(float(sys.argv[1]))
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    mod.endless(1.0)
except KeyboardInterrupt:
    print(time.monotonic() - sent[0])
assert mod.short(3.0) == 6.0
"""


def interrupted_call(folder: Path, rng: random.Random) -> str:
    """Ctrl-C ends a call that loops for ever; the next call works."""
    took = float(run(ENDLESS, str(rng.random()), DMC_CACHE_DIR=str(folder)))
    if took > 1.0:
        raise Failed(f"Ctrl-C took {took:.1f} s")
    return "interrupted"


def killed_compilation(folder: Path, rng: random.Random) -> str:
    """SIGKILL while programs are compiled; the next process finds a cache that works."""
    kept = {"DMC_CACHE_DIR": str(folder / "cache"), "TMPDIR": str(folder)}
    wanted = run(CALL, DMC_CACHE_DIR="")
    for _ in range(3):
        process = start(CALL, **kept)
        time.sleep(rng.random() * 3)
        process.kill()
        process.communicate()
    if run(CALL, **kept) != wanted:
        raise Failed("another result")
    left = [path.name for path in folder.iterdir() if path.name != "cache"]
    if left:
        raise Failed(f"{left} stays")
    return "3 kills"


SCENARIOS = (
    *(damaged_cache, no_home, many_processes, damaged_cache, killed_training, full_training),
    *(small_files, full_cache, planted_cache, busy_forks, interrupted_call, killed_compilation),
)


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
