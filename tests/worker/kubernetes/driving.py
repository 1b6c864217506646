"""Workers on the small API server, as the tests here have them."""

import time

from katib.domain.errors import UnavailableError
from katib.domain.study import Objective, StudySpec
from tests.worker.driving import Driver

DEADLINE_S = 20.0
SPEC = StudySpec("kube", "x", Objective.MINIMIZE, (), algorithm="random", command=("true",), image="image")
QUICK = {"backoff_first_s": 0.02, "backoff_most_s": 0.1, "stale_s": 0.3}


def until(what: str, condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def successor(driver, new_worker, **options) -> Driver:
    other = Driver(new_worker(**({"fence_s": 0.5, "reflector_options": QUICK} | options)), driver.study, DEADLINE_S)
    other.study_id = driver.study_id
    return other


def created(driver, run) -> bool:
    """Whether the API server took it, this time."""
    try:
        driver.worker.create(run)
    except UnavailableError:
        return False
    return True


def refuse(api, answer, verb="create", times=1000) -> None:
    left = [times]

    def fault(request):
        if request.verb == verb and left[0] > 0:
            left[0] -= 1
            return answer
        return None

    api.faults.append(fault)
