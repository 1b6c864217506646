"""Writes the tables of real models: `python -m benchmarks.quality.tabulate [NAME...]`, some minutes of one core, once.

The tables are part of the repository: a search on one is a tuning problem of real losses that takes milliseconds. Another
release of scikit-learn gives slightly other losses, so all are made by one.
"""

import json
import os
import sys
import time

import sklearn

from benchmarks.quality import held_out_models, models, other_models
from benchmarks.quality.modelling import tabulated
from benchmarks.quality.tables import FOLDER, HELD_OUT, OTHER

SUITES = {FOLDER: models.MODELS, OTHER: other_models.MODELS, HELD_OUT: held_out_models.MODELS}


def main(names: list[str]) -> None:
    for folder, make in [(f, m) for f, suite in SUITES.items() for m in suite]:
        model = make()
        if names and model.name not in names:
            continue
        begin = time.process_time()
        text = json.dumps(tabulated(model) | {"scikit-learn": sklearn.__version__}, separators=(",", ":"))
        new = folder / f"{model.name}.json.new"
        new.write_text(text + "\n")
        os.replace(new, folder / f"{model.name}.json")
        print(f"{model.name}: {len(text) / 1000:.0f} kB, {time.process_time() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
