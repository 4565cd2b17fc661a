"""Recipes: what to train, on what, and how, as a TOML file.

    program = "digits.dm"
    seed = 0
    epochs = 40                 # or `steps`
    memory = "256MB"            # optional: a step takes no more beside its arguments and results
    memory_keep = "bf16"        # optional: what waits may be kept in fewer bits: "bf16", "i8"

    [model]
    name = "MLP"
    sizes = { I = 64, H = 256, O = 10 }

    [functions]                 # functions of the program, these by default
    start = "start"             # (net) -> opt
    step = "step"               # (net, opt, inputs …, arguments …) -> (loss, net, opt, metrics)
                                # or in two halves, for several processes:
                                # gradient: (net, inputs …, arguments …) ->
                                #   (loss, grad), and perhaps net, metrics
                                # update: (net, grad, opt, arguments …) -> (net, opt)
    evaluate = "evaluate"       # (net, inputs …) -> scores

    [data]
    train = "data/train.npz"
    test = "data/test.npz"      # optional; scored once, at the end
    validation = 0.1            # the fraction of the training data that is held out
    inputs = { x = "x", y = "y" }   # parameter = column, or a list of columns of a CSV file
    batch_size = 64
    shards = 1                  # parts of a batch for which gradients are taken by themselves
    last = "fill"               # a last batch that is short: "fill", "mask", "drop" or "short"

    [arguments]                 # of `step`: numbers, or "steps", "epochs", "steps_per_epoch",
                                # "key", "mask", "class_weights"
    peak = 3e-3
    total = "steps"

    [outputs]
    directory = "run"
    best = "accuracy"           # the score that the best checkpoint has the most of
    best_mode = "max"

    [watch]
    every = 100                 # steps between looks at gradients and activations
    activations = "hidden"      # (net, inputs …) -> a record of arrays, optional
    patience = 5                # evaluations without a better score that end the run

Paths are relative to the recipe. Every key is checked: an unknown one is an error, not a silence.
"""

from __future__ import annotations

import math
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from dmc_runtime.arguments import shown
from dmc_runtime.budget import Keep
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.sizes import parse_bytes
from dmc_runtime.spelling import did_you_mean

Number: TypeAlias = bool | int | float
T = TypeVar("T")


class Quantity(StrEnum):
    """Values of the run that an argument of `step` can ask for by name."""

    STEPS = "steps"
    EPOCHS = "epochs"
    STEPS_PER_EPOCH = "steps_per_epoch"
    KEY = "key"
    MASK = "mask"
    CLASS_WEIGHTS = "class_weights"


class Mode(StrEnum):
    """Whether the best score is the greatest or the least."""

    MAX = "max"
    MIN = "min"


class Last(StrEnum):
    """What becomes of a last batch of an epoch that has too few examples.

    `FILL` and `MASK` complete it with the first examples of the epoch; with `MASK` the program is
    told which are there for the first time, and leaves the others out.
    """

    FILL = "fill"
    MASK = "mask"
    DROP = "drop"
    SHORT = "short"


@dataclass(frozen=True)
class Model:
    """The model: its name in the program, its sizes and hyperparameters."""

    name: str
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    hyper: dict[str, Number] = field(default_factory=dict[str, Number])


@dataclass(frozen=True)
class FunctionNames:
    """The functions of the program that a run calls; `evaluate` only for data that is held out.

    `gradient` and `update` are a step in two halves, which take the place of `step`.
    """

    start: str = "start"
    step: str = "step"
    evaluate: str = "evaluate"
    gradient: str = ""
    update: str = ""


@dataclass(frozen=True)
class Data:
    """Files, columns and batches; data given in Python needs no files.

    Attributes:
        labels: the input that class weights are computed for.
        shards: parts of a batch whose gradients are taken for themselves, by halves of a step.
        epoch: batches of an epoch, for streams that do not tell their length.
        prefetch: batches that a thread prepares ahead.
    """

    batch_size: int
    train: str = ""
    inputs: dict[str, str | tuple[str, ...]] = field(
        default_factory=dict[str, str | tuple[str, ...]]
    )
    test: str = ""
    validation: float = 0.0
    dtypes: dict[str, str] = field(default_factory=dict[str, str])
    shuffle: bool = True
    last: Last = Last.FILL
    labels: str = "y"
    shards: int = 1
    epoch: int = 0
    prefetch: int = 2
    evaluation_batch_size: int = 0


@dataclass(frozen=True)
class Outputs:
    """Where results go, and how often (in epochs)."""

    directory: str = "run"
    evaluate_every: int = 1
    checkpoint_every: int = 1
    best: str = "loss"
    best_mode: Mode = Mode.MIN
    plot: bool = True
    report: bool = True
    tensorboard: bool = False


