"""The suite of real models: what scikit-learn's estimators make of the data sets that come with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from benchmarks.quality.modelling import SCALERS, Model, Setting, folds, rows


def svc_digits() -> Model:
    x, y = rows(load_digits, 360)
    scales = range(-16, 2)

    def losses(s: Setting) -> list[float]:
        kernel, degree = (
            (s["kernel"][:-1], int(s["kernel"][-1])) if s["kernel"].startswith("poly") else (s["kernel"], 3)
        )
        out = []
        for gamma in scales:
            model = SVC(C=2.0 ** s["log2_C"], gamma=2.0**gamma, kernel=kernel, degree=degree, max_iter=5000)
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), model)
            out.append(np.mean([1 - pipe.fit(a, b).score(c, d) for a, b, c, d in folds(x, y, 3)]))
        return out

    return Model(
        "svc-digits",
        "SVC, 360 digits, error rate over 3 folds",
        {
            "scaler": ("none", "standard"),
            "kernel": ("rbf", "poly2", "poly3", "sigmoid"),
            "log2_C": range(-4, 12),
            "log2_gamma": scales,
        },
        losses,
    )


def boosting_diabetes() -> Model:
    x, y = rows(load_diabetes)
    rounds = range(4, 101, 4)

    def losses(s: Setting) -> Any:
        model = GradientBoostingRegressor(
            n_estimators=max(rounds),
            learning_rate=2.0 ** s["log2_rate"],
            max_depth=s["depth"],
            subsample=s["rows_percent"] / 100,
            min_samples_leaf=2 ** s["log2_leaf"],
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            staged = clone(model).fit(a, b).staged_predict(c)
            parts.append([float(np.mean((p - d) ** 2)) for p in staged])
        return np.mean(parts, axis=0)[[r - 1 for r in rounds]]

    return Model(
        "boosting-diabetes",
        "GradientBoostingRegressor, diabetes, squared error over 2 folds",
        {
            "depth": range(1, 6),
            "rows_percent": range(40, 101, 30),
            "log2_leaf": range(0, 6, 1),
            "log2_rate": range(-7, 1),
            "rounds": rounds,
        },
        losses,
    )


def forest_cancer() -> Model:
    x, y = rows(load_breast_cancer)
    trees = range(2, 41, 2)

    def losses(s: Setting) -> Any:
        model = RandomForestClassifier(
            n_estimators=max(trees),
            criterion=s["criterion"],
            max_depth=s["depth"],
            min_samples_leaf=s["leaf"],
            max_features=s["features"],
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            each = [tree.predict_proba(c)[:, 1] for tree in clone(model).fit(a, b).estimators_]
            share = np.cumsum(each, axis=0) / np.arange(1, len(each) + 1)[:, None]
            parts.append([log_loss(d, np.clip(share[t - 1], 1e-3, 1 - 1e-3)) for t in trees])
        return np.mean(parts, axis=0)

    return Model(
        "forest-cancer",
        "RandomForestClassifier, breast cancer, log loss over 2 folds",
        {
            "criterion": ("gini", "entropy"),
            "depth": range(1, 10, 2),
            "leaf": range(1, 10, 2),
            "features": range(1, 26, 4),
            "trees": trees,
        },
        losses,
    )


def neighbours_digits() -> Model:
    x, y = rows(load_digits, 1200)
    neighbours = range(1, 26)

    def losses(s: Setting) -> Any:
        parts = []
        for a, b, c, d in folds(x, y, 3):
            reduce = make_pipeline(clone(SCALERS[s["scaler"]]), PCA(s["components"], random_state=0))
            found = NearestNeighbors(n_neighbors=max(neighbours), metric=s["metric"], algorithm="brute")
            distances, which = found.fit(reduce.fit_transform(a)).kneighbors(reduce.transform(c))
            weights = np.ones_like(distances) if s["weights"] == "uniform" else 1 / np.maximum(distances, 1e-12)
            votes = np.cumsum(weights[:, :, None] * (b[which][:, :, None] == np.arange(10)), axis=1)
            parts.append([float(np.mean(votes[:, k - 1].argmax(axis=1) != d)) for k in neighbours])
        return np.mean(parts, axis=0)

    return Model(
        "neighbours-digits",
        "PCA and nearest neighbours, 1200 digits, error rate over 3 folds",
        {
            "scaler": tuple(SCALERS),
            "metric": ("manhattan", "euclidean", "chebyshev"),
            "weights": ("uniform", "distance"),
            "components": range(2, 41, 2),
            "neighbours": neighbours,
        },
        losses,
    )


def sgd_cancer() -> Model:
    x, y = rows(load_breast_cancer)
    x = StandardScaler().fit_transform(x)
    rates = range(-12, 3)

    def losses(s: Setting) -> list[float]:
        out = []
        for rate in rates:
            model = SGDClassifier(
                loss=s["loss"],
                penalty="elasticnet",
                alpha=2.0 ** s["log2_alpha"],
                l1_ratio=s["l1_percent"] / 100,
                learning_rate=s["schedule"],
                eta0=2.0**rate,
                max_iter=5,
                tol=None,
                random_state=0,
            )
            parts = [
                log_loss(d, np.clip(np.nan_to_num(clone(model).fit(a, b).predict_proba(c)[:, 1]), 1e-6, 1 - 1e-6))
                for a, b, c, d in folds(x, y, 3)
            ]
            out.append(float(np.mean(parts)))
        return out

    return Model(
        "sgd-cancer",
        "SGDClassifier, 5 epochs, breast cancer, log loss over 3 folds",
        {
            "loss": ("log_loss", "modified_huber"),
            "schedule": ("constant", "invscaling", "adaptive"),
            "l1_percent": range(0, 101, 25),
            "log2_alpha": range(-20, 1, 2),
            "log2_rate": rates,
        },
        losses,
    )


def network_digits() -> Model:
    x, y = rows(load_digits, 600)
    x = x / 16.0
    epochs = range(1, 13)

    def losses(s: Setting) -> list[float]:
        model = MLPClassifier(
            hidden_layer_sizes=(2 ** s["log2_width"],),
            activation=s["activation"],
            learning_rate_init=2.0 ** s["log2_rate"],
            alpha=10.0 ** s["log10_alpha"],
            batch_size=2 ** s["log2_batch"],
            random_state=0,
        )
        out = []
        for _ in epochs:
            model.partial_fit(x[:400], y[:400], classes=np.arange(10))
            out.append(log_loss(y[400:], np.clip(model.predict_proba(x[400:]), 1e-6, 1.0), labels=np.arange(10)))
        return out

    return Model(
        "network-digits",
        "MLPClassifier with Adam, 400 digits, log loss on 200 others",
        {
            "activation": ("relu", "tanh"),
            "log2_width": range(3, 7),
            "log10_alpha": range(-6, 1, 3),
            "log2_batch": range(5, 7),
            "log2_rate": range(-11, -1),
            "epochs": epochs,
        },
        losses,
    )


def ridge_diabetes() -> Model:
    x, y = rows(load_diabetes)
    y = (y - y.mean()) / y.std()
    widths = range(-14, 3)

    def losses(s: Setting) -> list[float]:
        out = []
        for width in widths:
            model = KernelRidge(alpha=2.0 ** s["log2_alpha"], kernel=s["kernel"], gamma=2.0**width, degree=2)
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), model)
            out.append(np.mean([np.mean((pipe.fit(a, b).predict(c) - d) ** 2) for a, b, c, d in folds(x, y, 3)]))
        return out

    return Model(
        "ridge-diabetes",
        "KernelRidge, diabetes, squared error over 3 folds",
        {
            "scaler": tuple(SCALERS),
            "kernel": ("rbf", "laplacian", "polynomial"),
            "log2_alpha": range(-12, 5),
            "log2_gamma": widths,
        },
        losses,
    )


def tree_wine() -> Model:
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    # A number to predict: the alcohol, from the rest.
    x, y = np.column_stack([x[order][:, 1:], y[order]]), x[order][:, 0]

    def losses(s: Setting) -> list[float]:
        out = []
        for features in range(1, 14):
            model = DecisionTreeRegressor(
                criterion=s["criterion"],
                max_depth=s["depth"],
                min_samples_leaf=s["leaf"],
                max_features=features,
                random_state=0,
            )
            out.append(
                np.mean([np.mean((clone(model).fit(a, b).predict(c) - d) ** 2) for a, b, c, d in folds(x, y, 5)])
            )
        return out

    return Model(
        "tree-wine",
        "DecisionTreeRegressor, wine, squared error over 5 folds",
        {
            "criterion": ("squared_error", "friedman_mse"),
            "depth": range(1, 11),
            "leaf": range(1, 21),
            "features": range(1, 14),
        },
        losses,
    )


MODELS: tuple[Callable[[], Model], ...] = (
    svc_digits,
    boosting_diabetes,
    forest_cancer,
    neighbours_digits,
    sgd_cancer,
    network_digits,
    ridge_diabetes,
    tree_wine,
)
