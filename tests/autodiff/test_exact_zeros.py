"""What is not selected contributes exactly zero, whatever lies there, to third order.

Generated over all elementwise operations. Every test runs a program twice: with infinities and NaN
where nothing is selected, and with harmless numbers there. All derivatives must be the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.autodiff import differentiate
from dmc.dialects import arith, func
from dmc.dialects.elementwise import Elementwise
from dmc.ir import (
    Array,
    Builder,
    DType,
    Interpreter,
    Operation,
    RuleMissing,
    TensorType,
    Value,
)
from dmc.transforms.relax_guards import RelaxGuards
from tests.transforms.programs import Code, program

POISON = np.array([np.inf, -np.inf, np.nan, 0.0, -1.0, 1.0])
LIVE = np.array([0.31, 0.42, 0.53, 0.64])
PICKED = np.array([False] * len(POISON) + [True] * len(LIVE))
X = TensorType(PICKED.shape, DType.F64)
FLAGS = TensorType(PICKED.shape, DType.BOOL)

OPERATIONS = sorted(
    name
    for name, cls in Operation.registry.items()
    if issubclass(cls, Elementwise)
    and name.startswith(("arith.", "math."))
    and name not in {f"arith.{n}" for n in ("select", "weight", "compare", "constant", "convert")}
    # Those whose derivative depends on an attribute need one to be made.
    and isinstance(cls.terms, tuple)
    and any(term is not None for term in cls.terms)
)
SECOND = {name for name in OPERATIONS if Operation.registry[name].operand_count == 2}


def apply(builder: Builder, name: str, values: Sequence[Value]) -> Value:
    cls = Operation.registry[name]
    return builder.insert(cls(values[: cls.operand_count])).results[0]


def after(name: str) -> Code:
    """`where(p, sin(op(x, y))² · x, 0)`: the mask comes after what is poisoned."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y, p = args
        made = apply(b, "math.sin", [apply(b, name, [x, y])])
        product = arith.multiply(b, arith.multiply(b, made, made), x)
        return [arith.select(b, p, product, arith.zeros(b, product.type))]

    return code


def before(name: str) -> Code:
    """`op(where(p, x, c), where(p, y, c))`: the mask comes before; `c` is where the poison is."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y, p = args
        bad = arith.constant(b, np.concatenate([POISON, np.zeros(len(LIVE))]), X)
        made = apply(b, name, [arith.select(b, p, x, bad), arith.select(b, p, y, bad)])
        return [apply(b, "math.sin", [made])]

    return code


def derivatives(code: Code, modes: Sequence[str], lanes: Array) -> list[Array]:
    """Everything that a derivative of the given order computes but values; `lanes` not selected."""
    module = program([X, X, FLAGS], code)
    function = func.lookup(module, "main")
    rng = np.random.default_rng(0)
    x = np.concatenate([lanes, LIVE])
    point: list[Array] = [x, np.concatenate([lanes, LIVE[::-1]]), PICKED]
    for mode in modes:
        inputs = [i for i, t in enumerate(function.function_type.inputs) if t == X]
        outputs = range(len(function.function_type.results))
        derive = differentiate.tangent if mode == "t" else differentiate.adjoint
        function = derive(module, function, inputs, outputs)
        count = len(inputs) if mode == "t" else len(outputs)
        point += [rng.uniform(0.5, 1.5, PICKED.shape) for _ in range(count)]
    return [np.asarray(a) for a in Interpreter(module).call(function.sym_name, point)[1:]]


def hold(make: Callable[[str], Code], name: str, modes: Sequence[str]) -> None:
    while True:
        try:
            got = derivatives(make(name), modes, POISON)
            break
        except RuleMissing:
            # Few operations have no derivative of this order.
            modes = modes[:-1]
    assert modes
    clean = derivatives(make(name), modes, np.full(len(POISON), 0.47))
    for poisoned, wanted in zip(got, clean, strict=True):
        live = poisoned[PICKED]
        assert np.isfinite(poisoned).all()
        np.testing.assert_array_equal(live, wanted[PICKED])
        np.testing.assert_array_equal(poisoned[~PICKED], 0.0)


Monkey = pytest.MonkeyPatch
MODES = ["".join(modes) for modes in itertools.product("ta", repeat=3)]


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_mask_after_an_operation(name: str, modes: str) -> None:
    hold(after, name, modes)


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_mask_before_an_operation(name: str, modes: str) -> None:
    hold(before, name, modes)


@pytest.mark.parametrize("make", [after, before])
def test_a_missing_guard_is_caught(make: Callable[[str], Code], monkeypatch: Monkey) -> None:
    monkeypatch.setattr(arith.GuardedMultiply, "numpy", np.multiply)
    with pytest.raises(AssertionError):
        hold(make, "math.sqrt", "ta")


# A guard has a derivative of its own: incidental zeros


@pytest.mark.parametrize("modes", ["tt", "ta", "at", "aa"])
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - SECOND))
def test_a_cotangent_that_happens_to_be_zero(name: str, modes: str) -> None:
    """`where(p, op(x) - op(x₀), 0)²` at x₀: the slope is zero, the curvature `2 op'(x₀)²`."""
    x = TensorType(LIVE.shape, DType.F64)
    flags = TensorType(LIVE.shape, DType.BOOL)

    def slope(b: Builder, args: list[Value]) -> list[Value]:
        return [apply(b, name, args)]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        (there,) = Interpreter(program([x], slope)).call("main", [LIVE])
        made = apply(b, name, args)
        made = arith.subtract(b, made, arith.constant(b, there, x))
        made = arith.select(b, args[1], made, arith.zeros(b, x))
        return [arith.multiply(b, made, made)]

    one, zero = np.ones(LIVE.shape), np.zeros(LIVE.shape)
    try:
        first = program([x], slope)
        tangent = differentiate.tangent(first, func.lookup(first, "main"), [0], [0])
        (_, wanted) = Interpreter(first).call(tangent.sym_name, [LIVE, one])
        module = program([x, flags], code)
        function = func.lookup(module, "main")
        point: list[Array] = [LIVE, np.full(LIVE.shape, True)]
        inner = differentiate.tangent if modes[0] == "t" else differentiate.adjoint
        outer = differentiate.tangent if modes[1] == "t" else differentiate.adjoint
        function = inner(module, function, [0], [0])
        function = outer(module, function, [0], [1])
    except RuleMissing:
        pytest.skip("no derivative of this order")
    RelaxGuards().run(module)
    outputs = Interpreter(module).call(function.sym_name, [*point, one, one])
    np.testing.assert_array_equal(outputs[1], zero)
    np.testing.assert_allclose(outputs[2], 2 * wanted**2, rtol=1e-14)
