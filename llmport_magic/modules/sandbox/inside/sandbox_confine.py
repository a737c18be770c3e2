"""Confines the sandbox's child on Linux: Landlock for files, seccomp for the network and the rest.

Loaded by `sandbox_child.py` before a candidate runs; of the standard library only. What this
kernel does not offer is left out, and the child tells which of the two hold.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_O_PATH = 0o10000000
_VERSION_QUERY = 1

# Landlock's rights on files, as bits; the later ones need a newer kernel.
_EXECUTE, _WRITE, _READ, _READ_DIR = 1, 2, 4, 8
_ON_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_LOOK = _EXECUTE | _READ | _READ_DIR
_NET_ABI, _SCOPE_ABI = 4, 6

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/etc", "/nix",
           "/sys/devices", "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/zero",
           "/var/lib/texmf", "/var/cache/fontconfig")  # fmt: skip
# Not `/proc` as a whole: the environment of the user's other processes lies there.
_PROC = ("self", "cpuinfo", "meminfo", "stat", "loadavg", "version", "uptime", "filesystems", "sys")
_MAX_ENTRIES = 2000

# System calls by number: x86_64, then aarch64; `None` where there is no such call.
_DENIED = {
    "connect": (42, 203), "ptrace": (101, 117), "setpgid": (109, 154), "setsid": (112, 157),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280), "reboot": (169, 142),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "userfaultfd": (323, 282),
    "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "sethostname": (170, 161), "settimeofday": (164, 170),
    # What would stay behind in the kernel's memory, and what reaches processes by user or group.
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "setpriority": (141, 140), "ioprio_set": (251, 30),
}  # fmt: skip
# Only on the caller itself, process 0: the user's other processes could be limited with these.
_ON_ITSELF = {
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip
# Landlock knows no rights for these; they do nothing and say that all is well.
_IGNORED = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "utime": (132, None),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
_SOCKETS = {"socket": (41, 198), "socketpair": (53, 199)}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_AF_UNIX, _EPERM, _EACCES = 1, 1, 13
# Datagrams are sent to an address without connecting; these kinds are not.
_SOCK_STREAM, _SOCK_SEQPACKET = 1, 5
_FIRST_ARGUMENT, _SECOND_ARGUMENT = 16, 24
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN, _AND = 0x20, 0x15, 0x35, 0x06, 0x54


def available() -> tuple[str, ...]:
    """Name what this system offers; changes nothing."""
    if sys.platform != "linux":
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    held = ["landlock"] if _landlock_abi(libc) > 0 else []
    # Asking for the mode that is on fails only where seccomp is not built in.
    if os.uname().machine in _MACHINES and libc.prctl(21, 0, 0, 0, 0) >= 0:
        held.append("seccomp")
    return tuple(held)


def confine(readable: Iterable[str], listed: Iterable[str], writable: str) -> list[str]:
    """Confine this process for good; names what holds.

    Args:
        readable: folders and files that may be read, with all that is in them.
        listed: the user's folders, of which hidden entries stay closed.
        writable: the only folder that may be written.
    """
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    held = []
    if _landlock(
        libc, {*readable, *SYSTEM, *(f"/proc/{name}" for name in _PROC)}, listed, writable
    ):
        held.append("landlock")
    if _seccomp(libc):
        held.append("seccomp")
    return held


# -- Landlock --------------------------------------------------------------------------------------


def _landlock_abi(libc: ctypes.CDLL) -> int:
    return int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_QUERY))


def _landlock(
    libc: ctypes.CDLL, readable: Iterable[str], listed: Iterable[str], writable: str
) -> bool:
    abi = _landlock_abi(libc)
    if abi < 1:
        return False
    everything = (1 << _RIGHTS_BY_ABI.get(abi, 16)) - 1
    attributes = struct.pack("<Q", everything)
    if abi >= _NET_ABI:
        attributes += struct.pack("<Q", 3)
    if abi >= _SCOPE_ABI:
        attributes += struct.pack("<Q", 3)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    rules = [(path, _LOOK) for path in readable]
    rules += [("/dev/null", _READ | _WRITE), (writable, everything)]
    for folder in listed:
        rules.append((folder, _READ_DIR))
        rules += [(entry, _LOOK) for entry in _open_entries(folder)]
    for path, rights in rules:
        _allow(libc, ruleset, path, rights & everything)
    done = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(done)


def _open_entries(folder: str) -> list[str]:
    """Give a folder's entries but the hidden ones: keys and settings lie in those."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    return names[:_MAX_ENTRIES]


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _ON_FILES
    rule = struct.pack("<Qi", rights, descriptor)
    libc.syscall(_ADD_RULE, ruleset, 1, rule, 0)
    os.close(descriptor)


# -- seccomp ---------------------------------------------------------------------------------------


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _step(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, when_true, when_false, value)


def _filter(machine: str) -> bytes:
    column, architecture = _MACHINES[machine]
    steps = [
        _step(_LOAD, 4),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _ERRNO | _EPERM),
        _step(_LOAD, 0),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _ERRNO | _EPERM),
    ]
    for calls, error in ((_DENIED, _EACCES), (_IGNORED, 0)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | error)]
    refuse, allow = _step(_RETURN, _ERRNO | _EACCES), _step(_RETURN, _ALLOW)
    for numbers in _ON_ITSELF.values():
        steps += [
            _step(_EQUAL, numbers[column], 0, 4),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_EQUAL, 0, 1, 0),
            refuse,
            allow,
        ]
    for numbers in _SOCKETS.values():
        steps += [
            _step(_EQUAL, numbers[column], 0, 8),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_EQUAL, _AF_UNIX, 0, 4),
            _step(_LOAD, _SECOND_ARGUMENT),
            # The low bits are the kind, the others flags.
            _step(_AND, 0xF),
            _step(_EQUAL, _SOCK_STREAM, 2, 0),
            _step(_EQUAL, _SOCK_SEQPACKET, 1, 0),
            refuse,
            allow,
        ]
    steps.append(allow)
    return b"".join(steps)


def _seccomp(libc: ctypes.CDLL) -> bool:
    machine = os.uname().machine
    if machine not in _MACHINES:
        return False
    code = _filter(machine)
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)
