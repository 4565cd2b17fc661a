"""Recipes: every key is read, and every mistake is named."""

import json
import tomllib

import pytest

from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.recipe import Mode, Quantity, differences, load, parse, setting

FULL = """
program = "digits.dm"
seed = 3
epochs = 40

[model]
name = "MLP"
sizes = { I = 64, H = 256 }
hyper = { rate = 0.1, deep = true }

[functions]
evaluate = ""

[data]
train = "train.npz"
validation = 0.1
inputs = { x = ["a", "b"], y = "label" }
batch_size = 64

[arguments]
peak = 3e-3
warmup = 50
total = "steps"

[outputs]
best = "accuracy"
best_mode = "max"
"""


def recipe_with(**changes):
    """The full recipe as plain data with dotted keys (`__` for the dot) set, or removed by None."""
    content = tomllib.loads(FULL)
    for dotted, value in changes.items():
        *outer, last = dotted.split("__")
        table = content
        for name in outer:
            table = table[name]
        if value is None:
            del table[last]
        else:
            table[last] = value
    return content


def test_a_full_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(FULL)
    recipe = load(path)
    assert recipe.seed == 3
    assert recipe.model.sizes == {"I": 64, "H": 256}
    assert recipe.model.hyper == {"rate": 0.1, "deep": True}
    assert recipe.functions.step == "step"
    assert recipe.functions.evaluate == ""
    assert recipe.data.inputs == {"x": ("a", "b"), "y": "label"}
    assert recipe.arguments == {"peak": 3e-3, "warmup": 50, "total": Quantity.STEPS}
    assert type(recipe.arguments["warmup"]) is int
    assert recipe.outputs.best_mode is Mode.MAX
    assert recipe.path("train.npz") == tmp_path / "train.npz"
    assert json.loads(json.dumps(recipe.content())) == recipe.content()
    assert parse(recipe.content()).content() == recipe.content()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"program": None}, "missing key `program`"),
        ({"data__batch_size": None}, "missing key `data.batch_size`"),
        ({"data__batchsize": 3}, r"unknown key `data.batchsize`; did you mean `batch_size`\?"),
        ({"zzz": 3}, "unknown key `zzz`; known: program, "),
        ({"epochs": "many"}, "`epochs` is 'many'; expected an integer"),
        ({"epochs": True}, "`epochs` is True; expected an integer"),
        ({"epochs": 0}, "a run is `epochs` or `steps` long, and one of them is needed"),
        ({"epochs": -1}, "`epochs` is -1; it must be at least 0"),
        ({"steps": 3}, "a run is `epochs` or `steps` long"),
        ({"data__last": "mask"}, '`data.last` is "mask", but no argument'),
        ({"data__batch_size": 0}, "`data.batch_size` is 0"),
        ({"data__validation": 1.0}, "`data.validation` is a fraction below 1"),
        ({"data__inputs": {}}, "`data.inputs` names no input"),
        ({"data__inputs__x": 3}, "`data.inputs.x` is 3; expected a string or a list of strings"),
        ({"data": 3}, "`data` must be a table"),
        ({"data__shuffle": 1}, "`data.shuffle` is 1; expected true or false"),
        ({"model__sizes__I": 6.4}, "`model.sizes.I` is 6.4; expected an integer"),
        ({"model__sizes": 3}, "`model.sizes` is 3; expected a table"),
        (
            {"outputs__best_mode": "most"},
            '`outputs.best_mode` is \'most\'; expected "max" or "min"',
        ),
        (
            {"arguments__total": "step"},
            "`arguments.total` is 'step'; expected a number or "
            '"steps" or "epochs" or "steps_per_epoch" or "key" or "mask" or "class_weights"',
        ),
        ({"arguments__peak": float("nan")}, "`arguments.peak` is nan; numbers of a recipe are"),
        ({"model__hyper": {"rate": float("inf")}}, "`model.hyper.rate` is inf; numbers"),
        ({"arguments__y": 1.0}, "`y` is both an input and an argument"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(TrainError, match=message) as caught:
        parse(recipe_with(**changes), "r.toml")
    assert caught.value.code == TrainCode.RECIPE
    assert str(caught.value).startswith("r.toml: ")


def test_unreadable_recipes(tmp_path):
    path = tmp_path / "r.toml"
    with pytest.raises(TrainError, match=r"cannot read .*no such file"):
        load(path)
    with pytest.raises(TrainError, match="is a directory"):
        load(tmp_path)
    path.write_text(f"epochs = {'1' * 5000}")
    with pytest.raises(TrainError, match="digits"):
        load(path)
    for key in ("a." * 20_000, "'a' . " * 20_000, '"a".' * 33):
        path.write_text(f"{key}a = 1")
        with pytest.raises(TrainError, match="more than 32 parts"):
            load(path)
    path.write_text(f"epochs = {'[' * 5000}")
    with pytest.raises(TrainError, match="nested too deeply"):
        load(path)
    path.write_bytes(b'program = "\xff"')
    with pytest.raises(TrainError, match="not UTF-8"):
        load(path)
    path.write_text("epochs = \n")
    with pytest.raises(TrainError, match=r"invalid value \(at line 1, column 10\)"):
        load(path)


def test_settings_take_the_place_of_values():
    changed = parse(recipe_with(), settings={"steps": 7, "arguments.peak": 1, "outputs.best": "b"})
    assert (changed.steps, changed.epochs) == (7, 0)
    assert changed.arguments["peak"] == 1
    assert changed.outputs.best == "b"
    assert setting("arguments.rate = 1e-4") == ("arguments.rate", 1e-4)
    assert setting("outputs.directory=run2") == ("outputs.directory", "run2")
    for settings, message in [
        ({"seed.x": 1}, "`seed` is a value"),
        ({"arguments.peak": "high"}, "`arguments.peak` is 'high'"),
        ({"data.train.x": 1}, "`train` is a value"),
    ]:
        with pytest.raises(TrainError, match=message):
            parse(recipe_with(), settings=settings)
    with pytest.raises(TrainError, match="`steps` sets nothing; write it like `steps=2000`"):
        setting("steps")


def test_differences_name_the_keys():
    a = parse(recipe_with()).content()
    assert differences(a, a) == []
    b = parse(recipe_with(arguments__peak=1.0, seed=7)).content()
    assert differences(a, b) == ["arguments.peak", "seed"]
    without = parse(recipe_with(arguments__warmup=None)).content()
    assert differences(a, without) == ["arguments.warmup"]
