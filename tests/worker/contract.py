"""What every worker does. An implementation enrols by a subclass that gives `new_worker`; and `study`, where a run needs more
than a command."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from katib.domain.names import new_id, run_name
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec
from katib.worker.base import RunPhase, RunSpec, Worker
from tests.worker.driving import Driver
from tests.worker.output_contract import OutputContract

ARGV = ("python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))")


class WorkerContract(OutputContract):
    # For one thing to happen to one run.
    deadline_s = 20.0

    @pytest.fixture
    def new_worker(self):
        """A function that gives another worker on the same place, as a restarted manager has it."""
        raise NotImplementedError

    def study(self) -> StudySpec:
        return StudySpec(
            name="contract",
            objective_name="x",
            optimization=Objective.MINIMIZE,
            parameters=(ParameterConfig("lr", ParameterType.DOUBLE, FeasibleSpace(min="0", max="1")),),
            algorithm="random",
            command=("true",),
        )

    @pytest.fixture
    def worker(self, new_worker) -> Worker:
        return new_worker()

    @pytest.fixture
    def driver(self, worker) -> Iterator[Driver]:
        driver = Driver(worker, self.study(), self.deadline_s)
        yield driver
        for name in driver.statuses():
            driver.worker.delete(driver.study_id, name)
        driver.until("the runs never ended", lambda: not driver.statuses())
        driver.worker.delete_study(driver.study_id)

    # A run from its start to its end

    def test_a_run_succeeds_and_its_output_is_there(self, driver):
        name = driver.start("sh", "-c", "echo loss=0.5; echo oops >&2")
        status = driver.ended(name)
        assert (status.phase, status.exit_code) == (RunPhase.SUCCEEDED, 0)
        assert (status.study_id, status.attempt) == (driver.study_id, 1)
        assert status.name == run_name(status.trial_id, 1)
        assert status.started_at is not None
        assert status.ended_at is not None
        assert status.started_at <= status.ended_at
        assert sorted(driver.texts(name)) == ["loss=0.5", "oops"]

    def test_a_run_that_exits_with_a_code_fails_and_says_so(self, driver):
        status = driver.ended(driver.start("sh", "-c", "exit 3"))
        assert (status.phase, status.exit_code) == (RunPhase.FAILED, 3)
        assert status.reason
        assert "3" in status.message

    def test_a_run_that_is_killed_fails_and_says_by_what(self, driver):
        status = driver.ended(driver.start("sh", "-c", "kill -KILL $$"))
        assert (status.phase, status.exit_code) == (RunPhase.FAILED, 137)
        assert status.reason
        assert "SIGKILL" in status.message or "137" in status.message

    def test_a_command_that_does_not_exist_is_a_failed_run_that_names_it(self, driver):
        status = driver.ended(driver.start("no-such-program-anywhere"))
        assert status.phase is RunPhase.FAILED
        assert status.reason == "StartFailed"
        assert "no-such-program-anywhere" in status.message

    def test_a_run_that_goes_on_is_not_ended(self, driver):
        name = driver.start("sh", "-c", "echo here; sleep 600")
        driver.printed(name, "here")
        status = driver.status(name)
        assert status.phase is RunPhase.RUNNING
        assert status.exit_code is None
        assert status.ended_at is None

    def test_parameters_arrive_exactly_as_they_are(self, driver):
        arguments = [
            "lr=0.1",
            "--flag",
            "-c",
            "quote='single' \"double\"",
            "space=a b  c ",
            "shell=$(touch /tmp/no) `id` ; exit 9 && | > < * ? ~ !",
            "dollar=$HOME $$ $(HOME) ${HOME} $(STUDY_ID) {{STUDY_ID}}",
            "back\\slash=\\n\\",
            "newline=a\nb\ttab\r",
            "unicode=żółć 模型 🚀",
            "",
            "=",
            "percent=%s%n",
        ]
        name = driver.start(*ARGV, arguments=arguments)
        driver.ended(name)
        assert json.loads(driver.texts(name)[0]) == arguments

    def test_the_words_of_the_command_are_not_interpreted_either(self, driver):
        name = driver.start(*ARGV, "$(id)", "a b", "$HOME", "'", ";", "*")
        driver.ended(name)
        assert json.loads(driver.texts(name)[0]) == ["$(id)", "a b", "$HOME", "'", ";", "*"]

    def test_the_ids_stand_in_the_command_and_in_the_environment(self, driver):
        run = driver.run(
            "sh",
            "-c",
            "echo {{STUDY_ID}} {{TRIAL_ID}} $STUDY_ID $TRIAL_ID $KATIB_ATTEMPT $EXTRA",
            environment={"EXTRA": "extra"},
            attempt=2,
        )
        driver.worker.create(run)
        driver.ended(run.name)
        ids = f"{driver.study_id} {run.trial_id}"
        assert driver.texts(run.name) == [f"{ids} {ids} 2 extra"]

    # Creating

    def test_a_second_create_changes_nothing(self, driver):
        run = driver.run("sh", "-c", "echo once; sleep 0.2")
        driver.worker.create(run)
        driver.worker.create(run)
        driver.ended(run.name)
        driver.worker.create(run)
        assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
        assert driver.texts(run.name) == ["once"]
        assert len(driver.statuses()) == 1

    def test_as_many_runs_of_a_study_as_it_says_are_created_at_once(self, driver):
        at_once = driver.worker.creates_at_once
        assert at_once >= 1
        runs = [driver.run("sh", "-c", f"echo {i}") for i in range(at_once)]
        with ThreadPoolExecutor(at_once) as pool:
            for created in [pool.submit(driver.worker.create, run) for run in runs]:
                created.result(driver.deadline_s)
        assert driver.statuses().keys() == {run.name for run in runs}
        assert [driver.texts(run.name) for run in runs] == [[str(i)] for i in range(at_once)]

    def test_attempts_of_a_trial_are_runs_of_their_own(self, driver):
        trial_id = new_id()
        for attempt in (1, 2):
            driver.worker.create(driver.run("sh", "-c", "echo $KATIB_ATTEMPT", trial_id=trial_id, attempt=attempt))
        for attempt in (1, 2):
            name = run_name(trial_id, attempt)
            status = driver.ended(name)
            assert (status.trial_id, status.attempt) == (trial_id, attempt)
            assert driver.texts(name) == [str(attempt)]

    def test_a_study_lists_its_own_runs_only(self, driver):
        name = driver.start("true")
        other = Driver(driver.worker, self.study(), self.deadline_s)
        theirs = other.start("true")
        assert set(driver.statuses()) == {name}
        assert set(other.statuses()) == {theirs}
        other.ended(theirs)
        other.worker.delete_study(other.study_id)

    def test_a_study_without_runs_has_an_empty_list(self, worker):
        assert list(worker.list(new_id())) == []

    # Stopping

    def test_a_stopped_run_ends_as_failed(self, driver):
        name = driver.start("sh", "-c", "echo here; sleep 600")
        driver.printed(name, "here")
        driver.worker.stop(driver.study_id, name)
        assert driver.status(name).phase in (RunPhase.STOPPING, RunPhase.FAILED)
        driver.worker.stop(driver.study_id, name)
        assert driver.ended(name).phase is RunPhase.FAILED
        assert driver.texts(name)[0] == "here"

    @pytest.mark.long
    def test_a_run_that_ignores_the_request_is_killed_after_the_grace(self, driver):
        name = driver.start("sh", "-c", "trap '' TERM; echo here; while :; do sleep 0.1; done")
        driver.printed(name, "here")
        driver.worker.stop(driver.study_id, name)
        status = driver.ended(name)
        assert (status.phase, status.exit_code) == (RunPhase.FAILED, 137)

    def test_what_a_run_prints_while_it_is_stopped_is_taken_in(self, driver):
        name = driver.start("sh", "-c", "trap 'echo saved; exit 4' TERM; echo here; while :; do sleep 0.05; done")
        driver.printed(name, "here")
        driver.worker.stop(driver.study_id, name)
        driver.ended(name)
        assert driver.texts(name)[:1] == ["here"]
        assert "saved" in driver.texts(name)

    def test_stopping_a_run_that_has_ended_changes_nothing(self, driver):
        name = driver.start("true")
        before = driver.ended(name)
        driver.worker.stop(driver.study_id, name)
        assert driver.status(name) == before

    def test_a_run_that_was_stopped_before_it_was_created_never_starts(self, driver):
        run = driver.run("sh", "-c", "echo started")
        driver.worker.stop(driver.study_id, run.name)
        driver.worker.create(run)
        assert driver.ended(run.name).phase is RunPhase.FAILED
        assert driver.texts(run.name) == []

    # Forgetting

    def test_a_deleted_run_is_listed_no_more_and_cannot_be_created_again(self, driver):
        run = driver.run("sh", "-c", "echo once")
        driver.worker.create(run)
        driver.ended(run.name)
        driver.worker.delete(driver.study_id, run.name)
        assert driver.statuses() == {}
        driver.worker.delete(driver.study_id, run.name)
        assert driver.statuses() == {}

    def test_deleting_a_run_that_goes_on_ends_it(self, driver):
        name = driver.start("sh", "-c", "echo here; sleep 600")
        driver.printed(name, "here")
        driver.worker.delete(driver.study_id, name)
        driver.until("it is still listed", lambda: name not in driver.statuses())

    def test_deleting_what_never_was_changes_nothing(self, driver):
        driver.worker.delete(driver.study_id, run_name(new_id(), 1))
        assert driver.statuses() == {}

    def test_a_study_with_live_runs_is_not_deleted(self, driver):
        name = driver.start("sleep", "600")
        with pytest.raises(FailedPreconditionError):
            driver.worker.delete_study(driver.study_id)
        assert name in driver.statuses()

    def test_a_deleted_study_leaves_nothing(self, driver):
        name = driver.start("true")
        driver.ended(name)
        driver.worker.delete_study(driver.study_id)
        driver.worker.delete_study(driver.study_id)
        assert driver.statuses() == {}
        with pytest.raises(NotFoundError):
            driver.worker.output(driver.study_id, name, "", 100)

    # Waking

    def test_the_end_of_a_run_wakes(self, driver):
        driver.woken.clear()
        name = driver.start("sleep", "0.2")
        assert driver.woken.wait(self.deadline_s)
        driver.ended(name)

    def test_output_wakes(self, driver):
        driver.start("sh", "-c", "sleep 0.2; echo here; sleep 600")
        driver.woken.clear()
        assert driver.woken.wait(self.deadline_s)

    # After a restart of the manager

    def test_another_worker_finds_the_runs_and_goes_on_reading(self, driver, new_worker):
        going = driver.start("sh", "-c", "echo one; sleep 0.3; echo two; sleep 600")
        over = driver.start("sh", "-c", "echo done; exit 3")
        driver.printed(going, "one")
        driver.ended(over)
        output = driver.worker.output(driver.study_id, going, "", 65536)
        driver.worker.close()
        successor = Driver(new_worker(), driver.study, self.deadline_s)
        successor.study_id = driver.study_id
        driver.worker = successor.worker
        assert set(successor.statuses()) == {going, over}
        assert successor.status(going).phase is RunPhase.RUNNING
        assert (successor.status(over).phase, successor.status(over).exit_code) == (RunPhase.FAILED, 3)
        assert successor.texts(over) == ["done"]
        successor.printed(going, "two")
        successor.worker.stop(driver.study_id, going)
        assert successor.ended(going).phase is RunPhase.FAILED
        lines, _ = successor.read(going, output.cursor)
        given = [line.text for line in (*output.lines, *lines) if line.text.isalpha()]
        assert given[:2] == ["one", "two"]

    def test_another_worker_does_not_list_what_was_deleted(self, driver, new_worker):
        gone, kept = driver.start("true"), driver.start("true")
        for name in (gone, kept):
            driver.ended(name)
        driver.worker.delete(driver.study_id, gone)
        assert [status.name for status in new_worker().list(driver.study_id)] == [kept]

    # Asking for what cannot be

    def test_runs_that_are_not_there_are_not_found(self, driver):
        name = run_name(new_id(), 1)
        with pytest.raises(NotFoundError):
            driver.worker.output(driver.study_id, name, "", 100)
        with pytest.raises(NotFoundError):
            driver.worker.log(driver.study_id, name, 0, 100)
        with pytest.raises(NotFoundError):
            driver.worker.output(new_id(), name, "", 100)

    @pytest.mark.parametrize("bad", ["", "..", "a/b", "../../etc", "A" * 16, "a" * 17, "\0", "x" * 5000])
    def test_what_cannot_be_an_id_is_refused(self, worker, bad):
        name = run_name(new_id(), 1)
        for call in (
            lambda: worker.list(bad),
            lambda: worker.output(bad, name, "", 100),
            lambda: worker.stop(bad, name),
            lambda: worker.delete(bad, name),
            lambda: worker.log(bad, name, 0, 100),
            lambda: worker.delete_study(bad),
            lambda: worker.output(new_id(), bad, "", 100),
            lambda: worker.stop(new_id(), bad),
            lambda: worker.delete(new_id(), bad),
            lambda: worker.log(new_id(), bad, 0, 100),
        ):
            with pytest.raises(InvalidArgumentError):
                call()

    def test_a_run_whose_name_is_not_that_of_its_trial_is_refused(self, driver):
        run = driver.run("true")
        wrong = RunSpec(run_name(new_id(), 1), run.study_id, run.trial_id, 1, run.command, (), run.study)
        with pytest.raises(InvalidArgumentError):
            driver.worker.create(wrong)
        assert driver.statuses() == {}

    def test_placement_is_stable_and_short(self, worker, new_worker):
        assert worker.placement == worker.placement == new_worker().placement
        assert len(worker.placement) <= 200
