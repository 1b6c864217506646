"""A study that a program drives itself: `katib.create_study`, `katib.open_study`.

    study = katib.create_study("digits", {"lr": katib.Double(1e-4, 1.0, log=True)}, maximize="accuracy", max_trials=20)
    for trial in study.trials():
        trial.report(accuracy=train(**trial.parameters))
    print(study.best_trial)

The loop may run in any number of processes and machines at the same time: no trial is given twice, and what one that dies has
left unfinished is given to another.
"""

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from katib.api.calls import DEFAULT_ADDRESS
from katib.api.client import ManagerClient
from katib.api.logins import token_for
from katib.api.tls import INSECURE, client_tls, refuse_plaintext
from katib.domain.asked import algorithm_of
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from katib.domain.names import is_id
from katib.domain.study import StudyReason
from katib.domain.trial import Trial as StoredTrial
from katib.domain.views import Page, StudyDetail, every
from katib.sdk.algorithms import check_algorithm, without_rule
from katib.sdk.arguments import as_written, check_loop, check_patience, check_server, spec_of, text_of
from katib.sdk.patience import patiently
from katib.sdk.space import Range, Value, typed_value

if TYPE_CHECKING:
    from datetime import timedelta

    from katib.sdk.in_hand import Trial

_log: Final = logging.getLogger("katib")

# For as long a manager may be away, as one that is upgraded, before a program that drives a study gives up.
PATIENCE_S: Final = 600.0
# Those who create or open a study look at the screen; programs that are started together have nobody who does.
OPEN_S: Final = 3.0
DEFAULT_LEASE_S: Final = 120.0
_PAGE: Final = 1000
# Those of a name that are being deleted are found with the one that is not.
_NAMESAKES: Final = 100


@dataclass(frozen=True)
class TrialResult:
    """A trial as it stands. `objective` is None while there is none; `reason` and `message` say why it stands so."""

    id: str
    number: int
    state: str
    objective: float | None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    reason: str = ""
    message: str = ""


def create_study(
    name: str,
    parameters: Mapping[str, Range],
    *,
    maximize: str = "",
    minimize: str = "",
    goal: float | None = None,
    max_trials: int | None = None,
    max_failed_trials: int | None = None,
    max_duration: "timedelta | float | str | None" = None,
    algorithm: str = "auto",
    settings: Mapping[str, object] | None = None,
    early_stopping: str = "",
    early_stopping_settings: Mapping[str, object] | None = None,
    metrics: Sequence[str] = (),
    exist_ok: bool = False,
    patience: float | None = None,
    server: str | None = None,
) -> "Study":
    """Creates a study that is driven by programs such as this one.

    `maximize` or `minimize` names the metric to make better; `goal` ends the study when it is reached, as the limits do.
    `max_duration` is a timedelta, a number of seconds or a text such as "10m" or "1h30m".
    `algorithm` with its `settings` (`{"Seed": 1}`) is one that `katib-cli list algorithms` shows, or one of your own that runs
    already. `early_stopping` with its settings is a rule that stops trials early, as `trial.should_stop()` says; `metrics` are
    those that are reported beside the objective, where a rule looks at them. `exist_ok`: a study that was created so under this
    name is opened in place of a second one, however many programs do this at the same time; it must have the same parameters,
    objective, algorithm, rule and settings, and keeps its goal and limits. `patience`, in seconds, is how long a manager or its
    database may be away, now and whenever the study is asked for something; where it is not said three seconds, and with
    `exist_ok` ten minutes, as for a loop. `server` is where the manager is, `HOST:PORT`, `unix:PATH` or several with commas
    between; else KATIB_SERVER, else localhost:6789.

    Raises a katib.KatibError: InvalidArgumentError says which argument is wrong, UnavailableError that no manager answers.
    """
    spec = spec_of(
        name,
        parameters,
        maximize=maximize,
        minimize=minimize,
        goal=goal,
        max_trials=max_trials,
        max_failed_trials=max_failed_trials,
        max_duration=max_duration,
        algorithm=algorithm,
        settings=settings,
        early_stopping=early_stopping,
        early_stopping_settings=early_stopping_settings,
        metrics=metrics,
    )
    if patience is None:
        patience = PATIENCE_S if exist_ok else OPEN_S
    check_patience(patience)
    client = connect(server)
    # Drawn once: a call whose answer was lost is made again under the same.
    request_id = f"sdk-{uuid.uuid5(uuid.NAMESPACE_OID, name) if exist_ok else uuid.uuid4()}"

    def create() -> str:
        # Each time: a manager that is away knows no algorithm. One of a user's own that is away is known by the study that is
        # there already.
        check_algorithm(client, algorithm, spec, lambda: exist_ok and bool(client.list_studies(name=name).items))
        return client.create_study(spec, request_id)

    try:
        study_id = patiently(create, patience, f"creating study {name}")
    except InvalidArgumentError as error:
        for violation in error.violations:
            if violation.field == "request_id":
                other = violation.expected.removeprefix("expected a new one: ")
                raise InvalidArgumentError(
                    f"there is another study {name!r} ({other}): give this one another name, or leave out exist_ok"
                ) from None
        raise as_written(error, spec) from None
    except FailedPreconditionError as error:
        raise without_rule(client, spec, error) from None
    return Study(client, study_id, patience)


