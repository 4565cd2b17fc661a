"""What goes from one process to another: programs, functions, records and errors."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import dmc
from dmc_runtime.errors import CheckpointCode, CheckpointError, MissingExtraError
from tests.api.programs import KEY, program

X = np.arange(3.0)
NET = program.Net.init(KEY, I=3, H=4)
LINE = program.Line(slope=1.0, offset=2.0)


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_a_program_stays_the_one_it_is() -> None:
    there = again(program)
    assert there.Line is program.Line
    assert there.total(X) == program.total(X)


@pytest.mark.parametrize("record", [LINE, NET, dmc.stack([NET, NET]), NET.params])
def test_records(record: dmc.Record) -> None:
    there = again(record)
    assert type(there) is type(record)
    assert there == record


def test_functions_with_their_operators_sizes_and_directions() -> None:
    np.testing.assert_array_equal(again(dmc.grad(program.total))(X), dmc.grad(program.total)(X))
    assert again(dmc.jvp(program.total, np.ones(3)))(X) == dmc.jvp(program.total, np.ones(3))(X)
    np.testing.assert_array_equal(again(program.power[4])(2.0), program.power[4](2.0))
    assert again(program.Net.init)(KEY, I=3, H=4) == NET
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(again(NET.forward)(x), NET.forward(x))


def test_what_an_imported_module_imports(tmp_path: Path) -> None:
    (tmp_path / "inner.dm").write_text("struct P {\n    a: f64\n}\n\nfn f(p: P) -> f64 = p.a")
    (tmp_path / "outer.dm").write_text("import inner\n\nfn g(x: f64) -> f64 = x")
    (tmp_path / "m.dm").write_text("import outer\n\nfn h(x: f64) -> f64 = outer.g(x)")
    inner = dmc.load(tmp_path / "m.dm").outer.inner
    pickled = pickle.dumps((inner.f, inner.P(a=2.0)))
    del inner
    f, point = pickle.loads(pickled)
    assert f(point) == 2.0


def test_another_process_calls_them() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(program.total, (X,)) == program.total(X)
        made = pool.apply(program.Net.init, (KEY,), {"I": 3, "H": 4})
        assert type(made) is program.Net
        assert made == NET
        with pytest.raises(dmc.Error, match="must be"):
            pool.apply(program.total, (1.0,))
        with pytest.raises(dmc.Error, match="not an integer"):
            pool.apply(dmc.key, ("a",))


def test_a_program_whose_file_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.dm"
    file.write_text("fn f(x: f64) -> f64 = x")
    loaded = dmc.load(file)
    pickled = pickle.dumps(loaded.f)
    assert pickle.loads(pickled)(2.0) == 2.0
    del loaded
    assert pickle.loads(pickled)(2.0) == 2.0
    file.write_text("fn f(x: f64) -> f64 = 2.0 * x")
    with pytest.raises(dmc.Error, match="another program"):
        pickle.loads(pickled)


def test_machine_code_stays_where_it_is() -> None:
    with pytest.raises(dmc.Error, match="pickle the function"):
        pickle.dumps(program.total.compile(X))


def refusal(call: Callable[[], object]) -> dmc.Error:
    with pytest.raises(dmc.Error) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    "failure",
    [
        CheckpointError(CheckpointCode.FULL, "full"),
        MissingExtraError("tqdm", "train", "a bar"),
        refusal(lambda: program.total(1.0)),
        refusal(lambda: dmc.key(cast("int", "a"))),
        refusal(lambda: dmc.loads("fn")),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_errors(failure: Exception) -> None:
    for there in (again(failure), copy.copy(failure)):
        assert type(there) is type(failure)
        assert str(there) == str(failure)
