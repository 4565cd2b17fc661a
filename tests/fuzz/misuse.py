"""Every public function with every wrong value in every place: it works, or raises `dmc.Error`."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

import dmc
from dmc_runtime.sources import load_tables
from tests.fuzz.family import Fault, Outcome

PROGRAM = """
struct P {
    a: f64
    b: f64[3]
}
fn f[N](x: f64[N]) -> f64 = sum(x * x)
fn g(p: P, n: i32, k: Key, b: bool) -> f64 = (p.a + sum(p.b) + f64(n) + uniform(k)) * f64(b)
fn h(x: f64, y: f64) -> f64 = x * y
fn v(x: f64[3]) -> f64[3] = 2.0 * x
fn s[K](x: f64) -> f64[K] = [i in 0..K] => x
"""

Call = Callable[[Any], object]


def deep(kind: Callable[[list[Any]], Any], levels: int = 5000) -> Any:
    value: Any = 1.0
    for _ in range(levels):
        value = kind([value])
    return value


def values(program: Any) -> dict[str, Any]:
    """What is passed, by a name for it."""
    ones = np.ones(3)
    record = program.P(a=1.0, b=ones)
    named: dict[str, Any] = {
        "None": None,
        "text": "a",
        "no text": "",
        "a NUL": "a\0b",
        "a surrogate": "\udc80",
        "long text": "x" * 5000,
        "a path": pathlib.Path("nope.dm"),
        "bytes": b"ab",
        "a bytearray": bytearray(b"ab"),
        "5": 5,
        "-1": -1,
        "2**63": 2**63,
        "10**30": 10**30,
        "10**5000": 10**5000,
        "nan": float("nan"),
        "inf": float("inf"),
        "1.5": 1.5,
        "True": True,
        "1j": 1j,
        "a list": [1, 2],
        "a list of lists": [[1.0]],
        "a tuple": (1, 2),
        "()": (),
        "a dict": {"a": 1},
        "a dict of other keys": {1: 1.0, "a": 2.0},
        "a set": {1},
        "a range": range(3),
        "an iterator": iter([1.0]),
        "...": ...,
        "a slice": slice(1),
        "a function": len,
        "a class": int,
        "a record": record,
        "a stack": dmc.stack([record, record]),
        "a program": program,
        "a function of the program": program.f,
        "what is donated": dmc.donate(np.ones(3)),
        "an array": ones,
        "no elements": np.ones(0),
        "0-d": np.array(1.0),
        "0-d integer": np.array(3),
        "an f64": np.float64(2.5),
        "an i64": np.int64(3),
        "f16": np.ones(3, np.float16),
        "i8": np.ones(3, np.int8),
        "u64": np.ones(3, np.uint64),
        "long double": np.ones(3, np.longdouble),
        "complex": np.ones(3, np.complex128),
        "objects": np.array([object()]),
        "strings": np.array(["a"]),
        "a time": np.datetime64("2020"),
        "fields": np.zeros(3, dtype=[("a", "f4")]),
        "swapped": np.ones(3, ">f8"),
        "masked": np.ma.masked_array(ones, [True, False, False]),
        "a masked number": np.ma.masked,
        "read-only": np.broadcast_to(1.0, (3,)),
        "32 axes": np.zeros((1,) * 32),
        "tuples in tuples": deep(tuple),
        "lists in lists": deep(list),
    }
    return named


RECIPE: dict[str, object] = {
    "program": "m.dm",
    "steps": 1,
    "model": {"name": "M"},
    "data": {"batch_size": 1},
    "outputs": {"plot": False},
}


def _trained(trainer: Any) -> object:
    """What a run does with its data before it looks at its program."""
    return load_tables(trainer.recipe, trainer.given)


def calls(m: Any, folder: pathlib.Path) -> dict[str, Call]:
    """What is called, with the place of the value in its name."""
    ones = np.ones(3)
    record = m.P(a=1.0, b=ones)
    stack = dmc.stack([record, record])
    compiled = m.f.compile(ones)
    saved = folder / "saved.safetensors"
    dmc.save(record, saved)
    text = "fn f(x: f64) -> f64 = x"

    # What is wrong on purpose is not for type checkers to see.
    api: Any = dmc
    table: dict[str, Call] = {
        "load": api.load,
        "load(checks=)": lambda v: api.load("x.dm", checks=v),
        "loads": api.loads,
        "loads(name)": lambda v: api.loads(text, v),
        "loads(name) of an error": lambda v: api.loads("fn f(x: f64) -> f64 = y", v),
        "loads(folder)": lambda v: api.loads(text, "m.dm", v),
        "loads(folder) of an import": lambda v: api.loads(f"import zzz\n{text}", "m.dm", v),
        "loads(checks=)": lambda v: api.loads(text, checks=v),
        "set_num_threads": api.set_num_threads,
        "key": api.key,
        "split": api.split,
        "split(n)": lambda v: api.split(api.key(0), v),
        "fold": lambda v: api.fold(v, 1),
        "fold(i)": lambda v: api.fold(api.key(0), v),
        "stack": api.stack,
        "stack of one": lambda v: api.stack([v]),
        "stack of two": lambda v: api.stack([record, v]),
        "donate": lambda v: m.f(api.donate(v)),
        "save": lambda v: api.save(v, folder / "written"),
        "save(path)": lambda v: api.save(record, _inside(folder, v)),
        "save(metadata=)": lambda v: api.save(record, folder / "written", v),
        "save of metadata": lambda v: api.save(record, folder / "written", {"a": v}),
        "restore(path)": lambda v: api.restore(v, m.P),
        "restore(like)": lambda v: api.restore(saved, v),
        "restore(part=)": lambda v: api.restore(saved, m.P, v),
        "flatten": api.flatten,
        "unflatten": api.flatten(record)[1],
        "convert": lambda v: api.convert(v, m),
        "convert(program)": lambda v: api.convert(record, v),
        "Trainer": api.Trainer,
        "Trainer of a table": lambda v: api.Trainer({"program": "m.dm", "steps": v}),
        "Trainer(settings=)": lambda v: api.Trainer(RECIPE, settings=v),
        "Trainer(settings=) of a value": lambda v: api.Trainer(RECIPE, settings={"seed": v}),
        "Trainer(data=)": lambda v: _trained(api.Trainer(RECIPE, data=v)),
        "Trainer(data=) of a column": lambda v: _trained(api.Trainer(RECIPE, data={"x": v})),
        "Trainer(callbacks=)": lambda v: api.Trainer(RECIPE, callbacks=v),
        "f": m.f,
        "f(x=)": lambda v: m.f(x=v),
        "f of two": lambda v: m.f(ones, v),
        "f(N=)": lambda v: m.f(ones, N=v),
        "f(donate=)": lambda v: m.f(ones, donate=v),
        "f[...]": lambda v: m.f[v](ones),
        "s[...]": lambda v: m.s[v](1.0),
        "g(p)": lambda v: m.g(v, 1, api.key(0), True),
        "g(n)": lambda v: m.g(record, v, api.key(0), True),
        "g(k)": lambda v: m.g(record, 1, v, True),
        "g(b)": lambda v: m.g(record, 1, api.key(0), v),
        "h": lambda v: m.h(v, 1.0),
        "compile": m.f.compile,
        "compile(N=)": lambda v: m.f.compile(N=v),
        "specialize": m.f.specialize,
        "ir(stage)": lambda v: m.f.ir(v, ones),
        "Compiled": compiled,
        "Compiled of two": lambda v: compiled(ones, v),
        "Compiled.ir": compiled.ir,
        "P(a)": lambda v: m.P(a=v, b=ones),
        "P(b)": lambda v: m.P(a=1.0, b=v),
        "P of one": m.P,
        "P of three": lambda v: m.P(1.0, ones, v),
        "P(c=)": lambda v: m.P(a=1.0, b=ones, c=v),
        "replace(a=)": lambda v: record.replace(a=v),
        "replace(b=)": lambda v: record.replace(b=v),
        "replace(c=)": lambda v: record.replace(c=v),
        "record[...]": lambda v: record[v],
        "stack[...]": lambda v: stack[v],
        "==": lambda v: record == v,
        "check_grads": lambda v: api.check_grads(v, ones),
        "check_grads of": lambda v: api.check_grads(m.f, v),
        "check_grads(step=)": lambda v: api.check_grads(m.f, ones, step=v, tolerance=1e9),
        "check_grads(tolerance=)": lambda v: api.check_grads(m.f, ones, tolerance=v),
        "check_grads(samples=)": lambda v: api.check_grads(m.f, ones, samples=v),
        "check_grads(seed=)": lambda v: api.check_grads(m.f, ones, seed=v),
        "check_grads(wrt=)": lambda v: api.check_grads(m.f, ones, wrt=v),
        "pull": api.vjp(m.f)(ones)[1],
    }
    for name in ("grad", "value_and_grad", "jacobian", "hessian", "vjp"):
        table |= _operator(name, getattr(api, name), m.v if name == "jacobian" else m.f)
    for name in ("jvp", "hvp"):
        table |= _direction(name, getattr(api, name), m.f)
    return table


def _operator(name: str, operator: Any, f: Any) -> dict[str, Call]:
    ones = np.ones(3)
    return {
        name: operator,
        f"{name}(wrt)": lambda v: operator(f, v)(ones),
        f"{name}(wrt=) of one": lambda v: operator(f, wrt=(v,))(ones),
        f"{name}(f)": operator(f),
    }


def _direction(name: str, operator: Any, f: Any) -> dict[str, Call]:
    ones = np.ones(3)
    return {
        name: lambda v: operator(v, ones),
        f"{name}(along)": lambda v: operator(f, v)(ones),
        f"{name}(wrt)": lambda v: operator(f, ones, v)(ones),
    }


def _inside(folder: pathlib.Path, value: object) -> object:
    """A path that is one goes where nothing else is."""
    return folder / value if isinstance(value, str | pathlib.Path) and value else value


def attempt(call: Call, value: Any) -> str | None:
    """How a call fails as it must not."""
    try:
        call(value)
    except dmc.Error as refusal:
        return None if str(refusal) else "a refusal without a word"
    except Exception as failure:  # noqa: BLE001  # this is what must not be
        return f"{type(failure).__name__}: {str(failure)[:200]}"
    return None


@dataclass(frozen=True)
class Misuse:
    """A seed is a pair of a call and a value; after the last one they start over."""

    folder: pathlib.Path
    name: str = "misuse"

    @functools.cached_property
    def pairs(self) -> list[tuple[str, Call, str, Any]]:
        program = dmc.loads(PROGRAM)
        given: Mapping[str, Any] = values(program)
        called = calls(program, self.folder)
        return [(c, called[c], v, given[v]) for c in called for v in given]

    def check(self, seed: int) -> Outcome:
        where, call, what, value = self.pairs[seed % len(self.pairs)]
        problem = attempt(call, value)
        if problem is None:
            return "held"
        return Fault(f"{where}: {problem.partition(':')[0]}", f"{where} with {what}: {problem}")

    def shrunk(self, seed: int, fault: Fault) -> str:
        return fault.detail


def all_faults(folder: pathlib.Path) -> Iterator[Fault]:
    """Those of every pair."""
    family = Misuse(folder)
    for seed in range(len(family.pairs)):
        outcome = family.check(seed)
        if isinstance(outcome, Fault):
            yield cast("Fault", outcome)
