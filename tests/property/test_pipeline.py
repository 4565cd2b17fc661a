"""Every stage of the compiler computes what the interpreter says, on random programs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dmc.autodiff import differentiate
from dmc.dialects import func
from dmc.driver import Compilation
from dmc.ir import Array, DType, Interpreter, Module, verify
from dmc.ir.edits import edit
from dmc.ir.parser import parse_module
from dmc.ir.passes import PassManager
from dmc.ir.printer import print_module
from dmc.transforms import pipeline
from tests.property.programs import programs

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def close(got: list[Array], wanted: list[Array], stage: str) -> None:
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=stage)


@settings(max_examples=120, suppress_health_check=QUIET)
@given(programs())
def test_every_pass_keeps_the_meaning(case: tuple[Module, list[Array]]) -> None:
    module, arguments = case
    wanted = Interpreter(module).call("f", arguments)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    for item in [*pipeline.derivatives(), *pipeline.optimize(), *pipeline.to_kernels()]:
        before = edit()
        item.run(module)
        if edit() > before + 1:  # it has changed something
            verify(module)
            close(Interpreter(module).call("f", arguments), wanted, str(item))


@settings(max_examples=100, suppress_health_check=QUIET)
@given(programs(operations=8))
def test_native_code_computes_the_same(case: tuple[Module, list[Array]]) -> None:
    module, arguments = case
    wanted = Interpreter(module).call("f", arguments)
    close(list(Compilation(module, "f").executable(*arguments)), wanted, "native")


@pytest.mark.parametrize("dtype", [DType.F16, DType.BF16], ids=repr)
def test_half_precision_through_every_pass(dtype: DType) -> None:
    """Functions that differ in the last place of f32 may round to neighbours."""
    unit = 2.0**-10 if dtype is DType.F16 else 2.0**-7

    @settings(max_examples=25, suppress_health_check=QUIET, derandomize=True, deadline=None)
    @given(programs(operations=8, dtype=dtype))
    def check(case: tuple[Module, list[Array]]) -> None:
        module, arguments = case
        text = print_module(module)
        assert print_module(parse_module(text)) == text
        wanted = Interpreter(module).call("f", arguments)
        native = list(Compilation(module, "f").executable(*arguments))
        found = [(native, "native")]
        for item in [*pipeline.optimize(), *pipeline.to_kernels()]:
            PassManager([item]).run(module)
        found.append((Interpreter(module).call("f", arguments), "kernels"))
        for got, stage in found:
            for a, b in zip(got, wanted, strict=True):
                assert a.dtype == b.dtype == dtype.numpy
                a, b = a.astype(np.float64), b.astype(np.float64)
                np.testing.assert_allclose(a, b, rtol=0, atol=8 * unit, err_msg=stage)

    check()


@settings(max_examples=100, suppress_health_check=QUIET)
@given(programs(operations=6, depth=2))
def test_tangents_and_adjoints_agree(case: tuple[Module, list[Array]]) -> None:
    module, arguments = case
    source = func.lookup(module, "f")
    wrt = range(len(arguments))
    of = range(len(source.function_type.results))
    rng = np.random.default_rng(0)
    primal = Interpreter(module).call("f", arguments)
    vectors = [rng.standard_normal(a.shape) for a in arguments]
    covectors = [rng.standard_normal(a.shape) for a in primal]
    forward = differentiate.tangent(module, source, wrt, of)
    backward = differentiate.adjoint(module, source, wrt, of)
    verify(module)
    interpreter = Interpreter(module)
    pushed = interpreter.call(forward.sym_name, [*arguments, *vectors])[len(primal) :]
    pulled = interpreter.call(backward.sym_name, [*arguments, *covectors])[len(primal) :]
    left = sum(float(np.vdot(a, b)) for a, b in zip(pushed, covectors, strict=True))
    right = sum(float(np.vdot(a, b)) for a, b in zip(pulled, vectors, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-9)
