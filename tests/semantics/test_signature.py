"""Signatures and the matching of calls from outside the language."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dmc.diagnostics.errors import CallError, DTypeError, Error, ShapeError
from dmc.ir import Interpreter
from dmc.ir.types import DType
from dmc.semantics.binding import bind as match
from dmc.semantics.lower.program import lower
from dmc.semantics.modules import check_text
from dmc.semantics.program import Program
from dmc.semantics.signature import GivenArray, GivenFunction
from dmc.semantics.types import leaves
from dmc.sparsity.layout import compressed
from tests.semantics.running import bind, function, load, record, signature

F8, F4 = np.float64, np.float32


def zeros(*shape: int, dtype: Any = F8) -> Any:
    return np.zeros(shape, dtype)


@pytest.fixture(scope="module")
def logistic() -> Program:
    return load("logistic")


def arguments(program: Program, **changes: Any) -> dict[str, Any]:
    p = record(program, "Weights", w=zeros(3), b=0.0)
    return {"p": p, "x": zeros(100, 3), "y": zeros(100), **changes}


def test_signature_prints_as_written(logistic: Program) -> None:
    text = "fn loss[N, D](p: Weights[D], x: f64[N, D], y: f64[N], l2: f64 = 0.01) -> f64"
    assert str(signature(logistic, "loss")) == text
    assert signature(logistic, "loss").doc == (
        "Mean negative log-likelihood with an L2 penalty; y is 0 or 1."
    )


def test_binding_solves_sizes_and_lists_leaves(logistic: Program) -> None:
    binding = bind(logistic, "loss", arguments(logistic))
    assert binding.instance.sizes == {"N": 100, "D": 3}
    assert binding.instance.defaults == {"l2"}
    assert [(leaf.name, str(leaf.type)) for leaf in binding.arguments] == [
        ("p.w", "f64[3]"),
        ("p.b", "f64"),
        ("x", "f64[100, 3]"),
        ("y", "f64[100]"),
    ]
    assert [str(leaf.type) for leaf in binding.results] == ["f64"]
    again = bind(logistic, "loss", arguments(logistic))
    assert hash(binding.instance) == hash(again.instance)
    assert binding.instance == again.instance


REFUSED: dict[str, tuple[dict[str, Any], type[Error], str]] = {
    "two sizes": (
        {"y": zeros(99)},
        ShapeError,
        "loss: y has N = 99 but x has N = 100",
    ),
    "rank": ({"y": zeros(100, 1)}, ShapeError, "loss: y has 2 axes but must be f64[N]"),
    "dtype": ({"y": zeros(100, dtype=F4)}, DTypeError, "loss: y is f32 but must be f64"),
    "a number for an array": (
        {"y": 1.0},
        CallError,
        "loss: y must be f64[N], and a Python float was given",
    ),
    "an array for a record": (
        {"p": zeros(3)},
        CallError,
        "loss: p must be Weights[D], and f64[3] was given",
    ),
    "a bool for a float": (
        {"l2": True},
        DTypeError,
        "loss: l2 is a Python bool but must be f64",
    ),
}


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_calls_refused(
    logistic: Program, changes: dict[str, Any], kind: type[Error], message: str
) -> None:
    with pytest.raises(kind) as caught:
        bind(logistic, "loss", arguments(logistic, **changes))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.title == message
    assert diagnostic.at_call
    assert diagnostic.primary is not None


def test_missing_and_unknown_arguments(logistic: Program) -> None:
    with pytest.raises(CallError, match="the argument `y` is missing"):
        bind(logistic, "loss", {k: v for k, v in arguments(logistic).items() if k != "y"})
    with pytest.raises(CallError, match="there is no parameter `z`"):
        bind(logistic, "loss", arguments(logistic, z=1.0))


def test_sizes_of_a_bare_record_recur() -> None:
    program = load("mlp")
    text = str(signature(program, "loss"))
    assert text == "fn loss[B](net: MLP, x: f32[B, net.I], y: i32[B], key: Key) -> f32"


def test_solving_one_more_than_a_size() -> None:
    program = check_text("fn f[T](ids: i32[T + 1]) -> i32[T] = ids[1:]\n")
    ids = np.zeros(5, np.int32)
    assert bind(program, "f", {"ids": ids}).instance.sizes == {"T": 4}
    with pytest.raises(ShapeError, match=r"ids has an axis of 0, which is not T \+ 1"):
        bind(program, "f", {"ids": np.zeros(0, np.int32)})


def test_requirements_are_checked_once_per_call() -> None:
    program = check_text("fn f[D, H](x: f32[D], y: f32[H]) -> f32 requires D % H == 0 = sum(x)\n")
    bind(program, "f", {"x": zeros(4, dtype=F4), "y": zeros(2, dtype=F4)})
    with pytest.raises(ShapeError) as caught:
        bind(program, "f", {"x": zeros(4, dtype=F4), "y": zeros(3, dtype=F4)})
    title = "f: `requires D % H == 0` fails for D = 4, H = 3"
    assert caught.value.diagnostics[0].title == title


def test_packs_and_element_types() -> None:
    program = check_text("fn relu[F: float, *S](x: F[*S]) -> F[*S] = maximum(x, 0.0)\n")
    binding = bind(program, "relu", {"x": zeros(2, 3, dtype=F4)})
    assert str(binding.result) == "f32[2, 3]"
    assert str(bind(program, "relu", {"x": 1.0}).result) == "f64"
    with pytest.raises(DTypeError, match="F is a float type"):
        bind(program, "relu", {"x": np.zeros(2, np.int32)})


def test_brackets_give_what_arguments_do_not() -> None:
    program = check_text("fn f[N](x: f64) -> f64[N] = [i in 0..N] => x\n")
    assert bind(program, "f", {"x": 1.0}, brackets=[4]).instance.sizes == {"N": 4}
    with pytest.raises(CallError, match="N is not known from the arguments"):
        bind(program, "f", {"x": 1.0})


def test_record_parameters() -> None:
    program = load("adamw")
    source = load("logistic")
    weights = record(source, "Weights", w=zeros(3), b=0.0)
    binding = bind(program, "init", {"net": weights})
    assert str(binding.result) == "AdamW[Weights[3]]"
    assert [leaf.name for leaf in binding.results] == ["m.w", "m.b", "v.w", "v.b", "t"]


def test_functions_of_the_program_as_arguments() -> None:
    source = """\
