"""More models on the same data sets: estimators on other data than in `models` and `other_models`, and some that neither has.
No algorithm is tuned on them: they were chosen before any search, and tell whether what the others say holds elsewhere.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from benchmarks.quality.modelling import SCALERS, Model, Setting, folds, rows

# What a network that diverged has lost.
MOST = 10.0


def logistic_digits() -> Model:
    x, y = rows(load_digits, 400)
    powers = range(-16, 5)

    def losses(s: Setting) -> list[float]:
        parts = []
        for a, b, c, d in folds(x, y, 2):
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), PCA(s["components"], random_state=0))
            train, test = pipe.fit_transform(a), pipe.transform(c)
            each = []
            for power in powers:
                model = LogisticRegression(
                    C=2.0**power,
                    fit_intercept=s["intercept"] == "yes",
                    class_weight=None if s["weights"] == "none" else "balanced",
                    max_iter=100,
                ).fit(train, b)
                each.append(log_loss(d, np.clip(model.predict_proba(test), 1e-6, 1.0), labels=np.arange(10)))
            parts.append(each)
        return list(np.mean(parts, axis=0))

    return Model(
        "logistic-digits",
        "PCA and LogisticRegression, 400 digits, log loss over 2 folds",
        {
            "scaler": tuple(SCALERS),
            "intercept": ("yes", "no"),
            "weights": ("none", "balanced"),
            "components": range(4, 41, 4),
            "log2_C": powers,
        },
        losses,
    )


def neighbours_diabetes() -> Model:
    x, y = rows(load_diabetes)
    neighbours = range(1, 42, 2)

    def losses(s: Setting) -> Any:
        parts = []
        for a, b, c, d in folds(x, y, 3):
            reduce = make_pipeline(clone(SCALERS[s["scaler"]]), PCA(s["components"], random_state=0))
            found = NearestNeighbors(n_neighbors=max(neighbours), metric=s["metric"], algorithm="brute")
            distances, which = found.fit(reduce.fit_transform(a)).kneighbors(reduce.transform(c))
            weights = np.ones_like(distances) if s["weights"] == "uniform" else 1 / np.maximum(distances, 1e-12)
            means = np.cumsum(weights * b[which], axis=1) / np.cumsum(weights, axis=1)
            parts.append([float(np.mean((means[:, k - 1] - d) ** 2)) for k in neighbours])
        return np.mean(parts, axis=0)

    return Model(
        "neighbours-diabetes",
        "PCA and nearest neighbours, diabetes, squared error over 3 folds",
        {
            "scaler": tuple(SCALERS),
            "metric": ("manhattan", "euclidean", "chebyshev"),
            "weights": ("uniform", "distance"),
            "components": range(1, 11),
            "neighbours": neighbours,
        },
        losses,
    )


def forest_diabetes() -> Model:
    x, y = rows(load_diabetes)
    trees = range(2, 41, 2)

    def losses(s: Setting) -> Any:
        model = RandomForestRegressor(
            n_estimators=max(trees),
            bootstrap=s["bootstrap"] == "yes",
            max_depth=s["depth"],
            min_samples_leaf=s["leaf"],
            max_features=s["features"],
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            each = [tree.predict(c) for tree in clone(model).fit(a, b).estimators_]
            means = np.cumsum(each, axis=0) / np.arange(1, len(each) + 1)[:, None]
            parts.append([float(np.mean((means[t - 1] - d) ** 2)) for t in trees])
        return np.mean(parts, axis=0)

    return Model(
        "forest-diabetes",
        "RandomForestRegressor, diabetes, squared error over 2 folds",
        {
            "bootstrap": ("yes", "no"),
            "depth": range(1, 14, 3),
            "leaf": range(1, 14, 3),
            "features": range(1, 11, 3),
            "trees": trees,
        },
        losses,
    )


def boosting_wine() -> Model:
    x, y = rows(load_wine)
    rounds = range(3, 61, 3)

    def losses(s: Setting) -> Any:
        model = GradientBoostingClassifier(
            n_estimators=max(rounds),
            learning_rate=2.0 ** s["log2_rate"],
            max_depth=s["depth"],
            subsample=s["rows_percent"] / 100,
            min_samples_leaf=2 ** s["log2_leaf"],
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 3):
            staged = clone(model).fit(a, b).staged_predict_proba(c)
            parts.append([log_loss(d, np.clip(np.nan_to_num(p), 1e-6, 1.0), labels=np.arange(3)) for p in staged])
        return np.mean(parts, axis=0)[[r - 1 for r in rounds]]

    return Model(
        "boosting-wine",
        "GradientBoostingClassifier, wine, log loss over 3 folds",
        {
            "depth": range(1, 5),
            "rows_percent": range(40, 101, 30),
            "log2_leaf": range(0, 5, 2),
            "log2_rate": range(-7, 1),
            "rounds": rounds,
        },
        losses,
    )


def histogram_diabetes() -> Model:
    x, y = rows(load_diabetes)
    rounds = range(4, 61, 4)

    def losses(s: Setting) -> Any:
        model = HistGradientBoostingRegressor(
            loss=s["loss"],
            max_iter=max(rounds),
            learning_rate=2.0 ** s["log2_rate"],
            max_leaf_nodes=2 ** s["log2_leaves"],
            min_samples_leaf=2 ** s["log2_leaf"],
            l2_regularization=10.0 ** s["log10_l2"],
            max_bins=32,
            early_stopping=False,
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            staged = clone(model).fit(a, b).staged_predict(c)
            parts.append([float(np.mean((p - d) ** 2)) for p in staged])
        return np.mean(parts, axis=0)[[r - 1 for r in rounds]]

    return Model(
        "histogram-diabetes",
        "HistGradientBoostingRegressor, diabetes, squared error over 2 folds",
        {
            "loss": ("squared_error", "absolute_error"),
            "log2_leaves": range(1, 5),
            "log2_leaf": range(2, 7, 2),
            "log10_l2": range(-3, 2, 2),
            "log2_rate": range(-6, 1),
            "rounds": rounds,
        },
        losses,
    )


def network_cancer() -> Model:
    x, y = rows(load_breast_cancer)
    x = StandardScaler().fit_transform(x)
    epochs = range(1, 13)

    def losses(s: Setting) -> list[float]:
        model = MLPClassifier(
            hidden_layer_sizes=(2 ** s["log2_width"],) * s["layers"],
            activation=s["activation"],
            solver=s["solver"],
            learning_rate_init=2.0 ** s["log2_rate"],
            batch_size=32,
            random_state=0,
        )
        out: list[float] = []
        with contextlib.suppress(ValueError):  # it diverged so far that it has no weights any more
            for _ in epochs:
                model.partial_fit(x[:400], y[:400], classes=np.arange(2))
                out.append(min(log_loss(y[400:], np.clip(model.predict_proba(x[400:])[:, 1], 1e-6, 1 - 1e-6)), MOST))
        return out + [MOST] * (len(epochs) - len(out))

    return Model(
        "network-cancer",
        f"MLPClassifier, 400 of breast cancer, log loss on 169 others, {MOST:g} at most",
        {
            "activation": ("relu", "tanh", "logistic"),
            "solver": ("adam", "sgd"),
            "layers": range(1, 3),
            "log2_width": range(2, 7, 2),
            "log2_rate": range(-11, 0),
            "epochs": epochs,
        },
        losses,
    )


def svr_wine() -> Model:
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    # A number to predict: the intensity of the colour, from the rest.
    x, y = np.delete(x[order], 9, axis=1), x[order][:, 9]
    y = (y - y.mean()) / y.std()
    scales = range(-14, 3)

    def losses(s: Setting) -> list[float]:
        out = []
        for gamma in scales:
            model = SVR(
                C=2.0 ** s["log2_C"],
                gamma=2.0**gamma,
                kernel=s["kernel"],
                degree=2,
                epsilon=2.0 ** s["log2_epsilon"],
                max_iter=2000,
            )
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), model)
            out.append(np.mean([np.mean((pipe.fit(a, b).predict(c) - d) ** 2) for a, b, c, d in folds(x, y, 3)]))
        return out

    return Model(
        "svr-wine",
        "SVR, wine, squared error over 3 folds",
        {
            "scaler": ("standard", "minmax"),
            "kernel": ("rbf", "poly", "sigmoid"),
            "log2_epsilon": range(-6, 1, 2),
            "log2_C": range(-6, 9),
            "log2_gamma": scales,
        },
        losses,
    )


def sgd_digits() -> Model:
    x, y = rows(load_digits, 500)
    rates = range(-12, 3)

    def losses(s: Setting) -> list[float]:
        parts = []
        for a, b, c, d in folds(x, y, 2):
            scaler = clone(SCALERS[s["scaler"]])
            train, test = scaler.fit_transform(a), scaler.transform(c)
            each = []
            for rate in rates:
                model = SGDClassifier(
                    loss=s["loss"],
                    penalty=s["penalty"],
                    alpha=2.0 ** s["log2_alpha"],
                    learning_rate=s["schedule"],
                    eta0=2.0**rate,
                    max_iter=5,
                    tol=None,
                    random_state=0,
                )
                each.append(1 - model.fit(train, b).score(test, d))
            parts.append(each)
        return list(np.mean(parts, axis=0))

    return Model(
        "sgd-digits",
        "SGDClassifier, 5 epochs, 500 digits, error rate over 2 folds",
        {
            "scaler": ("standard", "minmax"),
            "loss": ("hinge", "log_loss", "modified_huber"),
            "penalty": ("l2", "l1"),
            "schedule": ("constant", "invscaling", "adaptive"),
            "log2_alpha": range(-20, 1, 4),
            "log2_rate": rates,
        },
        losses,
    )


MODELS: tuple[Callable[[], Model], ...] = (
    logistic_digits,
    neighbours_diabetes,
    forest_diabetes,
    boosting_wine,
    histogram_diabetes,
    network_cancer,
    svr_wine,
    sgd_digits,
)
