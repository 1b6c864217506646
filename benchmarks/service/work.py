"""What every system is asked to do, and the names by which it is known. Imports nothing of any of them.

One loop of a client: ask for a trial, report three values of metrics, complete it. Each system does it by its own client
library, in the way that its documentation shows; Katib's makes one call of it, so Katib is measured with three as well. Trials
have four parameters and are sampled at random, so that no algorithm's own work is measured.
"""

from typing import Final

# Name, lowest and highest.
PARAMETERS: Final = (("lr", 0.0001, 0.1), ("dropout", 0.0, 0.6), ("momentum", 0.5, 0.99), ("decay", 0.0, 0.01))
OBJECTIVE: Final = "accuracy"
# What is reported of each trial, with the objective last.
METRICS: Final = (("loss", 0.31), ("val_loss", 0.42), (OBJECTIVE, 0.87))

# Ours, the limits, the peers.
KATIB_SQLITE: Final = "katib-sqlite"
KATIB_MARIADB: Final = "katib-mariadb"
KATIB_SQLITE_CALLS: Final = "katib-sqlite-calls"
KATIB_MARIADB_CALLS: Final = "katib-mariadb-calls"
ECHO: Final = "echo"
COMMITS_SQLITE: Final = "commits-sqlite"
COMMITS_MARIADB: Final = "commits-mariadb"
VIZIER: Final = "vizier"
OPTUNA: Final = "optuna"
OPTUNA_PROXY: Final = "optuna-proxy"

CALLS: Final = (KATIB_SQLITE_CALLS, KATIB_MARIADB_CALLS)
OURS: Final = (KATIB_SQLITE, KATIB_MARIADB, *CALLS)
LIMITS: Final = (ECHO, COMMITS_SQLITE, COMMITS_MARIADB)
PEERS: Final = (VIZIER, OPTUNA, OPTUNA_PROXY)
SYSTEMS: Final = (*OURS, *LIMITS, *PEERS)
