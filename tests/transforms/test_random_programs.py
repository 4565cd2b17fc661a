"""Plans of random programs replay, and no optional pass is needed for the result."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmc.autodiff import differentiate
from dmc.dialects import func
from dmc.ir import Array, Interpreter, Module
from dmc.ir.passes import Pass, PassManager
from dmc.transforms import pipeline
from dmc.transforms.memory import replay, report
from tests.property.programs import programs

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
ALL = [*pipeline.derivatives(), *pipeline.optimize(), *pipeline.to_kernels()]
OPTIONAL = sorted({item.name for item in ALL} - pipeline.REQUIRED)


def stages(without: frozenset[str]) -> list[Pass]:
    return [
        *pipeline.derivatives(without),
        *pipeline.optimize(without),
        *pipeline.to_kernels(without),
    ]


@settings(max_examples=100, suppress_health_check=QUIET)
@given(programs(), st.frozensets(st.sampled_from(OPTIONAL), max_size=3))
def test_any_optional_pass_may_be_left_out(
    case: tuple[Module, list[Array]], without: frozenset[str]
) -> None:
    module, arguments = case
    expected = Interpreter(module).call("f", arguments)
    PassManager(stages(without)).run(module)
    for a, e in zip(Interpreter(module).call("f", arguments), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-11)
    if "plan-memory" not in without:
        function = func.lookup(module, "f")
        replay(function, report(function).arena_bytes)


def assert_linked(module: Module, after: str) -> None:
    """Every use of a value is by an operation of the module."""
    inside = set(module.walk())
    for op in inside:
        blocks = [region.block for region in op.regions]
        for value in [*op.results, *(arg for block in blocks for arg in block.args)]:
            stray = [user for user in value.users if user not in inside]
            assert not stray, f"{after} left uses of {value} by {stray}"


@settings(max_examples=60, suppress_health_check=QUIET)
@given(programs(operations=10))
def test_adjoints_through_all_passes(case: tuple[Module, list[Array]]) -> None:
    module, arguments = case
    source = func.lookup(module, "f")
    of = range(len(source.function_type.results))
    adjoint = differentiate.adjoint(module, source, range(len(arguments)), of)
    assert_linked(module, "the adjoint")
    rng = np.random.default_rng(0)
    cotangents = [rng.normal(size=a.shape) for a in Interpreter(module).call("f", arguments)]
    given_ = [*arguments, *cotangents]
    expected = Interpreter(module).call(adjoint.sym_name, given_)
    adjoint.attributes.pop("visibility")
    source.attributes["visibility"] = "private"
    for item in ALL:
        PassManager([item]).run(module)
        assert_linked(module, str(item))
    function = func.lookup(module, adjoint.sym_name)
    for a, e in zip(Interpreter(module).call(function.sym_name, given_), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-9)
    plan = report(function)
    replay(function, plan.arena_bytes)
    # Buffers are aligned, so small ones do not pack tightly.
    assert plan.arena_bytes <= 1.25 * plan.least_bytes + 256
