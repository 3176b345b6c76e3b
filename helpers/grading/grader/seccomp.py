"""Calls to the kernel that a submission does not get: a filter for ``bwrap --seccomp``.

Closed is what takes memory that nobody outside can count (files without a place, System V's shared
memory), and the kernel's keys, which live on after the process.
"""

import platform
import struct

# Numbers in the kernel's interface, which never change: x86_64 and aarch64.
CLOSED = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
}
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # the kernel's names for them
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | 38  # 38: ENOSYS, as from an older kernel


def program(machine=None):
    """Make the filter.

    Parameters
    ----------
    machine : str, optional
        Such as ``"x86_64"``; default: this one.

    Returns
    -------
    bytes
        Instructions of the kernel's packet filter; empty for a machine that is not known here.

    Examples
    --------
    >>> len(program("x86_64")) // 8  # instructions
    12
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        return b""
    numbers = [pair[machine == "aarch64"] for pair in CLOSED.values()]
    # Calls of another machine's kind, and those beyond 2**30 (x32), have other numbers: closed.
    tests = [(IF_AT_LEAST, 2**30), *((IF_EQUAL, number) for number in numbers)]
    steps = [(LOAD, 0, 0, 4), (IF_EQUAL, 0, len(tests) + 2, MACHINES[machine]), (LOAD, 0, 0, 0)]
    for left, (test, number) in zip(range(len(tests), 0, -1), tests, strict=True):
        steps.append((test, left, 0, number))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NO_SUCH_CALL)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
