"""Options that say one thing in two ways."""

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.manager.settings import Settings


def test_mount_root_is_the_worker_s_option_of_that_name() -> None:
    settings = Settings(worker_option=("namespace=trials",), mount_root="/claims")
    assert settings.worker_options() == {"namespace": "trials", "mount_root": "/claims"}
    assert "mount_root" not in Settings().worker_options()


def test_mount_root_may_be_said_twice_but_not_in_two_ways() -> None:
    assert Settings(worker_option=("mount_root=/a",), mount_root="/a").worker_options() == {"mount_root": "/a"}
    with pytest.raises(InvalidArgumentError, match="--mount-root says /a"):
        Settings(worker_option=("mount_root=/b",), mount_root="/a").worker_options()


def test_the_kubernetes_worker_knows_the_audience_of_tokens_for_the_manager() -> None:
    assert Settings(worker="kubernetes", auth_audience="lab").worker_options() == {"audience": "lab"}
    assert Settings(worker="kubernetes").worker_options() == {}
    assert Settings(auth_audience="lab").worker_options() == {}


def test_they_are_shown_without_the_password() -> None:
    shown = Settings(database="mysql+pymysql://user:p4ss@host/db").shown()
    assert "p4ss" not in shown
    assert "user" in shown
