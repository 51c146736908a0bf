"""Takes from this process what the reading of a file does not need: other files, the network, new processes.

The limits of setrlimit(2) hold everywhere. Landlock (Linux 5.13) leaves it the code that Python imports and no other
file; seccomp (x86-64 and arm64) leaves it the system calls that reading and replying take.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import mimetypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seccompy import Filter

_MOST_FILES = 64
"""Files that may be open at once."""
_SYSTEM_CODE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_CODE = {".py", ".so", ".zip"}
_CALLS = """
    read pread64 readv write writev close lseek fstat stat lstat newfstatat statx access faccessat faccessat2 readlink
    readlinkat getcwd open openat getdents64 fcntl dup dup2 dup3 ioctl fadvise64 recvmsg recvfrom poll ppoll select
    pselect6 mmap munmap mprotect mremap madvise brk membarrier futex rseq set_robust_list get_robust_list
    restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack getpid getppid gettid getuid geteuid getgid
    getegid clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage getrlimit getrandom
    sched_yield sched_getaffinity sysinfo uname exit exit_group
""".split()  # noqa: SIM905 (a list of 70 strings reads worse)


# Both libraries have ctypes look for the C library, which starts other programs; None is the one of this process.
ctypes.util.find_library = lambda name: None


def limit(memory_bytes: int) -> bool:
    """Limit for good what this process can open and write, and its memory; false where the system cannot do the latter.

    macOS cannot.
    """
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, _MOST_FILES)):
        _limit(kind, most)
    try:
        _limit(resource.RLIMIT_AS, memory_bytes)
    except (ValueError, OSError):
        return False
    return True


def limit_cpu(seconds: int) -> None:
    """End this process once it has used so many seconds of CPU in all, until another limit is set."""
    value, hard = _within(resource.RLIMIT_CPU, seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (value, hard))


def _limit(kind: int, most: int) -> None:
    value, _ = _within(kind, most)
    resource.setrlimit(kind, (value, value))


def _within(kind: int, most: int) -> tuple[int, int]:
    """The limit that can be set for `most`, and the hard limit that it cannot exceed."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard), hard


def leave_files() -> bool:
    """Have this thread, and those that it starts, open nothing but code; false where the kernel has no Landlock.

    What is open stays open. Abstract sockets and signals reach no other process (Linux 6.12).
    """
    try:
        from landlockpy import AccessFS, Ruleset, Scope

        with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
            for path in _code():
                rules.allow_path(path, AccessFS.READ_FILE | (AccessFS.READ_DIR if path.is_dir() else AccessFS.NONE))
            rules.restrict()
    except (ImportError, OSError):
        return False
    return True


def leave_calls() -> bool:
    """Have no thread of this process connect or start anything any more; false where the kernel has no seccomp."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    try:
        from seccompy import Action, Filter, FilterFlag

        rules = Filter(Action.ERRNO | errno.EPERM, flags=FilterFlag.TSYNC)
        for call in _CALLS:
            _allow(rules, call)
        rules.allow("prlimit64", args={0: 0, 2: 0})  # its own limits, to be seen
        rules.allow("prlimit64", args={0: 0, 1: resource.RLIMIT_CPU})
        rules.allow("tgkill", args={0: os.getpid()})  # abort(3)
        rules.load()
    except (ImportError, OSError):
        return False
    return True


def _code() -> Iterator[Path]:
    """Where the code of Python and of packages is; of a folder that holds other things as well, only the packages."""
    own = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    for place in filter(Path.exists, map(Path, sys.path)):
        if place.is_file() or not own.isdisjoint(place.resolve().parents):
            yield place
        else:
            yield from (each for each in place.iterdir() if each.suffix in _CODE or (each / "__init__.py").exists())
    yield from filter(Path.exists, map(Path, (*_SYSTEM_CODE, *mimetypes.knownfiles)))


def _allow(rules: Filter, call: str) -> None:
    with contextlib.suppress(ValueError):  # not on this architecture
        rules.allow(call)
