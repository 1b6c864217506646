"""Every call by every kind of caller, wrong and right, over real gRPC: what may be done is what the policy says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer
from katib.api.study_converters import spec_to_proto
from katib.domain.errors import NotFoundError
from katib.domain.permissions import Access
from katib.domain.tokens import PREFIX
from katib.manager.auth.policy import POLICY, About
from tests.auth.conftest import Guarded
from tests.e2e.harness import study

OK, UNAUTHENTICATED, DENIED, HIDDEN = (
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
)


@dataclass(frozen=True)
class Kind:
    """`on_it`: what it is to the study; `everywhere`: to every study; `creates`: whether it has the role user."""

    on_it: Access = Access.NONE
    everywhere: Access = Access.NONE
    creates: bool = False
    nobody: bool = False
    trial: str = ""


CALLERS = {
    "no token": Kind(nobody=True),
    "garbage": Kind(nobody=True),
    "made up": Kind(nobody=True),
    "right id, wrong secret": Kind(nobody=True),
    "expired": Kind(nobody=True),
    "revoked": Kind(nobody=True),
    "stranger": Kind(creates=True),
    "without roles": Kind(),
    "owner": Kind(Access.OWN, creates=True),
    "owner without roles": Kind(Access.READ),
    "reader": Kind(Access.READ, creates=True),
    "reader by group": Kind(Access.READ, creates=True),
    "writer": Kind(Access.WRITE, creates=True),
    "operator of the study": Kind(Access.OPERATE, creates=True),
    "viewer of all": Kind(everywhere=Access.READ),
    "operator of all": Kind(everywhere=Access.OPERATE),
    "administrator": Kind(everywhere=Access.OWN, creates=True),
    "service": Kind(creates=True),
    "the attempt": Kind(trial="own"),
    "another attempt": Kind(trial="other"),
}
# What an allowed call comes to where that is not OK: the study is its client's, and has no rule.
OTHERWISE = {
    "GetTrialLog": grpc.StatusCode.FAILED_PRECONDITION,
    "EarlyStopping": grpc.StatusCode.INVALID_ARGUMENT,
    "GetObjectValue": grpc.StatusCode.UNIMPLEMENTED,
    "AddMeasurementToTrials": grpc.StatusCode.UNIMPLEMENTED,
}


def requests(study_id: str, trial_id: str, owner: str) -> dict[str, Any]:
    """One of each call, about this study and this trial."""
    config = spec_to_proto(replace(study(algorithm=""), name="made"))
    return {
        "CreateStudy": pb.CreateStudyRequest(study_config=config),
        "StopStudy": pb.StopStudyRequest(study_id=study_id),
        "GetStudies": pb.GetStudiesRequest(),
        "SuggestTrials": pb.SuggestTrialsRequest(study_id=study_id, client_id="c", count=1),
        "CompleteTrial": pb.CompleteTrialRequest(study_id=study_id, trial_id=trial_id),
        "EarlyStopping": pb.EarlyStoppingRequest(study_id=study_id),
        "GetObjectValue": pb.GetObjectValueRequest(worker_id=trial_id),
        "AddMeasurementToTrials": pb.AddMeasurementToTrialsRequest(study_id=study_id),
        "InitializeSuggestService": pb.InitializeSuggestServiceRequest(study_id=study_id, suggest_algorithm="random"),
        "SaveStudy": pb.SaveStudyRequest(study_name=f"saved by {owner}"),
        "SaveModel": pb.SaveModelRequest(model=pb.ModelInfo(study_name=f"saved by {owner}", trial_id="by hand")),
        "GetSavedStudies": pb.GetSavedStudiesRequest(),
        "GetSavedModels": pb.GetSavedModelsRequest(study_name=f"saved by {owner}"),
        "GetSavedModel": pb.GetSavedModelRequest(study_name=f"saved by {owner}", trial_id="by hand"),
        "GetStudy": pb.GetStudyRequest(study_id=study_id),
        "ListStudies": pb.ListStudiesRequest(),
        "UpdateStudy": pb.UpdateStudyRequest(study_id=study_id, max_trials=9),
        "DeleteStudy": pb.DeleteStudyRequest(study_id=study_id),
        "GetTrial": pb.GetTrialRequest(trial_id=trial_id),
        "ListTrials": pb.ListTrialsRequest(study_id=study_id),
        "ListTrialColumns": pb.ListTrialColumnsRequest(study_id=study_id),
        "StopTrial": pb.StopTrialRequest(trial_id=trial_id),
        "ReportMetrics": pb.ReportMetricsRequest(trial_id=trial_id, attempt=1),
        "ListObservations": pb.ListObservationsRequest(trial_id=trial_id),
        "WatchStudy": pb.WatchStudyRequest(study_id=study_id),
        "GetTrialLog": pb.GetTrialLogRequest(trial_id=trial_id),
        "ListAlgorithms": pb.ListAlgorithmsRequest(),
        "WhoAmI": pb.WhoAmIRequest(),
        "CreateToken": pb.CreateTokenRequest(name="more"),
        "ListTokens": pb.ListTokensRequest(),
        "RevokeToken": pb.RevokeTokenRequest(token_id="f000000000000000"),
    }


def expected(name: str, kind: Kind) -> grpc.StatusCode:
    rule = POLICY[name]
    if kind.nobody:
        return UNAUTHENTICATED
    if rule.active and not kind.trial and not (kind.creates or kind.everywhere >= Access.OPERATE):
        return DENIED
    if name == "RevokeToken" and not kind.trial:
        # One that is nobody's: to an administrator that is no change.
        return OK if kind.everywhere is Access.OWN else HIDDEN
    right = OTHERWISE.get(name, OK)
    if kind.trial:
        return right if rule.trial and kind.trial == "own" else DENIED
    if rule.about in (About.STUDY, About.TRIAL, About.STUDY_OR_ALL):
        has = max(kind.on_it, kind.everywhere)
        if has >= rule.needs:
            return right
        return HIDDEN if has is Access.NONE else DENIED
    return right if rule.role is None or kind.creates else DENIED


class Scene:
    """A study of the owner's with a running trial, made anew when a call may have changed it."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.stub = ManagerStub(open_channel(guarded.world.address))
        self.study_id = self.trial_id = self.revision = None
        token = guarded.token
        for name, owner in (
            ("owner", "olga"),
            ("reader", "rita"),
            ("writer", "wim"),
            ("operator of the study", "otto"),
        ):
            token(name, "user", owner=owner)
        token("owner without roles", owner="olga")
        token("reader by group", "user", owner="gil", groups=("team",))
        token("stranger", "user", owner="sid")
        token("without roles", owner="norah")
        token("viewer of all", "viewer", owner="vic")
        token("operator of all", "operator", owner="oz")
        token("administrator", "admin", owner="ada")
        token("service", "user", owner="ci", kind="service")
        token("expired", "admin", owner="ed", lifetime=timedelta(microseconds=1))
        revoked = token("revoked", "admin", owner="rob")
        guarded.manager.service.revoke_token(revoked.removeprefix(PREFIX)[:16])
        secrets = guarded.secrets
        secrets |= {"no token": "", "garbage": "opensesame", "made up": f"{PREFIX}a000000000000000_{'x' * 43}"}
        secrets["right id, wrong secret"] = secrets["administrator"][:-4] + "0000"
        self.renew()

    def renew(self) -> None:
        permissions = ("reader:rita", "writer:wim", "operator:otto", "reader:group:team", "ada", "0.1's own")
        with self.guarded.client("owner") as client:
            self.study_id = client.create_study(study(algorithm="", access_permissions=permissions))
            (trial,), _ = client.suggest_trials(self.study_id, 1, "c")
        self.trial_id = trial.id
        access = self.guarded.manager.service._context.access
        self.guarded.secrets["the attempt"] = access._token(trial.id, 1)
        self.guarded.secrets["another attempt"] = access._token(trial.id, 2)
        self.revision = self.now()

    def now(self) -> int:
        """-1 for one that is gone."""
        try:
            return self.guarded.manager.service.get_study(self.study_id).summary.revision
        except NotFoundError:
            return -1

    def call(self, name: str, caller: str) -> tuple[grpc.StatusCode, str]:
        request = requests(self.study_id, self.trial_id, caller)[name]
        method: Callable[..., Any] = getattr(self.stub, name)
        try:
            reply = method(request, timeout=30, metadata=bearer(self.guarded.secrets[caller]))
            if name == "WatchStudy":
                next(reply)
                reply.cancel()
        except grpc.RpcError as error:
            return error.code(), error.details()
        return OK, ""


