"""Random programs: native derivatives against JAX's own derivatives of what the program means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dmc.autodiff import differentiate
from dmc.dialects import func
from dmc.driver import Compilation
from dmc.ir import Array, Module
from tests.oracle.jax_programs import Evaluator
from tests.oracle.peers import close, jax
from tests.property.programs import programs

pytestmark = pytest.mark.oracle
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def native(module: Module, entry: func.Func, arguments: list[Array]) -> list[Array]:
    entry.attributes.pop("visibility", None)
    return list(Compilation(module, entry.sym_name).executable(*arguments))


@settings(max_examples=40, suppress_health_check=QUIET)
@given(programs(operations=8))
def test_native_derivatives(case: tuple[Module, list[Array]]) -> None:
    module, arguments = case
    source = func.lookup(module, "f")
    wrt, of = range(len(arguments)), range(len(source.function_type.results))

    def meaning(*x: Any) -> list[Any]:
        return Evaluator().call(module, "f", x)

    rng = np.random.default_rng(0)
    vectors = [rng.standard_normal(a.shape) for a in arguments]
    primal, pushed = jax.jvp(meaning, tuple(arguments), tuple(vectors))
    covectors = [rng.standard_normal(y.shape) for y in primal]
    pulled = jax.vjp(meaning, *arguments)[1](covectors)

    forward = native(module, differentiate.tangent(module, source, wrt, of), arguments + vectors)
    for got, wanted in zip(forward, [*primal, *pushed], strict=True):
        close(got, wanted, 1e-10, "tangent", least=0.01)
    backward = native(module, differentiate.adjoint(module, source, wrt, of), arguments + covectors)
    for got, wanted in zip(backward, [*primal, *pulled], strict=True):
        close(got, wanted, 1e-10, "adjoint", least=0.01)
