"""A client that was given several addresses, of managers that are away, silent, ending, or cut off from their database."""

import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import Any

import grpc
import pytest

from katib.api.client import ManagerClient
from katib.domain.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from tests.api.failover import CALLS, EACH, REPEATABLE, A, Pair, Replica, in_the_middle, nobody, pair, serving
from tests.cli.scripted import SPEC

__all__ = ["nobody", "pair"]


@pytest.mark.parametrize("what", ["refused", "busy", "away", "stream"])
def test_what_a_call_raises_shows_a_user_one_traceback_and_none_of_grpcs(what: str, nobody: str) -> None:
    replica = Replica()
    replica.busy = {"refused": NotFoundError("no"), "busy": ResourceExhaustedError("too many", 60.0)}.get(what)
    with (
        serving(replica) as (address, _),
        ManagerClient(address if replica.busy else nobody) as client,
        pytest.raises(KatibError) as raised,
    ):
        list(client.watch_study(A)) if what == "stream" else client.within(2).get_study(A)
    shown = "".join(traceback.format_exception(raised.value))
    assert shown.count("Traceback") == 1
    assert "RpcError" not in shown
    # For who debugs.
    assert isinstance(raised.value.__context__, grpc.RpcError)


@EACH
def test_where_nobody_listens_the_next_address_is_used_at_once(
    call: Callable[[ManagerClient], object], pair: Pair, nobody: str
) -> None:
    with ManagerClient([nobody, pair.other]) as client:
        began = time.monotonic()
        call(client)
        assert time.monotonic() - began < 5
        call(client)
    assert pair.second.asked == 2


def test_a_client_stays_where_it_is_answered(pair: Pair) -> None:
    with pair.client() as client:
        for _ in range(5):
            client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (5, 0)


def test_many_clients_are_shared_by_the_managers() -> None:
    with ExitStack() as stack:
        replicas = [Replica() for _ in range(3)]
        addresses = [stack.enter_context(serving(replica))[0] for replica in replicas]
        for _ in range(40):
            with ManagerClient(addresses) as client:
                client.get_study(A)
    # Each is left out by 40 clients once in ten million times.
    assert all(replica.asked for replica in replicas)


@REPEATABLE
def test_a_manager_without_its_database_is_left_for_the_next(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    pair.first.busy = UnavailableError("the database cannot be reached")
    with pair.client() as client:
        call(client)
        call(client)
    assert (pair.first.asked, pair.second.asked) == (1, 2)


def test_what_may_not_be_made_twice_is_made_once(pair: Pair) -> None:
    pair.first.busy = UnavailableError("the connection was lost while it committed")
    with pair.client() as client, pytest.raises(UnavailableError, match="while it committed"):
        client.suggest_trials(A)
    assert (pair.first.asked, pair.second.asked) == (1, 0)


def test_an_error_of_the_call_itself_is_the_answer(pair: Pair) -> None:
    pair.first.busy = NotFoundError("there is no such study")
    with pair.client() as client, pytest.raises(NotFoundError):
        client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (1, 0)


@REPEATABLE
def test_a_call_whose_answer_is_lost_is_made_at_the_next(call: Callable[[ManagerClient], object], pair: Pair) -> None:
    in_the_middle(pair, call, pair.line.cut)
    assert (pair.first.asked, pair.second.asked) == (1, 1)


def test_a_study_whose_creation_was_lost_is_created_under_the_same_request(pair: Pair) -> None:
    in_the_middle(pair, lambda client: client.create_study(SPEC), pair.line.cut)
    (first,), (second,) = pair.first.request_ids, pair.second.request_ids
    assert first == second != ""
    with pair.client() as client:
        client.create_study(SPEC)
        client.create_study(SPEC, "mine")
    assert pair.second.request_ids[1] not in ("", first)
    assert pair.second.request_ids[2] == "mine"


def test_a_deletion_whose_answer_was_lost_has_taken_effect_when_the_next_manager_knows_no_such_study(
    pair: Pair,
) -> None:
    pair.second.busy = NotFoundError("there is no study")
    in_the_middle(pair, lambda client: client.delete_study(A), pair.line.cut)
    assert (pair.first.asked, pair.second.asked) == (1, 1)
    with pair.client() as client, pytest.raises(NotFoundError):
        client.delete_study(A)


def test_a_time_out_that_the_manager_speaks_of_is_the_answer(pair: Pair) -> None:
    pair.first.busy = DeadlineExceededError("suggestion-random did not answer within 30 s")
    with pair.client(5) as client, pytest.raises(DeadlineExceededError, match="suggestion-random did not answer"):
        client.get_study(A)
    assert pair.second.asked == 0


def test_a_lost_answer_that_may_not_be_asked_for_again_says_so(pair: Pair) -> None:
    with pytest.raises(UnavailableError, match=r"was lost before it answered: look whether it took effect"):
        in_the_middle(pair, lambda client: client.suggest_trials(A), pair.line.cut)
    assert pair.second.asked == 0


def test_a_manager_that_ends_is_left_without_an_error(pair: Pair) -> None:
    with pair.client() as client:
        client.get_study(A)
        pair.server.drain(0)
        for call in CALLS.values():
            call(client)
    assert (pair.first.asked, pair.second.asked) == (1, 4)


@pytest.mark.long
def test_where_nobody_answers_each_address_is_named_and_nobody_waits_for_the_time_out(nobody: str) -> None:
    with ManagerClient(f"{nobody}, unix:/nowhere/m") as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            client.get_study(A)
        assert time.monotonic() - began < 15
    assert str(caught.value) == (
        f"none of the managers at {nobody}, unix:/nowhere/m can be reached: start one (katib-local does), or name others"
    )


def test_alone_what_cannot_be_reached_is_an_error_at_once(nobody: str) -> None:
    with ManagerClient(nobody) as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="cannot be reached: start it"):
            client.get_study(A)
        assert time.monotonic() - began < 2


@pytest.mark.long
def test_alone_a_creation_whose_answer_was_lost_is_made_again_when_the_manager_is_back() -> None:
    first, second = Replica(), Replica()
    with ExitStack() as stack:
        address, server = stack.enter_context(serving(first))
        first.gate.clear()

        def restart() -> None:
            assert first.entered.wait(30)
            server.drain(0)
            time.sleep(0.5)
            stack.enter_context(serving(second, int(address.rpartition(":")[2])))

        thread = Thread(target=restart)
        thread.start()
        with ManagerClient(address) as client:
            client.create_study(SPEC)
        thread.join()
    assert first.request_ids == second.request_ids


@pytest.mark.parametrize("bad", ["", ",", "a:1,", ",a:1", "a:1,,b:2", "a:1, a:1", [], ["a:1", ""], ["a:1"] * 2])
def test_a_list_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="address"):
        ManagerClient(bad)
    with pytest.raises(InvalidArgumentError, match="at most 16"):
        ManagerClient([f"a:{i}" for i in range(1, 18)])
