"""A process that hosts a local worker, to be killed or frozen by a test.

Its argument is the data folder. It reads one request a line from standard input and answers each with a line: `create STUDY
TRIAL COMMAND-AS-JSON` creates attempt 1; `list STUDY`; `stop STUDY TRIAL`; `delete-study STUDY`.
"""

import json
import sys

from katib.domain.errors import KatibError
from katib.domain.names import run_name
from katib.domain.study import Objective, StudySpec
from katib.worker.base import RunSpec
from katib.worker.local.worker import LocalWorker


def main() -> None:
    worker = LocalWorker(sys.argv[1], stop_grace_s=0.5)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, study_id, *rest = line.split(None, 3)
        try:
            if verb == "create":
                trial_id, command = rest[0], tuple(json.loads(rest[1]))
                spec = StudySpec("host", "x", Objective.MINIMIZE, (), algorithm="random", command=command)
                worker.create(RunSpec(run_name(trial_id, 1), study_id, trial_id, 1, command, (), spec))
            elif verb == "stop":
                worker.stop(study_id, run_name(rest[0], 1))
            elif verb == "delete-study":
                worker.delete_study(study_id)
            elif verb == "list":
                print(*(f"{status.name}:{status.phase.value}" for status in worker.list(study_id)), flush=True)
                continue
            print("ok", flush=True)
        except KatibError as error:
            print(type(error).__name__, flush=True)


if __name__ == "__main__":
    main()
