"""Whose a study, a model and a token are, and what their owners let others do with them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.api.client import ManagerClient
from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.errors import (
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.permissions import (
    Access,
    access_of,
    check_permissions,
    grants_of,
    parse_permission,
)
from katib.domain.pod import PodSettings
from katib.manager.service.namespaces import NamespaceRules
from katib.manager.service.tokens import MAX_TOKENS
from tests.auth.conftest import Guarded
from tests.e2e.harness import study, until

USER = frozenset({Role.USER})


def model(study_name: str, trial_id: str, path: str) -> SavedModel:
    return SavedModel(study_name, trial_id, (), (), path)


@pytest.fixture
def people(guarded: Guarded) -> Iterator[dict[str, ManagerClient]]:
    for name in ("ann", "bob", "carl"):
        if name not in guarded.secrets:
            guarded.token(name, "user", groups=("ml",) if name == "bob" else ())
    clients = {name: guarded.client(name) for name in ("ann", "bob", "carl", "bootstrap")}
    yield clients
    for client in clients.values():
        client.close()


class TestStudies:
    @pytest.mark.long
    def test_a_study_is_its_creators_whatever_its_file_says(self, people: dict[str, ManagerClient]) -> None:
        ann = people["ann"]
        assert ann.get_study(ann.create_study(study(algorithm=""))).spec.owner == "ann"
        assert ann.get_study(ann.create_study(study(algorithm="", owner="ann"))).spec.owner == "ann"
        with pytest.raises(InvalidArgumentError, match=r"study_config\.owner: 'bob': expected ann or nothing"):
            ann.create_study(study(algorithm="", owner="bob"))
        of_bob = people["bootstrap"].create_study(study(algorithm="", owner="bob"))
        assert people["bob"].get_study(of_bob).summary.owner == "bob"

    def test_a_slip_of_the_pen_in_a_permission_is_refused(self, people: dict[str, ManagerClient]) -> None:
        with pytest.raises(InvalidArgumentError, match=r"access_permissions\[1\]: 'readers:bob': expected reader:NAME"):
            people["ann"].create_study(study(algorithm="", access_permissions=("0.1 said", "readers:bob")))

    def test_one_s_request_id_leads_to_nobody_else_s_study(self, people: dict[str, ManagerClient]) -> None:
        spec = study(algorithm="")
        of_ann = people["ann"].create_study(spec, "the same")
        of_bob = people["bob"].create_study(spec, "the same")
        assert of_ann != of_bob
        assert people["ann"].create_study(spec, "the same") == of_ann
        with pytest.raises(InvalidArgumentError, match="request_id: 'the same'"):
            people["ann"].create_study(study(name="other", algorithm=""), "the same")

    def test_lists_have_what_one_may_read_and_full_pages(self, people: dict[str, ManagerClient]) -> None:
        name = "in a list"
        mine = [people["ann"].create_study(study(name=name, algorithm="")) for _ in range(3)]
        for_team = people["ann"].create_study(study(name=name, algorithm="", access_permissions=("reader:group:ml",)))
        people["bob"].create_study(study(name=name, algorithm=""))

        def listed(who: str) -> list[str]:
            found: list[str] = []
            token = ""
            while True:
                page = people[who].list_studies(name, page_size=2, page_token=token)
                found += [s.id for s in page.items]
                token = page.next_token
                assert not token or len(page.items) == 2
                if not token:
                    return found

        assert set(listed("ann")) == {*mine, for_team}
        assert len(listed("bob")) == 2
        assert listed("carl") == []
        assert len(listed("bootstrap")) == 5
        (trial,), _ = people["ann"].suggest_trials(mine[0])
        assert people["ann"].list_trials(id_prefix=trial.id).items
        assert not people["bob"].list_trials(id_prefix=trial.id).items

    def test_who_may_not_write_ends_no_trial_and_is_given_none_in_the_same_call(
        self, people: dict[str, ManagerClient]
    ) -> None:
        ann, bob, carl = people["ann"], people["bob"], people["carl"]
        study_id = ann.create_study(study(algorithm="", access_permissions=("reader:group:ml",)))
        (trial,), _ = ann.suggest_trials(study_id, client_id="c")
        before = ann.get_study(study_id).summary
        left = [Observation("acc", 0.5, trial.created_at, 1, "", 1)]
        of_carl = carl.create_study(study(algorithm=""))
        for client, of, error in (
            (bob, study_id, PermissionDeniedError),
            (carl, study_id, NotFoundError),
            # Nor under the name of a study of one's own.
            (carl, of_carl, NotFoundError),
        ):
            with pytest.raises(error):
                client.complete_and_ask(of, trial.id, 1, left, "", "c")
        assert ann.get_trial(trial.id).trial == trial
        assert (ann.get_study(study_id).summary, list(ann.list_observations(trial.id).items)) == (before, [])
        assert list(carl.list_trials(of_carl).items) == []
        given = ann.complete_and_ask(study_id, trial.id, 1, left, "", "c")
        assert given is not None
        assert [t.number for t in given[0]] == [2]


class TestModels:
    def test_what_was_saved_by_hand_is_its_owners(self, people: dict[str, ManagerClient]) -> None:
        ann, bob = people["ann"], people["bob"]
        ann.save_study(SavedStudy("by hand", "", "words"))
        assert SavedStudy("by hand", "ann", "words") in ann.saved_studies()
        ann.save_model(model("by hand", "m1", "/m1"))
        assert [m.trial_id for m in ann.saved_models("by hand").items] == ["m1"]
        assert not any(s.name == "by hand" for s in bob.saved_studies())
        for call in (
            lambda: bob.saved_models("by hand"),
            lambda: bob.saved_model("by hand", "m1"),
            lambda: bob.save_model(model("by hand", "m1", "/evil")),
        ):
            with pytest.raises(NotFoundError):
                call()
        with pytest.raises(PermissionDeniedError, match="saved by another"):
            bob.save_study(SavedStudy("by hand", "", "mine now"))
        with pytest.raises(InvalidArgumentError, match="owner"):
            ann.save_study(SavedStudy("another", "bob", ""))
        assert ann.saved_model("by hand", "m1").model_path == "/m1"

    def test_a_study_of_the_same_name_opens_nothing(self, people: dict[str, ManagerClient]) -> None:
        ann, bob = people["ann"], people["bob"]
        ann.save_study(SavedStudy("a name", "", ""))
        ann.save_model(model("a name", "m1", "/m1"))
        study_id = bob.create_study(study(name="a name", algorithm=""))
        (trial,), _ = bob.suggest_trials(study_id)
        assert not any(s.name == "a name" for s in bob.saved_studies())
        with pytest.raises(NotFoundError):
            bob.saved_model("a name", "m1")
        # A model of a trial is for those who may write to its study, whoever has saved a study of that name.
        bob.save_model(model("a name", trial.id, "/b"))
        with pytest.raises(NotFoundError):
            ann.save_model(model("a name", trial.id, "/evil"))

    def test_a_model_that_the_manager_has_kept_is_for_those_who_may_read_its_study(
        self, guarded: Guarded, people: dict[str, ManagerClient]
    ) -> None:
        ann = people["ann"]
        study_id = ann.create_study(study(name="kept", algorithm="", access_permissions=("reader:carl",)))
        for _ in range(3):
            (trial,), _ = ann.suggest_trials(study_id)
            ann.complete_trial(study_id, trial.id, 0.5)
        kept = guarded.manager._models
        until(lambda: len(kept.kept_models(guarded.manager._storage.get_study(study_id))) == 3)
        for who in ("ann", "carl", "bootstrap"):
            assert len(people[who].saved_models("kept", 2).items) == 2
            assert people[who].saved_model("kept", trial.id).study_id == study_id
            assert any(s.name == "kept" for s in people[who].saved_studies())
        with pytest.raises(NotFoundError):
            people["bob"].saved_models("kept")
        assert not any(s.name == "kept" for s in people["bob"].saved_studies())
        with pytest.raises(PermissionDeniedError):
            people["carl"].save_model(model("kept", trial.id, "/evil"))

    def test_whoever_was_first_to_save_a_name_sees_no_models_of_another_s_study_even_when_that_is_gone(
        self, guarded: Guarded, people: dict[str, ManagerClient]
    ) -> None:
        ann, bob = people["ann"], people["bob"]
        bob.save_study(SavedStudy("squatted", "", ""))
        study_id = ann.create_study(study(name="squatted", algorithm=""))
        (trial,), _ = ann.suggest_trials(study_id)
        ann.complete_trial(study_id, trial.id, 0.5)
        kept = guarded.manager._models
        until(lambda: kept.kept_models(guarded.manager._storage.get_study(study_id)))
        ann.delete_study(study_id)
        assert bob.saved_models("squatted").items == []
        with pytest.raises(NotFoundError):
            bob.saved_model("squatted", trial.id)
        with pytest.raises(NotFoundError):
            bob.save_model(model("squatted", trial.id, "/evil"))
        assert people["bootstrap"].saved_model("squatted", trial.id).study_id == study_id
        bob.save_model(model("squatted", "by hand", "/b"))
        assert [m.trial_id for m in bob.saved_models("squatted").items] == ["by hand"]


class TestTokens:
    def test_one_makes_and_sees_and_revokes_one_s_own(self, guarded: Guarded, people: dict[str, ManagerClient]) -> None:
        bob, carl = people["bob"], people["carl"]
        token, secret = bob.create_token("ci", roles=["user"], groups=["ml"], lifetime=timedelta(days=1))
        assert (token.owner, token.groups, token.name) == ("bob", frozenset({"ml"}), "ci")
        guarded.secrets["bob's second"] = secret
        with guarded.client("bob's second") as again:
            assert again.who_am_i()[0].name == "bob"
        assert token.id in {t.id for t in bob.list_tokens().items}
        assert token.id not in {t.id for t in carl.list_tokens().items}
        assert token.id in {t.id for t in people["bootstrap"].list_tokens("bob", 1000).items}
        with pytest.raises(PermissionDeniedError):
            carl.list_tokens("bob")
        with pytest.raises(NotFoundError) as others:
            carl.revoke_token(token.id)
        with pytest.raises(NotFoundError) as nobodys:
            carl.revoke_token("f000000000000000")
        assert str(others.value).replace(token.id, "ID") == str(nobodys.value).replace("f000000000000000", "ID")
        bob.revoke_token(token.id)

    def test_a_token_is_no_way_to_one_that_is_good_for_longer(self, guarded: Guarded) -> None:
        guarded.token("bob's for an hour", "user", owner="bob", lifetime=timedelta(hours=1))
        guarded.token("root for an hour", "admin", owner="root", lifetime=timedelta(hours=1))
        with guarded.client("bob's for an hour") as bob:
            with pytest.raises(PermissionDeniedError, match=r"expires on .* and so must what is made with it"):
                bob.create_token(roles=["user"], lifetime=timedelta(hours=2))
            shorter, _ = bob.create_token(lifetime=timedelta(minutes=5))
            as_long, _ = bob.create_token()
        with guarded.client("root for an hour") as root:
            for_ever, _ = root.create_token(owner="robot")
        assert shorter.expires_at is not None
        assert as_long.expires_at is not None
        assert timedelta(minutes=50) < as_long.expires_at - shorter.expires_at < timedelta(minutes=56)
        assert for_ever.expires_at is None

    def test_who_only_reads_neither_makes_nor_ends_tokens(self, guarded: Guarded) -> None:
        guarded.token("rob", "admin")
        guarded.token("rob's display", owner="rob")
        with guarded.client("rob") as rob, guarded.client("rob's display") as display:
            (token,) = [t for t in rob.list_tokens("rob").items if t.roles]
            for refused in (
                lambda: display.revoke_token(token.id),
                lambda: display.revoke_token(owner="rob"),
                display.create_token,
            ):
                with pytest.raises(PermissionDeniedError, match="not for a token that only reads"):
                    refused()

    def test_all_tokens_of_an_owner_end_at_once(self, guarded: Guarded, people: dict[str, ManagerClient]) -> None:
        for i in range(3):
            guarded.token(f"lost {i}", "user", owner="lost")
        with pytest.raises(PermissionDeniedError, match="only an administrator revokes the tokens of others"):
            people["bob"].revoke_token(owner="lost")
        with pytest.raises(InvalidArgumentError):
            people["bob"].revoke_token("f000000000000000", owner="bob")
        assert people["bootstrap"].revoke_token(owner="lost") == 3
        with guarded.client("lost 0") as lost, pytest.raises(UnauthenticatedError):
            lost.who_am_i()
        assert people["bootstrap"].revoke_token(owner="lost") == 0

    @pytest.mark.parametrize(
        "asked",
        [
            {"owner": "ann"},
            {"roles": ["admin"]},
            {"roles": ["user", "viewer"]},
            {"groups": ["secret"]},
            {"kind": "service"},
        ],
    )
    def test_nobody_makes_a_token_for_more_than_one_may(
        self, people: dict[str, ManagerClient], asked: dict[str, object]
    ) -> None:
        with pytest.raises(PermissionDeniedError):
            people["bob"].create_token(**asked)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"owner": "group:ml"}, "owner"),
            ({"owner": "*"}, "owner"),
            ({"owner": "x" * 129}, "owner"),
            ({"roles": ["root"]}, r"roles\[0\]"),
            ({"groups": ["a b"]}, r"groups\[0\]"),
            ({"kind": "trial"}, "kind"),
            ({"lifetime": timedelta(0)}, "lifetime"),
            ({"lifetime": timedelta(days=4000)}, "lifetime"),
            ({"name": "a\nb"}, "name"),
        ],
    )
    def test_what_cannot_be_is_refused_by_its_field(
        self, people: dict[str, ManagerClient], asked: dict[str, object], field: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=f"^{field}"):
            people["bootstrap"].create_token(**asked)  # type: ignore[arg-type]

    @pytest.mark.long
    def test_nobody_has_tokens_without_end(self, people: dict[str, ManagerClient]) -> None:
        administrator = people["bootstrap"]
        for _ in range(MAX_TOKENS):
            administrator.create_token(owner="hoarder")
        with pytest.raises(ResourceExhaustedError, match="hoarder has 100 tokens"):
            administrator.create_token(owner="hoarder")
        pages, token = 0, ""
        while True:
            page = administrator.list_tokens("hoarder", 30, token)
            pages, token = pages + 1, page.next_token
            if not token:
                break
        assert pages == 4


class TestPermissions:
    @given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=30))
    def test_what_0_1_may_have_said_permits_nothing(self, texts: list[str], owner: str) -> None:
        texts = [text for text in texts if parse_permission(text) is None]
        somebody = Caller(CallerKind.USER, "somebody else", USER, frozenset({"ml"}))
        assert access_of(somebody, grants_of("", texts)) is Access.NONE
        check_permissions("access_permissions", texts)

    @given(st.sampled_from(["*", "group:ml", "group:", "group:x"]))
    def test_an_owner_by_the_name_of_a_group_owns_nothing(self, owner: str) -> None:
        assert not grants_of(owner, ())

    def test_the_most_that_is_granted_counts(self) -> None:
        grants = grants_of("ann", ["reader:*", "operator:group:ml", "writer:bob"])
        assert access_of(Caller(CallerKind.USER, "bob", USER), grants) is Access.WRITE
        assert access_of(Caller(CallerKind.USER, "bob", USER, frozenset({"ml"})), grants) is Access.OPERATE
        assert access_of(Caller(CallerKind.USER, "carl", USER), grants) is Access.READ
        assert access_of(Caller(CallerKind.USER, "ann", USER), grants) is Access.OWN
        assert access_of(Caller(CallerKind.USER, "ann"), grants) is Access.READ
        assert (
            access_of(Caller(CallerKind.SERVICE, "x", frozenset({Role.OPERATOR})), grants_of("", ())) is Access.OPERATE
        )


class TestNamespaces:
    RULES = NamespaceRules.parse(["ann=team-a,sandbox", "group:ml=ml", "*=common"])

    def choose(self, name: str, namespace: str, *groups: str, roles: frozenset[Role] = USER) -> str:
        return self.RULES.choose(Caller(CallerKind.USER, name, roles, frozenset(groups)), namespace)

    def test_a_caller_s_pods_go_where_they_may(self) -> None:
        assert self.choose("ann", "") == "team-a"
        assert self.choose("ann", "sandbox") == "sandbox"
        assert self.choose("bob", "ml", "ml") == "ml"
        assert self.choose("bob", "") == "common"
        assert self.choose("root", "kube-system", roles=frozenset({Role.ADMIN})) == "kube-system"
        assert NamespaceRules.parse(()).choose(Caller(CallerKind.USER, "bob", USER), "x") == "x"

    def test_and_nowhere_else(self) -> None:
        with pytest.raises(
            PermissionDeniedError, match="'kube-system': Pods of ann may not go there; it may use team-a, sand"
        ):
            self.choose("ann", "kube-system")
        with pytest.raises(PermissionDeniedError):
            self.choose("bob", "ml")
        nobodys = NamespaceRules.parse(["ann=a"])
        with pytest.raises(PermissionDeniedError, match="may use none"):
            nobodys.choose(Caller(CallerKind.USER, "bob", USER), "")

    @pytest.mark.parametrize("text", ["ann", "ann=", "=a", "ann=a,,b"])
    def test_what_is_no_rule_is_refused(self, text: str) -> None:
        with pytest.raises(KatibError, match="--auth-namespace"):
            NamespaceRules.parse([text])

    def test_the_manager_goes_by_them(self, guarded: Guarded, people: dict[str, ManagerClient]) -> None:
        context = guarded.manager.service._context
        object.__setattr__(context, "namespaces", NamespaceRules.parse(["ann=team-a"]))
        try:
            spec = people["ann"].get_study(people["ann"].create_study(study(algorithm=""))).spec
            assert spec.pod.namespace == "team-a"
            with pytest.raises(PermissionDeniedError, match=r"study_config\.pod\.namespace"):
                people["ann"].create_study(study(algorithm="", pod=PodSettings(namespace="kube-system")))
        finally:
            object.__setattr__(context, "namespaces", NamespaceRules({}))