def open_study(study: str, *, patience: float = OPEN_S, server: str | None = None) -> "Study":
    """A study by its id or name. `patience`, in seconds: how long a manager may be away. Raises NotFoundError where there is
    none, InvalidArgumentError where several have the name."""
    check_patience(patience)
    text_of("study", study, "expected a text, the id or the name of a study")
    if not study.strip():
        # To the manager an empty name is any.
        raise InvalidArgumentError.of("study", study, "expected the id or the name of a study")
    client = connect(server)
    if is_id(study):
        found = Study(client, study, patience)
        found.detail()
        return found
    page = patiently(lambda: client.list_studies(name=study, page_size=_NAMESAKES), patience, f"opening study {study}")
    there = [s for s in page.items if s.reason != StudyReason.DELETING]
    if not there:
        raise NotFoundError(f"there is no study named {study!r} at {client.address}: katib-cli list studies shows them")
    if len(there) > 1:
        ids = ", ".join(f"{s.id} ({s.state.value}, {s.created_at:%Y-%m-%d %H:%M})" for s in there[:5])
        raise InvalidArgumentError(f"several studies are named {study!r}: give the id of one of them: {ids}")
    return Study(client, there[0].id, patience)


def connect(server: str | None) -> ManagerClient:
    """As the command line finds the manager, and shows who calls: KATIB_SERVER, KATIB_TLS_CA and its like for TLS, and
    KATIB_TOKEN_FILE, or what katib-cli login has kept."""
    names = ("KATIB_TLS_CA", "KATIB_TLS_CERT", "KATIB_TLS_KEY")
    ca, cert, key = (os.environ.get(name, "") for name in names)
    if server:
        address = check_server("server", server)
    else:
        address = check_server("KATIB_SERVER", os.environ.get("KATIB_SERVER") or DEFAULT_ADDRESS)
    tls, token = client_tls(ca, cert, key, options=names), token_for(address)
    if token and tls is None and os.environ.get(INSECURE, "").lower() not in ("1", "true", "yes"):
        refuse_plaintext(address)
    return ManagerClient(address, tls=tls, token=token)


