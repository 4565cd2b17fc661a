"""`--limit-seconds` and `--limit-memory`, for what a stranger wrote."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.tools.commands import LINE
from tests.tools.test_process import DMC

ENDLESS = """
fn forever(x: f64) -> f64 {
    var y = x
    while y == x { y = x }
    y
}

fn large[N](x: f64) -> f64[N] = [i in 0..N] => x

fn total[N](x: f64[N]) -> f64 = sum(x)
"""


@pytest.fixture
def endless(tmp_path: Path) -> str:
    path = tmp_path / "endless.dm"
    path.write_text(ENDLESS)
    return str(path)


def dmc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DMC, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def test_native_code_that_never_returns_is_ended(endless: str) -> None:
    done = dmc("run", endless, "forever", "x=1.0", "--limit-seconds", "5")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dmc: not done after 5 s (--limit-seconds)\n"


def test_memory_is_refused_before_it_is_taken(endless: str) -> None:
    sizes = ("--sizes", "N=100000000")
    done = dmc("run", endless, "large", "x=1.0", *sizes, "--limit-memory", "600M")
    assert done.returncode == 1
    assert "error[memory.size]" in done.stderr
    assert "800 MB" in done.stderr or "762.9 MiB" in done.stderr


def test_a_small_file_that_unpacks_to_a_large_one(endless: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    np.save(packed, np.zeros(0))
    header = packed.getvalue().replace(b"(0,), }           ", b"(100000000,), }   ")
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        for _ in range(100):
            file.write(bytes(8_000_000))
    assert (tmp_path / "x.npz").stat().st_size < 2_000_000
    given = f"x=@{tmp_path / 'x.npz'}:x"
    done = dmc("run", endless, "total", given, "--limit-memory", "700M")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "memory" in done.stderr


def test_what_stays_within_its_limits_is_not_disturbed() -> None:
    limits = ("--limit-seconds", "250", "--limit-memory", "4G")
    done = dmc("run", LINE, "predict", "line.slope=2.0", "line.offset=1.0", "x=[1.0, 2.0]", *limits)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[3. 5.]\n", "")
    wrong = dmc("run", LINE, "predikt", *limits)
    assert wrong.returncode == 2
    assert "predict" in wrong.stderr


@pytest.mark.parametrize("option", ["--limit-seconds=0", "--limit-seconds=x", "--limit-memory=-1"])
def test_limits_that_are_none(option: str) -> None:
    done = dmc("check", LINE, option)
    assert done.returncode == 2
    assert "is not a" in done.stderr
    assert sys.executable not in done.stderr
