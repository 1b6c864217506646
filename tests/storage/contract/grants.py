"""What every storage does with lists that not everybody sees the whole of."""

from dataclasses import replace
from datetime import timedelta

from katib.manager.ports import StudyFilter, TrialFilter
from tests.storage.builders import NOW, add, make_spec, make_study


def owned(storage, owner, *permissions, minutes=0):
    spec = replace(make_spec(), owner=owner, access_permissions=permissions)
    return storage.create_study(make_study(spec=spec, created_at=NOW + timedelta(minutes=minutes)))


def seen(storage, *grantees, size=2, **filters):
    """Everything, page by page, that one of these sees."""
    found, token = [], ""
    while True:
        page = storage.list_studies(StudyFilter(visible_to=frozenset(grantees), **filters), size, token)
        found += page.items
        token = page.next_token
        if not token:
            return found
        assert len(page.items) == size, "a page with others behind it is full"


class GrantContract:
    def test_a_list_has_what_is_granted_to_one_of_its_readers_and_its_pages_are_full(self, storage):
        of_ann = [owned(storage, "ann", minutes=i) for i in range(5)]
        of_bob = [owned(storage, "bob", "reader:ann", minutes=2 * i) for i in range(2)]
        for_team = owned(storage, "bob", "writer:group:team", "0.1 said this", minutes=1)
        for_all = owned(storage, "bob", "operator:*", minutes=3)
        owned(storage, "", minutes=4)

        def by_age(*studies):
            return sorted(studies, key=lambda s: (s.created_at, s.id), reverse=True)

        assert seen(storage, "ann") == by_age(*of_ann, *of_bob)
        assert seen(storage, "ann", "group:team", "*") == by_age(*of_ann, *of_bob, for_team, for_all)
        assert seen(storage, "carl", "*") == [for_all]
        assert seen(storage, "carl") == []
        assert seen(storage, "0.1 said this") == []
        assert len(storage.list_studies(StudyFilter(), 100, "").items) == 10

    def test_granted_twice_it_is_there_once(self, storage):
        study = owned(storage, "ann", "reader:ann", "reader:*", "writer:*", "reader:group:team")
        assert seen(storage, "ann", "*", "group:team") == [study]

    def test_the_other_filters_count_too(self, storage):
        study = owned(storage, "ann")
        other = replace(make_spec(), owner="ann", name="another")
        storage.create_study(make_study(spec=other))
        assert seen(storage, "ann", name=study.spec.name) == [study]
        assert seen(storage, "ann", id_prefix=study.id[:9]) == [study]
        assert seen(storage, "bob", name=study.spec.name) == []

    def test_the_list_of_all_trials_has_those_of_visible_studies(self, storage):
        mine, other = owned(storage, "ann"), owned(storage, "bob", "reader:*")
        of_mine, of_other = add(storage, mine, 3), add(storage, other, 2)

        def trials(*grantees):
            return {t.id for t in storage.list_trials(TrialFilter(visible_to=frozenset(grantees)), 9, "").items}

        assert trials("ann") == {t.id for t in of_mine}
        assert trials("ann", "*") == {t.id for t in (*of_mine, *of_other)}
        assert trials("carl") == set()
        first = storage.list_trials(TrialFilter(visible_to=frozenset({"ann"})), 2, "")
        rest = storage.list_trials(TrialFilter(visible_to=frozenset({"ann"})), 2, first.next_token)
        assert {t.id for t in (*first.items, *rest.items)} == {t.id for t in of_mine}
        assert rest.next_token == ""

    def test_a_study_that_granted_something_can_be_deleted(self, storage):
        study = owned(storage, "ann", "reader:*")
        storage.delete_study(study.id)
        assert seen(storage, "ann", "*") == []