class Study:
    """Safe from any thread, but for an iterator of `trials`, which belongs to one."""

    def __init__(self, client: ManagerClient, study_id: str, patience: float = OPEN_S) -> None:
        self._client: Final = client
        self._patience: Final = patience
        self.id: Final = study_id

    def __repr__(self) -> str:
        return f"<katib study {self.id} at {self._client.address}>"

    @property
    def name(self) -> str:
        return self.detail().summary.name

    @property
    def state(self) -> str:
        """RUNNING, PAUSED, COMPLETED, STOPPED or FAILED."""
        return self.detail().summary.state.value

    @property
    def best_trial(self) -> TrialResult | None:
        """The completed trial with the best objective; None while there is none."""
        best = self.detail().best_trial
        return None if best is None else result_of(best)

    def results(self) -> Sequence[TrialResult]:
        """Every trial of the study by number, whoever ran it."""

        def fetch(token: str) -> Page[StoredTrial]:
            return patiently(
                lambda: self._client.list_trials(self.id, page_size=_PAGE, page_token=token),
                self._patience,
                "reading the trials",
            )

        return [result_of(trial) for trial in every(fetch)]

    def trials(
        self,
        *,
        limit: int | None = None,
        client: str = "",
        lease: float = DEFAULT_LEASE_S,
        patience: float = PATIENCE_S,
        algorithm: str = "",
    ) -> "Iterator[Trial]":
        """Trials to run, one after the other, until the study has ended or `limit` were run here.

        When the loop comes back for the next one, the trial is COMPLETED with what it has reported. A loop that is left in the
        middle of a body leaves the trial KILLED; `run` and `with trial:` note an exception on it. So does one that nobody holds
        any more: keep the iterator where you call `next` on it, as in `trials = study.trials(); trial = next(trials)`.

        `client` is this program's name. The default is one of its own; one that is started again under its old name goes on
        with its unfinished trial at once. `lease`, in seconds: how long the manager hears nothing of this program before
        another one gets its trial; a thread gives a sign several times in it while the body computes. `patience`, in seconds:
        how long a manager may be away. `algorithm`: another one than the study was created with.
        """
        from katib.sdk.loop import Loop

        check_loop(limit, client, patience, algorithm)
        study = self._detail(patience)
        loop = Loop(self._client, study, client or own_name(), lease, patience, algorithm)
        if algorithm:
            check_algorithm(self._client, algorithm, study.spec, lambda: algorithm == algorithm_of(study.spec))
        return loop.trials(limit)

    def run(
        self,
        body: "Callable[[Trial], object]",
        *,
        on_error: str = "raise",
        limit: int | None = None,
        client: str = "",
        lease: float = DEFAULT_LEASE_S,
        patience: float = PATIENCE_S,
        algorithm: str = "",
    ) -> None:
        """Calls `body(trial)` for each trial. A number that it returns, or anything else that `float()` takes but a text or a
        truth value, is reported as the objective.

        When it raises, the trial is in ERROR with what was raised; then that is raised here, or with `on_error="continue"`
        logged, and the next trial begins. The other arguments are those of `trials`.
        """
        if on_error not in ("raise", "continue"):
            raise InvalidArgumentError.of("on_error", on_error, "expected 'raise' or 'continue'")
        if not callable(body):
            raise InvalidArgumentError.of("body", body, "expected a function that takes a trial")
        trials = self.trials(limit=limit, client=client, lease=lease, patience=patience, algorithm=algorithm)
        for trial in trials:
            try:
                with trial:
                    value = body(trial)
                    number = _number(value)
                    if number is not None:
                        trial.report({trial.objective_name: number})
                    if not trial.over:
                        trial.finish()
            except Exception:
                if on_error == "raise":
                    raise
                _log.exception("trial %d failed; the next one begins", trial.number)

    def stop(self) -> None:
        """Ends the study: its loops end everywhere."""
        patiently(lambda: self._client.stop_study(self.id), self._patience, "stopping the study")

    def detail(self) -> StudyDetail:
        """The study as it stands, with its whole configuration."""
        return self._detail(self._patience)

    def _detail(self, patience: float) -> StudyDetail:
        return patiently(lambda: self._client.get_study(self.id), patience, f"looking at study {self.id}")


def _number(value: object) -> float | None:
    """What a body has returned, if that is meant to be the objective."""
    if value is None or isinstance(value, (bool, str, bytes, bytearray)):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def result_of(trial: StoredTrial) -> TrialResult:
    return TrialResult(
        id=trial.id,
        number=trial.number,
        state=trial.state.value,
        objective=trial.objective,
        parameters={parameter.name: typed_value(parameter) for parameter in trial.parameters},
        reason=trial.reason,
        message=trial.message,
    )


def own_name() -> str:
    """Of this process alone, and readable in `katib-cli get trial`."""
    return f"{socket.gethostname()[:80]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
