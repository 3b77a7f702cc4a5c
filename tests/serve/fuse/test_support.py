import sys
from pathlib import Path

import pytest

from untorn.errors import OutOfReachError
from untorn.serve.fuse import support
from untorn.serve.fuse.support import check_libraries, mount_refusal


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "untorn.serve.fuse.libfuse", raising=False)
    monkeypatch.setitem(sys.modules, "mfusepy", None)
    with pytest.raises(OutOfReachError, match=r"pip install 'untorn\[mount\]'"):
        check_libraries()
    assert "untorn[mount]" in mount_refusal()


def test_a_machine_without_the_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "check_libraries", lambda: None)
    monkeypatch.setattr(support, "DEVICE", "/dev/no such device")
    assert mount_refusal() == "/dev/no such device: No such file or directory"


def test_who_may_not_mount_needs_a_helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(support, "check_libraries", lambda: None)
    monkeypatch.setattr(support, "DEVICE", "/dev/null")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt install fuse3" in mount_refusal()
    (tmp_path / "fusermount3").touch(0o755)
    assert mount_refusal() == ""
