"""The command as a process of its own: speed of starting, signals, pipes."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.commands import LINE, dmc

DMC = [sys.executable, "-m", "dmc.tools.cli"]


def process(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return process([sys.executable, "-c", program], **environment)


@pytest.mark.parametrize("arguments", ["--help", "explain shape.matmul", "--version"])
def test_what_needs_no_compiler_starts_fast(arguments: str) -> None:
    program = (
        "import sys, time; start = time.process_time()\n"
        "from dmc.tools.cli import main\n"
        f"try: main({arguments.split()!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'lark', 'llvmlite'} & sys.modules.keys()\n"
        "print(time.process_time() - start, *heavy, file=sys.stderr)\n"
    )
    runs = [python(program) for _ in range(3)]
    assert {" ".join(done.stderr.split()[1:]) for done in runs} == {""}
    assert min(float(done.stderr) for done in runs) < 0.25


def test_check_needs_no_code_generator() -> None:
    program = (
        "import sys\n"
        "from dmc.tools.cli import main\n"
        f"main(['check', {LINE!r}])\n"
        "print('llvmlite' in sys.modules)\n"
    )
    done = python(program)
    assert done.stdout.splitlines()[-1] == "False"


def test_no_room_for_what_is_printed() -> None:
    done = process(
        ["bash", "-c", '"$0" -m dmc.tools.cli check $1 > /dev/full', sys.executable, LINE]
    )
    assert (done.returncode, done.stderr) == (1, "dmc: the output: the disk is full\n")


@pytest.mark.parametrize(
    "command",
    [
        f"ir {LINE} loss --sizes N=4 --stage tensor --output {{}}",
        f"memory {LINE} loss --sizes N=4 --plot {{}}.png",
        f"ir {LINE} loss --sizes N=4 --stage all --output {{}}.d",
    ],
    ids=["a text", "a picture", "texts"],
)
def test_no_room_for_files(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are whole or not there."""

    def full(handle: int, data: memoryview) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "no space left on device")
        return len(data) // 2

    monkeypatch.setattr("dmc_runtime.files.os.write", full)
    done = dmc(capsys, *command.format(tmp_path / "out").split())
    assert done.status == 1
    assert done.err.endswith("the disk is full\n")
    assert done.err.startswith(f"dmc: `{tmp_path}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_ctrl_c(tmp_path: Path) -> None:
    fifo = tmp_path / "program.dm"
    os.mkfifo(fifo)  # reading it waits for ever
    process = subprocess.Popen([*DMC, "check", str(fifo)], stderr=subprocess.PIPE, text=True)
    with fifo.open("w"):  # waits until it reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_a_closed_pipe_is_no_error() -> None:
    done = process(["sh", "-c", " ".join(DMC) + " explain | head -n 1"])
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_bugs_say_that_they_are(tmp_path: Path) -> None:
    program = (
        "import dmc.tools.explain, sys\n"
        "def broken(options): raise ZeroDivisionError('oops')\n"
        "dmc.tools.explain.run = broken\n"
        "from dmc.tools.cli import main\n"
        "sys.exit(main(['explain']))\n"
    )
    done = python(program, TMPDIR=str(tmp_path))
    assert done.returncode == 70
    assert done.stderr.startswith("dmc: internal error: ZeroDivisionError: oops\n")
    assert "this is a bug in dmc, not in your program" in done.stderr
    assert "Traceback" not in done.stderr
    (details,) = tmp_path.glob("dmc-bug-*.txt")
    assert str(details) in done.stderr
    assert "Traceback" in details.read_text()
    assert "Traceback" in python(program, DMC_TRACEBACK="1").stderr


def test_a_wrong_environment() -> None:
    done = process([*DMC, "run", LINE, "cube", "x=2.0"], DMC_NUM_THREADS="many")
    assert done.returncode == 1
    assert "error[call.threads]: DMC_NUM_THREADS is `many`" in done.stderr
    done = process([*DMC, "run", LINE, "cube", "x=2.0"], DMC_TARGET_CPU="z80")
    assert done.returncode == 1
    assert "error[feature.target]" in done.stderr
