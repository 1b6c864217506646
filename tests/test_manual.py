"""What the pages say of programs is so: each option is named, none that is named is missing, links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest

from katib import local
from katib.api.listening import why_not_listen
from katib.cli.main import cli
from katib.dashboard import server as dashboard
from katib.domain.study import StudyReason
from katib.domain.trial import TrialReason
from katib.earlystopping import server as earlystopping
from katib.manager import main as manager
from katib.suggestion import server as suggestion

ROOT = Path(__file__).parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text() for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
PROGRAMS: dict[str, click.Command] = {
    "katib-cli": cli,
    "katib-dashboard": dashboard.main,
    "katib-earlystopping": earlystopping.main,
    "katib-local": local.main,
    "katib-manager": manager.main,
    "katib-suggestion": suggestion.main,
}
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What comes before a program in a line of a shell.
_PROGRAM = re.compile(r"(?:.*(?:--|\|) )?(?:[A-Z_]+=\S+ )*(katib-\w+ .*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def parameters(command: click.Command) -> Iterator[click.Parameter]:
    """Those of its commands too, but not those that are not shown, nor what every program has."""
    yield from (p for p in command.params if isinstance(p, click.Option) and not p.hidden and "--version" not in p.opts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None
            yield from parameters(part)


def shown() -> Iterator[tuple[str, str, list[str]]]:
    """Each line of a shell that begins one of the programs: the page, the program and its arguments."""
    for page, text in PAGES.items():
        for block in _SHELL.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                if program := _PROGRAM.fullmatch(line):
                    name, *arguments = shlex.split(program[1], comments=True)
                    yield page, name, arguments


@pytest.mark.parametrize(
    ("page", "program"),
    [
        ("docs/cli.md", "katib-cli"),
        ("docs/dashboard.md", "katib-dashboard"),
        *(("docs/running.md", f"katib-{name}") for name in ("earlystopping", "local", "manager", "suggestion")),
    ],
)
def test_a_page_names_every_option_of_its_program(page: str, program: str) -> None:
    found = [(*p.opts, *p.secondary_opts) for p in parameters(PROGRAMS[program])]
    assert len(found) > 5
    assert [
        names for names in found if not any(re.search(rf"`[^`\n]*(?<![\w-]){n}(?![\w-])", PAGES[page]) for n in names)
    ] == []


def test_what_pages_type_has_no_option_that_its_program_has_not_and_no_address_that_it_refuses() -> None:
    found = list(shown())
    assert {program for _, program, _ in found} == set(PROGRAMS)
    assert len(found) > 30
    unknown = []
    for page, program, arguments in found:
        known = {
            "--help",
            "--version",
            *(name for p in parameters(PROGRAMS[program]) for name in (*p.opts, *p.secondary_opts)),
        }
        for option, value in pairwise([*arguments, ""]):
            if option.startswith("--") and option not in known:
                unknown.append((page, program, option))
            # Whether it is free here is another thing.
            elif option in ("--listen", "--http") and why_not_listen(value).startswith("expected"):
                unknown.append((page, program, f"{option} {value}"))
    assert unknown == []


@pytest.mark.parametrize("words", [StudyReason, TrialReason])
def test_every_reason_of_a_study_or_trial_is_explained_in_a_table(words: type) -> None:
    reasons = {value for name, value in vars(words).items() if name.isupper() and value}
    assert len(reasons) > 10
    pages = PAGES["docs/troubleshooting.md"] + PAGES["docs/kubernetes.md"]
    rows = re.findall(r"^\|([^|\n]*)\|", pages, re.MULTILINE)
    assert {reason for reason in reasons if not any(f"`{reason}`" in row for row in rows)} == set()


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_the_links_of_a_page_lead_to_files_and_headings(page: str) -> None:
    path = ROOT / page
    lost = []
    for link in _LINK.findall(path.read_text()):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not link.startswith("http") and (not target.exists() or (anchor and anchor not in _anchors(target))):
            lost.append(link)
    assert lost == []


def test_the_walks_through_the_code_name_modules_that_are_there() -> None:
    page = PAGES["docs/architecture.md"].partition("\n## Reading the code\n")[2]
    walks = re.findall(r"^- (.*(?:\n  .*)*)", page, re.MULTILINE)
    assert len(walks) > 4
    for walk in walks:
        folders = [ROOT / "docs" / link for link in _LINK.findall(walk) if not link.endswith(".md")]
        there = {module.stem for folder in folders for module in folder.glob("*.py")}
        named = re.findall(r"`(\w+)`", walk)
        assert named
        assert [name for name in named if name not in there] == []


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = (
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
