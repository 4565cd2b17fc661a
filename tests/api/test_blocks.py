"""Jacobians and Hessians of and in records: records of records, in the language and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmc

BLOCKS = dmc.load(Path(__file__).parent / "blocks.dm")
STATE = BLOCKS.State(pos=np.array([0.3, 0.7]), speed=0.5)
PARAMS = BLOCKS.Params(k=np.array([[1.0, 2.0], [3.0, 4.0]]), c=0.2)
H = 1e-6
MORE, LESS = PARAMS.replace(c=PARAMS.c + H), PARAMS.replace(c=PARAMS.c - H)


@pytest.mark.parametrize("jacobian", [BLOCKS.by, dmc.jacobian(BLOCKS.move, wrt="p")])
def test_a_gradient_for_each_element_of_a_record(jacobian: dmc.Function) -> None:
    found = jacobian(STATE, PARAMS)
    assert (found.pos.k.shape, found.speed.k.shape) == ((2, 2, 2), (2, 2))
    above, below = BLOCKS.move(STATE, MORE), BLOCKS.move(STATE, LESS)
    assert np.allclose(found.pos.c, (above.pos - below.pos) / (2 * H))
    assert np.isclose(found.speed.c, (above.speed - below.speed) / (2 * H))
    assert np.allclose(found.pos.k, STATE.speed * np.einsum("ij,k->ijk", np.eye(2), STATE.pos))
    assert np.allclose(BLOCKS.corner(STATE, PARAMS), found.pos.c)


@pytest.mark.parametrize("hessian", [BLOCKS.curve, dmc.hessian(BLOCKS.cost, wrt="p")])
def test_a_hessian_in_a_record(hessian: dmc.Function) -> None:
    found, gradient = hessian(STATE, PARAMS), dmc.grad(BLOCKS.cost, wrt="p")
    above, below = gradient(STATE, MORE), gradient(STATE, LESS)
    assert found.k.k.shape == (2, 2, 2, 2)
    assert np.allclose(found.c.k, (above.k - below.k) / (2 * H))
    assert np.isclose(found.c.c, (above.c - below.c) / (2 * H))
    assert np.allclose(found.k.c, found.c.k)
    assert np.allclose(found.k.k, found.k.k.transpose(2, 3, 0, 1))


def test_a_hessian_in_several_parameters_is_made_of_tuples() -> None:
    (by_s, by_p) = dmc.hessian(BLOCKS.cost, wrt=("s", "p"))(STATE, PARAMS)
    assert np.allclose(by_s.pos[1].c, by_p.c[0].pos)
    assert np.isclose(BLOCKS.both(STATE, PARAMS), by_s.pos[0].speed.sum() + by_s.pos[1].k.sum())
