"""`dmc train`: recipes, resuming, evaluating, Ctrl-C."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tools.commands import dmc

PROGRAM = Path(__file__).parent / "regression.dm"
RECIPE = """
program = "{program}"
epochs = {epochs}

[model]
name = "Linear"
sizes = {{ I = 3 }}

[data]
train = "data.npz"
test = "data.npz"
validation = 0.25
inputs = {{ x = "x", y = "y" }}
batch_size = 7

[arguments]
rate = {rate}

[outputs]
plot = false
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=(x @ np.array([1, -2, 3]) + 0.5).astype(np.float32))
    return write(tmp_path)


def write(folder: Path, epochs: int = 20, rate: float = 0.03) -> Path:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(program=PROGRAM, epochs=epochs, rate=rate))
    return path


def test_train_and_evaluate(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    outcome = dmc(capsys, "train", str(recipe))
    assert outcome.status == 0
    found = re.search(r"^test: (loss \S+)$", outcome.out, re.M)
    assert found is not None
    assert float(found[1].split()[1]) < 0.05
    run = recipe.parent / "run"
    assert outcome.out.splitlines()[-1] == f"checkpoint: {run}/best.safetensors"
    again = dmc(capsys, "train", str(recipe), "--evaluate")
    assert again.out == f"{run}/best.safetensors: {found[1]}\n"
    last = dmc(capsys, "train", str(recipe), "--evaluate", f"{run}/last.safetensors")
    assert last.status == 0


def test_resuming_changes_nothing(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    last = recipe.parent / "run" / "last.safetensors"
    dmc(capsys, "train", str(recipe))
    whole = tensors(last)
    refused = dmc(capsys, "train", str(recipe))
    assert refused.status == 1
    assert "error[train.exists]" in refused.err
    assert dmc(capsys, "train", str(recipe), "--overwrite", "--max-steps", "37").status == 0
    assert tensors(last) != whole
    assert dmc(capsys, "train", str(recipe), "--resume").status == 0
    assert tensors(last) == whole


def tensors(path: Path) -> bytes:
    """What a checkpoint holds beside its header, which tells the time."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def test_another_recipe_does_not_resume(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    dmc(capsys, "train", str(recipe), "--max-steps", "5")
    outcome = dmc(capsys, "train", str(recipe), "--resume", "--set", "data.batch_size=8")
    assert outcome.status == 1
    assert "error[train.resume]" in outcome.err
    assert "`data.batch_size` differs" in outcome.err
    settings = ["--set", "steps=9", "--set", "arguments.rate=0.01"]
    outcome = dmc(capsys, "train", str(recipe), "--resume", *settings)
    assert "went on with other values of arguments.rate, epochs, steps\n" in outcome.out
    assert "trained: 9 steps" in outcome.out


def test_a_loss_that_is_not_finite(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    write(recipe.parent, rate=1e30)
    outcome = dmc(capsys, "train", str(recipe))
    assert outcome.status == 1
    assert "error[train.nonfinite]" in outcome.err
    assert (
        dmc(
            capsys, "train", str(recipe), "--evaluate", f"{recipe.parent}/run/last.safetensors"
        ).status
        == 0
    )


def test_ctrl_c_leaves_a_usable_checkpoint(
    capsys: pytest.CaptureFixture[str], recipe: Path
) -> None:
    write(recipe.parent, epochs=1_000_000)
    command = [sys.executable, "-m", "dmc.tools.cli", "train", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = recipe.parent / "run" / "metrics.csv"
    for _ in range(1000):
        if metrics.exists() or process.poll() is not None:
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert out.startswith("interrupted: ")
    last = recipe.parent / "run" / "last.safetensors"
    assert dmc(capsys, "train", str(recipe), "--evaluate", str(last)).status == 0


def test_memory_budget(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    """A bound of memory is held to, and changes no number."""
    recipe.write_text(recipe.read_text().replace("epochs = 20", 'epochs = 2\nmemory = "64MB"'))
    assert dmc(capsys, "train", str(recipe)).status == 0
    outcome = dmc(capsys, "train", str(recipe), "--resume", "--memory-budget", "1 MiB")
    assert outcome.status == 0
    assert "other values" not in outcome.out
    outcome = dmc(capsys, "train", str(recipe), "--overwrite", "--memory-budget", "8 bytes")
    assert outcome.status == 1
    assert "`step` cannot do with 8 bytes of memory" in outcome.err
    outcome = dmc(capsys, "train", str(recipe), "--memory-budget", "lots")
    assert "`memory` is 'lots': write a number and a unit" in outcome.err


def test_fewer_bits_need_a_budget(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    outcome = dmc(capsys, "train", str(recipe), "--memory-keep", "bf16")
    assert outcome.status == 1
    assert '`memory_keep` needs a bound: `memory = "256MB"`' in outcome.err
    budget = ["--memory-budget", "1 MiB", "--memory-keep", "bf16"]
    assert dmc(capsys, "train", str(recipe), *budget, "--max-steps", "1").status == 0
