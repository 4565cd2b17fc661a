"""Donated buffers: results are written over them, and they cannot be used again."""

import gc

import numpy as np
import pytest

import dmc
from dmc.api.donation import GIVEN_UP
from tests.api.programs import KEY, program

v = np.ones(100)


def test_results_are_written_over_what_is_donated() -> None:
    x = np.arange(100.0)
    y = program.advanced(x, v, 0.5, donate="x")
    assert np.shares_memory(x, y)
    np.testing.assert_array_equal(y, np.arange(100.0) + 0.5)


def test_arrays_are_kept_otherwise() -> None:
    x = np.arange(100.0)
    y = program.advanced(x, v, 0.5)
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, np.arange(100.0))


@pytest.mark.parametrize("by_name", [False, True])
def test_what_was_donated_is_refused(by_name: bool) -> None:
    x = np.arange(100.0)
    if by_name:
        y = program.advanced(x, v, 0.5, donate=("x",))
    else:
        y = program.advanced(dmc.donate(x), v, h=0.5)
    with pytest.raises(dmc.CallError, match="x was donated to an earlier call") as caught:
        program.total(x)
    assert caught.value.diagnostics[0].code == "call.donated"
    assert program.total(y) == pytest.approx(5000.0)
    z = program.advanced(y, v, 0.5, donate="x")
    with pytest.raises(dmc.CallError, match="x was donated"):
        program.total(y)
    assert program.total(z) == pytest.approx(5050.0)


def test_records() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    expected = program.moved_net(net, 0.5)
    moved = program.moved_net(net, 0.5, donate="net")
    assert moved == expected
    with pytest.raises(dmc.CallError, match=r"moved_net: net\.w was donated"):
        program.moved_net(net, 0.5)
    assert program.moved_net(moved, 0.0) == expected


def test_a_part_of_a_record() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    w, head = net.w, net.head
    moved = program.moved_net(net, 0.5, donate="net.w")
    assert np.shares_memory(moved.w, w)
    assert program.Net(w=moved.w, head=head, base=net.base) == moved
    program.moved_net(moved.replace(head=head), 0.5)


READ_ONLY = np.arange(3.0)
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize("x", [READ_ONLY, np.arange(6.0)[::2]], ids=["read-only", "strided"])
def test_what_cannot_be_donated(x: np.ndarray) -> None:
    with pytest.raises(dmc.CallError, match="x is not contiguous and writeable"):
        program.advanced(x, np.ones(3), 0.5, donate="x")
    assert program.total(x) == x.sum()


def test_the_same_memory_twice() -> None:
    x = np.arange(3.0)
    with pytest.raises(dmc.CallError, match="x is donated, and another argument has the same"):
        program.advanced(x, x, 0.5, donate="x")
    assert program.total(x) == 3.0


def test_unknown_paths() -> None:
    with pytest.raises(dmc.CallError, match="there is no argument `y` to donate"):
        program.total(np.ones(3), donate="y")


@pytest.mark.usefixtures("new_heap")
def test_nothing_is_remembered_of_arrays_that_are_gone() -> None:
    gc.collect()
    before = len(GIVEN_UP)
    y = program.advanced(np.ones(100), v, 0.5, donate="x")
    assert y[0] == 1.5
    assert len(GIVEN_UP) == before + 1
    del y
    gc.collect()
    assert len(GIVEN_UP) == before


def test_a_view_of_what_was_donated_is_refused() -> None:
    x = np.arange(200.0)
    front, back, middle = x[:100], x[100:], x[50:150]
    y = program.advanced(front, v, 0.5, donate="x")
    for stale in (front, front[::-1], middle, x):
        with pytest.raises(dmc.CallError, match="was donated to an earlier call"):
            program.total(stale)
    assert program.total(back) == back.sum()
    assert program.total(y[10:]) == y[10:].sum()
    z = program.advanced(y, v, 0.5, donate="x")
    with pytest.raises(dmc.CallError, match="was donated to an earlier call"):
        program.total(y[10:])
    assert program.total(z) == np.arange(100.0).sum() + 100.0
    assert np.shares_memory(x, z)


@pytest.mark.parametrize("part", [slice(2, 5), slice(0, 6, 2)], ids=["contiguous", "strided"])
def test_memory_that_overlaps(part: slice) -> None:
    x = np.arange(7.0)
    with pytest.raises(dmc.CallError, match="x is donated, and another argument has the same"):
        program.advanced(x[:3], x[part], 0.5, donate="x")
    assert program.total(x) == 21.0
    program.advanced(x[:3], x[3:6], 0.5, donate="x")


def test_no_record_is_built_from_what_was_donated() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    w = net.w
    program.moved_net(net, 0.5, donate="net.w")
    with pytest.raises(dmc.CallError, match=r"Net: w was donated to an earlier call"):
        program.Net(w=w, head=net.head, base=net.base)


STACK = """\
model Layer[D](rate: f64 = 0.5) {
    param w: f64[D] = ones
}
model Net[D] {
    layers: 3 * Layer[D]
}
fn moved[D](net: Net[D]) -> Net[D] = 0.5 * net
"""


def test_hyperparameters_of_a_stack_are_not_donated() -> None:
    program = dmc.loads(STACK)
    net = program.Net.init(KEY, D=2)
    halved = program.moved(net, donate="net")
    assert halved.layers.w.tolist() == [[0.5, 0.5]] * 3
    assert halved.layers[1].rate == 0.5
    with pytest.raises(dmc.CallError, match="was donated"):
        program.moved(net)
