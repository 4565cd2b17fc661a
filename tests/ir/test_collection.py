"""The garbage collector runs seldom inside, and as before after the last of several."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Generator

import pytest

from dmc.ir.collection import SELDOM, seldom_collecting


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
    with seldom_collecting():
        made = [[] for _ in range(5000)]
    assert gc.get_count()[0] < len(made)
    assert gc.get_freeze_count() == 0


CYCLES = """
import gc, weakref
from dmc.ir import collection
from dmc.ir.collection import seldom_collecting

class Knot:
    def __init__(self):
        self.other = self

def still_there(count):
    made = weakref.ref(Knot())
    with seldom_collecting():
        kept = [[] for _ in range(count)]
    return made() is not None

gc.collect()
collection.MANY = 5000
found = [still_there(1000), still_there(6000)]
collection._COLLECTION.cost = 1e9
found.append(still_there(6000))
print(*found)
"""


def test_cycles_are_found_when_many_were_made_and_it_takes_little() -> None:
    command = [sys.executable, "-c", CYCLES]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "True"]
