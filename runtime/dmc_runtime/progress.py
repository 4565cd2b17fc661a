"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from dmc_runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from tqdm import tqdm

SHOWN = 3
"""How many metrics are shown beside the steps."""


class Progress:
    """Steps, metrics, rate and time left, on standard error; also a context manager.

    Args:
        wanted: whether to show it at all; where standard error is no terminal it never shows.

    Raises:
        MissingExtraError: when it is wanted and tqdm is missing.
    """

    def __init__(self, total: int, done: int, wanted: bool) -> None:
        self._bar = _bar(total, done) if wanted else None

    def show(
        self, step: int, training: Mapping[str, float], validation: Mapping[str, float]
    ) -> None:
        """Moves to `step`."""
        if self._bar is None or self._bar.disable:
            return
        texts = [f"{name}={value:.4g}" for name, value in list(training.items())[:SHOWN]]
        texts += [f"validation={value:.4g}" for value in list(validation.values())[:1]]
        self._bar.set_postfix_str(", ".join(texts), refresh=False)
        self._bar.update(step - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(total: int, done: int) -> tqdm[NoReturn]:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError("tqdm", "train", "a progress bar") from error
    return tqdm(total=total, initial=done, unit="step", disable=None, dynamic_ncols=True)
