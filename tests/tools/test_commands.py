"""What the commands print and write when all is well."""

import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from dmc import __version__
from dmc.ir.parser import parse_module
from dmc.tools.cli import COMMANDS
from tests.tools.commands import LINE, dmc

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(capsys: Capture, command: str) -> None:
    outcome = dmc(capsys, command, "--help")
    assert outcome.status == 0
    assert f"\nexamples:\n  dmc {command} " in outcome.out


def test_version(capsys: Capture) -> None:
    assert dmc(capsys, "--version").out == f"dmc {__version__}\n"


# ---- check and explain ------------------------------------------------------------------------


def test_check_is_quiet_about_what_is_right(capsys: Capture) -> None:
    outcome = dmc(capsys, "check", LINE)
    assert (outcome.status, outcome.out, outcome.err) == (0, f"{LINE}: no errors\n", "")


def test_check_reports_every_mistake(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "bad.dm"
    file.write_text("fn f(x: f64) -> f64 = y\n\nfn g(x: f32) -> f64 = x\n\nfn h( -> f64 = 1.0\n")
    outcome = dmc(capsys, "check", str(file))
    assert outcome.status == 1
    codes = re.findall(r"^error\[(.*?)\]", outcome.err, re.MULTILINE)
    assert len(codes) >= 1
    assert codes[0].startswith("syntax.")
    file.write_text("fn f(x: f64) -> f64 = y\n\nfn g(x: f32) -> f64 = x\n")
    outcome = dmc(capsys, "check", str(file))
    assert re.findall(r"^error\[(.*?)\]", outcome.err, re.MULTILINE) == [
        "name.unknown",
        "type.mismatch",
    ]
    assert "2 errors; `dmc explain name.unknown` says more" in outcome.err
    assert "\x1b" not in outcome.err


def test_check_as_json(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "bad.dm"
    file.write_text("fn f(x: f64) -> f64 = y\n")
    outcome = dmc(capsys, "check", str(file), "--format", "json")
    assert outcome.status == 1
    (found,) = json.loads(outcome.out)
    assert found["code"] == "name.unknown"
    assert found["severity"] == "error"
    assert found["primary"]["file"] == str(file)
    assert found["primary"]["start"] == [1, 23]
    assert found["primary"]["end"] == [1, 24]
    outcome = dmc(capsys, "check", LINE, "--format", "json")
    assert (outcome.status, outcome.out) == (0, "[]\n")


def test_check_warns(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "odd.dm"
    file.write_text("fn f(x: f64) -> f64 = log(sigmoid(x))\n\nfn g(key: Key) -> f64 = 1.0\n")
    outcome = dmc(capsys, "check", str(file))
    assert (outcome.status, outcome.out) == (0, f"{file}: no errors\n")
    assert re.findall(r"^warning\[(.*?)\]", outcome.err, re.M) == ["lint.singular", "lint.key"]
    assert "2 warnings; `dmc explain lint.singular` says more" in outcome.err
    assert dmc(capsys, "check", str(file), "--deny-warnings").status == 1
    assert dmc(capsys, "check", str(file), "--no-lints", "--deny-warnings").status == 0
    found = json.loads(dmc(capsys, "check", str(file), "--format", "json").out)
    assert [each["severity"] for each in found] == ["warning", "warning"]


def test_colour_is_for_terminals(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "bad.dm"
    file.write_text("fn f(x: f64) -> f64 = y\n")
    monkeypatch.setattr("dmc.tools.check.wants_color", lambda stream: True)
    assert "\x1b[1;31m" in dmc(capsys, "check", str(file)).err
    monkeypatch.undo()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert "\x1b" not in dmc(capsys, "check", str(file)).err


def test_explain(capsys: Capture) -> None:
    assert dmc(capsys, "explain", "shape.matmul").out.startswith("shape.matmul: ")
    assert dmc(capsys, "explain", "error[shape.matmul]").out.startswith("shape.matmul: ")
    family = dmc(capsys, "explain", "shape").out.splitlines()
    assert all(line.startswith("shape.") for line in family)
    everything = dmc(capsys, "explain").out.splitlines()
    assert set(family) < set(everything)


# ---- ir and opt -------------------------------------------------------------------------------

STAGES = ("tensor", "tangent", "adjoint", "optimized", "kernel", "loop")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("generic", [False, True])
def test_ir_is_read_again_by_opt(
    capsys: Capture, tmp_path: Path, stage: str, generic: bool
) -> None:
    options = ["--generic"] if generic else []
    outcome = dmc(capsys, "ir", LINE, "loss", "--stage", stage, "--sizes", "N=3", *options)
    assert outcome.status == 0
    assert outcome.err == ""
    file = tmp_path / "loss.mlir"
    file.write_text(outcome.out)
    again = dmc(capsys, "opt", str(file), *options)
    assert again.status == 0
    assert again.out == re.sub(r"^ *// .*\n", "", outcome.out, flags=re.M)


def test_sizes_are_chosen_when_they_do_not_matter(capsys: Capture) -> None:
    outcome = dmc(capsys, "ir", LINE, "pairs")
    assert outcome.status == 0
    assert "tensor<4xf64>" in outcome.out
    assert outcome.err == "dmc: sizes chosen: N=4 (others with --sizes)\n"


def test_the_syntax_tree(capsys: Capture) -> None:
    assert dmc(capsys, "ir", LINE, "loss", "--stage", "syntax").out.startswith("(FnDecl")
    assert "tanh" in dmc(capsys, "ir", LINE, "Net.forward", "--stage", "syntax").out


def test_print_after(capsys: Capture) -> None:
    command = ("ir", LINE, "loss", "--stage", "optimized", "--sizes", "N=3")
    out = dmc(capsys, *command, "--print-after", "cse").out
    assert "// ---- after cse" in out
    assert "// ---- after dce" not in out
    everything = dmc(capsys, *command, "--print-after-all").out
    assert {"after cse", "after dce"} <= set(re.findall(r"^// ---- (.*)$", everything, re.M))


@pytest.mark.parametrize(
    ("cpu", "instruction"),
    [("x86-64-v2", "xmm"), ("x86-64-v3", "ymm"), ("x86-64-v4", "zmm"), ("aarch64", ".2d")],
)
def test_assembly_of_other_processors(capsys: Capture, cpu: str, instruction: str) -> None:
    command = ("ir", LINE, "predict", "--stage", "asm", "--sizes", "N=1024")
    assert instruction in dmc(capsys, *command, "--target-cpu", cpu).out


def test_every_stage_into_a_folder(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "ir"
    command = ("ir", LINE, "loss", "--sizes", "N=3", "--stage", "all")
    outcome = dmc(capsys, *command, "--output", str(folder))
    names = {Path(line).name for line in outcome.out.splitlines()}
    textual = {f"loss.{stage}.mlir" for stage in STAGES}
    assert names == textual | {"loss.syntax.txt", "loss.llvm.ll", "loss.asm.s"}
    assert all((folder / name).stat().st_size > 0 for name in names)
    parse_module((folder / "loss.adjoint.mlir").read_text())


def test_opt_runs_passes(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "f.mlir"
    file.write_text(
        "func.func @f(%x: tensor<f64>) -> tensor<f64> {\n"
        "  %0 = arith.add %x, %x : tensor<f64>\n"
        "  %1 = arith.add %x, %x : tensor<f64>\n"
        "  %2 = arith.multiply %0, %1 : tensor<f64>\n"
        "  func.return %2 : tensor<f64>\n"
        "}\n"
    )
    assert dmc(capsys, "opt", str(file)).out.count("arith.add") == 2
    outcome = dmc(capsys, "opt", str(file), "--passes", "cse, dce", "--print-after-all")
    assert outcome.out.count("arith.add") == 1
    assert re.findall(r"^// ---- (.*)$", outcome.err, re.M) == ["after cse", "after dce"]


def test_opt_lists_the_passes(capsys: Capture) -> None:
    out = dmc(capsys, "opt", "--list").out
    assert {"cse", "fuse", "canonicalize"} <= {line.split()[0] for line in out.splitlines()}


# ---- run, grad and check-grad -----------------------------------------------------------------


def test_run(capsys: Capture) -> None:
    command = ("run", LINE, "predict", "line.slope=2", "line.offset=1.0", "x=[0.0, 1, 2]")
    assert dmc(capsys, *command).out == "[1. 3. 5.]\n"
    assert dmc(capsys, "run", LINE, "both", "a=4", "b=true").out == "[0] = 4\n[1] = True\n"
    assert dmc(capsys, "run", LINE, "of", "f=cube", "x=2.0").out == "8.0\n"
    assert dmc(capsys, "run", LINE, "cube", "x=-inf").out == "-inf\n"


def test_run_with_files(capsys: Capture, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3.0))
    np.savez(tmp_path / "data.npz", x=np.arange(3.0), y=np.ones(3))
    line = ("line.slope=2.0", "line.offset=1.0")
    out = tmp_path / "y.npy"
    dmc(capsys, "run", LINE, "predict", *line, f"x=@{tmp_path}/x.npy", "--output", str(out))
    assert np.load(out).tolist() == [1.0, 3.0, 5.0]
    data = tmp_path / "data.npz"
    outcome = dmc(capsys, "run", LINE, "loss", *line, f"x=@{data}:x", f"y=@{data}:y")
    assert float(outcome.out) == pytest.approx(20 / 3)
    both = tmp_path / "both.npz"
    dmc(capsys, "run", LINE, "both", "a=4", "b=false", "--output", str(both))
    assert sorted(np.load(both).files) == ["[0]", "[1]"]


def test_run_with_a_checkpoint(capsys: Capture, tmp_path: Path) -> None:
    import dmc as api

    module = api.load(LINE)
    net = module.Net.init(api.key(3), I=2)
    api.save(net, tmp_path / "net.safetensors")
    api.save({"net": net}, tmp_path / "run.safetensors")
    expected = f"{module.fit(net, np.ones(2), 0.0)}\n"
    for text in (f"{tmp_path}/net.safetensors", f"{tmp_path}/run.safetensors:net"):
        assert (
            dmc(capsys, "run", LINE, "fit", f"net=@{text}", "x=[1.0,1.0]", "y=0.0").out == expected
        )


def test_what_is_not_given_is_drawn(capsys: Capture) -> None:
    command = ("run", LINE, "loss", "--sizes", "N=5", "--seed")
    first, again, other = (dmc(capsys, *command, seed) for seed in ("1", "1", "2"))
    assert first.out == again.out != other.out
    assert first.err == "dmc: drawn with seed 1: line, x, y\n"
    fit = dmc(capsys, "run", LINE, "fit", "--sizes", "net.I=3")
    assert fit.status == 0


def test_grad(capsys: Capture) -> None:
    command = ("grad", LINE, "loss", "line.slope=1.0", "line.offset=0.0", "x=[1.0]", "y=[3.0]")
    assert (
        dmc(capsys, *command).out == "value = 4.0\ngradient.slope = -4.0\ngradient.offset = -4.0\n"
    )
    assert dmc(capsys, *command, "--wrt", "x").out == "value = 4.0\ngradient = [-4.]\n"
    assert dmc(capsys, *command, "--wrt", "y,line.slope").out == (
        "value = 4.0\ngradient[0] = [4.]\ngradient[1] = -4.0\n"
    )


def test_check_grad(capsys: Capture) -> None:
    outcome = dmc(capsys, "check-grad", LINE, "loss", "--sizes", "N=4")
    rows = [line.split()[0] for line in outcome.out.splitlines()]
    assert outcome.status == 0
    assert rows == ["parameter", "line.slope", "line.offset", "line", "x", "x", "y", "y"]
    assert outcome.out.count("  ok") == 7


def test_check_grad_that_fails(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "wrong.dm"
    file.write_text(
        "fn f(x: f64) -> f64 = x ** 3\n\n"
        "derivative f(x) -> y {\n    jvp(dx) = 2.0 * x * x * dx\n}\n"
    )
    outcome = dmc(capsys, "check-grad", str(file), "f", "x=1.0")
    assert outcome.status == 1
    assert re.search(r"^x +1 +2\.00e\+00 +5\.0e-01 +FAILED$", outcome.out, re.M)


def test_check_grad_names_the_rule_that_is_used(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "wrong.dm"
    file.write_text(
        "fn f(x: f64) -> f64 = x ** 3\n\n"
        "derivative f(x) -> y {\n    jvp(dx) = 2.0 * x * x * dx\n}\n"
        "fn s(x: f64) -> f64 = round(x)\n\n"
        "derivative unchecked s(x) -> y {\n    jvp(dx) = dx\n}\n"
        "fn g(x: f64) -> f64 = sin(f(x)) + s(x)\n"
    )
    outcome = dmc(capsys, "check-grad", str(file), "g", "x=1.0")
    assert outcome.status == 1
    assert re.search(r"^f: jvp, wrong\.dm:4 .*FAILED$", outcome.out, re.M)
    assert "unchecked, need not agree: s: jvp, wrong.dm:9" in outcome.err


def test_check_finds_rules_that_are_not_linear(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "wrong.dm"
    file.write_text(
        "fn f[N](x: f64[N]) -> f64[N] = x ** 2\n\n"
        "derivative f(x) -> y {\n    jvp(dx) = 2.0 * x * abs(dx)\n}\n"
    )
    outcome = dmc(capsys, "check", str(file))
    assert outcome.status == 1
    assert "error[grad.linear]" in outcome.err


# ---- the examples in the help -----------------------------------------------------------------

EXAMPLES = [
    line.partition(" #")[0].strip()
    for name, command in COMMANDS.items()
    for line in command.examples.splitlines()
    if name != "train"
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    import dmc as api

    folder = tmp_path_factory.mktemp("home")
    digits = Path(__file__).parent.parent.parent / "examples" / "digits" / "digits.dm"
    for program in (Path(LINE), digits):
        (folder / program.name).write_text(program.read_text())
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.standard_normal(4), y=rng.standard_normal(4))
    x = rng.standard_normal((4, 3)).astype(np.float32)
    np.savez(folder / "test.npz", x=x, y=np.zeros(4, np.int32))
    net = api.load(folder / "digits.dm").MLP.init(api.key(0), I=3, H=4, O=2)
    (folder / "run").mkdir()
    api.save({"net": net}, folder / "run" / "best.safetensors")
    (folder / "loss.mlir").write_text(api.load(LINE).loss.ir("tensor", N=3))
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_in_the_help(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, home: Path, example: str
) -> None:
    monkeypatch.chdir(home)
    piped = ""
    for command in example.split("|"):
        program, *arguments = shlex.split(command)
        assert program == "dmc"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
        outcome = dmc(capsys, *arguments)
        assert outcome.status == 0, outcome.err
        piped = outcome.out


@pytest.mark.parametrize("command", ["run", "grad", "check-grad"])
def test_options_and_arguments_stand_in_any_order(capsys: Capture, command: str) -> None:
    given = ["line.slope=2.0", "line.offset=1.0", "x=[1.0, 2.0]", "y=[3.0, 5.0]"]
    first = dmc(capsys, command, LINE, "loss", *given, "--seed", "3")
    assert first.status == 0
    orders = (
        [LINE, "loss", "--seed", "3", *given],
        [LINE, "--seed", "3", "loss", *given],
        ["--seed", "3", LINE, "loss", *given],
        [LINE, "loss", *given[:2], "--seed", "3", *given[2:]],
    )
    for order in orders:
        again = dmc(capsys, command, *order)
        assert (again.status, again.out) == (0, first.out)


def test_sizes_before_arguments(capsys: Capture) -> None:
    outcome = dmc(capsys, "check-grad", LINE, "loss", "--sizes", "N=3", "line.slope=2.0")
    assert (outcome.status, "drawn" in outcome.err) == (0, True)


# ---- memory -----------------------------------------------------------------------------------


def test_memory_of_a_gradient_under_a_budget(capsys: Capture, tmp_path: Path) -> None:
    picture = tmp_path / "memory.png"
    given = ["--sizes", "N=1000", "--budget", "64KiB", "--plot", str(picture)]
    outcome = dmc(capsys, "memory", LINE, "loss", *given)
    assert outcome.status == 0
    assert re.search(r"^  budget +64 KiB +65,536 bytes$", outcome.out, re.M)
    assert picture.read_bytes().startswith(b"\x89PNG")
    outcome = dmc(capsys, "memory", LINE, "loss", "--budget", "64 parsecs")
    assert outcome.status == 1
    assert "there is no unit `parsecs`" in outcome.err


def test_memory_where_an_argument_is_given_up(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "step.dm"
    path.write_text("fn step[N](w: f32[N], g: f32[N]) -> f32[N] = w - 0.1 * g\n")
    outcome = dmc(capsys, "memory", str(path), "step", "--sizes", "N=1000", "--donate", "w")
    assert outcome.status == 0
    assert re.search(r"^  results +0 bytes", outcome.out, re.M)
    outcome = dmc(capsys, "memory", str(path), "step", "--sizes", "N=1000", "--donate", "v")
    assert outcome.status == 1
    assert "there is no argument `v` to donate" in outcome.err