fn twice[N](f: (f64[N]) -> f64[N], x: f64[N]) -> f64[N] = f(f(x))
fn half[K](x: f64[K]) -> f64[K] = 0.5 * x
"""
    program = check_text(source)
    described = {
        "f": GivenFunction(function(program, "half")),
        "x": GivenArray(DType.F64, (3,)),
    }
    binding = match(signature(program, "twice"), described)
    assert [leaf.name for leaf in binding.arguments] == ["x"]
    (value,) = Interpreter(lower(binding, compressed)).call("twice", [np.arange(3.0)])
    assert np.allclose(value, np.arange(3) / 4)


def test_roles_of_leaves() -> None:
    program = load("lenet")
    type_ = signature(program, "LeNet.forward").parameters[0].type
    trained = {leaf.name for leaf in leaves(type_) if leaf.is_trained}
    assert "n1.gain" in trained
    assert "n1.avg" not in trained
    assert "n1.momentum" not in trained


def test_init_takes_a_key_and_sizes_by_name() -> None:
    program = load("mlp")
    init = signature(program, "MLP.init")
    assert str(init) == "fn MLP.init[I, H, O](key: Key, rate: f32 = 0.1) -> MLP[I, H, O]"
    key = GivenArray(DType.I64, ())
    binding = match(init, {"key": key}, sizes={"I": 4, "H": 5, "O": 3})
    assert str(binding.result) == "MLP[4, 5, 3]"
    with pytest.raises(CallError, match="O is not known"):
        match(init, {"key": key}, sizes={"I": 4, "H": 5})
    with pytest.raises(CallError, match="there is no size `Q`"):
        match(init, {"key": key}, sizes={"Q": 4})
