"""The quick text of an engine's maps equals that of its maps file, whatever was done before."""

from random import Random

from untorn.conform.program.engine_maps import EngineMaps
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

_BASE, _PAGES = 0x1000_0000, 40


def test_the_text_is_that_of_the_maps_file_after_every_call() -> None:
    random, process = Random(18), Process()
    process.files = {3: VmFile(b"/a"), 4: VmFile(b"/b", inode=2)}
    process.mm.start_brk = process.mm.brk = 0x2000_0000
    maps, file = EngineMaps(process.mm), process.open()
    for step in range(400):
        _do_one(random, process)
        if step % 50 == 49:
            process.files[3].path += b" (deleted)"
            maps.renamed()
        file.seek(0)
        assert maps.text() == b"".join(iter(lambda: file.read(1 << 16), b""))


def test_files_and_what_may_own_pages_are_told() -> None:
    process = Process()
    process.files[3] = VmFile(b"/a")
    maps = EngineMaps(process.mm)
    shared = process.mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 3)
    own = process.mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 3)
    maps.text()
    assert (maps.files, [vma.vm_start for vma in maps.writable]) == ({process.files[3]}, [own])
    process.munmap(own, PAGE_SIZE)
    process.munmap(shared, PAGE_SIZE)
    maps.text()
    assert (maps.files, maps.writable) == (set(), [])


def _do_one(random: Random, process: Process) -> None:
    addr = _BASE + random.randrange(_PAGES) * PAGE_SIZE
    length = random.randint(1, 5) * PAGE_SIZE
    prot = random.choice((PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE))
    fd = random.choice((-1, 3, 4))
    flags = MAP_FIXED | random.choice((MAP_PRIVATE, MAP_SHARED)) | MAP_ANONYMOUS * (fd < 0)
    try:
        match random.randrange(5):
            case 0 | 1:
                process.mmap(addr, length, prot, flags, fd)
            case 2:
                process.munmap(addr, length)
            case 3:
                process.mprotect(addr, length, prot)
            case _:
                process.brk(0x2000_0000 + random.randrange(10) * PAGE_SIZE)
    except OSError:
        pass  # as it may come
