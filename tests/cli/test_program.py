"""The program itself, started as a user starts it: help, completion, what it says and how it ends when something is wrong."""

import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import pytest

from katib.api import logins
from katib.cli.main import COMMANDS
from katib.domain.errors import FailedPreconditionError
from tests.cli.conftest import PROGRAM, ROOT, Cli
from tests.cli.scripted import ScriptedManager, serving, study
from tests.ports import free_port

SENTENCE = re.compile(r"Error: [^\n]+\n(Try 'katib-cli[^\n]*\n)?")


def unused_address() -> str:
    """Nothing listens there: a port of this machine that was free a moment ago."""
    return f"localhost:{free_port()}"


def test_help_names_every_command(program: Cli) -> None:
    for arguments in (["--help"], ["-h"]):
        done = program(*arguments)
        assert done.code == 0
        assert done.err == ""
        assert all(re.search(rf"^  {name} ", done.out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_stream_that_is_closed_is_no_failure(closed: str, manager: ScriptedManager, server: str) -> None:
    manager.add(study("abcd" + "0" * 12, name="one"))
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -s {server} stop-study one {closed}', str(PROGRAM)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if closed.startswith(">") else f"Study abcd{'0' * 12} is stopping.\n")
    assert len(manager.calls) == 1


def test_a_user_without_a_home_has_no_logins_and_is_told_so_where_one_is_to_be_kept(
    cli: Cli, manager: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_user(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_such_user)
    manager.add(study("abcd" + "0" * 12, name="one"))
    assert cli("stop-study", "one").code == 0
    with pytest.raises(FailedPreconditionError, match="no home to keep it in: set HOME or XDG_CONFIG_HOME"):
        logins.keep("localhost:1", "word")


def test_without_a_command_the_help_is_shown_and_nothing_was_done(program: Cli) -> None:
    for arguments in ([], ["list"]):
        done = program(*arguments)
        assert done.code == 2
        assert done.out == ""
        assert done.err.startswith("Usage: katib-cli")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_in_both_spellings(name: str, line: Cli) -> None:
    done = line(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: katib-cli {name}")
    if "-" in name:
        apart = name.replace("-", " ")
        assert line(*name.split("-"), "--help").out == done.out.replace(f"katib-cli {name}", f"katib-cli {apart}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "there is no command 'lst' (did you mean 'list'?)"),
        (["creat-study"], "there is no command 'creat-study' (did you mean 'create-study'?)"),
        (["list", "study"], "there is no command 'study' (did you mean 'studies'?)"),
        (["create-study"], "Missing option '-f' / '--file'."),
        (["get-study"], "Missing argument 'STUDY'."),
        (["list-trials", "-o", "xml"], "'xml' is not one of"),
        (["list-trials", "-n", "-1"], "-1 is not in the range x>=0"),
        (["list-trials", "--best"], "--best is about the objective of one study: name it"),
        (["list-trials", "x", "--best", "--newest"], "--best and --newest are two orders: give one of them"),
        (["update-study", "x"], "nothing to change: give one of the limits, such as --max-trials 50"),
        (["update-study", "x", "--max-trials", "many"], "'many' is not a valid integer"),
        (["update-study", "x", "--max-duration", "soon"], "'soon': expected a period such as 90s"),
        (["delete-study", "x"], "deleting is for good, and there is no terminal to ask at: say --yes"),
        (["create-study", "-w", "-o", "json", "-f", "x"], "--watch shows progress for people"),
        (["-s", "here", "list-studies"], "'here': expected the port too, such as here:6789"),
        (["list-studies", "-s", "here:port"], "'here:port': expected HOST:PORT, such as localhost:6789, or unix:PATH"),
        (["list-studies", "-s", "here:99999999"], "'here:99999999': expected HOST:PORT"),
        (["list-studies", "-s", "unix:"], "'unix:': expected unix: and the path of a socket, at most 107 bytes"),
        (["list-studies", "-s", "http://here:6789"], "'http://here:6789': expected HOST:PORT"),
        (["list-studies", "-s", "here:1,"], "'here:1,': expected an address before and behind each comma"),
        (["list-studies", "-s", "here:1,there"], "'there': expected the port too, such as there:6789"),
        (["list-studies", "-s", "here:1,unix:"], "'unix:': expected unix: and the path of a socket"),
        (["list-studies", "-s", "here:1,here:1"], "'here:1' is in it twice; name each manager once"),
        (["list-studies", "-s", ",".join(f"h:{i}" for i in range(1, 18))], "expected at most 16 addresses"),
        (["list-studies", "--timeout", "0"], "'0': expected more than 0, at most 3650 days"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_code_2(arguments: list[str], said: str, line: Cli) -> None:
    done = line(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert said in done.err
    assert SENTENCE.fullmatch(done.err)


def test_the_program_ends_with_that_code(program: Cli) -> None:
    done = program("create-study")
    assert (done.code, done.out) == (2, "")
    assert SENTENCE.fullmatch(done.err)


def test_a_server_that_the_environment_names_wrongly_is_a_wrong_command_line(program: Cli) -> None:
    done = program("list-studies", KATIB_SERVER="here")
    assert (done.code, "expected the port too" in done.err) == (2, True)


@pytest.mark.long
def test_a_wrong_study_file_is_told_line_by_line_and_code_2(program: Cli, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: x\nobjektive: loss\nmax_trials: ten\n")
    done = program("create-study", "-f", str(path))
    assert done.code == 2
    assert done.err.splitlines() == [
        f"{path}:2: objektive: there is no such key (did you mean 'objective'?)",
        f"{path}:3: max_trials: 'ten': expected a whole number",
    ]
    done = program("create-study", "-f", "-", stdin="name: x: y")
    assert (done.code, done.err[:17]) == (2, "standard input:1:")


@pytest.mark.long
@pytest.mark.parametrize("path", ["/nonexistent/study.yaml", "/", "a\nb\x1b[31m"])
def test_a_study_file_that_cannot_be_read_is_one_sentence(path: str, program: Cli) -> None:
    done = program("create-study", "-f", path)
    assert done.code == 2
    assert "cannot be read: " in done.err
    assert "\x1b" not in done.err


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["list-studies"],
        ["create-study", "-f", "examples/cifer10.yaml"],
        ["stop-study", "digits", "faces"],
        ["watch", "digits"],
        ["logs", "a" * 16, "-f"],
        ["list-algorithms", "-o", "json"],
    ],
)
def test_a_manager_that_is_not_there_is_one_sentence_and_code_4(arguments: list[str], program: Cli) -> None:
    address = unused_address()
    done = program(*arguments, KATIB_SERVER=address)
    assert done.code == 4
    assert done.out == ""
    assert done.err == (
        f"Error: the manager at {address} cannot be reached: start it (katib-local does), or name another one\n"
    )


def test_a_socket_that_is_not_there_is_one_sentence_and_code_4(program: Cli, tmp_path: Path) -> None:
    done = program("-s", f"unix:{tmp_path}/none", "list-trials")
    assert (done.code, SENTENCE.fullmatch(done.err) is not None) == (4, True)


@pytest.mark.long
def test_a_manager_that_does_not_answer_is_given_up_in_time_with_code_124(program: Cli) -> None:
    gate = Event()

    class Stuck(ScriptedManager):
        def ListStudies(self, request: object, context: object) -> object:  # type: ignore[override]  # noqa: N802
            gate.wait(60)
            return super().ListStudies(request, context)  # type: ignore[arg-type]

    with serving(Stuck()) as address:
        begin = time.monotonic()
        done = program("-s", address, "--timeout", "0.5", "list-studies")
        taken = time.monotonic() - begin
        gate.set()
    assert done.code == 124
    assert SENTENCE.fullmatch(done.err)
    assert done.err.startswith(f"Error: the manager at {address} did not answer in time; look whether it took effect")
    assert 0.5 <= taken < 10


@pytest.mark.long
def test_a_port_where_something_else_is_silent_is_given_up_in_time_with_code_4(program: Cli) -> None:
    with socket.socket() as silent:
        silent.bind(("localhost", 0))
        silent.listen()
        begin = time.monotonic()
        done = program("-s", f"localhost:{silent.getsockname()[1]}", "--timeout", "20s", "list-studies")
    assert (done.code, SENTENCE.fullmatch(done.err) is not None) == (4, True)
    assert "does not answer: see whether its process is stopped or overloaded" in done.err
    assert time.monotonic() - begin < 10


@pytest.mark.long
def test_a_port_where_something_else_answers_is_told_from_a_manager(program: Cli) -> None:
    def answer(web: socket.socket) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                with web.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as web:
        Thread(target=answer, args=(web,), daemon=True).start()
        address = f"127.0.0.1:{web.getsockname()[1]}"
        done = program("-s", address, "list-studies")
        web.shutdown(socket.SHUT_RDWR)
    assert (done.code, SENTENCE.fullmatch(done.err) is not None) == (4, True)
    assert f"what answers at {address} is no manager, but perhaps the dashboard" in done.err


@pytest.mark.long
def test_an_interrupt_ends_it_with_code_130() -> None:
    with socket.socket() as silent:
        silent.bind(("localhost", 0))
        silent.listen()
        process = subprocess.Popen(
            [str(PROGRAM), "-s", f"localhost:{silent.getsockname()[1]}", "list-studies"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with silent.accept()[0]:  # it waits for an answer now
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "Interrupted.")


def test_output_that_cannot_be_written_is_one_sentence_and_code_1() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(PROGRAM), "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, "Error: output could not be written: No space left on device\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, program: Cli) -> None:
    done = program("completion", shell)
    assert done.code == 0
    assert "_KATIB_CLI_COMPLETE" in done.out


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("katib-cli li", {"list-studies", "list-trials", "list-algorithms"}),
        ("katib-cli list ", {"studies", "trials", "algorithms"}),
        ("katib-cli list-trials --st", {"--state"}),
        ("katib-cli list trials -o ", {"table", "json", "yaml", "csv"}),
    ],
)
def test_completion_offers_both_spellings(words: str, offered: set[str], program: Cli) -> None:
    count = len(words.split(" ")) - 1
    done = program(COMP_WORDS=words, COMP_CWORD=str(count), _KATIB_CLI_COMPLETE="bash_complete")
    assert {line.partition(",")[2] for line in done.out.splitlines()} >= offered


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_help_loads_none_of_the_heavy_libraries() -> None:
    loaded = imported("from katib.cli.main import run; run(['--help'])")
    assert not loaded & {"grpc", "google.protobuf", "rich", "yaml", "numpy", "katib.domain.study"}


@pytest.mark.long
def test_no_command_loads_the_manager_or_numerics() -> None:
    modules = ", ".join(f"katib.cli.{path.stem}" for path in (ROOT / "katib" / "cli").glob("[a-z]*.py"))
    loaded = imported(f"import {modules}, katib.api.client")
    assert "katib.cli.watch_live" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"numpy", "scipy", "sqlalchemy", "kubernetes"}}
    assert not {name for name in loaded if name.startswith(("katib.manager", "katib.suggestion", "katib.worker"))}
