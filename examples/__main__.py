"""Draws the pictures of the documentation: `python -m examples`, or some: `python -m examples vae`.

As in the tests, those that would train for long stop early.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import dmc
from examples.attention import train as attention
from examples.bundle import adjust as bundle
from examples.diffusion import train as diffusion
from examples.digits import data as digits
from examples.flow import train as flow
from examples.hmc import sample as hmc
from examples.kalman import fit as kalman
from examples.learned import train as learned
from examples.lenet import train as lenet
from examples.logistic import fit as logistic
from examples.mixture import fit as mixture
from examples.orbit import fit as orbit
from examples.pendulum import fit as pendulum
from examples.pinn import solve as pinn
from examples.precision import train as precision
from examples.process import fit as process
from examples.race import race
from examples.sinusoids import train as sinusoids
from examples.swing import train as swing
from examples.vae import train as vae
from examples.writer import train as writer

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs" / "examples"


def draw_digits(path: Path) -> None:
    """The curves of a run of `dmc train`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        digits.main(folder)
        files = {f"data.{part}": str(folder / f"{part}.npz") for part in ("train", "test")}
        settings = {**files, "outputs.directory": str(folder / "run")}
        dmc.train(HERE / "digits" / "recipe.toml", settings=settings, progress=False)
        shutil.copyfile(folder / "run" / "training.png", path)


def draw_writers(path: Path) -> None:
    writer.draw({kind: writer.main(kind, writer.FEW) for kind in writer.SIZES}, path)


def draw_race(path: Path) -> None:
    path.write_text(race.page(race.main()), encoding="utf-8")


DRAWN: dict[str, Callable[[Path], object]] = {
    "attention.png": lambda path: attention.main(path=path),
    "bundle.png": lambda path: bundle.draw(bundle.main(), path),
    "diffusion.png": lambda path: diffusion.draw(diffusion.main(diffusion.FEW), path),
    "digits.png": draw_digits,
    "flow.png": lambda path: flow.main(path=path),
    "hmc.png": lambda path: hmc.main(path=path),
    "kalman.png": lambda path: kalman.main(path=path),
    "learned.png": lambda path: learned.main(path=path),
    "lenet.png": lambda path: lenet.draw(lenet.main(), path),
    "logistic.png": lambda path: logistic.main(path=path),
    "mixture.png": lambda path: mixture.draw(mixture.main(), path),
    "orbit.png": lambda path: orbit.main(path=path),
    "pendulum.png": lambda path: pendulum.main(path=path),
    "pinn.png": lambda path: pinn.main(path=path),
    "precision.png": lambda path: precision.draw(precision.main(), path),
    "process.png": lambda path: process.main(path=path),
    "race.html": draw_race,
    "sinusoids.png": lambda path: sinusoids.main(path=path),
    "swing.png": lambda path: swing.main(path=path),
    "vae.png": lambda path: vae.draw(vae.main(vae.FEW), path),
    "writer.png": draw_writers,
}
"""What draws each file of `docs/examples`, at the path it is given."""


def main(names: list[str], target: Path = TARGET) -> None:
    for file, draw in DRAWN.items():
        if not names or Path(file).stem in names:
            draw(target / file)
            print(target / file)


if __name__ == "__main__":
    main(sys.argv[1:])
