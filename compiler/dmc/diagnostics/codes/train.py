"""Error codes of the family `train`: training runs and their recipes."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "train.recipe",
        "a recipe is not valid",
        "A recipe is a TOML file; the message names the entry and what it may be.",
        '[train]\nepochs = "many"\n',
        "[train]\nepochs = 10\n",
        Language.TOML,
    ),
    Code(
        "train.data",
        "the data of a run cannot be used",
        "The arrays must exist, have the same number of rows and the types that the "
        "step function declares.",
        "dmc train recipe_with_unequal_rows.toml\n",
        "dmc train recipe.toml\n",
        Language.SHELL,
    ),
    Code(
        "train.step",
        "the step function of a run does not fit its data",
        "The step takes the model, the optimizer state and a batch, and gives them back updated.",
        "dmc train recipe_without_step.toml\n",
        "dmc train recipe.toml\n",
        Language.SHELL,
    ),
    Code(
        "train.nonfinite",
        "the loss is not finite",
        "The run stopped at the first loss that was NaN or infinite; the last "
        "checkpoint is from before. Look for a learning rate that is too large, or for "
        "such values in the data.",
        "dmc train recipe_with_rate_1e9.toml\n",
        "dmc train recipe.toml\n",
        Language.SHELL,
    ),
    Code(
        "train.exists",
        "there is a run already",
        "The folder of the recipe holds a run, and none is written over unless that is asked for. "
        "Go on with it, write over it, or name another folder.",
        "dmc train recipe.toml && dmc train recipe.toml\n",
        "dmc train recipe.toml && dmc train recipe.toml --overwrite\n",
        Language.SHELL,
    ),
    Code(
        "train.resume",
        "a run cannot go on from this checkpoint",
        "It was written by a run of another program, model, seed or data, so going on would not "
        "give what the recipe promises. Length, arguments and outputs may change.",
        "dmc train other.toml --resume run.safetensors\n",
        "dmc train recipe.toml --resume run.safetensors\n",
        Language.SHELL,
    ),
    Code(
        "train.output",
        "what a run gives cannot be written",
        "Metrics, plots and checkpoints go into the folder that the recipe names. When the disk is "
        "full the run stops; make room, then resume it from its last checkpoint.",
        "dmc train recipe.toml    # on a full disk\n",
        "dmc train recipe.toml --resume\n",
        Language.SHELL,
    ),
    Code(
        "train.extra",
        "a package that this needs is not installed",
        "Progress bars, plots and checkpoints use optional packages.",
        "pip install dmc && dmc train recipe.toml\n",
        "pip install 'dmc[train,plot]' && dmc train recipe.toml\n",
        Language.SHELL,
    ),
)
