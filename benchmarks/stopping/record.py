"""Records the learning curves that the early-stopping rules are measured on: `python -m benchmarks.stopping.record`.

Real models of scikit-learn are trained on the data sets that come with it, with parameters drawn at random, and judged on data
held out after each epoch. Done once: the curves are stored beside this file, one line for each model. The same versions of
scikit-learn and numpy give the same curves again.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.stopping.curves import FOLDER, Model, Task, write
from katib.domain.study import Objective

Rng = np.random.Generator
Parameters = dict[str, Any]

MODELS = 200
EPOCHS = 50


@dataclass(frozen=True)
class Data:
    """Trained on, and held out."""

    x: Any
    y: Any
    held_x: Any
    held_y: Any

    @classmethod
    def of(cls, x: Any, y: Any, held_out: float, most: int) -> "Data":
        train_x, held_x, train_y, held_y = train_test_split(x, y, test_size=held_out, random_state=0)
        scaler = StandardScaler().fit(train_x[:most])
        return cls(scaler.transform(train_x[:most]), train_y[:most], scaler.transform(held_x), held_y)


@dataclass(frozen=True)
class Recipe:
    name: str
    metric: str
    objective: Objective
    data: Callable[[], Data]
    draw: Callable[[Rng], Parameters]
    make: Callable[[Parameters, int], Any]
    measure: Callable[[Any, Data], float]


def between(rng: Rng, low: float, high: float) -> float:
    """Evenly on a log scale, to three digits."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def of_mlp(rng: Rng) -> Parameters:
    return {
        "learning_rate_init": between(rng, 1e-5, 0.3),
        "hidden": int(rng.choice([4, 8, 16, 32, 64])),
        "alpha": between(rng, 1e-6, 1.0),
        "batch_size": int(rng.choice([16, 32, 64, 128])),
        "solver": str(rng.choice(["adam", "sgd"])),
    }


def mlp(kind: Callable[..., Any]) -> Callable[[Parameters, int], Any]:
    def make(parameters: Parameters, seed: int) -> Any:
        rest = {k: v for k, v in parameters.items() if k != "hidden"}
        return kind(hidden_layer_sizes=(parameters["hidden"],), random_state=seed, **rest)

    return make


def of_sgd(rng: Rng) -> Parameters:
    return {
        "eta0": between(rng, 1e-6, 3.0),
        "alpha": between(rng, 1e-7, 1.0),
        "penalty": str(rng.choice(["l2", "l1", "elasticnet"])),
        "learning_rate": str(rng.choice(["constant", "invscaling"])),
        "average": bool(rng.integers(2)),
    }


def sgd(parameters: Parameters, seed: int) -> Any:
    return SGDClassifier(loss="log_loss", random_state=seed, **parameters)


def accuracy(model: Any, data: Data) -> float:
    return float(model.score(data.held_x, data.held_y))


def cross_entropy(model: Any, data: Data) -> float:
    return float(log_loss(data.held_y, model.predict_proba(data.held_x), labels=np.unique(data.y)))


def squared_error(model: Any, data: Data) -> float:
    # In variances of what is to be predicted.
    return float(mean_squared_error(data.held_y, model.predict(data.held_x)) / np.var(data.held_y))


def digits(most: int, held_out: float = 0.3) -> Callable[[], Data]:
    return lambda: Data.of(*load_digits(return_X_y=True), held_out, most)


def diabetes() -> Data:
    x, y = load_diabetes(return_X_y=True)
    return Data.of(x, (y - y.mean()) / y.std(), 0.3, 1000)


RECIPES = (
    Recipe("digits-mlp", "accuracy", Objective.MAXIMIZE, digits(1000), of_mlp, mlp(MLPClassifier), accuracy),
    Recipe("digits-sgd", "loss", Objective.MINIMIZE, digits(1000), of_sgd, sgd, cross_entropy),
    # Few to learn from and few held out: the accuracy jumps.
    Recipe("digits-small-sgd", "accuracy", Objective.MAXIMIZE, digits(200, 0.1), of_sgd, sgd, accuracy),
    Recipe(
        "cancer-mlp",
        "loss",
        Objective.MINIMIZE,
        lambda: Data.of(*load_breast_cancer(return_X_y=True), 0.3, 1000),
        of_mlp,
        mlp(MLPClassifier),
        cross_entropy,
    ),
    Recipe("diabetes-mlp", "error", Objective.MINIMIZE, diabetes, of_mlp, mlp(MLPRegressor), squared_error),
)


def curve(recipe: Recipe, data: Data, parameters: Parameters, seed: int) -> Iterator[float]:
    """One value after each epoch. NaN from where the training has failed: with a step too large its numbers overflow."""
    model = recipe.make(parameters, seed)
    classes = {} if isinstance(model, MLPRegressor) else {"classes": np.unique(data.y)}
    failed = False
    for _ in range(EPOCHS):
        if not failed:
            try:
                model.partial_fit(data.x, data.y, **classes)
                value = recipe.measure(model, data)
            except (ValueError, FloatingPointError):
                failed = True
        yield float("nan") if failed else value


def record(recipe: Recipe) -> Task:
    data = recipe.data()
    rng = np.random.default_rng(RECIPES.index(recipe))
    models = []
    for seed in range(MODELS):
        parameters = recipe.draw(rng)
        models.append(Model(parameters, tuple(float(f"{v:.4g}") for v in curve(recipe, data, parameters, seed))))
    return Task(recipe.name, recipe.metric, recipe.objective, tuple(models))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="*", help=f"of {', '.join(r.name for r in RECIPES)} (default: all)")
    wanted = parser.parse_args().task
    warnings.simplefilter("ignore")
    for recipe in RECIPES:
        if not wanted or recipe.name in wanted:
            write(record(recipe))
            print(f"recorded {FOLDER / recipe.name}.txt", flush=True)


if __name__ == "__main__":
    with threadpool_limits(limits=1), np.errstate(all="ignore"):
        main()
