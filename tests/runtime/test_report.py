"""The page about a run, as a browser shows it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dmc_runtime.report import page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_draws_every_curve_of_the_page(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    rows = [{"step": s, "epoch": 1, "loss": 10.0 / s, "validation_loss": 12.0 / s} for s in (1, 9)]
    finding = "step 1: dead: <units> of `h`"
    text = page("Net & co", {"seed": 0}, rows, [], [finding], {"test": {"loss": 1.0}})
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    picture = tmp_path / "page.png"

    def browse(*options: str) -> str:
        command = [str(CHROMIUM), *quiet, *options, (tmp_path / "report.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    shown = browse("--dump-dom")
    assert "<h1>Net &amp; co</h1>" in shown
    assert "&lt;units&gt;" in shown
    assert shown.count("<polyline") == 2
    browse(f"--screenshot={picture}", "--window-size=900,1400")
    pixels = np.round(255 * image.imread(picture)[..., :3]).astype(int)
    for colour in ((0x24, 0x50, 0x8A), (0xC8, 0x50, 0x1E)):
        near = np.abs(pixels - colour).max(axis=-1) < 40
        across = near.any(axis=0).sum()
        assert across > 300, "a curve goes from left to right"
