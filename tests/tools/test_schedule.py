"""`dmc schedule`: a picture of the rates."""

from pathlib import Path

import numpy as np
import pytest

from tests.tools.commands import LINE, dmc

Capture = pytest.CaptureFixture[str]
COSINE = ("schedule", "schedule", "cosine", "peak=0.5", "total=50")


def test_a_schedule_of_the_library_in_characters(capsys: Capture) -> None:
    outcome = dmc(capsys, *COSINE, "--steps", "51")
    lines = outcome.out.splitlines()
    assert outcome.status == 0
    assert lines[0].startswith("0.5 │●")
    assert lines[-3].strip().startswith("0 │")
    assert lines[-3].endswith("●")
    assert lines[-1].split() == ["0", "50"]
    assert sum(line.count("●") for line in lines) == 51


def test_one_of_a_program_as_numbers(capsys: Capture, tmp_path: Path) -> None:
    file, rates = tmp_path / "mine.dm", tmp_path / "rates.npy"
    file.write_text("fn rate(t: i64, a: f64 = 2.0) -> f64 = a * f64(t)\n")
    command = ("schedule", str(file), "rate", "--steps", "4", "--output", str(rates))
    assert dmc(capsys, *command).status == 0
    assert np.load(rates).tolist() == [0.0, 2.0, 4.0, 6.0]


def test_a_picture(capsys: Capture, tmp_path: Path) -> None:
    picture = tmp_path / "rates.png"
    assert dmc(capsys, *COSINE, "--output", str(picture)).status == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_what_is_no_schedule(capsys: Capture) -> None:
    outcome = dmc(capsys, "schedule", str(LINE), "loss")
    assert outcome.status == 2
    assert "is no schedule" in outcome.err
