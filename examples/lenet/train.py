"""Trains LeNet with batch norm on handwritten digits; draws what it gets wrong."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmc
from examples.images import digits
from examples.pictures import picture, sheet

PROGRAM = Path(__file__).parent / "lenet.dm"
EPOCHS = 30


@dataclass(frozen=True)
class Result:
    """The share of the images held out that is read right, and which are not."""

    right: float
    wrong: np.ndarray
    losses: list[float]


def main(epochs: int = EPOCHS) -> Result:
    data = digits()
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "program": str(PROGRAM),
            "epochs": epochs,
            "model": {"name": "LeNet", "sizes": {"V": 10}},
            "data": {"batch_size": 32},
            "arguments": {"key": "key", "peak": 4e-3, "total": "steps"},
            "outputs": {"directory": folder, "plot": False, "report": False},
        }
        trainer = dmc.Trainer(
            recipe,
            data={"x": data.x[..., None], "y": data.y},
            callbacks=[lambda moment: losses.append(moment.row["loss"])],
        )
        report = trainer.run()
    guesses = trainer.program.guesses(report.net, data.test_x[..., None])
    wrong = guesses != data.test_y
    return Result(float(1 - wrong.mean()), data.test_x[wrong], losses)


def draw(result: Result, path: Path) -> None:
    wrong = np.concatenate([result.wrong, np.zeros((12, 8, 8), np.float32)])
    picture(
        path,
        lambda axes: axes.semilogy(result.losses, linewidth=0.8),
        lambda axes: sheet(axes, wrong[:12], 4, f"the {len(result.wrong)} that are read wrong"),
    )


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("lenet.png"))
    print(f"{100 * result.right:.1f} % of the images held out are read right")
