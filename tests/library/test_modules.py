"""The modules of the library as a whole."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import dmc
from dmc_runtime import STD_FOLDER

FILES = sorted(STD_FOLDER.rglob("*.dm"))
WAYS_IN = [path for path in FILES if path.with_suffix("").is_dir()]
_DECLARED = re.compile(r"^(?:fn|model|struct) ([A-Za-z]\w*)", re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STD_FOLDER)))
def test_every_declaration_is_documented(path):
    lines = path.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        found = _DECLARED.match(line)
        if found:
            assert before.startswith("##"), f"{found[1]} is not documented"


@pytest.mark.parametrize("path", WAYS_IN, ids=lambda path: path.stem)
def test_a_way_in_passes_on_all_that_its_folder_declares(path):
    module = dmc.load(path)
    declared = set(_DECLARED.findall(path.read_text()))
    for file in path.with_suffix("").glob("*.dm"):
        declared |= set(_DECLARED.findall(file.read_text()))
    assert set(dir(module)) == declared


def test_only_what_is_used_is_loaded():
    program = dmc.loads("from nn import Linear\nfn f(l: Linear[2, 2]) -> f32 = sum(l.w)\n")
    loaded = set(program._loaded.program.modules)
    assert loaded == {"m", "nn", "layers"}


def test_names_asked_for_from_python_are_loaded_then():
    program = dmc.loads("import nn\nfn f(x: f64) -> f64 = x\n")
    assert program.nn.relu(np.array([-1.0, 2.0])).tolist() == [0.0, 2.0]
    layer = program.nn.Linear.init(dmc.key(0), I=2, O=3)
    assert layer.w.shape == (2, 3)


def test_a_mistake_in_a_call_is_shown_in_the_callers_line():
    text = "import nn\nfn f[N](x: f64[N], y: i32[N]) -> f64 = nn.mse(x, y)\n"
    with pytest.raises(dmc.Error) as caught:
        dmc.loads(text, "mine.dm")
    assert "--> mine.dm:2" in str(caught.value)
