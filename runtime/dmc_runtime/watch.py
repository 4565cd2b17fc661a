"""Watching a run: norms of gradients and activations layer by layer, and what they warn of.

Rows go into `layers.jsonl`, one for each look: `{"step": …, "gradient": {path: norm},
"activation": {name: norm}, "findings": [text]}`. A run that goes on drops the rows after its step.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime import monitor
from dmc_runtime.files import replace, writing
from dmc_runtime.records import Record
from dmc_runtime.trees import Leaf, Tree, children_of, tree_leaves, tree_paths

LAYERS = "layers.jsonl"
_RECENT = 100
"""How many losses before tell a spike."""

Look: TypeAlias = "dict[str, Any]"


class Watcher:
    """Looks at a run now and then; `findings` are all warnings so far, each said once a layer.

    Without a folder it only hears of losses.
    """

    def __init__(
        self,
        folder: Path | None,
        gradient: Callable[..., Any] | None,
        activations: Callable[..., Any] | None,
        resume_at: int,
    ) -> None:
        self.findings: list[monitor.Finding] = []
        self._gradient = gradient
        self._activations = activations
        self._losses: deque[float] = deque(maxlen=_RECENT)
        self._said: set[str] = set()
        if folder is None:
            return
        self._path = folder / LAYERS
        kept = [look for look in read(folder) if look["step"] <= resume_at]
        with writing(self._path):
            if kept:
                replace(self._path, "".join(map(_line, kept)).encode())
            else:
                self._path.unlink(missing_ok=True)

    def look(self, net: Record, given: Mapping[str, Any], step: int) -> None:
        """Norms before the step that is numbered from 1; `given` are the arguments of `step`."""
        row: Look = {"step": step}
        found: list[monitor.Finding] = []
        if self._gradient is not None:
            layers = monitor.layers(self._gradient(net, **given))
            row["gradient"] = {layer.path: layer.norm for layer in layers}
            found += monitor.of_gradient(layers, step)
        if self._activations is not None:
            arrays = named(self._activations(net, **given))
            row["activation"] = {name: _rms(array) for name, array in arrays.items()}
            found += monitor.of_activations(arrays, step)
        row["findings"] = [str(finding) for finding in self._new(found)]
        self._write(row)

    def loss(self, loss: float, step: int) -> None:
        """The loss of a step."""
        self._losses.append(loss)
        spikes = monitor.of_losses(list(self._losses), step)
        self.findings += spikes
        if spikes:
            self._losses.clear()  # what comes next is compared with what comes after it

    def _new(self, found: list[monitor.Finding]) -> list[monitor.Finding]:
        """The findings whose like was not found before."""
        fresh = [finding for finding in found if _like(finding) not in self._said]
        self._said |= {_like(finding) for finding in fresh}
        self.findings += fresh
        return fresh

    def _write(self, row: Look) -> None:
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(row))


def _line(row: Look) -> str:
    return json.dumps(row) + "\n"


def read(folder: Path) -> list[Look]:
    """What was seen, up to a line that is cut short."""
    path = folder / LAYERS
    if not path.exists():
        return []
    looks: list[Look] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            look = cast("Look", json.loads(line))
            looks.append({**look, "step": int(look["step"])})
        except (ValueError, KeyError, TypeError):
            break
    return looks


def named(result: Tree) -> dict[str, Leaf]:
    """The arrays of a record or tuple by their paths; those of a tuple by their places."""
    if isinstance(result, tuple):
        return {
            f"{step.strip('[]')}{'.' if path else ''}{path}": leaf
            for step, part in children_of(cast("Tree", result))
            for path, leaf in zip(tree_paths(part), tree_leaves(part), strict=True)
        }
    names = (path or "output" for path in tree_paths(result))
    return dict(zip(names, tree_leaves(result), strict=True))


def _rms(leaf: Leaf) -> float:
    array = np.asarray(leaf, np.float64)
    return float(np.sqrt(np.mean(array * array))) if array.size else 0.0


def _like(finding: monitor.Finding) -> str:
    """What makes findings of two steps the same one: all but the numbers."""
    quoted = finding.message.split("`")[1::2]
    return f"{finding.trouble} {' '.join(quoted)}"
