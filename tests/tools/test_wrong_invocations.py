"""Mistakes on the command line: a status, a message that helps, never a Python traceback."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.tools.commands import LINE, dmc

USAGE, MISTAKE = 2, 1

INVOCATIONS: dict[str, tuple[int, str, list[str]]] = {
    # status, a part of what is said, arguments
    "nothing": (USAGE, "required: COMMAND", []),
    "an unknown command": (USAGE, "invalid choice: 'chek'", ["chek", LINE]),
    "an unknown option": (USAGE, "unrecognized arguments: --fast", ["check", "--fast", LINE]),
    "no file": (USAGE, "required: FILE", ["check"]),
    "a missing file": (MISTAKE, "error[file.missing]", ["check", "nowhere.dm"]),
    "a directory": (MISTAKE, "error[file.directory]", ["check", "<folder>"]),
    "text that is not UTF-8": (MISTAKE, "error[file.encoding]", ["check", "<latin1.dm>"]),
    "a line of 10 MB": (MISTAKE, "error[file.size]", ["check", "<long.dm>"]),
    "deep nesting": (MISTAKE, "error[syntax.", ["check", "<deep.dm>"]),
    "a binary file": (MISTAKE, "error[", ["check", "<numbers.npy>"]),
    "a wrong program": (MISTAKE, "error[name.unknown]", ["run", "<wrong.dm>", "f"]),
    "a format that is not there": (
        USAGE,
        "invalid choice: 'xml'",
        ["check", LINE, "--format", "xml"],
    ),
    "no function": (USAGE, "required: FUNCTION", ["run", LINE]),
    "an unknown function": (USAGE, "did you mean `predict`?", ["run", LINE, "predit"]),
    "a record for a function": (USAGE, "`Line` is a record", ["ir", LINE, "Line"]),
    "a model for a function": (USAGE, "such as `Net.forward`", ["ir", LINE, "Net"]),
    "a field for a function": (USAGE, "no function `Line.slope`", ["ir", LINE, "Line.slope"]),
    "an unknown stage": (USAGE, "invalid choice: 'mlir'", ["ir", LINE, "loss", "--stage", "mlir"]),
    "an unknown target": (
        MISTAKE,
        "there is no target called `z80`",
        ["ir", LINE, "loss", "--target-cpu", "z80"],
    ),
    "every stage to the terminal": (
        USAGE,
        "--output FOLDER",
        ["ir", LINE, "loss", "--stage", "all"],
    ),
    "an unknown pass": (
        USAGE,
        "there is no pass `fold`",
        ["ir", LINE, "loss", "--print-after", "fold"],
    ),
    "a size without value": (USAGE, "`N` is not a size", ["ir", LINE, "loss", "--sizes", "N"]),
    "a size that is no number": (USAGE, "`N=x` is not", ["ir", LINE, "loss", "--sizes", "N=x"]),
    "a negative size": (USAGE, "`N=-3` is not", ["ir", LINE, "loss", "--sizes", "N=-3"]),
    "a huge size": (USAGE, "too large", ["ir", LINE, "loss", "--sizes", "N=" + "9" * 30]),
    "a size given twice": (USAGE, "`N` is given twice", ["ir", LINE, "loss", "--sizes", "N=1,N=2"]),
    "an unknown size": (USAGE, "its sizes are: N", ["ir", LINE, "loss", "--sizes", "K=2"]),
    "a size that breaks a promise": (
        MISTAKE,
        "error[shape.requires]",
        ["ir", LINE, "pairs", "--sizes", "N=3"],
    ),
    "an argument without value": (USAGE, "write NAME=VALUE", ["run", LINE, "cube", "3"]),
    "an unknown argument": (USAGE, "it has x", ["run", LINE, "cube", "y=3"]),
    "an unknown field": (USAGE, "no field `height`", ["run", LINE, "loss", "line.height=3"]),
    "a field of an array": (USAGE, "no field `w`", ["run", LINE, "loss", "x.w=3"]),
    "an argument given twice": (USAGE, "given twice", ["run", LINE, "cube", "x=3", "x=4"]),
    "a word for a number": (USAGE, "`three` is not a number", ["run", LINE, "cube", "x=three"]),
    "code for a number": (
        USAGE,
        "is not a number",
        ["run", LINE, "cube", "x=__import__('os').getcwd()"],
    ),
    "a string for a number": (USAGE, "is not a number", ["run", LINE, "cube", "x='3'"]),
    "a ragged list": (USAGE, "is not a f64[N]", ["run", LINE, "pick_one", "x=[[1],[2,3]]", "i=0"]),
    "a matrix for a vector": (
        MISTAKE,
        "x has 2 axes but must be f64[N]",
        ["run", LINE, "pick_one", "x=[[1.0],[2.0]]", "i=0"],
    ),
    "a fraction for an integer": (
        MISTAKE,
        "a is a Python float but must be i64",
        ["run", LINE, "both", "a=1.5", "b=true"],
    ),
    "an integer of 40 digits": (
        MISTAKE,
        "which i64 does not hold",
        ["run", LINE, "both", "a=" + "9" * 40, "b=true"],
    ),
    "lists that disagree": (
        MISTAKE,
        "y has N = 3 but x has N = 2",
        ["run", LINE, "loss", "x=[1.0, 2.0]", "y=[1.0, 2.0, 3.0]"],
    ),
    "a record as text": (USAGE, "give a Line by its fields", ["run", LINE, "loss", "line=3"]),
    "a missing array": (MISTAKE, "no such file", ["run", LINE, "predict", "x=@nowhere.npy"]),
    "an array in another format": (USAGE, "not a .npy", ["run", LINE, "predict", "x=@<wrong.dm>"]),
    "a damaged array": (USAGE, "not a NumPy file", ["run", LINE, "predict", "x=@<damaged.npy>"]),
    "an array of objects": (
        USAGE,
        "not a NumPy file",
        ["run", LINE, "predict", "x=@<objects.npy>"],
    ),
    "an array of another type": (
        MISTAKE,
        "x is i64 but must be f64",
        ["run", LINE, "predict", "x=@<numbers.npy>"],
    ),
    "one of several arrays": (USAGE, "one of a, b", ["run", LINE, "predict", "x=@<several.npz>"]),
    "none of several arrays": (
        USAGE,
        "one of a, b",
        ["run", LINE, "predict", "x=@<several.npz>:c"],
    ),
    "a missing checkpoint": (
        MISTAKE,
        "error[checkpoint.missing]",
        ["run", LINE, "predict", "line=@nowhere.safetensors"],
    ),
    "a function that is not there": (USAGE, "no function `g`", ["run", LINE, "of", "f=g", "x=1.0"]),
    "a function that is not given": (USAGE, "`f` is a function", ["run", LINE, "of", "x=1.0"]),
    "a record of any kind": (USAGE, "can be of any type", ["run", LINE, "norm"]),
    "a seed that is no number": (USAGE, "invalid int value", ["run", LINE, "cube", "--seed", "s"]),
    "output in another format": (
        USAGE,
        "written as .npy or .npz",
        ["run", LINE, "cube", "x=2.0", "--output", "y.txt"],
    ),
    "several arrays in one": (
        USAGE,
        "write them as .npz",
        ["run", LINE, "both", "a=1", "b=true", "--output", "y.npy"],
    ),
    "output into nowhere": (
        MISTAKE,
        "no such file or directory",
        ["run", LINE, "cube", "x=2.0", "--output", "nowhere/y.npy"],
    ),
    "the gradient of an array": (MISTAKE, "error[grad.scalar]", ["grad", LINE, "predict"]),
    "the gradient in nothing": (
        MISTAKE,
        "there is no `lime`",
        ["grad", LINE, "loss", "--wrt", "lime"],
    ),
    "the gradient in an integer": (
        MISTAKE,
        "nothing to differentiate",
        ["grad", LINE, "pick_one", "--wrt", "i"],
    ),
    "checking nothing": (USAGE, "no parameter with floats", ["check-grad", LINE, "both"]),
    "checking an array": (MISTAKE, "error[grad.scalar]", ["check-grad", LINE, "predict"]),
    "checking an unknown parameter": (
        MISTAKE,
        "there is no `z`",
        ["check-grad", LINE, "cube", "--wrt", "z"],
    ),
    "no IR": (USAGE, "name a file", ["opt"]),
    "a missing file of IR": (MISTAKE, "no such file", ["opt", "nowhere.mlir"]),
    "a folder for IR": (MISTAKE, "is a directory", ["opt", "<folder>"]),
    "text that is not IR": (MISTAKE, "line.dm:1:1", ["opt", LINE]),
    "IR that does not verify": (MISTAKE, "not defined", ["opt", "<undefined.mlir>"]),
    "a pass that is not there": (USAGE, "no pass `fold`", ["opt", LINE, "--passes", "fold"]),
    "an option that is not there": (USAGE, "no option", ["opt", LINE, "--passes", "cse{a=1}"]),
    "a broken pipeline": (USAGE, "cannot read", ["opt", LINE, "--passes", "cse{"]),
    "a missing recipe": (MISTAKE, "error[train.recipe]", ["train", "nowhere.toml"]),
    "a recipe that is no recipe": (MISTAKE, "error[train.recipe]", ["train", LINE]),
    "a recipe with a mistake": (MISTAKE, "unknown key `epoch`", ["train", "<typo.toml>"]),
    "a recipe without a program": (MISTAKE, "error[file.missing]", ["train", "<lost.toml>"]),
    "a recipe with another model": (MISTAKE, "has no model `Mlp`", ["train", "<model.toml>"]),
    "a recipe with another step": (MISTAKE, "has no function `step`", ["train", "<step.toml>"]),
    "an unknown code": (MISTAKE, "`shape.matmul`", ["explain", "shape.matmull"]),
}

RECIPE = """
program = "{program}"
epochs = 1
[model]
name = "{model}"
[data]
train = "none.npz"
inputs = {{ x = "x" }}
batch_size = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with something wrong."""
    path = tmp_path_factory.mktemp("files")
    (path / "latin1.dm").write_bytes("# Größe\n".encode("latin-1"))
    (path / "long.dm").write_text("# " + "x" * 10_000_000)
    (path / "deep.dm").write_text("fn f() -> f64 = " + "(" * 100_000)
    (path / "wrong.dm").write_text("fn f(x: f64) -> f64 = y\n")
    (path / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.save(path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    np.save(path / "numbers.npy", np.arange(3))
    np.savez(path / "several.npz", a=np.zeros(3), b=np.zeros(3))
    (path / "undefined.mlir").write_text(
        "func.func @f() -> tensor<f64> {\n  func.return %x : tensor<f64>\n}\n"
    )
    (path / "typo.toml").write_text(
        RECIPE.format(program=LINE, model="Net").replace("epochs", "epoch")
    )
    (path / "lost.toml").write_text(RECIPE.format(program="lost.dm", model="Net"))
    (path / "model.toml").write_text(RECIPE.format(program=LINE, model="Mlp"))
    (path / "step.toml").write_text(
        RECIPE.format(program=LINE, model="Net") + '[functions]\nstart = "cube"\n'
    )
    return path


@pytest.mark.parametrize(
    ("status", "said", "arguments"), INVOCATIONS.values(), ids=INVOCATIONS.keys()
)
def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    status: int,
    said: str,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(folder)
    given = [re.sub(r"<(.*?)>", lambda m: "." if m[1] == "folder" else m[1], a) for a in arguments]
    outcome = dmc(capsys, *given)
    assert said in outcome.err
    assert outcome.status == status
    assert "Traceback" not in outcome.err
    assert "internal error" not in outcome.err
    assert outcome.out == ""
