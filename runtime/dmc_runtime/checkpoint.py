"""Checkpoints: trees of arrays in safetensors files.

The file is plain safetensors (https://github.com/huggingface/safetensors), so any reader of the
format can open it; nothing in it is ever executed. Its header's metadata holds two texts of ours:

    dmc         JSON: format version, the records in the tree, and what the caller adds
    dmc.sha256  SHA-256 over that text and over every tensor's name, type, shape and bytes

A leaf is stored under its path (`net.l1.w`; `value` when the tree is one leaf). A file is written
beside its target, synced and renamed: whatever fails, the old checkpoint stays whole.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeVar, cast, overload

import numpy as np

from dmc_runtime import arguments
from dmc_runtime.errors import (
    ArgumentError,
    CheckpointCode,
    CheckpointError,
    MissingExtraError,
    TrainCode,
    TrainError,
)
from dmc_runtime.files import is_full, reason, replace
from dmc_runtime.leafwise import bfloat16, brief, is_numeric
from dmc_runtime.records import Record
from dmc_runtime.trees import (
    Array,
    Constant,
    Field,
    Kind,
    Leaf,
    Node,
    Tree,
    build,
    children_of,
    constants_of,
    kind_of,
    spec_of,
    stack_of,
    tree_flatten,
    tree_paths,
    tree_unflatten,
)

VERSION = 1
BARE = "value"

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
R = TypeVar("R", bound=Record)
T = TypeVar("T", bound=Tree)

_MAX_HEADER = 100_000_000
_NOT_OURS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What JSON that something else wrote leads to."""


@dataclass(frozen=True)
class RecordNote:
    """What a file tells of a record in its tree."""

    name: str
    fields: tuple[str, ...]
    constants: dict[str, Constant]
    stack: tuple[int, ...]

    def __str__(self) -> str:
        inner = ", ".join(f"{name} = {value}" for name, value in self.constants.items())
        return f"{self.name}[{inner}]" if inner else self.name

    @classmethod
    def parse(cls, note: Mapping[str, Any]) -> RecordNote:
        """From JSON; one of `_NOT_OURS` for what is none."""
        return cls(
            str(note["name"]),
            tuple(map(str, note["fields"])),
            dict(note["constants"]),
            tuple(map(int, note["stack"])),
        )


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: arrays and records by path, and what the caller added."""

    arrays: dict[str, Array]
    records: dict[str, RecordNote]
    metadata: dict[str, Json]


def save(tree: Tree, path: str | Path, metadata: Mapping[str, Json] | None = None) -> None:
    """Writes a tree of arrays and numbers, replacing the file in one step.

    Args:
        metadata: JSON values to keep beside the arrays; not NaN nor infinite.

    Raises:
        CheckpointError: `full` or `unwritable`; the file at `path` is then what it was before.
        MissingExtraError: without the package safetensors.
        ArgumentError: for metadata that is not JSON, or leaves that are not numeric.
    """
    target = arguments.path(path, "`dmc.save`: the path")
    with arguments.shallow("`dmc.save`: the tree"):
        arrays = {name or BARE: _storable(name, leaf) for name, leaf in _named(tree)}
    content = {
        "version": VERSION,
        "records": {path: asdict(note) for path, note in _records(tree, "").items()},
        "metadata": {} if metadata is None else metadata,
    }
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"`dmc.save`: the metadata is not JSON: {error}") from None
    header = {"dmc": text, "dmc.sha256": _digest(text, arrays)}
    data: bytes = _safetensors("safetensors.numpy").save(arrays, metadata=header)
    try:
        replace(target, data)
    except OSError as error:
        code = CheckpointCode.FULL if is_full(error) else CheckpointCode.UNWRITABLE
        raise CheckpointError(code, f"cannot write `{target}`: {reason(error)}") from error


def read(path: str | Path) -> Checkpoint:
    """Reads and checks a whole file.

    Raises:
        CheckpointError: `missing`, `unreadable`, `foreign`, `truncated`, `damaged` or `version`.
        MissingExtraError: without the package safetensors.
    """
    target = arguments.path(path, "`dmc.restore`: the path")
    try:
        data = target.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(CheckpointCode.MISSING, f"there is no file `{target}`") from error
    except OSError as error:
        raise CheckpointError(
            CheckpointCode.UNREADABLE, f"cannot read `{target}`: {reason(error)}"
        ) from error
    texts = _header_texts(target, data)
    text, digest = texts["dmc"], texts.get("dmc.sha256", "")
    try:
        arrays = _arrays(data)
    except MissingExtraError:
        raise
    except Exception as error:
        raise _damaged(target, str(error)) from error
    if digest != _digest(text, arrays):
        raise _damaged(target, "its checksum does not match its content")
    try:
        content = cast("dict[str, Any]", json.loads(text))
        version = int(content["version"])
        if version > VERSION:
            raise CheckpointError(
                CheckpointCode.VERSION,
                f"`{target}` has format {version}; this version of dmc reads up to {VERSION}",
            )
        notes = {path: RecordNote.parse(note) for path, note in content["records"].items()}
        return Checkpoint(arrays, notes, dict(content["metadata"]))
    except _NOT_OURS as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(target, "its metadata is not what `dmc.save` writes") from error


@overload
def restore(path: str | Path, like: type[R], part: str = "") -> R: ...
@overload
def restore(path: str | Path, like: T, part: str = "") -> T: ...
def restore(path: str | Path, like: type[R] | T, part: str = "") -> R | T:
    """The tree in a file: a record of the class `like`, or a tree of the structure of `like`.

    Args:
        part: the path of the subtree to take; a training checkpoint has the model at `net`.

    Raises:
        CheckpointError: as `read`, and `mismatch` when the file holds another structure, sizes,
            shapes or dtypes than `like`.
    """
    checkpoint = read(path)
    part = arguments.text(part, "`dmc.restore`: `part`")
    with arguments.shallow("`dmc.restore`: `like`"):
        return assemble(checkpoint, like, part, str(path))


@overload
def assemble(checkpoint: Checkpoint, like: type[R], part: str = "", source: str = "") -> R: ...
@overload
def assemble(checkpoint: Checkpoint, like: T, part: str = "", source: str = "") -> T: ...
def assemble(checkpoint: Checkpoint, like: type[R] | T, part: str = "", source: str = "") -> R | T:
    """As `restore`, from a file already read; `source` names it in messages."""
    reader = _Assembler(checkpoint, source or "the checkpoint")
    if isinstance(like, type):
        if not issubclass(cast("type[object]", like), Node):
            raise ArgumentError(f"`dmc.restore`: {like.__name__} is no class of records")
        return cast("R", reader.record(like, part))
    return reader.like(like, part)


def read_safetensors(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file of any origin. Raises OSError or, for none, TrainError."""
    data = path.read_bytes()
    try:
        return _arrays(data)
    except MissingExtraError:
        raise
    except Exception as error:
        raise TrainError(TrainCode.DATA, f"`{path}` is no safetensors file: {error}") from error


