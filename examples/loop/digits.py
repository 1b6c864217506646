"""Tunes a support vector machine on scikit-learn's handwritten digits, in this program's own loop.

    katib-local &
    python examples/loop/digits.py

Start it in as many terminals, or on as many machines (KATIB_SERVER=HOST:6789), as you like: they share the study.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import katib

images, digits = load_digits(return_X_y=True)
train_x, valid_x, train_y, valid_y = train_test_split(images / 16.0, digits, test_size=0.3, random_state=0)

study = katib.create_study(
    "digits-loop",
    {
        "C": katib.Double(0.01, 100, log=True),
        "gamma": katib.Double(0.001, 10, log=True),
        "kernel": katib.Categorical("rbf", "poly"),
    },
    maximize="accuracy",
    max_trials=12,
    algorithm="tpe",
    settings={"Seed": 1},
    exist_ok=True,
)
for trial in study.trials():
    model = SVC(**trial.parameters).fit(train_x, train_y)
    trial.report(accuracy=model.score(valid_x, valid_y))

best = study.best_trial
print(f"{best.objective:.4f} with {best.parameters}" if best else "no trial completed")
