"""A trial's program that tries whatever its environment lets it try, and writes down what came of it.

Arguments: the file to write, the id of another study, of another trial, and a file by which an attempt hands its token on.
"""

import json
import os
import sys
from pathlib import Path

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from tests.auth.test_policy import requests

out, other_study, other_trial, passed_on = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
me, attempt, token = os.environ["TRIAL_ID"], int(os.environ["KATIB_ATTEMPT"]), os.environ["KATIB_TOKEN"]
manager = ManagerStub(open_channel(os.environ["KATIB_SERVER"]))
tried: dict[str, str] = {}


def try_(what: str, name: str, request: object, *metadata: tuple[str, str]) -> None:
    try:
        reply = getattr(manager, name)(request, timeout=20, metadata=metadata)
        if name == "WatchStudy":
            next(reply)
    except grpc.RpcError as error:
        tried[what] = error.code().name
    else:
        tried[what] = "OK"


def report(trial_id: str, at: int, *, value: float = 66.0) -> pb.ReportMetricsRequest:
    seen = pb.Observation(name="acc", value=value, sequence=1)
    return pb.ReportMetricsRequest(trial_id=trial_id, attempt=at, reporter="x", observations=[seen])


def bearer(text: str) -> tuple[str, str]:
    return "authorization", f"Bearer {text}"


if attempt == 1:
    passed_on.write_text(json.dumps([token, me]))
    sys.exit(3)

old_token, _ = json.loads(passed_on.read_text())
own_study = os.environ["STUDY_ID"]
try_("own report", "ReportMetrics", report(me, attempt, value=0.5), bearer(token))
try_("own report of the current attempt", "ReportMetrics", report(me, 0, value=0.5), bearer(token))
try_("whether to stop", "ReportMetrics", pb.ReportMetricsRequest(trial_id=me, attempt=attempt), bearer(token))
for study_id, trial_id, whose in ((own_study, me, "own"), (other_study, other_trial, "another's")):
    for name, request in requests(study_id, trial_id, "mallory").items():
        if name != "ReportMetrics":
            try_(f"{name} of {whose}, by its token", name, request, bearer(token))
        try_(f"{name} of {whose}, by none", name, request)
hash_ = token.rpartition("_")[2] if token.count("_") == 3 else "_".join(token.split("_")[3:])
forged = {
    "another trial's name before its hash": f"run_{other_trial}_1_{hash_}",
    "another attempt's before its hash": f"run_{me}_{attempt + 1}_{hash_}",
    "the hash alone": hash_,
    "no hash": f"run_{other_trial}_1_",
    "a hash of nothing": f"run_{other_trial}_1_{'A' * 43}",
    "an attempt with zeros": f"run_{me}_00{attempt}_{hash_}",
    "a user's form": f"katib_{me}_{hash_}",
    "twice": f"{token} {token}",
    "with more": f"{token}A",
    "an earlier attempt's": old_token,
    "nothing": "",
}
for what, text in forged.items():
    try_(f"report by {what}", "ReportMetrics", report(me, attempt), bearer(text))
    try_(f"another's report by {what}", "ReportMetrics", report(other_trial, 1), bearer(text))
    try_(f"study by {what}", "GetStudy", pb.GetStudyRequest(study_id=other_study), bearer(text))
try_("another's report by its token", "ReportMetrics", report(other_trial, 1), bearer(token))
try_("another's report of its current attempt", "ReportMetrics", report(other_trial, 0), bearer(token))
try_("the earlier attempt's report by its token", "ReportMetrics", report(me, 1), bearer(token))
try_("the earlier attempt's report by the earlier token", "ReportMetrics", report(me, 1), bearer(old_token))
try_("the current attempt's report by the earlier token", "ReportMetrics", report(me, 0), bearer(old_token))
try_("two headers, none first", "GetStudy", pb.GetStudyRequest(study_id=other_study), bearer("x"), bearer(token))
try_("another scheme", "ReportMetrics", report(other_trial, 1), ("authorization", f"Basic {token}"))
out.write_text(json.dumps({"tried": tried, "token": token}))
print("acc=0.5")
