"""Other libraries, each through its own interface. They need environments of their own: `make bench-quality-peers`."""

from benchmarks.quality.peers import optuna, smac
from benchmarks.quality.peers.base import Peer
from benchmarks.quality.peers.hebo import Hebo
from benchmarks.quality.peers.hyperopt import Hyperopt
from benchmarks.quality.peers.skopt import Skopt
from benchmarks.quality.peers.vizier import Vizier

PEERS: dict[str, Peer] = {
    # Said out loud, as Optuna 5 made both the default.
    "optuna-tpe": Peer(
        "optuna", optuna.sampler(lambda s, seed, _: s.TPESampler(seed=seed, multivariate=True, constant_liar=True))
    ),
    "optuna-tpe-univariate": Peer(
        "optuna", optuna.sampler(lambda s, seed, _: s.TPESampler(seed=seed, multivariate=False))
    ),
    "optuna-gp": Peer(
        "optuna",
        optuna.sampler(lambda s, seed, p: s.GPSampler(seed=seed, deterministic_objective=p.noise == 0.0)),
    ),
    "optuna-cma": Peer("optuna", optuna.sampler(lambda s, seed, _: s.CmaEsSampler(seed=seed))),
    "hyperopt": Peer("hyperopt", Hyperopt),
    "scikit-optimize": Peer("scikit-optimize", Skopt),
    "smac": Peer("smac", smac.facade("HyperparameterOptimizationFacade")),
    "smac-gp": Peer("smac", smac.facade("BlackBoxFacade")),
    "hebo": Peer("HEBO", Hebo),
    "vizier": Peer("google-vizier", Vizier),
}