@pytest.fixture(scope="module")
def scene(guarded: Guarded) -> Iterator[Scene]:
    return Scene(guarded)


def test_every_call_of_the_manager_is_in_the_policy() -> None:
    names = {method.name for method in pb.DESCRIPTOR.services_by_name["Manager"].methods}
    assert set(POLICY) == names
    assert set(requests("", "", "")) == names


@pytest.mark.long
@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_may_do_what_the_policy_says_and_nothing_else(scene: Scene, caller: str) -> None:
    kind = CALLERS[caller]
    wrong = []
    # What saves comes before what reads what was saved, as it does in the policy.
    for name in POLICY:
        code, text = scene.call(name, caller)
        want = expected(name, kind)
        if name in ("GetSavedModels", "GetSavedModel") and want is OK and not kind.creates:
            want = HIDDEN  # it could not save what it asks for
        if code is not want:
            wrong.append(f"{name}: {code} ({text}), expected {want}")
        if scene.now() != scene.revision:
            if want is not OTHERWISE.get(name, OK):
                wrong.append(f"{name}: refused, and changed the study")
            scene.renew()
        if code in (UNAUTHENTICATED, DENIED) and not text:
            wrong.append(f"{name}: refused without a word")
    assert wrong == []


def test_who_may_not_see_a_study_is_told_what_it_would_be_told_if_there_were_none(scene: Scene) -> None:
    for name, rule in POLICY.items():
        if rule.about not in (About.STUDY, About.TRIAL, About.STUDY_OR_ALL):
            continue
        real = scene.call(name, "stranger")
        there = scene.study_id, scene.trial_id
        scene.study_id = scene.trial_id = "f123456789abcdef"
        none = scene.call(name, "stranger")
        made_up = scene.study_id
        scene.study_id, scene.trial_id = there
        shown = real[1].replace(there[0], made_up).replace(there[1], made_up)
        assert (real[0], shown) == none, name
        assert none[0] is HIDDEN, name


def test_a_study_id_that_is_none_lets_nobody_past_a_role(scene: Scene) -> None:
    request = pb.InitializeSuggestServiceRequest(study_id="x", suggest_algorithm="random", configs=pb.StudyConfig())
    with pytest.raises(grpc.RpcError) as caught:
        scene.stub.InitializeSuggestService(
            request, timeout=30, metadata=bearer(scene.guarded.secrets["without roles"])
        )
    assert caught.value.code() is DENIED
