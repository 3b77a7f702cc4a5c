"""A descriptor is never used after it was closed."""

import errno
import os
import tempfile

import pytest

from untorn.serve.procfs.descriptor import Descriptor


def test_it_is_closed_once_nobody_uses_it() -> None:
    with tempfile.TemporaryFile() as file:
        number = os.dup(file.fileno())
        descriptor = Descriptor(number)
        with descriptor, descriptor as used:
            descriptor.close()
            assert os.path.sameopenfile(used, file.fileno())
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(number)


def test_a_closed_one_is_not_used_whoever_has_its_number() -> None:
    with tempfile.TemporaryFile() as file:
        descriptor = Descriptor(os.dup(file.fileno()))
        descriptor.close()
        another = os.dup(file.fileno())
        with pytest.raises(ProcessLookupError), descriptor:
            pass
        descriptor.close()
        del descriptor
        os.close(another)  # this fails if it was closed instead


def test_it_goes_with_its_last_reference() -> None:
    with tempfile.TemporaryFile() as file:
        number = os.dup(file.fileno())
        Descriptor(number)
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(number)
