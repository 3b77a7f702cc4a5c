import os

import pytest

from tests.helpers.askers import opened
from untorn.serve.caller.rights import is_unconfined, label_of, rights_of, user_namespace_of


@pytest.mark.parametrize(
    "label",
    [
        b"",
        b"unconfined",
        b"unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023",
        b"system_u:system_r:unconfined_service_t:s0",
    ],
)
def test_a_label_that_refuses_nothing(label: bytes) -> None:
    assert is_unconfined(label)


@pytest.mark.parametrize(
    "label",
    [
        b"docker-default (enforce)",
        b"unconfined_but_not_really (enforce)",
        b"unconfined//&docker-default (enforce)",
        b":lxd:unconfined:x",
        b"unconfined_u:unconfined_r:chrome_sandbox_t:s0",
        b"system_u:system_r:container_t:s0:c1,c2",
        b"_",
    ],
)
def test_a_label_that_may_refuse_something(label: bytes) -> None:
    assert not is_unconfined(label)


def test_a_thread_has_what_it_says_it_has() -> None:
    with opened("/proc/self") as us, opened("/proc") as proc:
        rights = rights_of(us)
        assert rights == rights_of(proc, "thread-self")
        assert rights.tgid == os.getpid()
        assert rights.uids[:3] == os.getresuid()
        assert rights.gids[:3] == os.getresgid()
        assert list(rights.groups) == sorted(os.getgroups())
        assert rights.user_namespace == user_namespace_of(proc, "self")
        assert label_of(proc, "self") == label_of(us)
        with pytest.raises(FileNotFoundError):
            rights_of(proc, "0")
