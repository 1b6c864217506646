"""The pages in front of a manager that asks who calls: a reader sees and does what its token lets it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from katib.dashboard.app import create_app
from katib.manager.auth.authenticator import NOT_GOOD
from katib.manager.tokens import id_in
from tests.auth.conftest import Guarded
from tests.e2e.harness import study, world


@pytest.fixture
def pages(guarded: Guarded) -> Iterator[TestClient]:
    with TestClient(create_app(guarded.world.address), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def of_dora(guarded: Guarded) -> str:
    if "dora" not in guarded.secrets:
        guarded.token("dora", "user")
    with guarded.client("dora") as client:
        return client.create_study(study(name="dora's", algorithm=""))


def send(pages: TestClient, path: str, body: object = None, **headers: str) -> httpx2.Response:
    """As a page of ours does."""
    pages.get("/login")
    usual = {
        "x-katib-token": pages.cookies["katib_token"],
        "origin": "http://localhost",
        "sec-fetch-site": "same-origin",
    }
    return pages.post(path, json={} if body is None else body, headers=usual | headers)


def log_in(pages: TestClient, secret: str) -> httpx2.Response:
    return send(pages, "/api/login", {"token": secret})


@pytest.mark.long
def test_who_has_not_logged_in_is_asked_to_whatever_the_page(guarded: Guarded, pages: TestClient, of_dora: str) -> None:
    for path in ("/", f"/studies/{of_dora}", "/trials/a000000000000000", f"/create?from={of_dora}", "/login"):
        answer = pages.get(path)
        assert answer.status_code == (200 if path == "/login" else 401), path
        assert 'id="login"' in answer.text
        assert guarded.world.address not in answer.text
        assert "dora" not in answer.text
    for path in (
        f"/api/studies/{of_dora}/changes",
        f"/api/studies/{of_dora}/importance",
        f"/studies/{of_dora}/trials.csv",
    ):
        assert pages.get(path).status_code in (401, 404), path
    assert send(pages, f"/api/studies/{of_dora}/delete").status_code == 401
    assert pages.get("/healthz").status_code == 200


def test_who_has_logged_in_sees_and_does_what_the_token_lets_it(
    guarded: Guarded, pages: TestClient, of_dora: str
) -> None:
    other = guarded.token("elmo", "user")
    answer = log_in(pages, other)
    assert answer.status_code == 200
    assert other not in answer.text
    assert "No studies" in pages.get("/").text or "dora's" not in pages.get("/").text
    assert pages.get(f"/studies/{of_dora}").status_code == 404
    assert send(pages, f"/api/studies/{of_dora}/stop").status_code == 404

    assert log_in(pages, guarded.secrets["dora"]).status_code == 200
    assert "dora&#39;s" in pages.get("/").text
    page = pages.get(f"/studies/{of_dora}")
    assert page.status_code == 200
    assert guarded.secrets["dora"] not in page.text
    assert 'id="logout"' in page.text
    assert send(pages, f"/api/studies/{of_dora}/stop").status_code == 200

    assert send(pages, "/api/logout").status_code == 200
    assert pages.get("/").status_code == 401


def test_the_cookie_is_for_this_site_and_no_script(guarded: Guarded, of_dora: str) -> None:
    app = create_app(guarded.world.address, "/katib")
    for scheme, proxy, secure in (
        ("http", "", False),
        ("http", "http", False),
        ("http", "https", True),
        ("https", "", True),
    ):
        with TestClient(app, base_url=f"{scheme}://localhost") as client:
            client.headers |= {"x-forwarded-proto": proxy} if proxy else {}
            first = client.get("/katib/login").headers["set-cookie"]
            assert ("secure" in first.lower()) is secure
            token = client.cookies["katib_token"]
            # What the browser sends to the proxy, which the client here does not know of.
            client.headers["cookie"] = f"katib_token={token}"
            headers = {"x-katib-token": token, "origin": f"{scheme}://localhost", "sec-fetch-site": "same-origin"}
            answer = client.post("/katib/api/login", json={"token": guarded.secrets["dora"]}, headers=headers)
            (cookie,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith("katib_login=")]
            flags = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "samesite=strict", "path=/katib"} <= flags
            assert ("secure" in flags) is secure
            assert answer.headers["cache-control"] == "no-store"


def test_another_site_logs_nobody_in_or_out(guarded: Guarded, pages: TestClient, of_dora: str) -> None:
    pages.get("/login")
    secret = guarded.secrets["dora"]
    assert pages.post("/api/login", json={"token": secret}).status_code == 403
    assert send(pages, "/api/login", {"token": secret}, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert send(pages, "/api/login", {"token": secret}, **{"x-katib-token": "x" * 48}).status_code == 403
    assert "katib_login" not in pages.cookies


def test_a_token_that_is_none_is_not_kept(pages: TestClient) -> None:
    answer = log_in(pages, "katib_a000000000000000_nothing")
    assert (answer.status_code, answer.json()["error"]) == (401, NOT_GOOD)
    for body in ({}, [], "x", {"token": ""}, {"token": "a b"}, {"token": "é"}, {"token": "x" * 5000}, {"token": None}):
        assert send(pages, "/api/login", body).status_code in (400, 401), body
    assert "katib_login" not in pages.cookies


def test_a_revoked_token_leads_back_to_the_login(guarded: Guarded, pages: TestClient) -> None:
    secret = guarded.token("fritz", "user")
    log_in(pages, secret)
    assert pages.get("/").status_code == 200
    guarded.manager.service.revoke_token(id_in(secret))
    answer = pages.get("/")
    assert answer.status_code == 401
    assert "or it has expired or was revoked" in answer.text


def test_who_has_not_logged_in_may_see_what_the_operator_shows_all(guarded: Guarded, of_dora: str) -> None:
    viewer = guarded.token("display", "viewer")
    with TestClient(create_app(guarded.world.address, token=viewer), base_url="http://localhost") as client:
        page = client.get("/").text
        assert "dora&#39;s" in page
        assert '<a class="button" href="/login">Log in</a>' in page
        assert send(client, f"/api/studies/{of_dora}/delete").status_code == 403
        log_in(client, guarded.secrets["dora"])
        assert "Log in</a>" not in client.get("/").text


@pytest.mark.long
def test_where_nobody_is_asked_there_is_no_login(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.manager()
        with TestClient(create_app(it.address), base_url="http://localhost") as client:
            answer = client.get("/")
            assert answer.status_code == 200
            assert "Log in" not in answer.text
            answer = log_in(client, "opensesame")
            assert answer.status_code == 400
            assert "nothing to log in to" in answer.json()["error"]