@dataclass(frozen=True)
class Watch:
    """What to look at while a run goes on.

    Attributes:
        every: steps between looks at gradients and activations; 0 never looks.
        loss: the function of the program whose gradient in its first parameter is looked at.
        activations: one that gives a record (or tuple) of arrays to look at.
        patience: evaluations without a better score after which the run stops; 0 never stops.
    """

    every: int = 0
    loss: str = "loss"
    activations: str = ""
    patience: int = 0


@dataclass(frozen=True)
class Recipe:
    """A whole recipe: `epochs` or `steps` long; `folder` is where its relative paths start."""

    program: str
    model: Model
    data: Data
    epochs: int = 0
    steps: int = 0
    seed: int = 0
    memory: str = ""
    memory_keep: Keep = Keep.WHOLE
    functions: FunctionNames = field(default_factory=FunctionNames)
    arguments: dict[str, Number | Quantity] = field(default_factory=dict[str, Number | Quantity])
    outputs: Outputs = field(default_factory=Outputs)
    watch: Watch = field(default_factory=Watch)
    folder: Path = field(default_factory=Path, metadata={"outside": True})

    def path(self, name: str) -> Path:
        """A path of the recipe, from its folder."""
        return self.folder / name

    def content(self) -> dict[str, Any]:
        """The recipe as plain data, without its folder; what a checkpoint keeps."""
        plain = asdict(self)
        del plain["folder"]
        return cast("dict[str, Any]", _plain(plain))


FREE = ("epochs", "steps", "arguments", "outputs", "watch")
"""The parts of a recipe that may change when a run goes on."""