class _Assembler:
    """Puts the arrays of one checkpoint back into trees."""

    def __init__(self, checkpoint: Checkpoint, source: str) -> None:
        self.arrays = checkpoint.arrays
        self.records = checkpoint.records
        self.source = source

    def record(self, cls: type[Node], path: str) -> Node:
        """A record of class `cls` at `path`, with the constants that the file tells."""
        note = self.records.get(path)
        if note is None or note.name != spec_of(cls).name:
            where = f" at `{path}`" if path else ""
            raise self.mismatch(f"holds {note or 'no record'}{where}, not a {spec_of(cls).name}")
        if note.fields != spec_of(cls).names:
            raise self.mismatch(f"{note.name} has the fields {', '.join(note.fields)} there")
        values = [self.field(field, _join(path, f".{field.name}")) for field in spec_of(cls).fields]
        return build(cls, values, note.constants, note.stack)

    def field(self, field: Field, path: str) -> Tree:
        """The value of a field at `path`."""
        if path in self.arrays:
            return self.arrays[path]
        if path in self.records and field.record is not None:
            return self.record(field.record, path)
        if any(_within(name, path) for name in (*self.arrays, *self.records)):
            raise self.mismatch(f"`{path}` needs a value to restore like, not a class")
        return None

    def like(self, tree: T, path: str) -> T:
        """A tree of the structure of `tree` at `path`, each leaf of the same shape and dtype."""
        expected = _records(tree, path)
        for place, wanted in expected.items():
            found = self.records.get(place)
            if found != wanted:
                where = f"`{place}`" if place else "the record"
                raise self.mismatch(f"{where} is {found or 'missing'}, expected {wanted}")
        leaves, treedef = tree_flatten(tree)
        paths = [_join(path, p) or BARE for p in tree_paths(tree)]
        restored = [self.leaf(p, leaf) for p, leaf in zip(paths, leaves, strict=True)]
        extra = [n for n in self.arrays if _within(n, path) and n not in set(paths)]
        if extra:
            raise self.mismatch(f"also holds `{extra[0]}`")
        return cast("T", tree_unflatten(treedef, restored))

    def leaf(self, path: str, like: Leaf) -> Leaf:
        """The leaf at `path`; a Python number where `like` is one."""
        array = self.arrays.get(path)
        if array is None:
            raise self.mismatch(f"has no `{path}`")
        wanted = np.asarray(like)
        if array.shape != wanted.shape or array.dtype != wanted.dtype:
            raise self.mismatch(f"`{path}` is {brief(array)} there, expected {brief(wanted)}")
        if isinstance(like, np.ndarray):
            return array
        return array[()] if isinstance(like, np.generic) else array.item()

    def mismatch(self, difference: str) -> CheckpointError:
        """The refusal that names the first difference."""
        return CheckpointError(
            CheckpointCode.MISMATCH, f"`{self.source}` does not fit: {difference}"
        )


