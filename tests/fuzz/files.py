"""Data, checkpoints, recipes and logs of strangers: read, or refused in words, in bounded time."""

from __future__ import annotations

import functools
import io
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import dmc
from dmc_runtime import checkpoint, metrics, recipe
from dmc_runtime.data import load
from tests.fuzz import texts
from tests.fuzz.family import Fault, Outcome, raised
from tests.tools.test_train import RECIPE

SECONDS = 2.0
"""Processor time that reading a small file may take."""
PROGRAM = """
struct Layer {
    w: f32[3, 2]
    b: f32[2]
}
struct Net {
    first: Layer
    scale: f64
}
"""
MARKS = (b"[", b"{", b"(", b'"', b"\0", b"\xff", b"a.", b"[[", b"1", b"-", b",", b"\n")
"""What is repeated at a place of a file."""


@functools.cache
def program() -> Any:
    return dmc.loads(PROGRAM)


@functools.cache
def net() -> Any:
    layer = program().Layer(w=np.ones((3, 2), np.float32), b=np.zeros(2, np.float32))
    return program().Net(first=layer, scale=2.0)


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((5, 3)).astype(np.float32),
        "y": np.arange(5),
        "z": rng.random(5) < 0.5,
    }


def _written(save: Callable[[io.BytesIO], None]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    return _written(lambda file: np.save(file, array))


def corpus(folder: Path) -> Mapping[str, tuple[bytes, ...]]:
    """Whole files, by what they are called."""
    saved = folder / "saved.safetensors"
    dmc.save(net(), saved, {"epoch": 3, "scores": [0.5, 0.25]})
    arrays = _arrays()
    fields = np.zeros(3, dtype=[("a", "f4"), ("b", "i8", (2,))])
    rows = [{"step": i, "loss": 1.0 / (i + 1), "seconds": 0.5} for i in range(6)]
    recipes = (RECIPE.format(program="regression.dm", epochs=3, rate=0.1),)
    return {
        "data.npz": (
            _written(lambda file: np.savez(file, allow_pickle=False, **arrays)),
            _written(lambda file: np.savez_compressed(file, allow_pickle=False, **arrays)),
        ),
        "data.npy": (_npy(arrays["x"]), _npy(arrays["z"]), _npy(fields)),
        "data.csv": (b"x,y\n1.0,2\n0.5,-3e4\n", "\ufeffa,b\r\n1,true\r\n".encode()),
        "data.safetensors": (safetensors.numpy.save(arrays),),
        "saved.safetensors": (saved.read_bytes(),),
        "recipe.toml": tuple(text.encode() for text in recipes),
        "metrics.jsonl": ("".join(json.dumps(row) + "\n" for row in rows).encode(),),
    }


def mutant(data: bytes, rng: random.Random) -> bytes:
    """The bytes after one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 100)))
        match rng.randrange(8):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:at] + data[at:to] + data[at:]
            case 3:
                data = data[:at] + rng.randbytes(to - at) + data[to:]
            case 4:
                data = data[:at] + rng.choice(MARKS) * rng.choice((1, 3, 20_000)) + data[at:]
            case 5:
                other = rng.randrange(len(data) + 1)
                data = data[:at] + data[other : other + 40] + data[at:]
            case _:
                text = data.decode("latin-1")
                # Numbers, names and brackets that stand in the headers of files.
                data = texts.mutant(text, [text], rng).encode("latin-1", "replace")
    return data


def signed(data: bytes, rng: random.Random) -> bytes:
    """A checkpoint whose own text is changed, and whose checksum is right."""
    size = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + size])["__metadata__"]["dmc"]
    changed = mutant(text.encode(), rng).decode("utf-8", "replace")
    arrays = safetensors.numpy.load(data)
    digest = checkpoint._digest(changed, arrays)
    return safetensors.numpy.save(arrays, {"dmc": changed, "dmc.sha256": digest})


def read(name: str, path: Path) -> object:
    """What a user does with a file of that name."""
    match name:
        case "saved.safetensors":
            found = checkpoint.read(path)
            dmc.restore(path, net())
            return found and dmc.restore(path, program().Net)
        case "recipe.toml":
            return recipe.load(path)
        case "metrics.jsonl":
            return metrics.read(path.parent)
        case _:
            table = load(path)
            return [np.array(column) for column in table.columns.values()]


def outcome_of(path: Path, data: bytes) -> Outcome:
    """What becomes of a file with that content."""
    name = path.name
    path.write_bytes(data)
    start = time.process_time()
    try:
        read(name, path)
        outcome: Outcome = "read"
    except dmc.Error as refusal:
        outcome = "refused" if str(refusal).strip() else Fault("no message", repr(refusal))
    except Exception as failure:  # noqa: BLE001  # this is what must not be
        return raised(name, failure)
    took = time.process_time() - start
    return Fault(f"{name}: takes long", f"{took:.1f} s") if took > SECONDS else outcome


@dataclass(frozen=True)
class Files:
    """A seed decides the file and what is changed in it."""

    folder: Path
    name: str = "files"

    @functools.cached_property
    def corpus(self) -> Mapping[str, tuple[bytes, ...]]:
        return corpus(self.folder)

    def data(self, seed: int) -> tuple[Path, bytes]:
        rng = random.Random(f"file {seed}")
        name = rng.choice(list(self.corpus))
        data = rng.choice(self.corpus[name])
        if name == "saved.safetensors" and rng.random() < 0.5:
            return self.folder / name, signed(data, rng)
        return self.folder / name, mutant(data, rng)

    def check(self, seed: int) -> Outcome:
        return outcome_of(*self.data(seed))

    def shrunk(self, seed: int, fault: Fault) -> str:
        path, data = self.data(seed)

        def holds(smaller: str) -> bool:
            found = outcome_of(path, smaller.encode("latin-1"))
            return isinstance(found, Fault) and found.kind == fault.kind

        return repr(texts.shrink(data.decode("latin-1"), holds).encode("latin-1"))[:2000]