def load(path: str | Path, settings: Mapping[str, object] | None = None) -> Recipe:
    """Reads and checks a recipe; `TrainError` (`train.recipe`) names the key that is wrong.

    Args:
        settings: values by dotted key, as in `{"arguments.rate": 0.1}`, in place of the file's.
    """
    source = Path(path)
    try:
        text = source.read_bytes().decode()
        if _LONG_KEY.search(text):
            raise _bad(f"{source}: a key has more than {_PARTS} parts")
        content = tomllib.loads(text)
    except OSError as error:
        raise _bad(f"cannot read `{source}`: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise _bad(f"`{source}` is not UTF-8 text") from error
    except RecursionError as error:
        raise _bad(f"{source}: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError among them
        raise _bad(f"{source}: {str(error)[:1].lower()}{str(error)[1:]}") from error
    return parse(content, str(source), source.parent, settings)


def parse(
    content: Mapping[str, object],
    source: str = "recipe",
    folder: Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> Recipe:
    """Checks a recipe given as plain data; `settings` as for `load`."""
    given = _with_settings(content, {} if settings is None else settings, source)
    recipe = replace(_table(Recipe, given, source, ""), folder=folder or Path())
    if bool(recipe.epochs) == bool(recipe.steps):
        raise _bad(f"{source}: a run is `epochs` or `steps` long, and one of them is needed")
    _at_least(source, "epochs", recipe.epochs, 0)
    _at_least(source, "steps", recipe.steps, 0)
    if recipe.memory:
        try:
            parse_bytes(recipe.memory)
        except ValueError as problem:
            raise _bad(f"{source}: `memory` is {recipe.memory!r}: {problem}") from None
    elif recipe.memory_keep is not Keep.WHOLE:
        raise _bad(f'{source}: `memory_keep` needs a bound: `memory = "256MB"`')
    _at_least(source, "data.batch_size", recipe.data.batch_size, 1)
    _at_least(source, "data.prefetch", recipe.data.prefetch, 0)
    _at_least(source, "outputs.evaluate_every", recipe.outputs.evaluate_every, 1)
    _at_least(source, "outputs.checkpoint_every", recipe.outputs.checkpoint_every, 1)
    if not 0 <= recipe.data.validation < 1:
        raise _bad(f"{source}: `data.validation` is a fraction below 1")
    if recipe.data.train and not recipe.data.inputs:
        raise _bad(f"{source}: `data.inputs` names no input")
    clash = sorted(recipe.data.inputs.keys() & recipe.arguments.keys())
    if clash:
        raise _bad(f"{source}: `{clash[0]}` is both an input and an argument")
    if recipe.data.last is Last.MASK and Quantity.MASK not in recipe.arguments.values():
        raise _bad(f'{source}: `data.last` is "mask", but no argument of `step` is "mask"')
    _check_halves(recipe, source)
    return recipe


def _check_halves(recipe: Recipe, source: str) -> None:
    """Refuses half a step, and shards that no binary tree has."""
    names, shards = recipe.functions, recipe.data.shards
    if bool(names.gradient) != bool(names.update):
        raise _bad(f"{source}: `functions.gradient` and `functions.update` belong together")
    if shards < 1 or shards & (shards - 1):
        raise _bad(f"{source}: `data.shards` is {shards}; it must be a power of two")
    if shards > 1 and not names.gradient:
        raise _bad(f"{source}: `data.shards` needs `functions.gradient` and `functions.update`")


def setting(text: str) -> tuple[str, object]:
    """A key and its value from `KEY=VALUE`; the value is TOML, or else a string as it stands."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _bad(f"`{text}` sets nothing; write it like `steps=2000`")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


_PARTS = 32
# `tomllib` takes time by the third power of their number.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}\.[ \t]*+){{{_PARTS}}}")


_LENGTHS = {"steps": "epochs", "epochs": "steps"}


def _with_settings(
    content: Mapping[str, object], settings: Mapping[str, object], source: str
) -> dict[str, object]:
    """The content with values put in by dotted key; a length takes the other one's place."""
    for given, what in ((content, "the recipe"), (settings, "the settings")):
        is_table = isinstance(cast("object", given), Mapping)
        if not is_table or not all(isinstance(cast("object", name), str) for name in given):
            raise _bad(f"{source}: {what} must be a dict with keys that are strings")
    changed = dict(content)
    for key, value in settings.items():
        if key in _LENGTHS and _LENGTHS[key] not in settings:
            changed.pop(_LENGTHS[key], None)
        at = changed
        *outer, last = key.split(".")
        for name in outer:
            inner = at.get(name, {})
            if not isinstance(inner, Mapping):
                raise _bad(f"{source}: `{key}` is no key of a recipe: `{name}` is a value")
            at[name] = at = dict(cast("Mapping[str, object]", inner))
        at[last] = value
    return changed


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """The keys in which two recipes' contents differ."""
    found: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        here = f"{path}.{name}" if path else name
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(cast("Mapping[str, Any]", a), cast("Mapping[str, Any]", b), here)
        elif a != b:
            found.append(here)
    return found


def _at_least(source: str, name: str, value: int, least: int) -> None:
    if value < least:
        raise _bad(f"{source}: `{name}` is {value}; it must be at least {least}")


def _table(cls: type[T], content: object, source: str, path: str) -> T:
    """A dataclass from a TOML table."""
    if not isinstance(content, Mapping):
        raise _bad(f"{source}: `{path}` must be a table")
    given = cast("Mapping[str, object]", content)
    hints = get_type_hints(cls)
    listed = [f for f in fields(cast("Any", cls)) if not f.metadata.get("outside")]
    known = [entry.name for entry in listed]
    for name in given:
        if name not in known:
            (hint,) = did_you_mean(name, known) or (f"known: {', '.join(known)}",)
            raise _bad(f"{source}: unknown key `{_dotted(path, name)}`; {hint}")
    values: dict[str, object] = {}
    for entry in listed:
        here = _dotted(path, entry.name)
        if entry.name in given:
            values[entry.name] = _value(hints[entry.name], given[entry.name], source, here)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise _bad(f"{source}: missing key `{here}`")
    return cls(**values)


def _value(wanted: Any, value: object, source: str, path: str) -> object:
    """A TOML value as the annotated type, or the error that says what was expected."""
    if is_dataclass(wanted):
        return _table(cast("type[object]", wanted), value, source, path)
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is dict and isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {k: _value(inner[1], v, source, _dotted(path, k)) for k, v in items}
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], v, source, path) for v in cast("list[object]", value))
    if origin in (Union, types.UnionType):
        for option in inner:
            if _fits(option, value):
                return _value(option, value, source, path)
    elif isinstance(wanted, type) and _fits(wanted, value):
        if isinstance(value, float) and not math.isfinite(value):
            raise _bad(f"{source}: `{path}` is {value}; numbers of a recipe are finite")
        return cast("Any", wanted)(value)
    raise _bad(f"{source}: `{path}` is {shown(value)}; expected {_words(wanted)}")


def _fits(wanted: Any, value: object) -> bool:
    if get_origin(wanted) is tuple:
        return isinstance(value, list)
    if issubclass(wanted, StrEnum):
        return value in [member.value for member in wanted]
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)


def _words(wanted: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    if wanted in names:
        return names[wanted]
    if get_origin(wanted) in (Union, types.UnionType):
        options = [option for option in get_args(wanted) if option is not bool]
        unique = ["a number" if o in (int, float) else _words(o) for o in options]
        return " or ".join(dict.fromkeys(unique))
    if get_origin(wanted) is tuple:
        return "a list of strings"
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return " or ".join(f'"{member}"' for member in wanted)
    return "a table"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in cast("tuple[Any, ...]", value)]
    return str(value) if isinstance(value, StrEnum) else value


def _dotted(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _bad(message: str) -> TrainError:
    return TrainError(TrainCode.RECIPE, message)
