"""Learns to write Python from the modules of its standard library, letter by letter.

    python -m examples.writer.train [steps]

trains an LSTM and a transformer, says how many bits they need for a letter of modules that they
have not seen, lets them write, and draws how they learned.
"""

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import dmc
from examples.pictures import picture

FOLDER = Path(__file__).parent
SIZES = {
    "lstm": ("Writer", {"V": 97, "D": 48, "H": 192}, 6e-3),
    "gpt": ("GPT", {"V": 97, "D": 96, "H": 4, "L": 2}, 4e-3),
}
BATCH, LENGTH = 16, 64
STEPS = 1500
FEW = 100
"""So many in tests and pictures."""


@dataclass(frozen=True)
class Result:
    """Bits a letter at the end, on unseen modules; those of each step; and what it writes."""

    bits: float
    path: list[float]
    text: str


def letters() -> tuple[np.ndarray, np.ndarray]:
    """The text to learn from and that held out, i32: 0 to 94 printable, 95 ends a line, 96 else."""
    code = np.full(256, 96, np.int32)
    code[32:127] = np.arange(95)
    code[10] = 95
    learned, held_out = [], []
    for index, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))):
        text = code[np.frombuffer(path.read_bytes(), np.uint8)]
        (held_out if index % 10 == 9 else learned).append(text)
    return np.concatenate(learned), np.concatenate(held_out)


def main(kind: str, steps: int = STEPS) -> Result:
    program = dmc.load(FOLDER / f"{kind}.dm")
    name, sizes, peak = SIZES[kind]
    net = getattr(program, name).init(dmc.key(0), **sizes)
    opt = program.start(net)
    learned, held_out = letters()
    step, bits = program.step[BATCH, LENGTH], program.bits[BATCH, LENGTH]
    rng = np.random.default_rng(0)

    def batch(text: np.ndarray) -> np.ndarray:
        return text[rng.integers(0, len(text) - LENGTH, BATCH)[:, None] + np.arange(LENGTH + 1)]

    path: list[float] = []
    for _ in range(steps):
        loss, net, opt = step(net, opt, batch(learned), peak, steps)
        path.append(float(loss) / np.log(2.0))
    scores = [bits(net, batch(held_out)) for _ in range(50)]
    drawn = [program.write[LENGTH](net, 95, 0.6, dmc.key(key)) for key in range(6)]
    text = "\n".join(
        "".join("\n" if i == 95 else "?" if i == 96 else chr(i + 32) for i in piece)
        for piece in drawn
    )
    return Result(float(np.mean(scores)), path, text)


def draw(results: dict[str, Result], path: Path) -> None:
    def panel(axes: Axes) -> None:
        for name, result in results.items():
            smooth = np.convolve(result.path, np.full(20, 0.05), "valid")
            axes.plot(smooth, label=name)
        axes.legend()
        axes.set_ylabel("bits a letter")

    picture(path, panel)


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    results = {kind: main(kind, steps) for kind in SIZES}
    draw(results, FOLDER / "writer.png")
    for kind, result in results.items():
        print(f"{kind}: {result.bits:.2f} bits a letter of modules not seen\n{result.text}\n")
