import stat
from collections.abc import Sequence

from untorn.serve.fuse.inodes import ROOT, Inodes
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, Node


class Folder(Directory):
    def __init__(self, keep: float = 0) -> None:
        self.keep = keep
        self.forgotten: list[bool] = []

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFDIR)

    def lookup(self, name: bytes, caller: Caller) -> Node:
        raise NotImplementedError

    def entries(self, caller: Caller) -> Sequence[Entry]:
        raise NotImplementedError

    def forget(self) -> None:
        self.forgotten.append(True)


def test_a_node_has_one_number_for_as_long_as_the_kernel_knows_it() -> None:
    inodes, folder = Inodes(Folder()), Folder()
    number = inodes.learnt(folder, ROOT, b"1")
    assert inodes.learnt(folder, ROOT, b"1") == number != ROOT
    assert inodes[number] is folder
    inodes.forgotten(number, 1)
    assert inodes[number] is folder
    assert not folder.forgotten
    inodes.forgotten(number, 1)
    assert len(folder.forgotten) == 1
    assert len(inodes) == 1


def test_no_number_is_given_twice() -> None:
    inodes, folder = Inodes(Folder()), Folder()
    numbers = []
    for _ in range(3):
        numbers.append(inodes.learnt(folder, ROOT, b"1"))
        inodes.forgotten(numbers[-1], 1)
    assert len(set(numbers)) == 3


def test_the_root_is_never_forgotten() -> None:
    root = Folder()
    inodes = Inodes(root)
    inodes.forgotten(ROOT, 1)
    assert inodes[ROOT] is root
    assert not root.forgotten


def test_it_is_known_which_directories_may_go() -> None:
    inodes = Inodes(Folder())
    gone, later = Folder(), Folder()
    first = inodes.learnt(gone, ROOT, b"7")
    inodes.learnt(Folder(keep=3600), ROOT, b"task")
    assert list(inodes.passing(ROOT)) == [b"7"]
    second = inodes.learnt(later, ROOT, b"7")  # the PID now belongs to another process
    inodes.forgotten(first, 1)
    assert list(inodes.passing(ROOT)) == [b"7"]
    inodes.forgotten(second, 1)
    assert not inodes.passing(ROOT)
