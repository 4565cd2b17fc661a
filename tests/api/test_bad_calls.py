"""Bad calls from Python: each is refused before anything runs, with its code and its place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.diagnostics.errors import Error
from tests.api.programs import KEY, program

x3 = np.ones(3)
line = program.Line(slope=1.0, offset=2.0)
weights = program.Weights(w=x3, b=0.0)
net = program.Net.init(KEY, I=3, H=4)
x2 = np.ones((2, 3), np.float32)
loss = program.loss

BAD_CALLS: dict[str, tuple[str, str, Callable[[], Any]]] = {
    # what is wrong: the code, the message or a part of it, the call
    "sizes that disagree": (
        "shape.argument",
        "loss: y has N = 99 but x has N = 100",
        lambda: loss(weights, np.ones((100, 3)), np.ones(99)),
    ),
    "a size that disagrees with a record": (
        "shape.argument",
        "loss: x has D = 4 but p.w has D = 3",
        lambda: loss(weights, np.ones((2, 4)), np.ones(2)),
    ),
    "too few axes": (
        "shape.argument",
        "total: x has 0 axes but must be f64[N]",
        lambda: program.total(np.array(1.0)),
    ),
    "too many axes": (
        "shape.argument",
        "total: x has 2 axes but must be f64[N]",
        lambda: program.total(np.ones((2, 2))),
    ),
    "a number for an array": (
        "call.argument",
        "total: x must be f64[N], and a Python float was given",
        lambda: program.total(1.0),
    ),
    "another element type": (
        "type.argument",
        "single: x is f64 but must be f32",
        lambda: program.single(x3),
    ),
    "an element type that disagrees": (
        "type.argument",
        "scaled: by is f64 but must be f32",
        lambda: program.scaled(np.ones(3, np.float32), np.float64(2.0)),
    ),
    "integers for floats": (
        "type.argument",
        "scaled: x is i32 but F is a float type",
        lambda: program.scaled(np.ones(3, np.int32), 2),
    ),
    "a float for an integer": (
        "type.argument",
        "count: n is a Python float but must be i64",
        lambda: program.count(2.0),
    ),
    "a bool for an integer": (
        "type.argument",
        "count: n is a Python bool but must be i64",
        lambda: program.count(True),
    ),
    "an integer for a bool": (
        "type.argument",
        "flag: b is a Python int but must be bool",
        lambda: program.flag(1),
    ),
    "an integer of 31 digits": (
        "call.value",
        "count: n is 10000000… (31 digits), which i64 does not hold",
        lambda: program.count(10**30),
    ),
    "an integer of 5000 digits": (
        "call.value",
        "count: n is an integer of thousands of digits, which i64 does not hold",
        lambda: program.count(10**5000),
    ),
    "an integer too large for i32": (
        "call.value",
        "small: n is 1099511627776, which i32 does not hold",
        lambda: program.small(2**40),
    ),
    "an integer too large for f64": (
        "call.value",
        "shifted: x is 10000000… (401 digits), which f64 does not hold",
        lambda: program.shifted(10**400),
    ),
    "complex numbers": (
        "call.dtype",
        "total: x has dtype complex128",
        lambda: program.total(np.ones(3, complex)),
    ),
    "an array of objects": (
        "call.dtype",
        "total: x has dtype object",
        lambda: program.total(np.ones(3, object)),
    ),
    "an array of strings": (
        "call.dtype",
        "total: x has dtype <U1",
        lambda: program.total(np.array(["a", "b"])),
    ),
    "a byte-swapped array": (
        "call.byteorder",
        "total: x is byte-swapped",
        lambda: program.total(np.ones(3, ">f8")),
    ),
    "a masked array": (
        "call.value",
        "total: x is a masked array",
        lambda: program.total(np.ma.masked_array(x3, [True, False, False])),
    ),
    "a masked array after a plain one": (
        "call.value",
        "total: x is a masked array",
        lambda: (program.total(x3), program.total(np.ma.masked_array(x3, [True, False, False]))),
    ),
    "a masked array for compiled code": (
        "call.value",
        "total: x is a masked array",
        lambda: program.total.compile(N=3)(np.ma.masked_array(x3, [True, False, False])),
    ),
    "a list": ("call.value", "total: x is a list", lambda: program.total([1.0, 2.0])),
    "a list for a number": (
        "call.value",
        "shifted: x is a list, not f64",
        lambda: program.shifted([1.0]),
    ),
    "a string": ("call.value", "total: x is a str", lambda: program.total("one")),
    "None": ("call.value", "total: x is None, not f64[N]", lambda: program.total(None)),
    "a set": ("call.value", "total: x is a set", lambda: program.total({1.0})),
    "a dict for a record": (
        "call.value",
        "loss: p is a dict, not Weights[D]",
        lambda: loss({"w": x3, "b": 0.0}, np.ones((2, 3)), np.ones(2)),
    ),
    "another record": (
        "call.value",
        "loss: p is a Line, not a Weights",
        lambda: loss(line, np.ones((2, 3)), np.ones(2)),
    ),
    "a record of another program": (
        "call.value",
        "output: net is a Net of another program",
        lambda: program.output(dmc.load(program.__file__).Net.init(KEY, I=3, H=4), x2),
    ),
    "a gradient for a model": (
        "call.argument",
        "output: net must be Net, and Grad[Net] was given",
        lambda: program.output(dmc.grad(program.output)(net, x2), x2),
    ),
    "the parameters alone for a model": (
        "call.argument",
        "output: net must be Net, and Grad[Net] was given",
        lambda: program.output(net.params, x2),
    ),
    "an argument too few": (
        "call.argument",
        "loss: the argument `y` is missing",
        lambda: loss(weights, np.ones((2, 3))),
    ),
    "an argument too many": (
        "call.argument",
        "total: takes 1 argument, and 2 were given",
        lambda: program.total(x3, x3),
    ),
    "an unknown argument": (
        "call.argument",
        "shifted: there is no parameter `bye`",
        lambda: program.shifted(1.0, bye=2.0),
    ),
    "an unknown argument that is an array": (
        "call.argument",
        "shifted: there is no parameter `By`",
        lambda: program.shifted(1.0, By=x3),
    ),
    "a size that is an array": (
        "call.size",
        "power: the size N is array([1., 1., 1.]), not an integer",
        lambda: program.power(2.0, N=x3),
    ),
    "a number for donated names": (
        "call.argument",
        "total: `donate` takes names of parameters",
        lambda: program.total(x3, donate=1),
    ),
    "a list with a number for donated names": (
        "call.argument",
        "total: `donate` takes names of parameters",
        lambda: program.total(x3, donate=["x", 1]),
    ),
    "a number for what to differentiate in": (
        "grad.wrt",
        "product: `wrt` is the number 1",
        lambda: dmc.grad(program.product, wrt=1),  # pyright: ignore[reportArgumentType]
    ),
    "a list for what to differentiate in": (
        "grad.wrt",
        "product: `wrt` is a list",
        lambda: dmc.jvp(program.product, 1.0, wrt=["y"]),  # pyright: ignore[reportArgumentType]
    ),
    "a tuple of numbers for what to differentiate in": (
        "grad.wrt",
        "product: `wrt` is a tuple",
        lambda: dmc.vjp(program.product, wrt=(0, 1)),  # pyright: ignore[reportArgumentType]
    ),
    "an array for what to check": (
        "grad.wrt",
        "product: `wrt` is a ndarray",
        lambda: dmc.check_grads(
            program.product,
            1.0,
            2.0,
            wrt=x3,  # pyright: ignore[reportArgumentType]
        ),
    ),
    "an argument given twice": (
        "call.argument",
        "shifted: `x` is given twice",
        lambda: program.shifted(1.0, x=2.0),
    ),
    "a size that nothing determines": (
        "call.argument",
        "power: N is not known from the arguments",
        lambda: program.power(2.0),
    ),
    "a negative size": (
        "shape.argument",
        "power: N = -1 is negative",
        lambda: program.power[-1](2.0),
    ),
    "a size that is no integer": (
        "call.size",
        "power: the size N is 1.5, not an integer",
        lambda: program.power(2.0, N=1.5),
    ),
    "too many brackets": ("call.argument", "power: ", lambda: program.power[3, 4](2.0)),
    "a string in brackets": (
        "call.argument",
        "power: 'a' in brackets is neither a size nor a dtype",
        lambda: program.power["a"](2.0),
    ),
    "a fraction in brackets": (
        "call.argument",
        "power: 1.5 in brackets is neither a size nor a dtype",
        lambda: program.power[1.5](2.0),
    ),
    "a failed requirement": (
        "shape.requires",
        "evens: `requires N % 2 == 0` fails for N = 3",
        lambda: program.evens(x3),
    ),
    "a seed for a key": (
        "call.value",
        "noise: key is a number, not a key",
        lambda: program.noise[3](0),
    ),
    "a Python function": (
        "call.value",
        "apply_to: f is a builtin_function_or_method",
        lambda: program.apply_to(len, x3),
    ),
    "a function of another type": (
        "call.argument",
        "apply_to: f must be (f64[3]) -> f64, and `squares` is (f64[N]) -> f64[N]",
        lambda: program.apply_to(program.squares, x3),
    ),
    "a function with other brackets": (
        "call.argument",
        "apply_to: f must be (f64[3]) -> f64, and `total[4]` is (f64[4]) -> f64",
        lambda: program.apply_to(program.total[4], x3),
    ),
    "a function without its brackets": (
        "call.argument",
        "spread: f: N of `power` does not follow from what it takes",
        lambda: program.spread[2](program.power, 3.0),
    ),
    "a function of fewer arguments": (
        "call.argument",
        "apply_to: f must be (f64[3]) -> f64, and `apply_to` is ((f64[N]) -> f64, f64[N]) -> f64",
        lambda: program.apply_to(program.apply_to, x3),
    ),
    "a record without a field": (
        "call.field",
        "Weights: the field `b` is missing",
        lambda: program.Weights(w=x3),
    ),
    "a record with an unknown field": (
        "call.field",
        "Line: there is no field `hight`",
        lambda: program.Line(slope=1.0, hight=2.0),
    ),
    "a record with too many fields": (
        "call.field",
        "Line: 3 values were given for 2 fields",
        lambda: program.Line(1.0, 2.0, 3.0),
    ),
    "a field given twice": (
        "call.field",
        "Line: `slope` is given twice",
        lambda: program.Line(1.0, slope=2.0),
    ),
    "fields that disagree": (
        "shape.argument",
        "Net: head.w has H = 5 but w has H = 4",
        lambda: net.replace(head=program.Net.init(KEY, I=3, H=5).head),
    ),
    "a size that contradicts the fields": (
        "shape.argument",
        "Net: the call has H = 5 but w has H = 4",
        lambda: program.Net(H=5, w=net.w, head=net.head, base=net.base),
    ),
    "a field of another element type": (
        "type.argument",
        "Weights: w is f32 but must be f64",
        lambda: program.Weights(w=np.ones(3, np.float32), b=0.0),
    ),
    "an unknown size of a model": (
        "call.argument",
        "Net.init: there is no parameter `J`",
        lambda: program.Net.init(KEY, I=3, J=4),
    ),
    "a direction of another shape": (
        "shape.argument",
        "squares: along must be f64[3], and float64[4] was given",
        lambda: dmc.jvp(program.squares, along=np.ones(4))(x3),
    ),
    "a direction of another kind": (
        "call.value",
        "loss: along is a float, not Weights[3]",
        lambda: dmc.jvp(loss, along=1.0)(weights, np.ones((2, 3)), np.ones(2)),
    ),
    "a cotangent of another element type": (
        "type.argument",
        "squares: cotangent must be f64[3], and float32[3] was given",
        lambda: dmc.vjp(program.squares)(x3)[1](np.ones(3, np.float32)),
    ),
    "a parameter that is not there": (
        "grad.wrt",
        "product: there is no `z`; there is `x`, `y`",
        lambda: dmc.grad(program.product, wrt="z")(1.0, 2.0),
    ),
    "a field that is not there": (
        "grad.wrt",
        "output: there is no `net.tail`; there is `rate`, `std`, `w`, `head`, `base`",
        lambda: dmc.grad(program.output, wrt="net.tail")(net, x2),
    ),
    "a frozen part": (
        "grad.wrt",
        "output: `net.base` has nothing to differentiate in",
        lambda: dmc.grad(program.output, wrt="net.base")(net, x2),
    ),
    "a part named twice": (
        "grad.wrt",
        "product: `wrt` names a part twice",
        lambda: dmc.grad(program.product, wrt=("x", "x"))(1.0, 2.0),
    ),
    "the gradient in an integer": (
        "grad.wrt",
        "count: `n` has nothing to differentiate in",
        lambda: dmc.grad(program.count)(2),
    ),
    "the gradient of an array": (
        "grad.scalar",
        "squares: the result is f64[3], not a float",
        lambda: dmc.grad(program.squares)(x3),
    ),
    "the gradient of a Python function": (
        "call.value",
        "`dmc.grad` takes a function of a loaded program, not `len`, a Python function",
        lambda: dmc.grad(len),  # pyright: ignore[reportArgumentType]
    ),
    "a stage that is not there": (
        "call.stage",
        "total: there is no stage 'tensors'",
        lambda: program.total.ir("tensors", N=3),
    ),
    "compiling without a size": (
        "call.size",
        "total: the size `N` of `x` is unknown",
        program.total.compile,
    ),
    "another shape than compiled for": (
        "shape.argument",
        "total: x must be f64[4], and float64[3] was given",
        lambda: program.total.compile(N=4)(x3),
    ),
    "another number of arguments than compiled for": (
        "call.argument",
        "total: 0 arguments given for x",
        program.total.compile(N=4),
    ),
    "no threads": ("call.threads", "the number of threads is 0", lambda: dmc.set_num_threads(0)),
}


@pytest.mark.parametrize(("code", "message", "call"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_are_refused(code: str, message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(Error) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.title.startswith(message)
    assert diagnostic.at_call


def test_the_message_names_the_place() -> None:
    with pytest.raises(dmc.ShapeError, match=r"^loss: y has N = 99 .* \(.*program\.dm:17\)$"):
        loss(weights, np.ones((100, 3)), np.ones(99))


@pytest.mark.parametrize(
    ("python", "call"),
    [
        (ValueError, lambda: program.total(np.ones((2, 2)))),
        (TypeError, lambda: program.single(x3)),
        (TypeError, lambda: program.total(None)),
        (FileNotFoundError, lambda: dmc.load("nowhere.dm")),
        (AttributeError, lambda: program.totel),
    ],
)
def test_errors_are_of_the_python_class_that_fits(
    python: type[Exception], call: Callable[[], Any]
) -> None:
    with pytest.raises(python):
        call()


def test_refused_calls_leave_no_trace() -> None:
    f = dmc.load(program.__file__).total
    for _ in range(2):
        with pytest.raises(dmc.DTypeError):
            f(np.ones(3, np.float32))
    assert f(x3) == 3.0


@pytest.mark.parametrize(
    ("wrt", "written"),
    [(1, '`wrt="y"`'), (["y"], '`wrt=("y",)`'), (["x", "y"], '`wrt=("x", "y")`')],
)
def test_what_is_differentiated_in_is_given_to_paste(wrt: Any, written: str) -> None:
    with pytest.raises(Error) as caught:
        dmc.grad(program.product, wrt=wrt)
    assert written in caught.value.diagnostics[0].help[0]


def test_donated_names_may_stand_in_a_list() -> None:
    given = np.ones(3)
    assert program.total(given, donate=["x"]) == 3.0
    with pytest.raises(dmc.CallError):
        program.total(given)


def test_sizes_by_name_do_not_collide() -> None:
    for size in (3, np.int64(3), np.int64(4), 5):
        assert len(program.power(2.0, N=size)) == size


@pytest.mark.parametrize(
    "call",
    [
        dmc.key,
        lambda value: dmc.fold(KEY, value),
        lambda value: dmc.fold(value, 1),
        lambda value: dmc.split(KEY, value),
        dmc.split,
    ],
)
@pytest.mark.parametrize("value", ["a", 1.5, None, [1], x3, (1, 2)])
def test_keys_come_from_integers(call: Callable[[Any], Any], value: object) -> None:
    with pytest.raises(dmc.Error, match="not an integer"):
        call(value)


def test_any_integer_makes_a_key() -> None:
    assert dmc.key(7) == dmc.key(np.int64(7)) == dmc.key(np.array(7)) == dmc.key(7 + 2**64)


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (lambda: program.total([1.0, 2.0]), "np.asarray(x, np.float64)"),
        (lambda: program.single([1.0]), "np.asarray(x, np.float32)"),
        (lambda: program.shifted([1.0]), "x[0]"),
        (lambda: program.Weights(w=[1.0], b=0.0), "np.asarray(w, np.float64)"),
    ],
)
def test_a_list_is_made_an_array_by_what_the_help_says(
    call: Callable[[], Any], written: str
) -> None:
    with pytest.raises(dmc.CallError) as caught:
        call()
    (line,) = caught.value.diagnostics[0].help
    assert f"`{written}`" in line
    made: Any = eval(written, {"np": np, "x": [1.0, 2.0], "w": [1.0]})  # our own text
    assert isinstance(made, np.ndarray | float)


def test_functions_are_told_apart_from_derivatives() -> None:
    program = dmc.loads("fn f(x: f64) -> f64 = x * x\n")
    for given, kind in ((program.f, "a function"), (dmc.grad(program.f), "a derivative")):
        with pytest.raises(dmc.Error, match=f"x is {kind}, not f64"):
            program.f(given)
