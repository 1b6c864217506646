"""A peer's server and its filled studies; runs in the peers' own environment.

    python -m benchmarks.service.peer_host SYSTEM PORT DATABASE

Each line on the standard input is a number of trials: a study with so many completed ones is made, through the peer's own
tables, and its name answered.
"""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.service.work import METRICS, OBJECTIVE, OPTUNA_PROXY, PARAMETERS, VIZIER

_BLOCK = 5000


def vizier(port: int, database: str) -> Callable[[int], str]:
    from vizier._src.service import resources, vizier_server
    from vizier.service import clients, pyvizier

    server = vizier_server.DefaultVizierServer(database_url=database, port=port)
    clients.environment_variables.server_endpoint = server.endpoint
    made = iter(range(1_000_000))

    def fill(trials: int) -> str:
        config = pyvizier.StudyConfig(algorithm="RANDOM_SEARCH")
        for name, low, high in PARAMETERS:
            config.search_space.root.add_float_param(name, low, high)
        config.metric_information.append(
            pyvizier.MetricInformation(OBJECTIVE, goal=pyvizier.ObjectiveMetricGoal.MAXIMIZE)
        )
        study = clients.Study.from_study_config(config, owner="bench", study_id=f"s{next(made)}")
        (first,) = study.suggest(count=1, client_id="fill")
        measurement = pyvizier.Measurement(metrics=dict(METRICS))
        first.add_measurement(measurement)
        first.complete(measurement)
        store: Any = server.datastore
        names = resources.StudyResource.from_name(study.resource_name)
        template = store.get_trial(names.trial_resource(str(first.id)).name)
        rows = []
        for number in range(2, trials + 1):
            name = names.trial_resource(str(number)).name
            template.name, template.id = name, str(number)
            rows.append(
                {
                    "trial_name": name,
                    "owner_id": names.owner_id,
                    "study_id": names.study_id,
                    "trial_id": number,
                    "serialized_trial": template.SerializeToString(),
                }
            )
        with store._lock:
            for begin in range(0, len(rows), _BLOCK):
                store._connection.execute(store._trials_table.insert(), rows[begin : begin + _BLOCK])
            store._connection.commit()
        return str(study.resource_name)

    return fill


def optuna(system: str, port: int, database: str) -> Callable[[int], str]:
    import optuna
    from optuna.storages._rdb import models
    from sqlalchemy import insert, select

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.get_storage(database)
    rdb = optuna.storages.RDBStorage(database)
    if system == OPTUNA_PROXY:
        threading.Thread(
            target=optuna.storages.run_grpc_proxy_server,
            args=(storage,),
            kwargs={"host": "localhost", "port": port},
            daemon=True,
        ).start()

    def fill(trials: int) -> str:
        study = optuna.create_study(storage=rdb, direction="maximize", sampler=optuna.samplers.RandomSampler())
        trial = study.ask()
        for name, low, high in PARAMETERS:
            trial.suggest_float(name, low, high)
        for step, (_, value) in enumerate(METRICS):
            trial.report(value, step)
        study.tell(trial, METRICS[-1][1])
        with rdb.engine.begin() as connection:
            study_id = study._study_id
            table = models.TrialModel.__table__
            (first,) = connection.execute(select(table).where(table.c.study_id == study_id)).mappings()
            for begin in range(1, trials, _BLOCK):
                numbers = range(begin, min(begin + _BLOCK, trials))
                rows = [{k: v for k, v in first.items() if k != "trial_id"} | {"number": n} for n in numbers]
                connection.execute(insert(table), rows)
            ids = list(connection.scalars(select(table.c.trial_id).where(table.c.study_id == study_id)))
            for model in (models.TrialParamModel, models.TrialValueModel, models.TrialIntermediateValueModel):
                part = model.__table__
                (key,) = (c.name for c in part.primary_key)
                of_first = connection.execute(select(part).where(part.c.trial_id == first["trial_id"])).mappings().all()
                others = [
                    {k: v for k, v in row.items() if k != key} | {"trial_id": trial_id}
                    for trial_id in ids
                    if trial_id != first["trial_id"]
                    for row in of_first
                ]
                for begin in range(0, len(others), _BLOCK):
                    connection.execute(insert(part), others[begin : begin + _BLOCK])
        return study.study_name

    return fill


def main() -> None:
    system, port, database = sys.argv[1:]
    fill = vizier(int(port), database) if system == VIZIER else optuna(system, int(port), database)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"study": fill(int(line))}), flush=True)


if __name__ == "__main__":
    main()
