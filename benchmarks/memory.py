"""Time against memory: `python -m benchmarks.memory [FILE.png]` measures what docs/memory.md shows.

For every program: dmc from keeping all to the smallest budget, and with `checkpoint for`; JAX and
PyTorch, where they are installed, with their ways to keep less. Processor time of one thread, the
best of several calls; all take turns, so that a disturbance hits all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmc
from benchmarks import memory_peers
from benchmarks.memory_peers import Model, Peer
from benchmarks.workload import Array, Missing, package

PROGRAM = Path(__file__).parent / "programs" / "memory.dm"
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the way from the smallest budget to keeping everything."""
ROUNDS = 9
BUDGETS = "dmc, budget"


@dataclass(frozen=True)
class Point:
    """What one way takes."""

    program: str
    label: str
    bytes: int
    seconds: float


def models() -> list[Model]:
    """The programs, each with its arguments."""
    numbers = np.random.default_rng(0)

    def normal(*shape: int, fan: int = 1) -> Array:
        return (numbers.normal(size=shape) / np.sqrt(fan)).astype(np.float32)

    return [
        Model("mlp", normal(9, 128, 128, fan=128), normal(2048, 128)),
        Model("convnet", normal(9, 3, 3, 16, 16, fan=72), normal(8, 32, 32, 16)),
        Model("lstm", normal(128, 256, fan=64), normal(256, 16, 64), is_recurrent=True),
        Model("gpt", normal(9, 64, 768, fan=64), normal(4, 128, 64)),
    ]


def ours(model: Model) -> Iterator[Peer]:
    """From keeping all to the smallest budget; then with `checkpoint for`."""
    text = PROGRAM.read_text(encoding="utf-8")
    loss = getattr(dmc.loads(text), model.name)
    free = dmc.value_and_grad(loss).compile(model.w, model.x)
    most, smallest = free.memory().arena, least(loss, model)
    yield _peer("dmc", free, model)
    for share in SHARES:
        budget = round(smallest + share * (most - smallest))
        held = dmc.value_and_grad(loss, budget=budget).compile(model.w, model.x)
        yield _peer(BUDGETS, held, model)
    root = dmc.loads(text.replace("    for ", "    checkpoint for "))
    segments = dmc.value_and_grad(getattr(root, model.name)).compile(model.w, model.x)
    yield _peer("dmc, checkpoint for", segments, model)


def _peer(label: str, compiled: dmc.Compiled, model: Model) -> Peer:
    taken = compiled.memory()
    return Peer(label, taken.arena + taken.scratch, lambda: float(compiled(model.w, model.x)[0]))


def least(loss: dmc.Function, model: Model) -> int:
    """The smallest budget, from the refusal of one byte."""
    try:
        dmc.value_and_grad(loss, budget=1).compile(model.w, model.x)
    except dmc.OutOfMemory as failure:
        return int(failure.diagnostics[0].title.split()[-2])
    return 1


def ways(model: Model) -> Iterator[Peer]:
    """All that are installed."""
    yield from ours(model)
    for peers in (memory_peers.jax_peers, memory_peers.torch_peers):
        try:
            yield from peers(model)
        except Missing as missing:
            print(missing, file=sys.stderr)


def measure(model: Model) -> list[Point]:
    """The best processor time of each way, of calls in turn. All must agree in the value."""
    peers = list(ways(model))
    values = [peer.call() for peer in peers]
    np.testing.assert_allclose(values, values[0], rtol=1e-3)
    best = [float("inf")] * len(peers)
    for _ in range(ROUNDS):
        for number, peer in enumerate(peers):
            start = time.process_time()
            peer.call()
            best[number] = min(best[number], time.process_time() - start)
    rows = zip(peers, best, strict=True)
    return [Point(model.name, peer.label, peer.bytes, seconds) for peer, seconds in rows]


def table(points: Sequence[Point]) -> Iterator[str]:
    """A row for each point, in Markdown."""
    yield "| program | | memory | time |"
    yield "|---|---|--:|--:|"
    for point in points:
        figures = f"{point.bytes / 1e6:.2f} MB | {1e3 * point.seconds:.1f} ms"
        yield f"| {point.program} | {point.label} | {figures} |"


def plot(points: Sequence[Point], path: Path) -> None:
    """Time over memory, a panel for each program: the line is dmc from budget to budget."""
    figure = package("matplotlib.figure").Figure(figsize=(9, 7), layout="constrained")
    names = list(dict.fromkeys(point.program for point in points))
    labels = list(dict.fromkeys(point.label for point in points if point.label != BUDGETS))
    panels = figure.subplots(2, 2).flat
    for panel, name in zip(panels, names, strict=False):
        line = [p for p in points if p.program == name and p.label in (BUDGETS, "dmc")]
        line.sort(key=lambda p: p.bytes)
        panel.plot([p.bytes / 1e6 for p in line], [1e3 * p.seconds for p in line], "k.-")
        for number, label in enumerate(labels):
            here = [p for p in points if p.program == name and p.label == label]
            mark = "o" if "dmc" in label else "s" if "JAX" in label else "^"
            xs, ys = [p.bytes / 1e6 for p in here], [1e3 * p.seconds for p in here]
            panel.plot(xs, ys, mark, color=f"C{number}", label=label)
        panel.set(title=name, xlabel="MB beside arguments and results", ylabel="ms", yscale="log")
        panel.set_xlim(left=0)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("{x:g}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table; draw it where a file is named."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    dmc.set_num_threads(1)
    points = [point for model in models() for point in measure(model)]
    print("\n".join(table(points)))
    for name in sys.argv[1:]:
        plot(points, Path(name))


if __name__ == "__main__":
    main()
