"""What the managers share is one and the same for all of them, whoever came first."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from katib.manager.storage.open import open_storage
from katib.manager.storage.secrets import open_secrets


@pytest.fixture(params=["memory", "sqlite", "mariadb"])
def url(request):
    return "memory://" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")


def test_the_first_proposal_stays(url):
    storage = open_storage(url)
    try:
        secrets = open_secrets(storage)
        assert secrets.keep("a", "first") == "first"
        assert secrets.keep("a", "second") == "first"
        assert secrets.keep("b", "third") == "third"
    finally:
        storage.close()


def test_of_several_managers_at_once_all_get_the_same(url):
    if url == "memory://":
        storages = [open_storage(url)]
        stores = [open_secrets(storages[0])] * 4
    else:
        storages = [open_storage(url) for _ in range(4)]
        stores = [open_secrets(storage) for storage in storages]
    try:
        with ThreadPoolExecutor(4) as pool:
            for name in map(str, range(20)):
                got = list(pool.map(lambda pair, name=name: pair[1].keep(name, str(pair[0])), enumerate(stores)))
                assert len(set(got)) == 1
    finally:
        for storage in storages:
            storage.close()
