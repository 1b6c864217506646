"""The port of the trials, where nobody but the program of an attempt is answered, whatever `--auth` says."""

from typing import Final

from katib.api import api_pb2 as pb
from katib.api.credentials import bearer_token
from katib.domain.caller import Caller, CallerKind, enter_caller
from katib.domain.errors import UnauthenticatedError
from katib.domain.names import run_name
from katib.manager.access import RunAccess
from katib.manager.service.service import ManagerService
from katib.manager.servicer import Context, ManagerServicer

# All that is answered there.
REPORTS: Final = frozenset({"ReportMetrics"})
_NO_ATTEMPT: Final = (
    "this port takes the reports of trials alone, which show the token of their attempt (KATIB_TOKEN); everything else, and "
    "everybody else, is for the manager's --listen"
)


class ReportServicer(ManagerServicer):
    def __init__(self, service: ManagerService, attempts: RunAccess) -> None:
        super().__init__(service)
        self._attempts = attempts

    def ReportMetrics(self, request: pb.ReportMetricsRequest, context: Context) -> pb.ReportMetricsReply:  # noqa: N802
        run = self._attempts.attempt_of(bearer_token(context))
        if run is None:
            raise UnauthenticatedError(_NO_ATTEMPT)
        # Also where nobody else is asked: from here on it is judged as its token says, not as everybody is.
        enter_caller(Caller(CallerKind.TRIAL, run_name(*run)))
        return super().ReportMetrics(request, context)
