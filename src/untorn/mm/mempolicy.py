"""Memory policies: the NUMA nodes that the pages of a VMA, a file in memory or a task come from.

All memory of the engine is on node 0. So a policy has only one effect: VMAs with different policies
do not merge. Compare mm/mempolicy.c:mpol_new(), mpol_set_nodemask(), __mpol_equal(),
mpol_to_str(); numa(7).
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from untorn.errors import os_error
from untorn.releases.changes import BALANCED_MANY, WEIGHTED_INTERLEAVE
from untorn.releases.release import Release

MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL = range(5)
MPOL_PREFERRED_MANY, MPOL_WEIGHTED_INTERLEAVE = 5, 6
MPOL_F_STATIC_NODES = 1 << 15
MPOL_F_RELATIVE_NODES = 1 << 14
MPOL_F_NUMA_BALANCING = 1 << 13
MPOL_MF_STRICT = 1 << 0
MPOL_MF_MOVE = 1 << 1
MPOL_MF_MOVE_ALL = 1 << 2
"""Source: include/uapi/linux/mempolicy.h."""
_USER_NODEMASK_FLAGS = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES
_MODE_FLAGS = _USER_NODEMASK_FLAGS | MPOL_F_NUMA_BALANCING
_NAMES = {
    MPOL_PREFERRED: b"prefer",
    MPOL_BIND: b"bind",
    MPOL_INTERLEAVE: b"interleave",
    MPOL_LOCAL: b"local",
    MPOL_PREFERRED_MANY: b"prefer (many)",
    MPOL_WEIGHTED_INTERLEAVE: b"weighted interleave",
}


@dataclass(frozen=True, slots=True)
class Mempolicy:
    """A policy other than the default, which is None. VMAs with equal policies may merge.

    Attributes:
        mode: An MPOL_* mode other than MPOL_DEFAULT.
        flags: MPOL_F_* bits.
        nodes: Bits of the nodes that are in effect.
        user_nodes: Bits of the nodes that were asked for, if the flags keep them.
        home_node: The node that is tried first, or -1.
    """

    mode: int
    flags: int = 0
    nodes: int = 0
    user_nodes: int = 0
    home_node: int = -1

    def __bytes__(self) -> bytes:
        """Return the policy as numa_maps shows it. Compare mm/mempolicy.c:mpol_to_str()."""
        nodes = b",".join(_ranges(self.nodes))
        return _NAMES[self.mode] + self._flag_names() + (b":" + nodes if nodes else b"")

    def _flag_names(self) -> bytes:
        names = {
            MPOL_F_STATIC_NODES: b"static",
            MPOL_F_RELATIVE_NODES: b"relative",
            MPOL_F_NUMA_BALANCING: b"balancing",
        }
        words = [name for flag, name in names.items() if self.flags & flag]
        return b"=" + b"|".join(words) if words else b""


def split_mode(release: Release, mode: int) -> tuple[int, int]:
    """Split the argument of a call into the mode and the MPOL_F_* flags.

    Raises:
        OSError: EINVAL if the release has no such mode, or does not allow these flags with it.

    Compare mm/mempolicy.c:sanitize_mpol_flags().
    """
    flags, mode = mode & _MODE_FLAGS, mode & ~_MODE_FLAGS & 0xFFFF_FFFF
    last = MPOL_WEIGHTED_INTERLEAVE if release.has(WEIGHTED_INTERLEAVE) else MPOL_PREFERRED_MANY
    balanced = {MPOL_BIND} | ({MPOL_PREFERRED_MANY} if release.has(BALANCED_MANY) else set())
    valid = mode <= last and flags & _USER_NODEMASK_FLAGS != _USER_NODEMASK_FLAGS
    if not valid or (flags & MPOL_F_NUMA_BALANCING and mode not in balanced):
        raise os_error(errno.EINVAL)
    return mode, flags


def new_mempolicy(mode: int, flags: int, nodemask: int, allowed: int) -> Mempolicy | None:
    """Return the policy that a call asks for.

    Args:
        mode: An MPOL_* mode.
        flags: MPOL_F_* bits.
        nodemask: Bits of nodes.
        allowed: Bits of the nodes whose memory the process may use.

    Raises:
        OSError: EINVAL if the mode takes no nodes and some are given, or if none of the nodes given
            can be used.
    """
    user_flags = flags & _USER_NODEMASK_FLAGS
    if mode == MPOL_PREFERRED and not nodemask and not user_flags:
        mode = MPOL_LOCAL
    if mode in (MPOL_DEFAULT, MPOL_LOCAL):
        if nodemask or (mode == MPOL_LOCAL and user_flags):
            raise os_error(errno.EINVAL)
        return Mempolicy(MPOL_LOCAL, flags) if mode == MPOL_LOCAL else None
    relative = flags & MPOL_F_RELATIVE_NODES
    nodes = _relative_nodes(nodemask, allowed) if relative else nodemask & allowed
    if not nodes:
        raise os_error(errno.EINVAL)
    if mode == MPOL_PREFERRED:
        nodes &= -nodes
    return Mempolicy(mode, flags, nodes, nodemask if user_flags else 0)


def _relative_nodes(nodemask: int, allowed: int) -> int:
    """Map each node n of nodemask to the n-th allowed node, starting again after the last one."""
    numbers = [node for node in range(allowed.bit_length()) if allowed >> node & 1]
    nodes = 0
    for node in range(nodemask.bit_length()):
        if nodemask >> node & 1:
            nodes |= 1 << numbers[node % len(numbers)]
    return nodes


def _ranges(nodes: int) -> Iterator[bytes]:
    """Yield "2" for a single node and "4-7" for a run of nodes, in order."""
    while nodes:
        first = (nodes & -nodes).bit_length() - 1
        count = (~(nodes >> first) & (nodes >> first) + 1).bit_length() - 1
        yield b"%d-%d" % (first, first + count - 1) if count > 1 else b"%d" % first
        nodes &= ~((1 << first + count) - 1)
