"""What one request may cost, and what others get meanwhile."""

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio import Event, create_task_group, fail_after, run, sleep, to_thread
from starlette.applications import Starlette
from starlette.testclient import TestClient

from katib.api.client import ManagerClient
from katib.dashboard import app, changes, context, importance
from katib.dashboard.answers import Answers
from katib.dashboard.errors import BusyError
from katib.domain.errors import DeadlineExceededError
from katib.domain.trial_columns import TrialChanges
from tests.e2e.harness import World, study

MANY = 1200


@pytest.fixture(scope="module")
def big(katib: World) -> Iterator[str]:
    """A study of many trials, whose client never runs them."""
    with katib.client() as client:
        spec = study("big", algorithm="", command=(), limits={"max_trials": MANY, "max_parallel": MANY})
        study_id = client.create_study(spec)
        while client.get_study(study_id).summary.trials < MANY:
            client.suggest_trials(study_id, 400, algorithm="random")
        yield study_id
        client.delete_study(study_id)


def numbers_of(part: dict[str, Any]) -> set[int]:
    return {number for columns in part["trials"] for number in accumulate(columns["n"])}


class TestChanges:
    @pytest.mark.long
    def test_many_trials_come_in_parts_each_of_which_is_asked_for_after_the_one_before(
        self, pages: TestClient, big: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changes, "_ENOUGH", 100)
        monkeypatch.setattr(changes, "_PAGE", 50)
        numbers: set[int] = set()
        after, parts, more = 0, 0, True
        while more:
            part = pages.get(f"/api/studies/{big}/changes", params={"after": after}).json()
            numbers |= numbers_of(part)
            assert part["revision"] > after
            after, more, parts = part["revision"], part["more"], parts + 1
        assert numbers == set(range(1, MANY + 1))
        assert parts > 1

    def test_what_there_was_no_time_for_comes_with_the_next_part(
        self, pages: TestClient, big: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask = ManagerClient.trial_changes

        def late(client: ManagerClient, study_id: str, after: int = 0, page_size: int = 0) -> TrialChanges:
            if after:
                raise DeadlineExceededError("the time is over")
            return ask(client, study_id, after, page_size)

        monkeypatch.setattr(changes, "_PAGE", 100)
        monkeypatch.setattr(ManagerClient, "trial_changes", late)
        part = pages.get(f"/api/studies/{big}/changes", params={"after": 0}).json()
        assert part["more"]
        first = numbers_of(part)
        assert 0 < len(first) < MANY
        monkeypatch.undo()
        rest = pages.get(f"/api/studies/{big}/changes", params={"after": part["revision"]}).json()
        assert not rest["more"]
        assert first | numbers_of(rest) == set(range(1, MANY + 1))


class TestDeadlines:
    def test_calls_within_a_time_end_with_it_and_others_of_the_connection_go_on(self, katib: World) -> None:
        with katib.client() as client:
            bounded = client.within(20)
            bounded.list_studies(page_size=1)
            with pytest.raises(DeadlineExceededError, match=r"did not say all that was asked for in time"):
                client.within(0).list_studies(page_size=1)
            client.list_studies(page_size=1)

    def test_a_request_has_one_deadline_for_all_that_it_asks_the_manager(
        self, pages: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(context, "_REQUEST_S", 0.0)
        assert pages.get(f"/api/studies/{ended}/changes").status_code == 504
        # A download goes on for as long as somebody reads it.
        assert pages.get(f"/studies/{ended}/trials.csv").status_code == 200


class TestAnswers:
    def test_an_answer_is_computed_once_for_each_version(self) -> None:
        answers: Answers[int] = Answers(2)
        assert [answers.of("a", 1, lambda n=n: n) for n in (10, 11)] == [10, 10]  # type: ignore[misc]
        assert answers.of("a", 2, lambda: 12) == 12

    @pytest.mark.long
    def test_a_long_computation_holds_up_its_own_study_alone(self) -> None:
        answers: Answers[int] = Answers(2)
        go, begun = threading.Event(), threading.Event()

        def long() -> int:
            begun.set()
            assert go.wait(30)
            return 1

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(answers.of, "a", 1, long)
            assert begun.wait(30)
            try:
                assert answers.of("b", 1, lambda: 2) == 2
                with pytest.raises(BusyError):
                    answers.of("a", 1, lambda: 3)
            finally:
                go.set()
            assert first.result(30) == 1
        assert answers.of("a", 1, lambda: 3) == 1

    def test_one_that_fails_leaves_the_study_free(self) -> None:
        answers: Answers[float] = Answers(1)
        with pytest.raises(ZeroDivisionError):
            answers.of("a", 1, lambda: 1 / 0)
        assert answers.of("a", 1, lambda: 2) == 2

    @pytest.mark.long
    def test_who_asks_while_others_compute_is_told_when_to_ask_again(
        self, pages: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go, begun = threading.Event(), threading.Event()
        compute = importance._compute

        def long(*arguments: object) -> object:
            begun.set()
            assert go.wait(30)
            return compute(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(importance, "_compute", long)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(pages.get, f"/api/studies/{ended}/importance")
            assert begun.wait(30)
            try:
                busy = pages.get(f"/api/studies/{ended}/importance")
            finally:
                go.set()
            assert first.result(30).status_code == 200
        assert busy.status_code == 503
        assert int(busy.headers["retry-after"]) > 0
        assert pages.get(f"/api/studies/{ended}/importance").status_code == 200

    def test_the_metrics_of_a_study_are_read_once_for_everybody(
        self, pages: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []
        read = ManagerClient.saved_models
        monkeypatch.setattr(ManagerClient, "saved_models", lambda *given: (calls.append(given), read(*given))[1])
        for _ in range(3):
            answer = pages.get(f"/api/studies/{ended}/metrics").json()
            assert answer["names"] == ["loss"]
            assert answer["values"]["1"] == [2.0]
        assert len(calls) <= 2  # a minute may end between two


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Iterator[Starlette]:
    """The pages in front of a manager that takes connections and says nothing."""
    monkeypatch.setattr(context, "_REQUEST_S", 3.0)
    monkeypatch.setattr(app, "CALL_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield app.create_app(f"127.0.0.1:{listener.getsockname()[1]}")


def answered(mute: Starlette, ask: Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """What `while_all_wait` gives, in a thread of its own: in this one the tests with a browser may have left a loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run, while_all_wait, mute, ask).result()


async def while_all_wait(
    mute: Starlette, ask: Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]
) -> httpx2.Response:
    """What is answered while more pages wait for the manager than there are threads for."""
    transport = httpx2.ASGITransport(mute)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
        create_task_group() as waiting,
    ):
        for _ in range(60):
            waiting.start_soon(client.get, "/")
        await sleep(0.3)
        with fail_after(2):
            answer = await ask(client)
        assert to_thread.current_default_thread_limiter().available_tokens == 0
        return answer


@pytest.mark.long
def test_the_pages_are_alive_while_all_of_them_wait_for_a_manager(mute: Starlette) -> None:
    answer = answered(mute, lambda client: client.get("/healthz"))
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.long
def test_a_study_file_is_checked_beside_the_threads_of_the_pages(mute: Starlette) -> None:
    def ask(client: httpx2.AsyncClient) -> Awaitable[httpx2.Response]:
        client.cookies.set("katib_token", "t" * 48)
        return client.post("/api/studies/check", json={"file": "name: x"}, headers={"x-katib-token": "t" * 48})

    assert "problems" in answered(mute, ask).json()


def test_of_large_study_files_a_few_are_in_memory_at_once_and_small_ones_do_not_wait(mute: Starlette) -> None:
    begun: list[str] = []

    async def large(address: str, go_on: Event) -> AsyncIterator[bytes]:
        yield b'{"file": "'
        yield b" " * 2**16
        begun.append(address)
        await go_on.wait()
        yield b'"}'

    async def ask(answers: list[int], address: str, content: bytes | AsyncIterator[bytes]) -> None:
        transport = httpx2.ASGITransport(mute, client=(address, 12345))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.cookies.set("katib_token", "t" * 48)
            headers = {"x-katib-token": "t" * 48, "sec-fetch-site": "same-origin"}
            answer = await client.post("/api/studies/check", content=content, headers=headers)
            answers.append(answer.status_code)

    async def look() -> None:
        answers: list[int] = []
        go_on = Event()

        async def come(count: int) -> None:
            with fail_after(20):
                while len(begun) < count:
                    await sleep(0.01)
            await sleep(0.3)
            assert len(begun) == count

        async with create_task_group() as asking:
            for _ in range(12):
                asking.start_soon(ask, answers, "192.0.2.1", large("192.0.2.1", go_on))
            # The last place is for others.
            await come(app._LARGE - 1)
            for _ in range(2):
                asking.start_soon(ask, answers, "192.0.2.2", large("192.0.2.2", go_on))
            await come(app._LARGE)
            assert begun[-1] == "192.0.2.2"
            with fail_after(5):
                await ask(answers, "192.0.2.1", b'{"file": "name: x"}')
            go_on.set()
        assert answers == [200] * 15
        assert mute.state.context.large._of == {}

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, look).result()


def test_pages_are_made_of_what_was_there_when_the_program_started(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = context.environment()

    def gone(*_: object) -> None:
        raise AssertionError("an upgrade has put another file in its place")

    monkeypatch.setattr(templates.loader, "get_source", gone)
    names = [path.name for path in (Path(context.__file__).parent / "templates").iterdir()]
    assert names
    assert all(templates.get_template(name).name == name for name in names)
