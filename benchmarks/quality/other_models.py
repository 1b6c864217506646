"""Other models on the same data sets: what algorithms are tuned on, so that `models` may tell how good they are."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import ElasticNet
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from benchmarks.quality.modelling import SCALERS, Model, Setting, folds, rows

# What a network that diverged has lost.
MOST = 100.0


def svc_cancer() -> Model:
    x, y = rows(load_breast_cancer)
    scales = range(-16, 3)

    def losses(s: Setting) -> list[float]:
        out = []
        for gamma in scales:
            model = SVC(C=2.0 ** s["log2_C"], gamma=2.0**gamma, kernel=s["kernel"], degree=2, max_iter=2000)
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), model)
            out.append(np.mean([1 - pipe.fit(a, b).score(c, d) for a, b, c, d in folds(x, y, 3)]))
        return out

    return Model(
        "svc-cancer",
        "SVC, breast cancer, error rate over 3 folds",
        {
            "scaler": ("standard", "minmax"),
            "kernel": ("rbf", "poly", "sigmoid"),
            "log2_C": range(-6, 11),
            "log2_gamma": scales,
        },
        losses,
    )


def svr_diabetes() -> Model:
    x, y = rows(load_diabetes)
    y = (y - y.mean()) / y.std()
    scales = range(-14, 3)

    def losses(s: Setting) -> list[float]:
        out = []
        for gamma in scales:
            model = SVR(
                C=2.0 ** s["log2_C"],
                gamma=2.0**gamma,
                kernel=s["kernel"],
                epsilon=2.0 ** s["log2_epsilon"],
                max_iter=2000,
            )
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), model)
            out.append(np.mean([np.mean((pipe.fit(a, b).predict(c) - d) ** 2) for a, b, c, d in folds(x, y, 2)]))
        return out

    return Model(
        "svr-diabetes",
        "SVR, diabetes, squared error over 2 folds",
        {
            "scaler": ("standard", "minmax"),
            "kernel": ("rbf", "sigmoid"),
            "log2_epsilon": range(-6, 1, 2),
            "log2_C": range(-6, 9),
            "log2_gamma": scales,
        },
        losses,
    )


def trees_digits() -> Model:
    x, y = rows(load_digits, 800)
    trees = range(2, 41, 2)

    def losses(s: Setting) -> Any:
        model = ExtraTreesClassifier(
            n_estimators=max(trees),
            criterion=s["criterion"],
            max_depth=s["depth"],
            min_samples_leaf=s["leaf"],
            max_features=s["features"],
            bootstrap=s["bootstrap"] == "yes",
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            each = [tree.predict_proba(c) for tree in clone(model).fit(a, b).estimators_]
            share = np.cumsum(each, axis=0) / np.arange(1, len(each) + 1)[:, None, None]
            parts.append([log_loss(d, np.clip(share[t - 1], 1e-3, 1.0), labels=np.arange(10)) for t in trees])
        return np.mean(parts, axis=0)

    return Model(
        "trees-digits",
        "ExtraTreesClassifier, 800 digits, log loss over 2 folds",
        {
            "criterion": ("gini", "entropy"),
            "bootstrap": ("no", "yes"),
            "depth": range(2, 15, 3),
            "leaf": range(1, 10, 2),
            "features": range(1, 62, 12),
            "trees": trees,
        },
        losses,
    )


def boosting_cancer() -> Model:
    x, y = rows(load_breast_cancer)
    rounds = range(3, 61, 3)

    def losses(s: Setting) -> Any:
        model = HistGradientBoostingClassifier(
            max_iter=max(rounds),
            learning_rate=2.0 ** s["log2_rate"],
            max_leaf_nodes=2 ** s["log2_leaves"],
            min_samples_leaf=2 ** s["log2_leaf"],
            l2_regularization=10.0 ** s["log10_l2"] if s["log10_l2"] > -3 else 0.0,
            max_bins=32,
            early_stopping=False,
            random_state=0,
        )
        parts = []
        for a, b, c, d in folds(x, y, 2):
            staged = clone(model).fit(a, b).staged_predict_proba(c)
            parts.append([log_loss(d, np.clip(p[:, 1], 1e-6, 1 - 1e-6)) for p in staged])
        return np.mean(parts, axis=0)[[r - 1 for r in rounds]]

    return Model(
        "boosting-cancer",
        "HistGradientBoostingClassifier, breast cancer, log loss over 2 folds",
        {
            "log2_leaves": range(1, 5),
            "log2_leaf": range(1, 7),
            "log10_l2": range(-3, 3),
            "log2_rate": range(-6, 1),
            "rounds": rounds,
        },
        losses,
    )


def elastic_diabetes() -> Model:
    x, y = rows(load_diabetes)
    shares = range(0, 101, 10)

    def losses(s: Setting) -> list[float]:
        powers = PolynomialFeatures(s["degree"], interaction_only=s["products"] == "only", include_bias=False)
        parts = []
        for a, b, c, d in folds(x, y, 2):
            pipe = make_pipeline(clone(SCALERS[s["scaler"]]), powers, StandardScaler())
            train, test = pipe.fit_transform(a), pipe.transform(c)
            fits = [
                ElasticNet(alpha=2.0 ** s["log2_alpha"], l1_ratio=share / 100, max_iter=200).fit(train, b)
                for share in shares
            ]
            parts.append([float(np.mean((fit.predict(test) - d) ** 2)) for fit in fits])
        return list(np.mean(parts, axis=0))

    return Model(
        "elastic-diabetes",
        "ElasticNet on polynomials, diabetes, squared error over 2 folds",
        {
            "scaler": ("none", "standard", "minmax"),
            "products": ("all", "only"),
            "degree": range(1, 4),
            "log2_alpha": range(-8, 7),
            "l1_percent": shares,
        },
        losses,
    )


def network_diabetes() -> Model:
    x, y = rows(load_diabetes)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    epochs = range(1, 17)

    def losses(s: Setting) -> list[float]:
        model = MLPRegressor(
            hidden_layer_sizes=(2 ** s["log2_width"],) * s["layers"],
            activation=s["activation"],
            solver=s["solver"],
            learning_rate_init=2.0 ** s["log2_rate"],
            batch_size=2 ** s["log2_batch"],
            random_state=0,
        )
        out: list[float] = []
        with contextlib.suppress(ValueError):  # it diverged so far that it has no weights any more
            for _ in epochs:
                model.partial_fit(x[:300], y[:300])
                error = float(np.mean((model.predict(x[300:]) - y[300:]) ** 2))
                out.append(min(error, MOST))
        return out + [MOST] * (len(epochs) - len(out))

    return Model(
        "network-diabetes",
        f"MLPRegressor, 300 of diabetes, squared error on 142 others, {MOST:g} at most",
        {
            "activation": ("relu", "tanh", "logistic"),
            "solver": ("adam", "sgd"),
            "layers": range(1, 4),
            "log2_width": range(2, 7, 2),
            "log2_batch": range(4, 7),
            "log2_rate": range(-11, 0),
            "epochs": epochs,
        },
        losses,
    )


def adaboost_wine() -> Model:
    x, y = rows(load_wine)
    rounds = range(1, 31)

    def losses(s: Setting) -> Any:
        tree = DecisionTreeClassifier(
            criterion=s["criterion"],
            splitter=s["splitter"],
            max_depth=s["depth"],
            max_features=s["features"],
            random_state=0,
        )
        model = AdaBoostClassifier(tree, n_estimators=max(rounds), learning_rate=2.0 ** s["log2_rate"], random_state=0)
        parts = []
        for a, b, c, d in folds(x, y, 3):
            each = [float(np.mean(p != d)) for p in clone(model).fit(a, b).staged_predict(c)]
            # One that fits the training data perfectly ends: more rounds change nothing.
            parts.append(each + each[-1:] * (max(rounds) - len(each)))
        return np.mean(parts, axis=0)

    return Model(
        "adaboost-wine",
        "AdaBoostClassifier on trees, wine, error rate over 3 folds",
        {
            "criterion": ("gini", "entropy"),
            "splitter": ("best", "random"),
            "depth": range(1, 4),
            "features": range(1, 14, 4),
            "log2_rate": range(-5, 2),
            "rounds": rounds,
        },
        losses,
    )


def tree_digits() -> Model:
    x, y = rows(load_digits, 700)
    features = range(4, 65, 6)

    def losses(s: Setting) -> list[float]:
        out = []
        for count in features:
            model = DecisionTreeClassifier(
                criterion=s["criterion"],
                splitter=s["splitter"],
                max_depth=s["depth"],
                min_samples_leaf=s["leaf"],
                max_features=count,
                random_state=0,
            )
            out.append(np.mean([1 - clone(model).fit(a, b).score(c, d) for a, b, c, d in folds(x, y, 3)]))
        return out

    return Model(
        "tree-digits",
        "DecisionTreeClassifier, 700 digits, error rate over 3 folds",
        {
            "criterion": ("gini", "entropy"),
            "splitter": ("best", "random"),
            "depth": range(3, 13),
            "leaf": range(1, 11),
            "features": features,
        },
        losses,
    )


MODELS: tuple[Callable[[], Model], ...] = (
    svc_cancer,
    svr_diabetes,
    trees_digits,
    boosting_cancer,
    elastic_diabetes,
    network_diabetes,
    adaboost_wine,
    tree_digits,
)
