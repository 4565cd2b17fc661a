"""GradBench's protocol: a line of JSON for each message, and a line for each response.

A message has an `id` and a `kind`. `define` asks for a module, `evaluate` for the value of one of
its functions; every other kind wants no more than its `id` back. Whatever goes wrong with a message
is said in its response, and the next one is answered.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import dmc
from benchmarks.gradbench.fields import Fields, Refused
from benchmarks.workload import Foreign

Response = dict[str, Foreign]


@dataclass(frozen=True)
class Run:
    """A function and its arguments, compiled: what to time, and what comes of it as JSON."""

    call: Callable[[], Foreign]
    output: Callable[[Foreign], Foreign]


Function = Callable[[Fields], Run]
"""Makes ready for an input, which is not timed as a run."""

Module = Mapping[str, Function]


@dataclass
class Tool:
    """Answers messages with the modules that it is given, each made when it is first needed."""

    modules: Mapping[str, Callable[[], Module]]
    _made: dict[str, Module] = field(default_factory=dict[str, Module])

    def serve(self, lines: Iterable[str]) -> Iterator[str]:
        """A response to each line."""
        for line in lines:
            if line.strip():
                yield self.answer(line)

    def answer(self, line: str) -> str:
        """The response to one message, both as text."""
        identity: Foreign = None
        try:
            message = Fields(_parsed(line), "the message")
            identity = message.value("id")
            response = {"id": identity} | self._respond(message)
            return json.dumps(response)
        except Exception as failure:  # noqa: BLE001 (whatever goes wrong is reported)
            return json.dumps({"id": identity, "success": False, "error": _said(failure)})

    def _respond(self, message: Fields) -> Response:
        match message.text("kind"):
            case "start":
                return {"tool": "dmc"}
            case "define":
                began = time.perf_counter_ns()
                self._module(message.text("module"))
                return {"success": True, "timings": [_timing("load", began)]}
            case "evaluate":
                return self._evaluate(message)
            case _:
                return {}

    def _evaluate(self, message: Fields) -> Response:
        name, module = message.text("function"), self._module(message.text("module"))
        if name not in module:
            raise Refused(f"no function `{name}`; there are {', '.join(module)}")
        given = message.value("input")
        began = time.perf_counter_ns()
        run = module[name](Fields(given))
        timings = [_timing("prepare", began)]
        output = _repeated(run, _least(given), timings)
        return {"success": True, "output": _finite(run.output(output)), "timings": timings}

    def _module(self, name: str) -> Module:
        if name not in self.modules:
            raise Refused(f"no module `{name}`; there are {', '.join(self.modules)}")
        if name not in self._made:
            self._made[name] = self.modules[name]()
        return self._made[name]


@dataclass(frozen=True)
class Least:
    """How often a function must run: so many times, and until so many seconds have been timed."""

    runs: int = 1
    seconds: float = 0.0


def _least(given: Foreign) -> Least:
    """What the input asks for, if it is an object that does."""
    if not isinstance(given, dict) or "min_runs" not in given:
        return Least()
    fields = Fields(given)
    return Least(max(1, fields.whole("min_runs")), fields.number("min_seconds"))


def _repeated(run: Run, least: Least, timings: list[Response]) -> Foreign:
    """The output of the last of as many runs as are asked for; adds the time of each."""
    runs, seconds = 0, 0.0
    output: Foreign = None
    while runs < least.runs or seconds < least.seconds:
        began = time.perf_counter_ns()
        output = run.call()
        timing = _timing("evaluate", began)
        timings.append(timing)
        runs, seconds = runs + 1, seconds + timing["nanoseconds"] / 1e9
    return output


def _parsed(line: str) -> Foreign:
    try:
        return json.loads(line)
    except ValueError as error:
        raise Refused(f"the message is no JSON: {error}") from error


def _finite(output: Foreign) -> Foreign:
    """An output, which JSON can hold. Raises Refused for NaN and infinity: they pass for right."""
    try:
        json.dumps(output, allow_nan=False)
    except ValueError as error:
        raise Refused("the output is not finite") from error
    return output


def _timing(name: str, began: int) -> Response:
    return {"name": name, "nanoseconds": time.perf_counter_ns() - began}


def _said(failure: Exception) -> str:
    """What a response says of a failure: all about it, unless the message is at fault."""
    if isinstance(failure, Refused | dmc.Error):
        return str(failure)
    return "".join(traceback.format_exception(failure))
