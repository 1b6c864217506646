"""The contract of `manager.ports.Storage`: an implementation enrols by a subclass with a fixture `storage`, open and empty."""

from tests.storage.contract.changes import ChangeContract
from tests.storage.contract.ending import EndingContract
from tests.storage.contract.giving import GivingContract
from tests.storage.contract.grants import GrantContract
from tests.storage.contract.leases import LeaseContract
from tests.storage.contract.managers import ManagerContract
from tests.storage.contract.observations import ObservationContract
from tests.storage.contract.studies import StudyContract
from tests.storage.contract.trials import TrialContract
from tests.storage.contract.usage import UsageContract


class StorageContract(
    *(StudyContract, TrialContract, LeaseContract, ChangeContract, GivingContract, EndingContract),
    ObservationContract,
    GrantContract,
    ManagerContract,
    UsageContract,
):
    pass
