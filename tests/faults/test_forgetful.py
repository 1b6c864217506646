"""A service that keeps state as those of 0.1 did, and forgets it while nobody looks."""

from dataclasses import replace

import pytest

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Setting, StudyReason
from tests.e2e.harness import BIN, Process, World, finished, study, trials, until
from tests.faults import forgetful


def begin(katib: World, unknown: str) -> Process:
    listen = f"unix:{katib.sockets}/s-{forgetful.ALGORITHM}"
    process = katib.start(str(BIN / "python"), forgetful.__file__, "--listen", listen, "--unknown", unknown, name="old")
    until(lambda: "ready" in process.output)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("unknown", ["crash", "error"])
def test_a_service_that_was_restarted_unnoticed_is_told_the_settings_and_the_number_of_trials_is_exact(
    katib: World, unknown: str
) -> None:
    service = begin(katib, unknown)
    katib.manager()
    gate = katib.folder / "gate"
    spec = replace(
        study(
            script=f"while [ ! -e {gate} ]; do sleep 0.05; done; echo acc=$x",
            algorithm=forgetful.ALGORITHM,
            parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace(min="1", max="100")),),
            settings=(Setting("SuggestionNum", "7"), Setting("MaxParallel", "2")),
        ),
        limits=Limits(),
    )
    with katib.client() as client:
        study_id = client.create_study(spec)
        until(lambda: client.get_study(study_id).summary.running == 2)
        # Nothing is asked of it while all trials run: it is back before anybody knows.
        service.kill()
        service = begin(katib, unknown)
        gate.touch()
        if unknown == "crash":
            until(lambda: service.popen.poll() is not None)
            assert service.popen.returncode == forgetful.CRASHED
            begin(katib, unknown)
        summary = finished(client, study_id)
        assert (summary.completed, summary.reason) == (7, StudyReason.MAX_TRIALS)
        numbers = [int(t.parameters[0].value) for t in trials(client, study_id)]
    assert forgetful.STUMBLED in service.output
    # It began anew where it stood then.
    assert numbers == [1, 2, 1, 2, 3, 4, 5]
