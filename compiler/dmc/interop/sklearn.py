"""Programs of dm as estimators of scikit-learn, for pipelines and searches over parameters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dmc.api.training import Trainer
from dmc.interop.extras import extra
from dmc_runtime.runs import Report

base = extra("sklearn.base", "scikit-learn", "sklearn", "`dmc.sklearn`")
validation = extra("sklearn.utils.validation", "scikit-learn", "sklearn", "`dmc.sklearn`")
multiclass = extra("sklearn.utils.multiclass", "scikit-learn", "sklearn", "`dmc.sklearn`")


class _Estimator(base.BaseEstimator):
    """What both kinds of estimator do; see `Regressor`."""

    def __init__(
        self,
        program: str | Path,
        model: str,
        *,
        sizes: Mapping[str, int] | None = None,
        hyper: Mapping[str, float] | None = None,
        features: str = "I",
        inputs: str = "x",
        target: str = "y",
        arguments: Mapping[str, Any] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        seed: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.program = program
        self.model = model
        self.sizes = sizes
        self.hyper = hyper
        self.features = features
        self.inputs = inputs
        self.target = target
        self.arguments = arguments
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed
        self.dtype = dtype

    def _fitted(self, x: Any, y: Any, sizes: Mapping[str, int]) -> Report:
        """Train on arrays, in a folder of its own."""
        with tempfile.TemporaryDirectory() as folder:
            recipe = {
                "program": str(getattr(self.program, "__file__", self.program)),
                "epochs": self.epochs,
                "seed": self.seed,
                "model": {
                    "name": self.model,
                    "sizes": {self.features: x.shape[1], **sizes, **(self.sizes or {})},
                    "hyper": dict(self.hyper or {}),
                },
                "data": {"batch_size": self.batch_size},
                "arguments": dict(self.arguments or {}),
                "outputs": {"directory": folder, "plot": False},
            }
            trainer = Trainer(recipe, data={self.inputs: x, self.target: y})
            return trainer.run(progress=False)

    def _examples(self, x: Any, y: Any, **how: Any) -> tuple[Any, Any]:
        """Examples to train on, as scikit-learn checks them: two axes, finite, as many of both."""
        return validation.validate_data(self, x, y, dtype=self.dtype, order="C", **how)

    def _outputs(self, x: Any) -> Any:
        """What the model gives."""
        validation.check_is_fitted(self)
        x = validation.validate_data(self, x, reset=False, dtype=self.dtype, order="C")
        return np.asarray(self.net_(x))


class Regressor(base.RegressorMixin, _Estimator):
    """A model of a program whose `forward` takes `f32[B, I]` and gives what is predicted.

    The program has `start` and `step` as for `dmc train`; after `fit`, `net_` is the model.

    Args:
        sizes, hyper: of the model; the size called `features` is the number of columns of `X`.
        inputs, target: the parameters of `step` for `X` and `y`.
        arguments: of `step`, as in a recipe.
    """

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train from the start."""
        x, y = self._examples(X, y, y_numeric=True, multi_output=True)
        report = self._fitted(x, np.ascontiguousarray(y, self.dtype), {})
        self.net_, self.report_ = report.net, report
        return self

    def predict(self, X: Any) -> Any:
        """What `forward` gives."""
        return self._outputs(X)


class Classifier(base.ClassifierMixin, _Estimator):
    """As `Regressor`, for a model whose `forward` gives logits `f32[B, O]`.

    Labels may be of any kind; `step` gets their numbers as `i32[B]`. The number of classes is the
    size `O`, unless `sizes` has it.
    """

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train from the start."""
        x, y = self._examples(X, y)
        multiclass.check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        report = self._fitted(x, numbers.astype(np.int32), {"O": len(self.classes_)})
        self.net_, self.report_ = report.net, report
        return self

    def predict(self, X: Any) -> Any:
        """The class with the largest logit."""
        largest = self._outputs(X).argmax(axis=1)
        return self.classes_[largest]

    def predict_proba(self, X: Any) -> Any:
        """The softmax of the logits."""
        logits = self._outputs(X).astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)
