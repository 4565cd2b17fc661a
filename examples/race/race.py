"""Three optimizers race through a valley with a bump in their way; writes the race as a page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmc

PROGRAM = Path(__file__).parent / "race.dm"
STEPS = 300
START = np.array([-8.0, 1.0])
WIDTH, HEIGHT = 900, 300
LEFT, RIGHT, LOW, HIGH = -9.0, 5.0, -2.0, 2.0
COLOURS = {"SGD": "#c8501e", "momentum": "#24508a", "Adam": "#3a7d44"}


@dataclass(frozen=True)
class Race:
    """The places of each optimizer, f64[STEPS, 2], and the ground that they ran on."""

    paths: dict[str, np.ndarray]
    ground: np.ndarray


def main() -> Race:
    program = dmc.load(PROGRAM)
    hills = program.Hills(height=0.8, width=0.7, at=np.array([-3.0, 0.3]))
    noise = 0.05 * np.random.default_rng(0).standard_normal((STEPS, 2))  # the same for all
    paths = {
        "SGD": program.descent(START, noise, hills, rate=1.6),
        "momentum": program.momentum(START, noise, hills, rate=0.22, beta=0.9),
        "Adam": program.adam(START, noise, hills, rate=0.30),
    }
    x = np.linspace(LEFT, RIGHT, 90)
    y = np.linspace(HIGH, LOW, 30)
    places = np.stack(np.meshgrid(x, y), axis=-1)
    return Race(paths, program.heights(places, hills))


def page(race: Race) -> str:
    """The race as HTML: the ground in shades, and a dot with its trace for each optimizer."""
    rows, columns = race.ground.shape
    shades = np.sqrt(race.ground / race.ground.max())
    cells = "".join(
        f'<rect x="{c * WIDTH / columns:.1f}" y="{r * HEIGHT / rows:.1f}" '
        f'width="{WIDTH / columns + 0.5:.1f}" height="{HEIGHT / rows + 0.5:.1f}" '
        f'fill="hsl(40,30%,{92 - 55 * shades[r, c]:.0f}%)"/>'
        for r in range(rows)
        for c in range(columns)
    )
    runners = "".join(runner(name, path) for name, path in race.paths.items())
    names = ", ".join(f'<b style="color:{colour}">{name}</b>' for name, colour in COLOURS.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>A race</title></head>'
        f'<body><p>{names}</p><svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
        f'height="{HEIGHT}">{cells}{runners}</svg></body></html>\n'
    )


def runner(name: str, path: np.ndarray) -> str:
    """One optimizer: its whole trace, faint, and a dot that goes along it for ever."""
    x = (np.r_[START[0], path[:, 0]] - LEFT) / (RIGHT - LEFT) * WIDTH
    y = (HIGH - np.r_[START[1], path[:, 1]]) / (HIGH - LOW) * HEIGHT
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    moves = "".join(
        f'<animate attributeName="{axis}" dur="15s" repeatCount="indefinite" '
        f'values="{";".join(f"{v:.1f}" for v in values)}"/>'
        for axis, values in (("cx", x), ("cy", y))
    )
    colour = COLOURS[name]
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" opacity="0.35"/>'
        f'<circle r="6" cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" fill="{colour}">{moves}</circle>'
    )


if __name__ == "__main__":
    race = main()
    for name, path in race.paths.items():
        print(f"{name}: ends at {np.round(path[-1], 2)}, went as far as x = {path[:, 0].max():.2f}")
    target = Path(__file__).parent / "race.html"
    target.write_text(page(race), encoding="utf-8")
    print(f"{target}")
