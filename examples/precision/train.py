"""Learns handwritten digits in f32 and in mixed precision, from the same start."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import dmc
from examples.images import digits
from examples.pictures import picture

PROGRAM = Path(__file__).parent / "precision.dm"
STEPS = 60
PRECISIONS = ("f32", "bf16", "f16")


@dataclass(frozen=True)
class Result:
    """For each precision the share of the images held out that is right, and the losses."""

    right: dict[str, float]
    losses: dict[str, list[float]]


def main(steps: int = STEPS) -> Result:
    program = dmc.load(PROGRAM)
    data = digits()
    x, new = data.x.reshape(-1, 64), data.test_x.reshape(-1, 64)
    result = Result({}, {})
    for precision in PRECISIONS:
        net = program.Net.init(dmc.key(0), I=64, H=32, O=10)
        opt, scale = program.start(net), program.training.loss_scale()
        losses = result.losses[precision] = []
        for _ in range(steps):
            if precision == "f16":
                loss, net, opt, scale = program.step_f16(net, opt, scale, x, data.y)
            else:
                step = program.step_f32 if precision == "f32" else program.step_bf16
                loss, net, opt = step(net, opt, x, data.y)
            losses.append(float(loss))
        result.right[precision] = float(program.right(net, new, data.test_y))
    return result


def draw(result: Result, path: Path) -> None:
    def panel(axes: Axes) -> None:
        for name, losses in result.losses.items():
            axes.semilogy(losses, label=name, linewidth=0.8)
        axes.legend()
        axes.set_ylabel("loss")

    def differences(axes: Axes) -> None:
        exact = np.array(result.losses["f32"])
        for name in ("bf16", "f16"):
            axes.plot(np.array(result.losses[name]) / exact - 1, label=f"{name} / f32 - 1")
        axes.legend()

    picture(path, panel, differences)


if __name__ == "__main__":
    result = main()
    draw(result, Path(__file__).with_name("precision.png"))
    for name, right in result.right.items():
        print(f"{name}: {100 * right:.1f} % of the images held out are right")
