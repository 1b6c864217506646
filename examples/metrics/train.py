"""Fits a line to noisy points by gradient descent, and tells its metrics in the way that is asked for.

Katib appends the trial's parameters as `name=value` words:

    python train.py --how=report --lr=0.1
"""

import argparse
import json
import os
import random

import katib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=("report", "text", "json", "sentence", "file"), default="report")
    parser.add_argument("--lr", type=float, default=0.1, help="step size (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="(default: %(default)s)")
    options = parser.parse_args()

    points = random.Random(0)
    xs = [points.uniform(-1, 1) for _ in range(100)]
    ys = [3 * x + 1 + points.gauss(0, 0.1) for x in xs]
    slope = intercept = 0.0
    for epoch in range(1, options.epochs + 1):
        errors = [slope * x + intercept - y for x, y in zip(xs, ys, strict=True)]
        slope -= options.lr * sum(e * x for e, x in zip(errors, xs, strict=True)) / len(xs)
        intercept -= options.lr * sum(errors) / len(xs)
        loss = sum(e * e for e in errors) / len(xs)
        tell(options.how, epoch, loss)
        if options.how == "report" and katib.should_stop():
            # Where a training would save what it has come to.
            break


def tell(how: str, epoch: int, loss: float) -> None:
    if how == "report":
        katib.report(loss=loss, step=epoch)
    elif how == "text":
        print(f"epoch={epoch} loss={loss}", flush=True)
    elif how == "json":
        print(json.dumps({"epoch": epoch, "loss": loss}), flush=True)
    elif how == "sentence":
        print(f"Epoch {epoch}: the loss is {loss}", flush=True)
    else:
        with open(os.environ["KATIB_METRICS_PATH"], "a") as file:
            file.write(f"epoch={epoch} loss={loss}\n")


if __name__ == "__main__":
    main()
