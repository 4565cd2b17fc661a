"""Minimum cuts against all cuts of small random networks."""

import itertools
import random

import pytest

from dmc.autodiff.min_cut import Network


@pytest.mark.parametrize("seed", range(60))
def test_no_cut_is_cheaper(seed: int) -> None:
    rng = random.Random(seed)
    nodes = rng.randint(2, 7)
    edges = [(rng.randrange(nodes), rng.randrange(nodes), rng.randint(0, 9)) for _ in range(14)]
    network = Network()
    for node in range(nodes):
        network.node(node)
    for tail, head, capacity in edges:
        if tail != head:
            network.connect(tail, head, capacity)
    needed = network.needed(0, nodes - 1)
    assert 0 not in needed

    def price(side: set[int]) -> int:
        return sum(c for a, b, c in edges if a not in side and b in side)

    inner = range(1, nodes - 1)
    sides = itertools.chain.from_iterable(itertools.combinations(inner, n) for n in range(nodes))
    assert price({n for n in range(nodes) if n in needed}) == min(
        price({*side, nodes - 1}) for side in sides
    )
