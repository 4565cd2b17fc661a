"""LLVM IR to running code."""

import ctypes
import gc
import threading
import weakref

import pytest

from dmc.diagnostics.errors import UnsupportedError
from dmc.jit.engine import LOADS, CodegenError, Engine
from dmc.jit.target import host, named

SQUARE = "define i64 @square(i64 %x) {\n  %y = mul i64 %x, %x\n  ret i64 %y\n}\n"
CALLER = (
    "declare i64 @square(i64)\n"
    "define i64 @fourth(i64 %x) {\n"
    "  %y = call i64 @square(i64 %x)\n  %z = call i64 @square(i64 %y)\n  ret i64 %z\n}\n"
)


def function(address: int) -> "ctypes._CFunctionType":
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)


@pytest.fixture
def engine() -> Engine:
    return Engine(host())


def test_modules_are_linked_with_each_other(engine: Engine) -> None:
    code = engine.load([CALLER, SQUARE], ["fourth", "square"])
    assert function(code["fourth"])(3) == 81
    assert function(code["square"])(-5) == 25
    assert code.size > 0


def test_equal_names_in_different_loads_do_not_clash(engine: Engine) -> None:
    first = engine.load([SQUARE], ["square"])
    other = engine.load([SQUARE.replace("mul", "add")], ["square"])
    assert (function(first["square"])(7), function(other["square"])(7)) == (49, 14)


def test_symbols_can_be_given_by_address(engine: Engine) -> None:
    square = engine.load([SQUARE], ["square"])
    code = engine.load([CALLER], ["fourth"], {"square": square["square"]})
    assert function(code["fourth"])(2) == 16


def test_symbols_of_the_process_are_found(engine: Engine) -> None:
    code = engine.load([CALLER.replace("square", "labs")], ["fourth"])
    assert function(code["fourth"])(-9) == 9


@pytest.mark.usefixtures("new_heap")
def test_code_outlives_its_engine() -> None:
    code = Engine(host()).load([SQUARE], ["square"])
    gc.collect()
    assert function(code["square"])(12) == 144


def test_what_llvm_knows_of_code_goes_with_it(engine: Engine) -> None:
    stored = engine.compile_all([SQUARE])
    kept = engine.link(stored, ["square"])
    for _ in range(LOADS):
        engine.link(stored, ["square"])
    first = weakref.ref(engine._jit)
    for _ in range(LOADS):
        engine.link(stored, ["square"])
    assert first() is None
    assert function(kept["square"])(12) == 144


@pytest.mark.parametrize("passes", [0, 2])
@pytest.mark.parametrize("level", [0, 2, 3])
def test_levels(level: int, passes: int) -> None:
    code = Engine(host(), level=level, passes=passes).load([CALLER, SQUARE], ["fourth"])
    assert function(code["fourth"])(3) == 81


def test_constants_are_reachable(engine: Engine) -> None:
    text = (
        "@table = internal constant [3 x i64] [i64 5, i64 6, i64 7]\n"
        "define i64 @get(i64 %i) {\n  %p = getelementptr [3 x i64], ptr @table, i64 0, i64 %i\n"
        "  %v = load i64, ptr %p\n  ret i64 %v\n}\n"
    )
    code = engine.load([text], ["get"])
    get = function(code["get"])
    assert [get(i) for i in range(3)] == [5, 6, 7]


@pytest.mark.parametrize(
    "text",
    [
        "define i32 @f() { ret i64 0 }",
        "declare i32 @no_such_function()\n"
        "define i32 @f() {\n  %x = call i32 @no_such_function()\n  ret i32 %x\n}",
        "define i32 @g() { ret i32 0 }",
    ],
    ids=["ill-typed", "undefined symbol", "missing export"],
)
def test_bad_modules(engine: Engine, text: str) -> None:
    with pytest.raises(CodegenError):
        engine.load([text], ["f"])


def test_foreign_code_is_emitted_but_not_loaded() -> None:
    engine = Engine(named("aarch64"))
    assert "mul" in engine.assembly(SQUARE)
    assert engine.compile(SQUARE).startswith(b"\x7fELF")
    with pytest.raises(UnsupportedError, match="cannot run here"):
        engine.load([SQUARE], ["square"])


def test_threads_may_share_an_engine(engine: Engine) -> None:
    results: list[int] = []

    def work(i: int) -> None:
        code = engine.load([SQUARE.replace("%x, %x", f"%x, {i}")], ["square"])
        results.append(function(code["square"])(10))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [10 * i for i in range(6)]


def test_many_modules_at_once(engine: Engine) -> None:
    modules = [SQUARE.replace("square", f"f{i}") for i in range(8)]
    code = engine.load(modules, [f"f{i}" for i in range(8)])
    assert [function(code[f"f{i}"])(i) for i in range(8)] == [i * i for i in range(8)]
