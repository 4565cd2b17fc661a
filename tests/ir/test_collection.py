"""The garbage collector runs seldom inside, and as before after the last of several."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator

import pytest

from dmc.ir import collection
from dmc.ir.collection import SELDOM, seldom_collecting


class Knot:
    """An object that may be a part of a cycle."""

    other: Knot | None = None


@pytest.fixture
def thresholds() -> Generator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield (700, 10, 10)
    gc.set_threshold(*before)


def test_thresholds_are_put_back(thresholds: tuple[int, int, int]) -> None:
    with seldom_collecting():
        assert gc.get_threshold() == SELDOM
        with seldom_collecting():
            pass
        assert gc.get_threshold() == SELDOM
    assert gc.get_threshold() == thresholds


def test_one_that_fails_puts_them_back(thresholds: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="inside"), seldom_collecting():
        raise ValueError("inside")
    assert gc.get_threshold() == thresholds


@pytest.mark.usefixtures("thresholds")
def test_what_is_switched_off_stays_so() -> None:
    gc.set_threshold(0)
    with seldom_collecting():
        assert gc.get_threshold()[0] == 0


@pytest.mark.usefixtures("thresholds")
def test_what_was_made_inside_is_not_looked_at_behind_it() -> None:
    gc.collect()
    with seldom_collecting():
        made = [[] for _ in range(5000)]
    assert gc.get_count()[0] < len(made)
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("thresholds")
def test_cycles_are_found_when_many_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MANY", 5000)
    gc.collect()
    knot = Knot()
    knot.other = knot
    made = weakref.ref(knot)
    with seldom_collecting():
        del knot
        kept = [[] for _ in range(6000)]
    assert made() is None
    assert len(kept) == 6000
