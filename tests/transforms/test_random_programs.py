"""Plans of random programs replay, and no optional pass is needed for the result."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmc.dialects import func
from dmc.ir import Array, Interpreter, Module
from dmc.ir.passes import Pass, PassManager
from dmc.transforms import pipeline
from dmc.transforms.memory import replay
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
        arena = function.attributes["arena_bytes"]
        assert isinstance(arena, int)
        replay(function, arena)
