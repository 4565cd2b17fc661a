"""Every example reaches the figure that examples/README.md states."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.api.placeholders import size_names
from examples import __main__ as pictures
from examples.attention import train
from examples.bundle import adjust as bundle
from examples.diffusion import train as diffusion
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

ROOT = Path(__file__).parents[2] / "examples"
PROGRAMS = tuple(ROOT.glob("*/*.dm"))


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 200_000


def test_attention_learns_to_reverse(tmp_path: Path) -> None:
    assert train.main(path=tmp_path / "picture.png") == 1.0
    assert is_picture(tmp_path / "picture.png")


def test_a_likelihood_finds_the_noise(tmp_path: Path) -> None:
    push, measure, gain = kalman.main(path=tmp_path / "picture.png")
    assert push == pytest.approx(kalman.PUSH, rel=1 / 3)
    assert measure == pytest.approx(kalman.MEASURE, rel=1 / 3)
    assert gain > 1.5
    assert is_picture(tmp_path / "picture.png")


def test_sightings_find_the_orbit(tmp_path: Path) -> None:
    before, after, late = orbit.main(path=tmp_path / "picture.png")
    assert before > 0.1
    assert after < 1e-4
    assert late < 1e-3
    assert is_picture(tmp_path / "picture.png")


def test_angles_find_the_pendulum(tmp_path: Path) -> None:
    before, after = pendulum.main(path=tmp_path / "picture.png")
    assert before > 0.2
    assert after < 0.02
    assert is_picture(tmp_path / "picture.png")


def test_tumours_are_told_apart(tmp_path: Path) -> None:
    right, slope, steps = logistic.main(path=tmp_path / "picture.png")
    assert right > 0.96
    assert slope < 1e-8
    assert steps < 20
    assert is_picture(tmp_path / "picture.png")


def test_a_process_knows_its_noise(tmp_path: Path) -> None:
    noise, off, inside = process.main(path=tmp_path / "picture.png")
    assert noise == pytest.approx(process.NOISE, rel=0.25)
    assert off < 0.1
    assert inside > 0.85
    assert is_picture(tmp_path / "picture.png")


def test_a_chain_has_the_moments_of_its_density(tmp_path: Path) -> None:
    mean, covariance, accepted = hmc.main(path=tmp_path / "picture.png")
    np.testing.assert_allclose(mean, [0.0, 1.0], atol=0.1)
    np.testing.assert_allclose(np.diag(covariance), [4.0, 2.25], rtol=0.1)
    assert accepted > 0.9
    assert is_picture(tmp_path / "picture.png")


def test_learned_weights_adapt_to_new_waves(tmp_path: Path) -> None:
    learned_error, random_error = sinusoids.main(path=tmp_path / "picture.png")
    assert learned_error < 0.4 * random_error
    assert is_picture(tmp_path / "picture.png")


def test_a_learned_optimizer_beats_tuned_descent(tmp_path: Path) -> None:
    learned_height, descent = learned.main(path=tmp_path / "picture.png")
    assert learned_height < 0.1 * descent
    assert is_picture(tmp_path / "picture.png")


def test_a_flow_learns_the_moons(tmp_path: Path) -> None:
    loss, gaussian, near = flow.main(path=tmp_path / "picture.png")
    assert loss < gaussian - 0.5
    assert near > 0.85
    assert is_picture(tmp_path / "picture.png")


def test_a_net_follows_the_pendulum(tmp_path: Path) -> None:
    assert swing.main(path=tmp_path / "picture.png") < 0.2
    assert is_picture(tmp_path / "picture.png")


def test_a_net_solves_its_equation(tmp_path: Path) -> None:
    off, _ = pinn.main(path=tmp_path / "picture.png")
    assert off < 1e-3
    assert is_picture(tmp_path / "picture.png")


def test_lenet_reads_digits(tmp_path: Path) -> None:
    result = lenet.main()
    assert result.right >= 0.99
    lenet.draw(result, tmp_path / "lenet.png")
    assert is_picture(tmp_path / "lenet.png")


def test_digits_are_read_as_well_in_sixteen_bits(tmp_path: Path) -> None:
    result = precision.main()
    assert result.right["f32"] > 0.9
    for right in result.right.values():
        assert right == pytest.approx(result.right["f32"], abs=0.01)
    precision.draw(result, tmp_path / "precision.png")
    assert is_picture(tmp_path / "precision.png")


def test_a_mixture_finds_the_irises(tmp_path: Path) -> None:
    result = mixture.main()
    assert result.likelihood == pytest.approx(-180.1855 / 150, abs=1e-5)
    assert result.right > 0.96
    mixture.draw(result, tmp_path / "mixture.png")
    assert is_picture(tmp_path / "mixture.png")


def test_pictures_find_cameras_and_points(tmp_path: Path) -> None:
    result = bundle.main()
    assert result.before > 20
    assert result.path[-1] == pytest.approx(result.least, rel=0.05)
    bundle.draw(result, tmp_path / "bundle.png")
    assert is_picture(tmp_path / "bundle.png")


def test_codes_become_digits(tmp_path: Path) -> None:
    result = vae.main(vae.FEW)
    assert result.nats < result.of_means - 1.5
    vae.draw(result, tmp_path / "vae.png")
    assert is_picture(tmp_path / "vae.png")


def test_noise_becomes_digits(tmp_path: Path) -> None:
    result = diffusion.main(diffusion.FEW)
    assert result.ratio < 1.45
    assert result.shares.min() > 0.02
    diffusion.draw(result, tmp_path / "diffusion.png")
    assert is_picture(tmp_path / "diffusion.png")


def test_python_is_written_letter_by_letter(tmp_path: Path) -> None:
    results = {kind: writer.main(kind, writer.FEW) for kind in writer.SIZES}
    for result in results.values():
        assert result.bits < 3.6
    writer.draw(results, tmp_path / "writer.png")
    assert is_picture(tmp_path / "writer.png")


def test_each_optimizer_runs_its_own_race() -> None:
    ran = race.main()
    sgd, momentum, adam = (ran.paths[name][:, 0] for name in ("SGD", "momentum", "Adam"))
    bump = -3.0
    assert sgd.max() < bump  # parks before the bump
    assert momentum.max() > 2.0  # rolls over it and past the bottom,
    assert abs(momentum[-1]) < 0.5  # and swings back
    assert -0.5 < adam[-1] < adam.max() < 1.5  # goes round it, and slowly down
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Reader().feed(race.page(ran))
    assert tags.count("circle") == 3
    assert tags.count("animate") == 6
    assert "script" not in tags


def test_every_picture_of_the_documentation_has_its_command(tmp_path: Path) -> None:
    docs = ROOT.parent / "docs"
    page, files = (docs / "examples.md").read_text(), set(pictures.DRAWN)
    assert {Path(file).stem for file in files} == {program.parent.name for program in PROGRAMS}
    assert {file.name for file in (docs / "examples").iterdir()} == files
    for file in files:
        assert f"../examples/{Path(file).stem}/" in page
        assert f"(examples/{file})" in page
    pictures.main(["race", "orbit"], tmp_path)
    assert is_picture(tmp_path / "orbit.png")
    assert (tmp_path / "race.html").read_text().startswith("<!DOCTYPE html>")


PLANNED: dict[str, dict[str, int]] = {
    "attention/attention.dm": {"V": 11, "T": 8, "D": 32, "L": 2, "B": 32},
    "digits/digits.dm": {"I": 64, "H": 64, "O": 10, "B": 64},
    "kalman/kalman.dm": {"T": 200},
    "flow/flow.dm": {"L": 4, "H": 32, "B": 128},
    "../benchmarks/programs/lstm.dm": {"T": 32, "B": 32, "I": 64, "H": 64, "V": 16},
    "../benchmarks/programs/unet.dm": {"B": 2, "H": 32, "W": 32, "I": 3, "C": 8},
}


@pytest.mark.parametrize("file", PLANNED)
def test_memory_is_near_what_liveness_demands(file: str) -> None:
    function = dmc.load(ROOT / file).loss
    names = size_names(function.checked)
    sizes = {name: PLANNED[file][name.rpartition(".")[2]] for name in names}
    plan = dmc.value_and_grad(function).specialize(**sizes).compilation.memory()
    assert plan.least_bytes <= plan.arena_bytes <= 1.1 * plan.least_bytes
