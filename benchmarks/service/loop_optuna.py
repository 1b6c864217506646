"""A client of Optuna, by ask and tell: on the database itself, or (`proxy:HOST:PORT`) through its gRPC proxy."""

from collections.abc import Callable

import optuna

from benchmarks.service.work import METRICS, PARAMETERS


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind, _, rest = address.partition(":")
    if kind == "proxy":
        host, port = rest.rsplit(":", 1)
        storage: optuna.storages.BaseStorage = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    else:
        storage = optuna.storages.get_storage(address)

    def make(study: str, _name: str) -> Callable[[], None]:
        of = optuna.load_study(study_name=study, storage=storage, sampler=optuna.samplers.RandomSampler())

        def loop() -> None:
            trial = of.ask()
            for parameter, low, high in PARAMETERS:
                trial.suggest_float(parameter, low, high)
            for step, (_, value) in enumerate(METRICS):
                trial.report(value, step)
            of.tell(trial, METRICS[-1][1])

        return loop

    return make
