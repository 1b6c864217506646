"""A program that drives a study, for tests that kill it or run several: one line for each thing that happens.

python driver.py SERVER STUDY SECONDS LEASE [CLIENT]
"""

import sys
import time

import katib

server, name, seconds, lease, *client = sys.argv[1:]
study = katib.open_study(name, server=server)
for trial in study.trials(lease=float(lease), client="".join(client)):
    print("begin", trial.number, trial.attempt, flush=True)
    trial.report(acc=float(trial["x"]) / 2, step=1)
    time.sleep(float(seconds))
    trial.report(acc=trial["x"], step=2)
    trial.complete()
    print("end", trial.number, trial.attempt, flush=True)
print("over", flush=True)
