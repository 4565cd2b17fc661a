"""Records with the leaves of another in other shapes: what is left of matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmc

FORMS = dmc.load(Path(__file__).parent / "forms.dm")
NET = FORMS.Net.init(L=2, D=3, key=dmc.key(0))


def test_matrices_become_their_rows_and_columns_layer_by_layer() -> None:
    rows, columns = FORMS.of_net(NET)
    assert np.allclose(rows.layers.w, NET.layers.w.sum(-1))
    assert np.allclose(columns.layers.w, NET.layers.w.sum(-2))
    assert np.allclose(rows.head.w, NET.head.w.sum(-1))
    assert (rows.layers.b == NET.layers.b).all()
    assert rows.head.n is None
    assert np.allclose(FORMS.doubled(NET, rows).head.w, 2 * rows.head.w + NET.head.w.mean(-1))


def test_they_come_back_as_arguments_and_are_differentiated() -> None:
    rows, columns = FORMS.of_net(NET)
    there = FORMS.spread(NET, rows, columns)
    assert np.allclose(there.head.w, NET.head.w + np.outer(rows.head.w, columns.head.w))
    assert (there.head.b == NET.head.b).all()
    found = dmc.grad(FORMS.size, wrt="rows")(NET, rows, columns)
    assert np.allclose(
        found.layers.w, 2 * np.einsum("lij,lj->li", there.layers.w, columns.layers.w)
    )
    with pytest.raises(dmc.Error):
        FORMS.spread(NET, columns, rows.replace(head=NET.head))


def test_adafactor_keeps_the_edges_of_matrices() -> None:
    state, gradient = FORMS.start(NET), NET.replace()
    net, state = FORMS.update(NET, gradient, state)
    net, state = FORMS.update(net, gradient, state)
    assert (state.rows.layers.w.shape, state.columns.head.w.shape) == ((2, 3), (3,))
    assert np.allclose(state.rows.head.w, (NET.head.w**2).mean(-1))
    moment = np.outer((NET.head.w**2).mean(-1), (NET.head.w**2).mean(0)) / (NET.head.w**2).mean()
    step = NET.head.w / np.sqrt(moment)
    step /= max(1.0, np.sqrt((step**2).mean()))
    first, _ = FORMS.update(NET, gradient, FORMS.start(NET))
    scale = np.sqrt((NET.head.w**2).mean())
    assert np.allclose(first.head.w, NET.head.w - 0.01 * scale * step)
    bent = NET.replace(head=NET.head.replace(b=np.array([1.0, -2.0, 3.0])))
    _, state = FORMS.update(NET, bent, FORMS.start(NET))
    ones = NET.replace(head=NET.head.replace(b=np.ones(3)))
    later, state = FORMS.update(NET, ones, state)  # vectors keep running means, too
    mean = (1 - 2.0**-0.8) * np.array([1.0, 4.0, 9.0]) + 2.0**-0.8
    assert np.allclose(state.rows.head.b, mean)
    step = 1 / np.sqrt(mean)
    step /= max(1.0, np.sqrt((step**2).mean()))
    assert np.allclose(later.head.b, NET.head.b - 0.01 * 1e-3 * step)
