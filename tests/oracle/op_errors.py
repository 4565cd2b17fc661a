"""How far value, tangent and adjoint of an operation are from what JAX makes of its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.ir import Array, DType, Value, dtype_of, shape_of
from tests.dialects.checks import Sample, floats, program, pull_back, push_forward
from tests.oracle.jax_ops import evaluate
from tests.oracle.peers import error, jax


@dataclass(frozen=True)
class OpErrors:
    """Largest differences, each relative to the largest element, or to 1 if that is larger."""

    value: float
    tangent: float
    adjoint: float


def op_errors(
    sample: Sample, dtype: DType = DType.F64, given: list[Array] | None = None
) -> OpErrors:
    """Run the rules of `sample` through the reference interpreter, its meaning through JAX.

    `given` replaces the drawn operands.
    """
    sample = sample.with_dtype(dtype)
    arrays = sample.arrays() if given is None else given
    rng = np.random.default_rng(5)
    made = program(sample)
    wrt, of = floats(made.inputs), floats(made.op.results)
    primals = [arrays[i] for i in wrt]
    vectors = [drawn(made.inputs[i], rng) for i in wrt]
    covectors = [drawn(made.op.results[i], rng) for i in of]

    # The meaning, as a function of the float operands.
    plain = program(sample)

    def meaning(*x: Any) -> list[Any]:
        at = dict(zip(wrt, x, strict=True))
        arguments = [at.get(i, array) for i, array in enumerate(arrays)]
        out = evaluate(plain.block, arguments, plain.op.results)
        return [out[i] for i in of]

    wanted_all = evaluate(plain.block, arrays, plain.op.results)
    value = worst(made.run(arrays, made.op.results), wanted_all)
    if not wrt or not of:
        return OpErrors(value, 0.0, 0.0)
    _, wanted_tangents = jax.jvp(meaning, tuple(primals), tuple(vectors))
    wanted_bars = jax.vjp(meaning, *primals)[1](covectors)

    # The rules.
    along = [made.vector(made.inputs[i].type) for i in wrt]
    tangents: dict[Value, Value] = {made.inputs[i]: v for i, v in zip(wrt, along, strict=True)}
    push_forward(made.builder, list(made.block), tangents)
    against = {i: made.vector(made.op.results[i].type) for i in of}
    bars = pull_back(made, [against.get(i) for i in range(len(made.op.results))])
    given_all = [*arrays, *vectors, *covectors]

    def run(value: Value | None, like: Any) -> Array:
        return np.zeros_like(like) if value is None else made.run(given_all, [value])[0]

    pushed = [
        run(tangents.get(made.op.results[i]), wanted)
        for i, wanted in zip(of, wanted_tangents, strict=True)
    ]
    pulled = [run(bars[i], wanted) for i, wanted in zip(wrt, wanted_bars, strict=True)]
    return OpErrors(value, worst(pushed, wanted_tangents), worst(pulled, wanted_bars))


def drawn(value: Value, rng: np.random.Generator) -> Array:
    array = rng.standard_normal(shape_of(value.type))
    return np.asarray(array, dtype_of(value.type).numpy)


def worst(got: list[Any], wanted: list[Any]) -> float:
    # Operands are of order one, so a result below that is a cancellation.
    return max((error(a, b, least=1.0) for a, b in zip(got, wanted, strict=True)), default=0.0)
