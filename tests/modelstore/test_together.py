"""Two managers that save the same study's models at the same moment."""

from contextlib import closing

import pytest

from katib.domain.models import SavedStudy
from katib.manager.modelstore.open import open_model_store
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import models
from katib.manager.storage.sql.session import MySqlSession
from tests.modelstore.test_contract import all_of, finished
from tests.storage import servers
from tests.storage.builders import make_spec, make_study


@pytest.mark.slow
@pytest.mark.parametrize("server", servers.KINDS)
@pytest.mark.parametrize("act", ["keep", "save_study"])
def test_whoever_comes_a_moment_later_than_another_saves_all_the_same(request, monkeypatch, server, act, project):
    url = request.getfixturevalue(f"{server}_url")
    with closing(open_storage(url)) as storage, closing(open_storage(url)) as other:
        store, faster = open_model_store(storage), open_model_store(other)
        study = storage.create_study(make_study(spec=make_spec(name=project)))
        ended = finished(storage, study, 0.5)
        write, beaten = MySqlSession.write, []

        def late(session, statement, **values):
            """Between the look and the insert."""
            if statement is models._INSERT_STUDY and not beaten:
                beaten.append(values["name"])
                faster.save_study(SavedStudy(project, "", ""))
            return write(session, statement, **values)

        monkeypatch.setattr(MySqlSession, "write", late)
        if act == "keep":
            store.keep(study, ended)
            assert [m.trial_id for m in all_of(store, project)] == [ended[0].trial.id]
        else:
            store.save_study(SavedStudy(project, "ann", ""))
            assert [s.owner for s in store.saved_studies() if s.name == project] == ["ann"]
        assert beaten == [project]
