"""The points that kernels visit: found, exact, and no fewer than count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    AffineSet,
    Array,
    ArrayAttr,
    Block,
    Builder,
    DenseElements,
    DType,
    Interpreter,
    Module,
    VerifyError,
    tensor,
)
from dmc.ir.passes import PassManager
from dmc.transforms import pipeline
from dmc.transforms.bound_spaces import BoundSpaces
from dmc.transforms.generics import Read, make_generic

N = 12


def kernels(body: str, without: Sequence[str] = ()) -> Module:
    """`body`, of `a: f64[N, N]` and `x: f64[N]`, at the kernel level."""
    result = "N, N" if body.startswith("[i, j]") else "N"
    text = f"fn f[N](a: f64[N, N], x: f64[N]) -> f64[{result}] {{ {body} }}"
    function = dmc.loads(text).f
    module = function.specialize(np.ones((N, N)), np.ones(N)).compilation.expanded.copy()
    left_out = [*without, "plan-memory"]
    PassManager([*pipeline.optimize(left_out), *pipeline.to_kernels(left_out)]).run(module)
    return module


def domains(module: Module) -> list[str]:
    found = [op.domain for op in module.walk() if isinstance(op, kernel.Generic)]
    return [str(domain).split(" : ")[1] for domain in found if not domain.is_everything]


SUMS = {
    "j <= i": "(d0 - d1 >= 0)",
    "j < i": "(d0 - d1 - 1 >= 0)",
    "i >= j": "(d0 - d1 >= 0)",
    "i > 2 * j": "(d0 - d1 * 2 - 1 >= 0)",
    "not (j > i)": "(d0 - d1 >= 0)",
    "abs(i - j) <= 3": "(-d0 + d1 + 3 >= 0, d0 - d1 + 3 >= 0)",
    "abs(i - j) < 3": "(-d0 + d1 + 2 >= 0, d0 - d1 + 2 >= 0)",
    "3 > abs(i - j)": "(-d0 + d1 + 2 >= 0, d0 - d1 + 2 >= 0)",
    "abs(i - j) == 2": "(-d0 + d1 + 2 >= 0, d0 - d1 + 2 >= 0)",
    "i == j": "(-d0 + d1 >= 0, d0 - d1 >= 0)",
    "j <= i and j > 4": "(d0 - d1 >= 0, d1 - 5 >= 0)",
    "j <= i and x[j] > 0.0": "(d0 - d1 >= 0)",
    "i >= 6": "(d0 - 6 >= 0)",
}
"""What bounds a sum over j under a condition."""

NOWHERE = [
    "i != j",
    "abs(i - j) >= 3",
    "j <= i or x[j] > 0.0",
    "i * j < 9",
    "j < N",
    "(i + j) % 2 < 1",
]
"""Conditions that do not leave out a half-space."""


@pytest.mark.parametrize(("condition", "wanted"), SUMS.items())
def test_sums_are_bounded(condition: str, wanted: str) -> None:
    body = f"[i] => sum[j](if {condition} {{ sin(a[i, j]) * x[j] }} else {{ 0.0 }})"
    assert domains(kernels(body)) == [wanted]


@pytest.mark.parametrize("condition", NOWHERE)
def test_other_conditions_bound_nothing(condition: str) -> None:
    body = f"[i] => sum[j](if {condition} {{ sin(a[i, j]) * x[j] }} else {{ 0.0 }})"
    assert domains(kernels(body)) == []


OTHERS = {
    "the neutral element of a maximum": (
        "[i] => max[j](if j <= i { a[i, j] } else { -inf })",
        ["(d0 - d1 >= 0)"],
    ),
    "no neutral element": ("[i] => max[j](if j <= i { a[i, j] } else { 0.0 })", []),
    "of a product": (
        "[i] => prod[j](if j <= i { a[i, j] } else { 1.0 })",
        ["(d0 - d1 >= 0)"],
    ),
    "a map": ("[i, j] => if j <= i { exp(a[i, j]) } else { 2.0 }", ["(d0 - d1 >= 0)"]),
    "a map of two constants": (
        "[i, j] => if j <= i { if i < 7 { exp(a[i, j]) } else { 1.0 } } else { 2.0 }",
        ["(d0 - d1 >= 0)"],
    ),
    "a masked result of a product": (
        "[i, j] => if j <= i { sum[k](a[i, k] * a[k, j]) } else { 0.0 }",
        ["(d0 - d1 >= 0)"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels(name: str) -> None:
    body, wanted = OTHERS[name]
    assert domains(kernels(body)) == wanted


def test_what_is_known_of_a_tensor_passes_to_its_readers() -> None:
    masked = "let s = [i, j] => if j <= i { exp(a[i, j]) } else { -inf }"
    assert domains(kernels(f"{masked}; max[1](s) + s @ x")) == ["(d0 - d1 >= 0)"] * 2


def test_zeros_that_do_not_absorb_bound_nothing() -> None:
    """`0.0 * inf` is NaN."""
    body = "let t = [i, j] => if j <= i { a[i, j] } else { 0.0 }; sum[1](t @ a)"
    assert domains(kernels(body)) == ["(d0 - d1 >= 0)"]


def worst(rng: np.random.Generator) -> dict[str, Array]:
    """What is above the diagonal is poisonous."""
    a = rng.normal(size=(N, N))
    a[np.triu_indices(N, 1)] = rng.choice([np.nan, np.inf, -np.inf, 1.0], size=N * (N - 1) // 2)
    return {"a": a, "x": rng.normal(size=N)}


@pytest.mark.parametrize(
    "condition", [c for c in SUMS if "j <= i" in c or c in ("j < i", "i > 2 * j")]
)
def test_values_stay(condition: str) -> None:
    arrays: Mapping[str, Array] = worst(np.random.default_rng(0))
    body = f"[i] => sum[j](if {condition} {{ a[i, j] * x[j] }} else {{ 0.0 }})"
    runs = [
        Interpreter(module).call("f", [arrays["a"], arrays["x"]])[0]
        for module in (kernels(body), kernels(body, ["bound-spaces"]))
    ]
    assert np.isfinite(runs[0]).all()
    np.testing.assert_array_equal(runs[0], runs[1])


def test_a_domain_that_leaves_out_too_much_shows() -> None:
    """The interpreter holds a kernel to its domain."""
    half = AffineSet(1, (AffineExpr((1,), -1),))
    op = masked(half, [DenseElements.splat(0.0, tensor(DType.F64))])
    (got,) = op.evaluate([np.arange(1.0, 4.0)], Interpreter())
    assert got.tolist() == [0.0, -2.0, -3.0]


def masked(domain: AffineSet, outside: Sequence[DenseElements]) -> kernel.Generic:
    block = Block([tensor(DType.F64, 3)])
    op = make_generic(
        Builder(block),
        (3,),
        [Read(block.args[0], AffineMap.identity(1))],
        lambda b, args: [arith.negate(b, args[0])],
        [AffineMap.identity(1)],
    )
    op.attributes.update(domain=domain, outside=ArrayAttr(tuple(outside)))
    return op


def test_constraints() -> None:
    half = AffineSet(1, (AffineExpr((1,), -1),))
    zero = DenseElements.splat(0.0, tensor(DType.F64))
    masked(half, [zero]).verify_()
    wrong = [
        masked(AffineSet(), [zero]),
        masked(half, []),
        masked(AffineSet(3, (AffineExpr((1, 0, 0)),)), [zero]),
        masked(AffineSet(2, (AffineExpr((0, 1)),)), [zero]),
        masked(half, [DenseElements.splat(0.0, tensor(DType.F32))]),
    ]
    for op in wrong:
        with pytest.raises(VerifyError, match="C11"):
            op.verify_()


def test_running_twice_changes_nothing() -> None:
    module = kernels("[i] => sum[j](if j <= i { a[i, j] * x[j] } else { 0.0 })")
    before = str(module)
    BoundSpaces().run(module)
    assert str(module) == before
