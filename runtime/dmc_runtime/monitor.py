"""What gradients, activations and losses tell of a run that goes wrong, and its name.

    vanishing   the gradient at the first layer is less than a thousandth of that at the last
    exploding   it is more than a thousand times as large
    dead        units of a layer are zero for every example
    shattered   gradients at neighbouring inputs have nothing to do with each other any more
    spike       the loss leaps far above what it was lately

The first two compare parameters of one kind (the biases of layers of one class, say) along the
depth of the net: the gradient in a bias is that in what its layer gives. Shattering is that of
Balduzzi et al., "The shattered gradients problem" (ICML 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dmc_runtime.leafwise import is_float
from dmc_runtime.trees import Array, Kind, Leaf, Node, Tree, children_of, kind_of, spec_of, stack_of

FACTOR = 1e3
"""By how much gradients may differ along the depth of a net."""
CORRELATION = 0.2
"""Below it, gradients of neighbours count as shattered."""
SPIKE = 10.0
"""How many times the usual distance from the median makes a spike."""


class Trouble(StrEnum):
    """What can be wrong."""

    VANISHING = "vanishing"
    EXPLODING = "exploding"
    DEAD = "dead"
    SHATTERED = "shattered"
    SPIKE = "spike"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, at which step (0 outside of a run), and in words."""

    trouble: Trouble
    message: str
    step: int = 0

    def __str__(self) -> str:
        where = f"step {self.step}: " if self.step else ""
        return f"{where}{self.trouble}: {self.message}"


@dataclass(frozen=True)
class Layer:
    """The norm of one parameter of one layer; `kind` is the class and field that it is of."""

    path: str
    kind: str
    norm: float


def layers(gradient: Tree) -> list[Layer]:
    """The norms of the float leaves in order of depth; a stack has a layer for each element."""
    return list(_layers(gradient, "", "", 0))


def _layers(tree: Tree, path: str, kind: str, axes: int) -> Iterator[Layer]:
    if kind_of(tree) is Kind.LEAF:
        leaf = np.asarray(tree)
        if is_float(leaf):
            for index in np.ndindex(leaf.shape[:axes]):
                place = "".join(f"[{i}]" for i in index)
                owner, _, name = path.rpartition(".")
                norm = float(np.linalg.norm(np.asarray(leaf[index], np.float64)))
                yield Layer(f"{owner}{place}.{name}".removeprefix("."), kind, norm)
    elif tree is not None:
        for step, child in children_of(tree):
            inner, deeper = kind, axes
            if isinstance(tree, Node):
                inner, deeper = f"{spec_of(tree).name}{step}", len(stack_of(tree))
            yield from _layers(child, path + step, inner, deeper)


def along_depth(found: Sequence[Layer]) -> dict[str, float]:
    """For each kind of parameter of several layers, the gradient at the first by the last's."""
    by_kind: dict[str, list[float]] = {}
    for layer in found:
        by_kind.setdefault(layer.kind, []).append(layer.norm)
    return {
        kind: norms[0] / norms[-1]
        for kind, norms in by_kind.items()
        if len(norms) > 1 and norms[-1] > 0
    }


def of_gradient(found: Sequence[Layer], step: int = 0) -> list[Finding]:
    """Whether gradients vanish or explode on their way to the first layer."""
    findings: list[Finding] = []
    for kind, ratio in along_depth(found).items():
        trouble = (
            Trouble.VANISHING
            if ratio < 1 / FACTOR
            else Trouble.EXPLODING
            if ratio > FACTOR
            else None
        )
        if trouble is not None:
            message = f"the gradient of `{kind}` at the first layer is {ratio:.1g} of the last's"
            findings.append(Finding(trouble, message, step))
    return findings


def dead_units(activations: Array) -> int:
    """The units, along the last axis, that are zero for every example."""
    return int((np.abs(activations).reshape(-1, activations.shape[-1]).max(axis=0) == 0).sum())


def of_activations(activations: Mapping[str, Leaf], step: int = 0) -> list[Finding]:
    """Which layers have dead units."""
    findings: list[Finding] = []
    for name, leaf in activations.items():
        array = np.asarray(leaf)
        dead = dead_units(array) if array.ndim > 1 and array.size else 0
        if dead:
            message = f"{dead} of {array.shape[-1]} units of `{name}` are 0 for every example"
            findings.append(Finding(Trouble.DEAD, message, step))
    return findings


def neighbours(slopes: Array) -> float:
    """The correlation of gradients at neighbouring inputs; `slopes[n]` is that at input n."""
    rows = slopes.reshape(len(slopes), -1).astype(np.float64)
    rows = rows - rows.mean(axis=0)
    return float((rows[1:] * rows[:-1]).sum() / max((rows * rows).sum(), 1e-300))


def of_neighbours(slopes: Array, step: int = 0) -> list[Finding]:
    """Whether the gradients at inputs in a row are shattered."""
    correlation = neighbours(slopes)
    if correlation >= CORRELATION:
        return []
    message = f"gradients at neighbouring inputs have a correlation of {correlation:.2f}"
    return [Finding(Trouble.SHATTERED, message, step)]


def of_losses(losses: Sequence[float], step: int = 0) -> list[Finding]:
    """Whether the last loss leaps above those before it; at least ten are needed to tell."""
    *before, last = losses
    if len(before) < 10:
        return []
    median = float(np.median(before))
    usual = float(np.median(np.abs(np.asarray(before) - median)))
    if last <= median + SPIKE * max(usual, 0.05 * abs(median)):
        return []
    message = f"the loss is {last:.3g}, and {median:.3g} in the middle of the {len(before)} before"
    return [Finding(Trouble.SPIKE, message, step)]
