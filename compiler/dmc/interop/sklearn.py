"""Programs of dm as estimators of scikit-learn, for pipelines and searches over parameters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dmc.api.function import Function
from dmc.api.loading import load
from dmc.api.module import Module
from dmc.api.training import Trainer
from dmc.interop.extras import extra
from dmc.semantics.types import TensorType
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
        outputs: str = "O",
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
        self.outputs = outputs
        self.inputs = inputs
        self.target = target
        self.arguments = arguments
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed
        self.dtype = dtype

    def _fitted(self, x: Any, y: Any, outputs: int) -> Report:
        """Train on arrays, in a folder of its own; the model is to give so many outputs."""
        path = getattr(self.program, "__file__", self.program)
        module = load(path)
        init = getattr(getattr(module, self.model, None), "init", None)
        declared = [] if init is None else [generic.name for generic in init.checked.generics]
        found = {self.features: x.shape[1], self.outputs: outputs}
        sizes = {name: size for name, size in found.items() if name in declared}
        with tempfile.TemporaryDirectory() as folder:
            recipe = {
                "program": str(path),
                "epochs": self.epochs,
                "seed": self.seed,
                "model": {
                    "name": self.model,
                    "sizes": {**sizes, **(self.sizes or {})},
                    "hyper": dict(self.hyper or {}),
                },
                "data": {"batch_size": self.batch_size},
                "arguments": dict(self.arguments or {}),
                "outputs": {"directory": folder, "plot": False},
            }
            target = _as_declared(y, module, self.target)
            trainer = Trainer(recipe, data={self.inputs: x, self.target: target})
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
    """A model of a program whose `forward` takes `f32[B, I]` and gives `f32[B]` or `f32[B, O]`.

    The program has `start` and `step` as for `dmc train`; after `fit`, `net_` is the model. One
    target may be a vector or a column, whichever `step` takes; predictions are like what `fit` got.

    Args:
        sizes, hyper: of the model; where it has them, the sizes called `features` and `outputs` are
            the numbers of columns of `X` and `y`.
        inputs, target: the parameters of `step` for `X` and `y`.
        arguments: of `step`, as in a recipe.
    """

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train from the start."""
        x, y = self._examples(X, y, y_numeric=True, multi_output=True)
        outputs = y.shape[1] if y.ndim > 1 else 1
        report = self._fitted(x, np.ascontiguousarray(y, self.dtype), outputs)
        self.net_, self.report_ = report.net, report
        self.columns_, self.dtype_ = y.shape[1:], np.result_type(y, np.float32)
        return self

    def __sklearn_tags__(self) -> Any:
        """Of estimators of several targets at once."""
        tags: Any = base.RegressorMixin.__sklearn_tags__(self)
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Any:
        """What `forward` gives, like the targets of `fit`."""
        found = self._outputs(X)
        return found.reshape(len(found), *self.columns_).astype(self.dtype_)


class Classifier(base.ClassifierMixin, _Estimator):
    """As `Regressor`, for a model whose `forward` gives logits `f32[B, O]`.

    Labels may be of any kind; `step` gets their numbers as `i32[B]`. The number of classes is the
    size called `outputs`, where the model has it and `sizes` does not.
    """

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train from the start."""
        x, y = self._examples(X, y)
        y = validation.column_or_1d(y, warn=True)
        multiclass.check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        report = self._fitted(x, numbers.astype(np.int32), len(self.classes_))
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


def _as_declared(target: Any, module: Module, name: str) -> Any:
    """Targets as `step` takes them: a vector as a column, or a column as a vector."""
    step = getattr(module, "step", None)
    parameters = step.checked.parameters if isinstance(step, Function) else ()
    for parameter in parameters:
        if parameter.name == name and isinstance(parameter.type, TensorType):
            axes = len(parameter.type.shape)
            if axes == 1 and target.shape[1:] == (1,):
                return target.reshape(-1)
            return target.reshape(-1, 1) if axes == 2 and target.ndim == 1 else target
    return target
