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


def test_nothing_is_remembered_of_arrays_that_are_gone() -> None:
    gc.collect()
    before = len(GIVEN_UP)
    y = program.advanced(np.ones(100), v, 0.5, donate="x")
    assert y[0] == 1.5
    assert len(GIVEN_UP) == before + 1
    del y
    gc.collect()
    assert len(GIVEN_UP) == before
