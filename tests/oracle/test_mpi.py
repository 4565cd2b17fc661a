"""Training on several processes that `mpirun` starts: the same bits, a death, other numbers."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc_runtime.checkpoint import read

_BESIDE = Path(sys.executable).parent / "mpirun"
MPIRUN = str(_BESIDE) if _BESIDE.exists() else shutil.which("mpirun")
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        MPIRUN is None or importlib.util.find_spec("mpi4py") is None,
        reason="there is no mpirun, or no mpi4py",
    ),
]

PROGRAM = """
import optim
from nn import BatchNorm, Linear, cross_entropy

model Net[I, O] {
    norm: BatchNorm[I]
    last: Linear[I, O]
    mut fn forward[B](x: f32[B, I]) -> f32[B, O] = last(norm(x))
}

fn loss[B](var net: Net, x: f32[B, net.I], y: i32[B]) -> (f32, Net) {
    let logits = net(x)
    (cross_entropy(logits, y), net)
}

fn start(net: Net) -> optim.Adam[Net] = optim.adam_init(net)

fn gradient[B](net: Net, x: f32[B, net.I], y: i32[B]) -> (f32, Grad[Net], Net) {
    let ((l, moved), g) = value_and_grad(loss)(net, x, y)
    (l, g, moved)
}

fn update(net: Net, g: Grad[Net], opt: optim.Adam[Net], rate: f32) -> (Net, optim.Adam[Net]) =
    optim.adam_update(net, optim.clip_norm(g, 0.5), opt, rate)
"""

RECIPE = """
program = "net.dm"
epochs = 30
functions = { gradient = "gradient", update = "update" }
model = { name = "Net", sizes = { I = 7, O = 3 } }
arguments = { rate = 0.01 }
outputs = { plot = false, report = false }

[data]
train = "data.npz"
inputs = { x = "x", y = "y" }
batch_size = 16
shards = 4
last = "short"
"""

# The second process dies once there is a checkpoint of an epoch.
DIES = """
import os, signal, sys, threading, time
from dmc.tools.cli import main
from dmc_runtime.checkpoint import read

def die():
    while True:
        time.sleep(0.01)
        try:
            if read("run/last.safetensors").metadata["step"] > 0:
                os.kill(os.getpid(), signal.SIGKILL)
        except ValueError:
            pass

if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
    threading.Thread(target=die, daemon=True).start()
main(["train", "recipe.toml", "--no-progress"])
"""


def started(folder: Path, processes: int, *command: str) -> subprocess.CompletedProcess[str]:
    assert MPIRUN is not None
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    several = [MPIRUN, "--oversubscribe", "-n", str(processes), sys.executable]
    return subprocess.run(
        [*several, *command],
        cwd=folder,
        env={**os.environ, **root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_process_that_dies_leaves_a_run_that_others_finish_with_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 7)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.argmax(x[:, :3], axis=1).astype(np.int32))
    (tmp_path / "net.dm").write_text(PROGRAM)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "dies.py").write_text(DIES)
    train = ("-m", "dmc.tools.cli", "train", "recipe.toml", "--no-progress")

    dead = started(tmp_path, 4, "dies.py")
    assert dead.returncode != 0
    left = read(tmp_path / "run" / "last.safetensors").metadata["step"]
    assert isinstance(left, int)
    assert 0 < left < 180

    done = started(tmp_path, 2, *train, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained: 180 steps") == 1

    settings = {"outputs.directory": "whole"}
    dmc.train(tmp_path / "recipe.toml", settings=settings, progress=False)
    ends = [read(tmp_path / name / "last.safetensors").arrays for name in ("run", "whole")]
    assert ends[0].keys() == ends[1].keys()
    assert np.abs(ends[1]["net.norm.center"]).max() > 0.01
    for name, array in ends[0].items():
        assert array.tobytes() == ends[1][name].tobytes(), name
