"""A training step updates its state where it lies: in flat buffers, allocating nothing."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dmc.api.training import Trainer
from dmc_runtime.buffers import pack
from dmc_runtime.trees import Tree, tree_leaves, tree_paths

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "recipe.toml"


def places(tree: Tree) -> dict[str, int]:
    """Where each array of a tree lies; numbers lie nowhere."""
    leaves = zip(tree_paths(tree), tree_leaves(tree), strict=True)
    return {
        path: leaf.ctypes.data
        for path, leaf in leaves
        if isinstance(leaf, np.ndarray) and leaf.ndim
    }


def test_the_step_of_the_digits_example_stays_in_its_buffers() -> None:
    functions = Trainer(DIGITS).functions
    net = functions.init()
    packed = pack({"net": net, "opt": functions.start(net)})
    before, first = places(packed.tree), {p: np.array(b) for p, b in packed.buffers.items()}
    x, y = np.ones((64, 64), np.float32), np.arange(64, dtype=np.int32) % 10
    state = packed.tree
    for _ in range(2):
        _, net, opt, _ = functions.step(
            state["net"], state["opt"], x=x, y=y, peak=1e-3, warmup=1, total=9, clip=1.0, decay=0.1
        )
        state = {"net": net, "opt": opt}
    assert places(state) == before
    (buffer,) = [b for b in packed.buffers.values() if b.dtype == np.float32]
    assert not np.array_equal(buffer, first[buffer.dtype])


def test_updating_in_place_gives_the_same_bits() -> None:
    functions = Trainer(DIGITS).functions
    assert isinstance(functions.step, partial)
    net = functions.init()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 64)).astype(np.float32)
    y = rng.integers(0, 10, 64).astype(np.int32)
    arguments = {"peak": 1e-3, "warmup": 1, "total": 9, "clip": 1.0, "decay": 0.1}
    kept: dict[str, Any] = {"net": net, "opt": functions.start(net)}
    given: dict[str, Any] = pack(kept).tree
    for _ in range(3):
        plain, in_place = functions.step.func, functions.step
        loss, kept["net"], kept["opt"], _ = plain(**kept, x=x, y=y, **arguments)
        again, given["net"], given["opt"], _ = in_place(**given, x=x, y=y, **arguments)
        assert loss == again
    for a, b in zip(tree_leaves(kept), tree_leaves(given), strict=True):
        np.testing.assert_array_equal(a, b)
