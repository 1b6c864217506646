"""What is no MLflow server, or is one that does not answer: told in a sentence, and nobody waits for it but a few."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, UnavailableError
from katib.domain.models import SavedModel
from katib.manager.modelstore import mlflow_api
from katib.manager.modelstore.open import open_model_store
from katib.manager.modelstore.places import AT_ONCE, Places
from katib.manager.storage.open import open_storage

MODEL = SavedModel("digits", "t", (), (), "/m")


@contextmanager
def answering(status, body, **headers):
    """A server that gives everybody this answer; `body` may be a function that gives its pieces."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.seen.append(self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the other end has given up
                for piece in [body] if isinstance(body, bytes) else body():
                    self.wfile.write(piece)

        def log_message(self, *_):
            pass

        do_GET = do_POST = answer  # noqa: N815  # as the class wants them

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def store_at(server, user=""):
    return open_model_store(open_storage("memory://"), f"mlflow+http://{user}127.0.0.1:{server.server_port}")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"experiment": null}',
        b'{"experiment": "x"}',
        b'{"experiment": {"experiment_id": "1", "tags": [{"key": "katib.study"}]}, "runs": {}}',
        b'{"experiment": {"experiment_id": "1", "tags": [{"key": "katib.study"}]}, "runs": [1]}',
        b'{"experiment": {"experiment_id": "1", "tags": [{"key": "katib.study"}]}, "runs": [{"info": {}}]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_not_mlflows_is_said_to_be_none(body):
    with answering(200, body) as server:
        store = store_at(server)
        for call in (lambda: store.save_model(MODEL), lambda: store.saved_models("digits", 9, "")):
            with pytest.raises(UnavailableError, match=r"is no MLflow tracking server: .*; correct --model-store"):
                call()
        store.close()


@pytest.mark.parametrize(("status", "body"), [(302, b""), (404, b"<html>\n Not\x20Found"), (204, b"")])
def test_a_page_in_its_place_is_said_to_be_none(status, body):
    with answering(status, body, Location="https://login.example/") as server:
        store = store_at(server)
        with pytest.raises(
            UnavailableError, match=f"it answered experiments/search with {status}.*; correct --model-store"
        ):
            store.saved_studies()
        store.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_who_asks_says_how_to_give_a_user_or_a_token(status):
    with answering(status, b"You are not authenticated") as server:
        store = store_at(server)
        with pytest.raises(UnavailableError, match="a user in --model-store, or a token in MLFLOW_TRACKING_TOKEN"):
            store.saved_studies()
        store.close()


def test_what_mlflow_itself_refuses_is_told_as_it_says_it():
    for code, kind in (
        ("RESOURCE_DOES_NOT_EXIST", NotFoundError),
        ("INVALID_PARAMETER_VALUE", FailedPreconditionError),
    ):
        with answering(400, f'{{"error_code": "{code}", "message": "why"}}'.encode()) as server:
            store = store_at(server)
            with pytest.raises(kind, match=f"answered experiments/search with 400 {code}: why"):
                store.saved_studies()
            store.close()


def test_users_with_any_characters_and_a_token_from_a_file_are_shown(monkeypatch):
    with answering(200, b'{"experiments": []}') as server:
        with_user = store_at(server, "m%C5%82:p%40ss@")
        with_user.saved_studies()
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", " t0ken\n")
        with_token = store_at(server)
        with_token.saved_studies()
        assert [headers["Authorization"] for headers in server.seen] == ["Basic bcWCOnBAc3M=", "Bearer t0ken"]
        with_user.close()
        with_token.close()
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "two\nlines")
        with pytest.raises(InvalidArgumentError, match=r"MLFLOW_TRACKING_TOKEN: .*one line") as caught:
            store_at(server)
        assert "lines'" not in str(caught.value)


@pytest.mark.parametrize(
    "where", ["", "h:99999", "h:port", "h:0", "h:1?x=1", "h:1#x", "/path", "[::1", " h", "h:1/a b", "me:s3cret@h:x"]
)
def test_an_address_of_no_server_is_refused_without_its_password(where):
    with pytest.raises(InvalidArgumentError, match=r"--model-store: .*expected database, or mlflow\+http") as caught:
        open_model_store(open_storage("memory://"), f"mlflow+http://{where}")
    assert "s3cret" not in str(caught.value)


def test_an_answer_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(mlflow_api, "_ANSWER_S", 0.05)
    ended = threading.Event()

    def endless():
        while not ended.wait(0.01):
            yield b" "

    with answering(200, endless) as server:
        store = store_at(server)
        try:
            with pytest.raises(UnavailableError, match=r"cannot be reached: its answer was not whole after 0\.05 s"):
                store.saved_studies()
        finally:
            ended.set()
        store.close()


def test_a_server_that_says_nothing_holds_a_few_callers_and_no_more(monkeypatch):
    """Threads that answer calls are all callers'."""
    monkeypatch.setattr(mlflow_api, "_TIMEOUT", 0.4)
    monkeypatch.setattr("katib.manager.modelstore.places._WAIT_S", 0.02)
    answer, told = threading.Event(), []

    def slow():
        answer.wait(20)
        yield b"{}"

    with answering(200, slow) as server:
        store = store_at(server)

        def ask():
            with pytest.raises(UnavailableError) as caught:
                store.saved_studies()
            told.append(caught.value.message)

        threads = [threading.Thread(target=ask) for _ in range(3 * AT_ONCE)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert sum("is slow: 8 calls wait" in message for message in told) >= AT_ONCE
            assert sum("Read timed out" in message for message in told) >= AT_ONCE
        finally:
            answer.set()
        store.close()


def test_while_a_server_says_nothing_one_at_a_time_tries_it_and_the_others_hear_why_at_once():
    places = Places("it")
    places.silent("it is silent")
    with places.one():
        for _ in range(3):
            with pytest.raises(UnavailableError, match="it is silent"), places.one():
                pass
        places.answered()
        # It serves all again before that one has done.
        with places.one(), places.one():
            pass
    with places.one():
        pass


def test_a_place_is_free_again_however_its_request_ended():
    places = Places("it")
    for _ in range(2 * AT_ONCE):
        with pytest.raises(RuntimeError), places.one():
            raise RuntimeError
    with places.one():
        pass
