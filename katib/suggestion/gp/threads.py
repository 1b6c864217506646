"""Linear algebra on one thread."""

from functools import cache

from threadpoolctl import ThreadpoolController  # comes with scikit-learn


@cache
def one_thread() -> None:
    """For the whole process, from now on: matrices of a few hundred rows are done before a second thread is awake, and the
    last digits of a sum over threads depend on how many there are, so that replicas on other nodes would answer otherwise."""
    ThreadpoolController().limit(limits=1, user_api="blas")
