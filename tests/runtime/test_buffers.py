"""Flat buffers: alignment, views, sections."""

import numpy as np
import pytest

from dmc_runtime.buffers import ALIGNMENT, Packed, aligned_zeros, pack
from dmc_runtime.records import make_record

Layer = make_record("Layer", ["w", "b", "n"])


def is_aligned(array: np.ndarray) -> bool:
    return array.size == 0 or array.ctypes.data % ALIGNMENT == 0


def layer(value: float):
    return Layer(w=np.full((3, 5), value, np.float32), b=np.full(7, -value), n=4)


def test_aligned_zeros():
    for shape, dtype in [(0, "f4"), (3, "f8"), ((5, 7), "f4"), ((), "i8")]:
        array = aligned_zeros(shape, dtype)
        assert is_aligned(array)
        assert not array.any()
    assert not is_aligned(aligned_zeros(32, "f4")[1:])


def test_leaves_are_aligned_views_of_one_buffer_for_each_dtype():
    packed = pack({"net": layer(1.0), "opt": (layer(2.0), layer(3.0))})
    assert {d.name: b.size for d, b in packed.buffers.items()} == {
        "float32": 48,
        "float64": 24,
        "int64": 24,
    }
    assert packed.layout.nbytes == 48 * 4 + 24 * 8 + 24 * 8
    for slot in packed.layout.slots:
        view = packed[slot.path]
        assert is_aligned(view)
        assert view.base is not None
        assert view.shape == slot.shape
    packed["net.w"][0, 0] = 9
    assert packed.buffers[np.dtype("f4")][0] == 9
    assert packed["opt[1].w"].max() == 3
    assert packed["net.n"] == 4


def test_a_subtree_is_one_run_of_the_buffer():
    packed = pack({"net": layer(1.0), "opt": (layer(2.0), layer(3.0))})
    run = packed.section("opt", "f4")
    run *= 2
    assert packed["opt[0].w"].max() == 4
    assert packed["net.w"].max() == 1
    assert run.size == 16 + 15
    with pytest.raises(KeyError, match="no leaf of float32 below `op`"):
        packed.section("op", "f4")


def test_loading_checks_structure_and_types():
    packed: Packed = pack(layer(1.0))
    fresh = Packed(packed.layout)
    assert not fresh.tree.w.any()
    fresh.load(layer(5.0))
    assert fresh.tree == pack(layer(5.0)).tree
    with pytest.raises(ValueError, match="structure"):
        fresh.load(layer(1.0).replace(n=None))
    with pytest.raises(ValueError, match=r"`b` is float64\[6\], its buffer holds float64\[7\]"):
        fresh.load(layer(1.0).replace(b=np.zeros(6)))
