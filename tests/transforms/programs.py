"""Building small programs, and running passes between two runs of the reference interpreter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from dmc.dialects import func
from dmc.ir import Array, Builder, Interpreter, Module, TensorType, Type, Value, verify
from dmc.ir.passes import Pass, PassManager

Code = Callable[[Builder, list[Value]], Sequence[Value]]


def program(inputs: Sequence[Type], code: Code, name: str = "main") -> Module:
    """A module with one function."""
    module = Module.empty()
    add_function(module, name, inputs, code)
    verify(module)
    return module


def add_function(
    module: Module, name: str, inputs: Sequence[Type], code: Code, private: bool = False
) -> func.Func:
    function, builder = func.function(module, name, inputs, private=private)
    return func.finish(function, builder, code(builder, function.body.args))


def inputs_of(module: Module, name: str = "main", seed: int = 0) -> list[Array]:
    """Random arguments: normal floats, small non-negative integers, booleans."""
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for type_ in func.lookup(module, name).function_type.inputs:
        assert isinstance(type_, TensorType)
        if type_.dtype.is_float:
            array = rng.normal(size=type_.shape)
        else:
            array = rng.integers(0, 2 if type_.dtype.value == "i1" else 4, size=type_.shape)
        arrays.append(np.asarray(array).astype(type_.dtype.numpy))
    return arrays


def outputs_of(module: Module, arguments: Sequence[Array], name: str = "main") -> list[Array]:
    return [np.asarray(a) for a in Interpreter(module).call(name, arguments)]


def check(
    module: Module, *passes: Pass, arguments: Sequence[Array] | None = None, rtol: float = 1e-10
) -> Module:
    """Run `passes`, verifying after each, and hold the results against those from before."""
    arguments = inputs_of(module) if arguments is None else arguments
    expected = outputs_of(module, arguments)
    PassManager(passes).run(module)
    verify(module)
    actual = outputs_of(module, arguments)
    for a, e in zip(actual, expected, strict=True):
        assert (a.dtype, a.shape) == (e.dtype, e.shape)
        atol = 1e-5 if e.dtype == np.float32 else 1e-12
        limit = max(rtol, 1e-4) if e.dtype == np.float32 else rtol
        np.testing.assert_allclose(a, e, rtol=limit, atol=atol)
    return module


def counts(module: Module, name: str = "main") -> Counter[str]:
    """How often each operation occurs in a function, at any depth; bodies of kernels left out."""
    found: Counter[str] = Counter()
    function = func.lookup(module, name)
    for op in function.walk():
        parent = op.parent_op
        if op is not function and parent is not None and not parent.name.startswith("kernel."):
            found[op.name] += 1
    return found
