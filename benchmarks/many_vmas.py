"""A process with many VMAs, as its own program: `python many_vmas.py COUNT [spin]`.

Every VMA is one page followed by a hole of one page; one in five maps a file, about as in a real
process of that size. It says `ready` and stays until its stdin ends; with `spin` it is busy
meanwhile, without changing its map.
"""

import ctypes
import os
import sys
import threading

PAGE = 4096
PROT_READ, PROT_WRITE = 1, 2
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x02, 0x10, 0x20


def map_pages(count: int) -> None:
    """Map count pages."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
    libc.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
    size = 2 * PAGE * count
    base = libc.mmap(None, size, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    libc.munmap(base, size)
    fd = os.open(sys.executable, os.O_RDONLY)
    anonymous = PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0
    file = PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0
    for number in range(count):
        page = base + 2 * PAGE * number
        if libc.mmap(page, PAGE, *(anonymous if number % 5 else file)) != page:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Map the pages, print `ready`, stay."""
    map_pages(int(sys.argv[1]))
    if "spin" in sys.argv:
        threading.Thread(target=spin, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def spin() -> None:
    """Compute for ever."""
    while True:
        pass


if __name__ == "__main__":
    main()
