"""Trains a small neural network on scikit-learn's handwritten digits, as one trial of a study.

Katib appends the trial's parameters to the command as `name=value` words and reads the metrics from what is printed:

    python train.py --lr=0.01 --hidden=32 --optimizer=adam --batch-size=32
"""

import argparse
import os
import pickle

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.001, help="step size of the optimizer (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer (default: %(default)s)")
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam", help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights (default: %(default)s)")
    options = parser.parse_args()

    images, digits = load_digits(return_X_y=True)
    # Every trial sees the same split: they differ by their parameters only.
    train_x, valid_x, train_y, valid_y = train_test_split(
        images / 16.0, digits, test_size=0.3, random_state=0, stratify=digits
    )
    model = MLPClassifier(
        hidden_layer_sizes=(options.hidden,),
        solver=options.optimizer,
        learning_rate_init=options.lr,
        batch_size=options.batch_size,
        random_state=options.seed,
    )
    classes = np.unique(digits)
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(train_x, train_y, classes=classes)
        accuracy = model.score(valid_x, valid_y)
        # Flushed, so that the study sees each epoch when it is done and an early-stopping rule can act on it.
        print(f"epoch={epoch} loss={model.loss_:.4f} Validation-accuracy={accuracy:.4f}", flush=True)

    # Where Katib keeps models; nothing is written where nobody asked for it.
    if folder := os.environ.get("KATIB_MODEL_DIR"):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "model.pickle"), "wb") as file:
            pickle.dump(model, file)


if __name__ == "__main__":
    # Trials run side by side; each keeps to one core.
    with threadpool_limits(limits=1):
        main()
