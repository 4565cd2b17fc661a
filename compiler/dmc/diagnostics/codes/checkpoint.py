"""Error codes of the family `checkpoint`: checkpoints."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "checkpoint.missing",
        "there is no such checkpoint",
        "The path is taken from the current directory.",
        'net = dmc.restore("nett.safetensors", mod.Net)\n',
        'net = dmc.restore("net.safetensors", mod.Net)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.unreadable",
        "a checkpoint cannot be read",
        "The reason that the operating system gives is in the message.",
        'net = dmc.restore("/root/net.safetensors", mod.Net)\n',
        'net = dmc.restore("net.safetensors", mod.Net)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.foreign",
        "a file is not a checkpoint of dmc",
        "Checkpoints are safetensors files with the names of the fields and a note of "
        "what they belong to.",
        'net = dmc.restore("photo.png", mod.Net)\n',
        'net = dmc.restore("net.safetensors", mod.Net)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.truncated",
        "a checkpoint ends too early",
        "Part of the file is missing, as after a broken copy. Checkpoints are written "
        "whole or not at all, so the copy was cut and not the saving.",
        "head -c 1000 net.safetensors > half.safetensors && dmc train digits.toml "
        "--resume half.safetensors\n",
        "dmc train digits.toml --resume net.safetensors\n",
        Language.SHELL,
    ),
    Code(
        "checkpoint.damaged",
        "the content of a checkpoint contradicts itself",
        "The header does not describe what follows it. Use an older checkpoint.",
        'net = dmc.restore("damaged.safetensors", mod.Net)\n',
        'net = dmc.restore("net.safetensors", mod.Net)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.version",
        "a checkpoint is of a newer format",
        "It was written by a later version of dmc. Install that version.",
        'net = dmc.restore("from_the_future.safetensors", mod.Net)\n',
        'net = dmc.restore("net.safetensors", mod.Net)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.mismatch",
        "a checkpoint holds another model",
        "Fields, shapes and element types must be those of the model. The message names "
        "the first that differs.",
        'net = dmc.restore("mlp.safetensors", mod.LeNet)\n',
        'net = dmc.restore("mlp.safetensors", mod.MLP)\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.full",
        "the disk is full",
        "The new checkpoint was not written; the old one is unharmed.",
        'dmc.save(net, "/full/net.safetensors")\n',
        'dmc.save(net, "net.safetensors")\n',
        Language.PYTHON,
    ),
    Code(
        "checkpoint.unwritable",
        "a checkpoint cannot be written there",
        "The reason that the operating system gives is in the message. The old "
        "checkpoint is unharmed.",
        'dmc.save(net, "/readonly/net.safetensors")\n',
        'dmc.save(net, "net.safetensors")\n',
        Language.PYTHON,
    ),
)
