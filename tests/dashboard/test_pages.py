"""The pages and what they load, asked for as a browser does, without one."""

import csv
import io
import json
import re
import socket
from typing import Any, NoReturn

import pytest
from starlette.testclient import TestClient

from katib.api.client import ManagerClient
from katib.dashboard import downloads
from katib.dashboard.app import create_app
from katib.dashboard.context import STATIC, static_version
from katib.dashboard.downloads import _cell
from katib.domain.errors import UnimplementedError
from katib.domain.study import Objective
from katib.domain.trial import Trial
from katib.domain.views import Page
from tests.dashboard.conftest import HOSTILE
from tests.e2e.harness import World, study, trials, until

ESCAPED = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&lt;b a=&#34;1&#34;&gt;&amp;amp;"


class TestStudies:
    def test_a_study_stands_in_the_list_with_its_state_progress_and_best_value(
        self, pages: TestClient, ended: str
    ) -> None:
        text = pages.get("/").text
        row = text[text.index(f'data-key="{ended}"') :]
        assert "Completed" in row
        assert "4 of 4" in row
        assert "acc" in row

    def test_what_users_wrote_is_text_on_every_page(self, pages: TestClient, ended: str, katib: World) -> None:
        with katib.client() as client:
            trial = trials(client, ended)[0]
        for path in ("/", f"/studies/{ended}", f"/studies/{ended}/trials/{trial.number}"):
            text = pages.get(path).text
            assert ESCAPED in text
            assert HOSTILE not in text
            assert "<script>alert" not in text

    def test_a_search_is_over_names_owners_algorithms_and_ids(self, pages: TestClient, ended: str) -> None:
        for words in ("ALERT", ended, "random acc"):
            assert ended in pages.get("/", params={"q": words}).text
        assert "No study is like that" in pages.get("/", params={"q": "nobody-has-this"}).text

    def test_a_filter_by_state_leaves_the_others_out(self, pages: TestClient, ended: str) -> None:
        assert ended in pages.get("/", params={"state": "COMPLETED"}).text
        assert ended not in pages.get("/", params={"state": "FAILED"}).text

    @pytest.mark.parametrize(
        "query", ["page=0", "page=99999999999", "page=x", "sort=-nothing", "state=nothing", "q=%00"]
    )
    def test_an_address_that_makes_no_sense_shows_the_list(self, pages: TestClient, ended: str, query: str) -> None:
        assert pages.get(f"/?{query}").status_code == 200

    def test_a_fragment_is_the_list_alone(self, pages: TestClient, ended: str) -> None:
        text = pages.get("/?fragment=1").text
        assert ended in text
        assert "<html" not in text

    def test_a_sparkline_is_the_best_so_far(self, pages: TestClient, ended: str) -> None:
        line = pages.get("/api/sparklines", params={"ids": ended}).json()[ended]
        assert len(line) == 4
        assert line == sorted(line)

    def test_a_sparkline_ends_at_the_best_of_the_study_however_early_that_came(
        self, pages: TestClient, katib: World
    ) -> None:
        with katib.client() as client:
            spec = study(
                "early best",
                algorithm="",
                command=(),
                optimization=Objective.MINIMIZE,
                limits={"max_trials": 300, "max_parallel": 300},
            )
            study_id = client.create_study(spec)
            given, _ = client.suggest_trials(study_id, 300, algorithm="random")
            by_number = {trial.number: trial for trial in given}

            def completed(number: int, value: float) -> list[float]:
                client.complete_trial(study_id, by_number[number].id, value)
                line: list[float] = pages.get("/api/sparklines", params={"ids": study_id}).json()[study_id]
                return line

            assert completed(3, 5.0) == [5.0]
            for number in range(10, 260):
                client.complete_trial(study_id, by_number[number].id, 7.0 + number)
            assert completed(9, float("nan"))[-1] == 5.0
            assert completed(260, 4.0) == [5.0] * 199 + [4.0]
            # What ends late stands where its number is.
            assert completed(2, 4.5) == [4.5] * 199 + [4.0]
            assert completed(1, 1.0) == [1.0] * 200
            assert client.get_study(study_id).summary.best_objective == 1.0
            client.delete_study(study_id)

    def test_in_front_of_an_older_manager_the_list_has_no_sparklines(
        self, pages: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def unknown(*of: object) -> NoReturn:
            asked.append(of)
            raise UnimplementedError("ListTrialColumns")

        monkeypatch.setattr("katib.dashboard.best_lines.changes_of", unknown)
        answer = pages.get("/api/sparklines", params={"ids": f"{ended},another"})
        # In the answer: the page asks again for what is not.
        assert (answer.status_code, answer.json()) == (200, {ended: [], "another": []})
        assert len(asked) == 1


class TestStudy:
    def test_all_trials_come_as_columns_and_then_only_what_changed(self, pages: TestClient, ended: str) -> None:
        first = pages.get(f"/api/studies/{ended}/changes").json()
        (columns,) = first["trials"]
        assert columns["n"] == [1, 1, 1, 1]
        assert columns["s"] == "CCCC"
        assert first["finished"] is True
        assert len(columns["p"]) == 1
        again = pages.get(f"/api/studies/{ended}/changes", params={"after": first["revision"]}).json()
        assert again["trials"] == []
        assert again["revision"] == first["revision"]

    def test_a_revision_that_is_none_is_refused(self, pages: TestClient, ended: str) -> None:
        answer = pages.get(f"/api/studies/{ended}/changes", params={"after": "-1"})
        assert answer.status_code == 400
        assert answer.json()["problems"] == [
            {"field": "after", "value": "-1", "expected": "expected a whole number from 0 on"}
        ]

    def test_curves_are_the_values_in_the_order_of_their_coming(self, pages: TestClient, ended: str) -> None:
        ids = pages.get(f"/api/studies/{ended}/changes").json()["trials"][0]["id"]
        curves = pages.get(f"/api/studies/{ended}/curves", params={"metric": "acc", "ids": ",".join(ids)}).json()
        assert sorted(curve["number"] for curve in curves) == [1, 2, 3, 4]
        assert all(len(curve["points"]) == 2 and curve["points"][0] == [1, 0.1] for curve in curves)

    def test_the_study_file_is_one_that_creates_the_study_again(self, pages: TestClient, ended: str) -> None:
        from katib.domain.study_file import parse_study

        answer = pages.get(f"/studies/{ended}/study.yaml")
        assert "attachment" in answer.headers["content-disposition"]
        assert parse_study(answer.content).spec.name == HOSTILE

    def test_a_csv_has_a_row_for_each_trial_with_every_digit(self, pages: TestClient, ended: str, katib: World) -> None:
        rows = list(csv.DictReader(io.StringIO(pages.get(f"/studies/{ended}/trials.csv").text)))
        with katib.client() as client:
            known = trials(client, ended)
        assert [row["id"] for row in rows] == [trial.id for trial in known]
        assert [float(row["acc"]) for row in rows] == [trial.objective for trial in known]
        assert [float(row["x"]) for row in rows] == [float(trial.parameters[0].value) for trial in known]

    def test_downloads_have_the_further_metrics_as_the_table_on_the_page_has_them(
        self, pages: TestClient, ended: str
    ) -> None:
        def rows() -> list[dict[str, str]]:
            return list(csv.DictReader(io.StringIO(pages.get(f"/studies/{ended}/trials.csv").text)))

        # They are saved a moment after a trial has ended.
        until(lambda: all(row["loss"] for row in rows()))
        shown = pages.get(f"/api/studies/{ended}/metrics").json()["values"]
        assert {row["number"]: [float(row["loss"])] for row in rows()} == shown
        documents = json.loads(pages.get(f"/studies/{ended}/trials.json").text)
        assert {str(it["number"]): [it["metrics"]["loss"]] for it in documents} == shown

    def test_no_text_of_a_csv_is_a_formula(self) -> None:
        for text in ("=1+1", "@SUM(1)", "+Infinity", "=cmd|'/c calc'!A1&Infinity", "-1+Infinity"):
            assert _cell(text) == f"'{text}"
        for number in ("Infinity", "-Infinity", -1.5, "plain"):
            assert _cell(number) == number

    def test_a_json_has_an_object_for_each_trial(self, pages: TestClient, ended: str) -> None:
        documents = json.loads(pages.get(f"/studies/{ended}/trials.json").text)
        assert [document["number"] for document in documents] == [1, 2, 3, 4]
        assert documents[0]["objective"]["name"] == "acc"

    def test_a_json_is_sent_in_pieces_of_many_trials(
        self, ended: str, katib: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(downloads, "_PAGE", 3)
        with katib.client() as client:
            pieces = list(downloads._json(client, ended, client.get_study(ended).spec))
        assert [piece.count('"number"') for piece in pieces] == [3, 1, 0]
        monkeypatch.setattr(downloads, "_PIECE", 1)
        with katib.client() as client:
            small = list(downloads._json(client, ended, client.get_study(ended).spec))
        assert max(piece.count('"number"') for piece in small) == 1
        assert "".join(small) == "".join(pieces)
        assert [document["number"] for document in json.loads("".join(pieces))] == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        "path", ["/studies/a000000000000000", "/studies/nonsense", "/api/studies/a000000000000000/changes"]
    )
    def test_a_study_that_is_not_there_is_said_so(self, pages: TestClient, path: str) -> None:
        assert pages.get(path).status_code in (400, 404)


class TestTrial:
    def test_the_page_shows_parameters_run_and_reason(self, pages: TestClient, ended: str, katib: World) -> None:
        with katib.client() as client:
            trial = trials(client, ended)[1]
        text = pages.get(f"/studies/{ended}/trials/2", params={"id": trial.id[:8]}).text
        assert trial.parameters[0].value in text
        assert trial.run in text
        assert pages.get(f"/studies/{ended}/trials/2").status_code == 200
        assert pages.get(f"/trials/{trial.id}").url.path == f"/studies/{ended}/trials/2"

    def test_a_trial_is_found_by_its_number_without_reading_the_others(
        self, pages: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = []
        ask = ManagerClient.list_trials

        def list_trials(*args: Any, **options: Any) -> Page[Trial]:
            page = ask(*args, **options)
            read.extend(page.items)
            return page

        monkeypatch.setattr(ManagerClient, "list_trials", list_trials)
        assert "Trial 3" in pages.get(f"/studies/{ended}/trials/3").text
        assert [trial.number for trial in read] == [3]
        for number in (5, 2**31, 10**15):
            assert pages.get(f"/studies/{ended}/trials/{number}").status_code == 404
        assert len(read) == 1

    def test_a_trial_of_a_client_is_not_said_to_wait_for_a_process(self, pages: TestClient, katib: World) -> None:
        with katib.client() as client:
            study_id = client.create_study(study("driven", algorithm="", command=()))
            (trial,), _ = client.suggest_trials(study_id, 1, algorithm="random")
            address = f"/studies/{study_id}/trials/1"
            assert "none: its client runs it" in pages.get(address).text
            client.complete_trial(study_id, trial.id, 1.0)
            assert "none: its client ran it" in pages.get(address).text
            client.delete_study(study_id)

    def test_a_number_that_no_trial_has_is_said_so(self, pages: TestClient, ended: str) -> None:
        assert pages.get(f"/studies/{ended}/trials/99").status_code == 404

    def test_the_state_comes_with_every_metric(self, pages: TestClient, ended: str, katib: World) -> None:
        with katib.client() as client:
            trial = trials(client, ended)[0]
        state = pages.get(f"/api/trials/{trial.id}").json()
        assert state["metrics"]["loss"] == [[1, 2.0]]
        assert len(state["metrics"]["acc"]) == 2
        assert state["finished"] is True

    def test_the_log_comes_in_pieces_as_bytes(self, pages: TestClient, ended: str, katib: World) -> None:
        with katib.client() as client:
            trial = trials(client, ended)[0]
        answer = pages.get(f"/api/trials/{trial.id}/log")
        assert answer.content.startswith(b"<script>alert('log')</script>\n")
        assert answer.headers["content-type"] == "application/octet-stream"
        rest = pages.get(f"/api/trials/{trial.id}/log", params={"offset": answer.headers["x-next-offset"]})
        assert rest.content == b""
        assert rest.headers["x-finished"] == "1"


class TestAround:
    def test_every_link_begins_with_the_prefix_of_the_proxy(self, pages: TestClient, ended: str) -> None:
        for path in ("/", f"/studies/{ended}", "/nothing-here"):
            text = pages.get(path, headers={"x-forwarded-prefix": "/team/katib"}).text
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
            assert links
            assert all(link.startswith("/team/katib/") for link in links)

    def test_a_prefix_that_is_an_address_elsewhere_is_passed_over(self, pages: TestClient) -> None:
        for prefix in ("//evil.example", '/a"b', "https://evil.example", "/../x"):
            assert 'href="/"' in pages.get("/", headers={"x-forwarded-prefix": prefix}).text

    def test_a_root_path_works_whether_the_proxy_takes_it_away_or_not(self, katib: World) -> None:
        with TestClient(create_app(katib.address, "/katib"), base_url="http://localhost") as client:
            assert 'href="/katib/"' in client.get("/").text
            assert client.get("/katib/").status_code == 200

    def test_static_files_are_found_and_kept_for_ever(self, pages: TestClient) -> None:
        links = re.findall(r'(?:href|src)="(/static/[^"]*)"', pages.get("/").text)
        assert len(links) > 2
        for link in links:
            answer = pages.get(link)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]

    def test_scripts_and_styles_are_what_the_files_say_whether_compressed_or_not(self, pages: TestClient) -> None:
        version = static_version()
        for path in (path for path in STATIC.rglob("*") if path.suffix in (".js", ".css")):
            link = f"/static/{version}/{path.relative_to(STATIC)}"
            for encoding in ("gzip", "identity", "gzip"):
                answer = pages.get(link, headers={"accept-encoding": encoding})
                assert answer.content == path.read_bytes()
                assert answer.headers.get("content-encoding", "identity") == encoding
                assert "immutable" in answer.headers["cache-control"]
                assert encoding == "identity" or answer.headers["vary"] == "Accept-Encoding"
                assert answer.headers["content-type"].startswith("text/")

    def test_the_page_of_a_study_begins_to_fetch_all_that_it_runs_and_nothing_else(
        self, pages: TestClient, ended: str
    ) -> None:
        named = set(re.findall(r'modulepreload" href="/static/[^/]*/([^"]*)"', pages.get(f"/studies/{ended}").text))
        run, found = ["js/study.js"], set()
        while run:
            path = run.pop()
            found.add(path)
            text = (STATIC / path).read_text() if path.startswith("js/") else ""
            imported = re.findall(r"(?:from|import) '(\./|\.\./)([^']*)'", text)
            names = re.search(r"Promise\.all\(\[([^\]]*)\]\.map\(\(name\) => import", text)
            run += [f"js/{name}" if up == "./" else name for up, name in imported]
            run += [f"js/{name}.js" for name in re.findall(r"'(\w+)'", names[1] if names else "")]
            run = [path for path in run if path not in found]
        assert named == found

    def test_every_answer_says_what_a_page_may_load(self, pages: TestClient, ended: str) -> None:
        for path in ("/", f"/studies/{ended}", "/nothing-here", "/api/ping"):
            policy = pages.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert " style=" not in pages.get(f"/studies/{ended}").text

    def test_a_host_name_that_is_not_ours_is_refused(self, katib: World) -> None:
        with TestClient(create_app(katib.address, hosts=("localhost",)), base_url="http://localhost") as client:
            assert client.get("/", headers={"host": "localhost:8080"}).status_code == 200
            answer = client.get("/", headers={"host": "evil.example:8080"})
            assert answer.status_code == 421
            assert "evil.example" in answer.text

    def test_without_allowed_hosts_only_names_of_this_machine_and_addresses_are_ours(self, pages: TestClient) -> None:
        own = ["localhost", socket.gethostname(), socket.getfqdn(), "192.0.2.7", "[2001:db8::7]"]
        for host in own:
            for port in ("", ":8080"):
                assert pages.get("/healthz", headers={"host": host + port}).status_code == 200
        for host in ("evil.example", "192.0.2.7.evil.example", "2001:db8::7", "[192.0.2.7]", "[evil.example]", ""):
            answer = pages.get("/healthz", headers={"host": host})
            assert answer.status_code == 421, host
            assert "--allowed-host" in answer.text

    def test_without_a_manager_each_page_says_so_and_looks_again_by_itself(self) -> None:
        with TestClient(create_app("127.0.0.1:1"), base_url="http://localhost") as client:
            answer = client.get("/")
            assert answer.status_code == 503
            assert "The manager does not answer" in answer.text
            assert "away.js" in answer.text
            data = client.get("/api/ping")
            assert data.status_code == 503
            assert "127.0.0.1:1" in data.json()["error"]
            assert client.get("/healthz").status_code == 200