def _records(tree: Tree, path: str) -> dict[str, RecordNote]:
    """A note of every record in a tree, by path."""
    if kind_of(tree) in (Kind.LEAF, Kind.NONE):
        return {}
    found: dict[str, RecordNote] = {}
    if isinstance(tree, Node):
        found[path] = RecordNote(
            spec_of(tree).name, spec_of(tree).names, constants_of(tree), stack_of(tree)
        )
    for step, child in children_of(tree):
        found |= _records(child, _join(path, step))
    return found


def _join(path: str, step: str) -> str:
    if not path:
        return step.removeprefix(".")
    return path + step if step.startswith((".", "[")) or not step else f"{path}.{step}"


def _within(path: str, part: str) -> bool:
    return not part or (path.startswith(part) and path[len(part) : len(part) + 1] in ("", ".", "["))


def _named(tree: Tree) -> list[tuple[str, Leaf]]:
    return list(zip(tree_paths(tree), tree_flatten(tree)[0], strict=True))


def _storable(path: str, leaf: Leaf) -> Array:
    array = np.asarray(leaf, order="C")
    if not is_numeric(array.dtype) or array.itemsize > 8:
        name = f"the leaf `{path}`" if path else "the value"
        raise ArgumentError(f"`dmc.save`: {name} is {array.dtype}, which is no array of numbers")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _header_texts(path: Path, data: bytes) -> dict[str, str]:
    """The header's metadata; says whether a file is cut short or never was a checkpoint."""
    if not data:
        raise CheckpointError(CheckpointCode.TRUNCATED, f"`{path}` is empty")
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= _MAX_HEADER or data[8:9] not in (b"{", b""):
        raise _foreign(path, "it is not a safetensors file")
    if len(data) < 8 + size:
        raise _truncated(path, 8 + size, len(data))
    try:
        header = cast("dict[str, dict[str, Any]]", json.loads(data[8 : 8 + size]))
        texts = cast("dict[str, str]", header.pop("__metadata__", {}))
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except _NOT_OURS as error:
        raise _foreign(path, "it is not a safetensors file") from error
    end = 8 + size + max(ends, default=0)
    if len(data) < end:
        raise _truncated(path, end, len(data))
    if not isinstance(texts.get("dmc"), str):
        raise _foreign(path, "it is a safetensors file, but `dmc.save` did not write it")
    return texts


def _foreign(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(CheckpointCode.FOREIGN, f"`{path}` is no checkpoint: {reason}")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(CheckpointCode.DAMAGED, f"`{path}` is damaged: {reason}")


def _truncated(path: Path, wanted: int, found: int) -> CheckpointError:
    return CheckpointError(
        CheckpointCode.TRUNCATED, f"`{path}` is cut short: {found} of {wanted} bytes"
    )


def _safetensors(module: str = "safetensors") -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("safetensors", "train", "a checkpoint") from error


_NAMES = {
    **{f"{kind}{bits}": f"<{kind.lower()}{bits // 8}" for kind in "IU" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    "BOOL": "?",
}
"""Element types by their names in files."""


def _arrays(data: bytes) -> dict[str, Array]:
    """The arrays of a file. The package does not read bf16 into NumPy by itself."""
    found: dict[str, Array] = {}
    for name, tensor in _safetensors().deserialize(data):
        kind: str = tensor["dtype"]
        dtype = bfloat16() if kind == "BF16" else np.dtype(_NAMES[kind])
        array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
        found[name] = array.astype(dtype.newbyteorder("="), copy=False)
    return found
