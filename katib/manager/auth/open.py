"""From the settings to a guard."""

from importlib import import_module

from katib.domain.errors import InvalidArgumentError
from katib.manager.access import RunAccess
from katib.manager.auth.authenticator import Authenticator, Mode, Reviewer, parse_modes
from katib.manager.auth.bootstrap import open_bootstrap
from katib.manager.auth.guard import Guard
from katib.manager.auth.rules import RoleRules
from katib.manager.service.permissions import StudyAccess
from katib.manager.settings import Settings
from katib.manager.tokens import TokenStore


def open_guard(settings: Settings, tokens: TokenStore, attempts: RunAccess, access: StudyAccess) -> Guard | None:
    """None where nobody is asked who it is. Raises a KatibError that says what is wrong with the settings."""
    modes = parse_modes(settings.auth)
    roles = RoleRules.parse(settings.auth_role)
    if not modes:
        given = {
            "--auth-role": settings.auth_role,
            "--auth-namespace": settings.auth_namespace,
            "--bootstrap-token-file": settings.bootstrap_token_file,
        }
        for name, value in given.items():
            if value:
                raise InvalidArgumentError.of(
                    name, str(value), "expected --auth too: with none it would count for nothing"
                )
        return None
    reviewer = _open_reviewer(settings) if Mode.KUBERNETES in modes else None
    bootstrap = None if settings.bootstrap_token_file is None else open_bootstrap(settings.bootstrap_token_file)
    return Guard(Authenticator(modes, tokens, attempts, roles, bootstrap, reviewer), access)


def _open_reviewer(settings: Settings) -> Reviewer:
    try:
        # A part of an extra: whoever does without does without its library too.
        reviews = import_module("katib.worker.kubernetes.token_review")
    except ImportError as error:
        raise InvalidArgumentError.of(
            "--auth", settings.auth, f"kubernetes cannot be loaded ({error}): pip install 'katib[kubernetes]'"
        ) from error
    options = settings.worker_options()
    reviewer: Reviewer = reviews.open_reviewer(
        options.get("kubeconfig", ""), options.get("context", ""), settings.auth_audience
    )
    return reviewer
