"""`katib-cli`: the command line. A command's module is loaded when the command is used, so that help comes at once."""

import gc
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import click

from katib.cli.errors import INTERRUPTED, PIPE_CLOSED, report
from katib.cli.session import Session, connection_options

PROGRAM: Final = "katib-cli"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what the list of commands says of it."""

    module: str
    function: str
    help: str


_LIST_STUDIES: Final = Entry("studies", "list_studies", "Studies, newest first.")
_LIST_TRIALS: Final = Entry("trials", "list_trials", "Trials of one study, or the newest of all.")

# In the order in which the help shows them. A name of two words may be written with a hyphen or with a space.
COMMANDS: Final[Mapping[str, Entry]] = {
    "create-study": Entry("create", "create_study", "Create a study from a file."),
    "list-studies": _LIST_STUDIES,
    "list-trials": _LIST_TRIALS,
    "list-algorithms": Entry("algorithms", "list_algorithms", "Algorithms and rules, and whether they answer."),
    "get-study": Entry("studies", "get_study", "One study: how it stands and what was asked for."),
    "get-trial": Entry("trials", "get_trial", "One trial: how it stands and its latest metrics."),
    "list-models": Entry("models", "list_models", "Saved models of a study, or the studies that have any."),
    "get-model": Entry("models", "get_model", "One saved model: where it is and what it came to."),
    "best": Entry("studies", "best", "The best trial of a study."),
    "watch": Entry("watch", "watch", "Follow a study until it ends."),
    "logs": Entry("logs", "logs", "What a trial printed."),
    "export": Entry("export", "export", "All observations of a study, as CSV or JSON."),
    "update-study": Entry("changes", "update_study", "Change a study's limits."),
    "pause-study": Entry("changes", "pause_study", "Start no further trials for now."),
    "resume-study": Entry("changes", "resume_study", "Go on with a paused study."),
    "stop-study": Entry("changes", "stop_study", "End studies and their trials."),
    "stop-trial": Entry("changes", "stop_trial", "End trials."),
    "delete-study": Entry("changes", "delete_study", "Delete studies with their trials, metrics and output."),
    "push-study": Entry("models", "push_study", "Save a study in the model store."),
    "push-model": Entry("models", "push_model", "Save a model from elsewhere, or where a trial's really is."),
    "login": Entry("tokens", "login", "Keep a token for a manager that asks who calls."),
    "logout": Entry("tokens", "logout", "Forget it."),
    "whoami": Entry("tokens", "whoami", "Who you are to the manager."),
    "create-token": Entry("tokens", "create_token", "Make a token."),
    "list-tokens": Entry("tokens", "list_tokens", "Tokens, without what is secret of them."),
    "revoke-token": Entry("tokens", "revoke_token", "Make tokens worthless."),
    "completion": Entry("completion", "completion", "Print the completion script of a shell."),
}
# Katib 0.1 said `get studies`.
_ALSO: Final[Mapping[str, Entry]] = {"get-studies": _LIST_STUDIES, "get-trials": _LIST_TRIALS}


class Lazy(click.Group):
    """A group that knows its commands by name and loads the one that is used."""

    def __init__(self, entries: Mapping[str, Entry], also: Mapping[str, Entry], **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self._entries = entries
        self._all = {**entries, **also}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._all.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"katib.cli.{entry.module}"), entry.function)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and name not in self.names() and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.names(), n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise click.UsageError(f"there is no command {name!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def names(self) -> list[str]:
        return list(self._all)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._entries.items()])


class Root(Lazy):
    """`create-study` is a command; `create` is a group with the command `study`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = dict(_nouns(COMMANDS, cmd_name))
        if not own:
            return super().get_command(ctx, cmd_name)
        return Lazy(own, dict(_nouns(_ALSO, cmd_name)), name=cmd_name, help=f"What to {cmd_name}.")

    def names(self) -> list[str]:
        return [*self._all, *dict.fromkeys(name.partition("-")[0] for name in self._all if "-" in name)]


def _nouns(entries: Mapping[str, Entry], verb: str) -> list[tuple[str, Entry]]:
    return [(name.removeprefix(f"{verb}-"), entry) for name, entry in entries.items() if name.startswith(f"{verb}-")]


@click.group(
    cls=Root,
    entries=COMMANDS,
    also=_ALSO,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A command of two words may be written with a space: create study. "
    "STUDY and TRIAL are an id, its first characters (four or more), or for a study its name.",
)
@connection_options
@click.version_option(package_name="katib", prog_name=PROGRAM)
def cli() -> None:
    """Create hyperparameter-tuning studies, follow them, and read their results."""


def _open_standard_streams() -> None:
    """A stream that the caller has closed (`>&-`) goes nowhere, and nothing else gets its number: a connection that did would
    be written to by whatever writes to that stream."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; every error becomes a sentence."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown as an escape instead of ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        result = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=Session())
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):
        # `katib-cli list trials | head`: nobody reads any more, which click makes an exit. What is still buffered must not
        # fail at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can speak to the user
        return report(error)


def main() -> None:
    _open_standard_streams()
    # Most commands last a sixth of a second, a tenth of which would go into collecting garbage that loading modules does not
    # make, and into taking the interpreter and gRPC down in order. Whatever needs an order has had it: clients are closed,
    # output is flushed.
    gc.set_threshold(100_000)
    code = run(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
