"""A daemon whose calls can be made to fail (tests/fault), for the tests of crashes and disks.

    fault = Faults(project)
    daemon = fault.start()
    fault.arm("KILL_BEFORE", CALLS, 17)                # the 17th call on a file of .charter, or to a peer, is not made: the daemon is dead
    fault.arm("FAIL", "SYNC", 1, error=errno.EIO)      # the next fdatasync
    fault.wall_jumps(-3600)                            # the daemon's clock, not ours
"""

import collections
import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import struct
import tempfile

import pytest

from harness import BUILD, Daemon

if os.environ.get("TEST_VARIANT") == "asan":
    pytest.skip("a sanitizer's runtime calls the layer that makes calls fail before that works", allow_module_level=True)

PROGRAM = BUILD / "charter-daemon-fault"
QUICK = str(BUILD / "quick-step")  # an integration

KINDS = ("OPEN", "CLOSE", "READ", "WRITE", "SYNC", "SYNC_NAMES", "TRUNCATE", "ALLOCATE", "RENAME", "UNLINK", "MAKE_DIRECTORY",
         "REMOVE_DIRECTORY", "STAT", "LIST", "OUT", "FORK", "WAIT")
CALLS = KINDS[:-1]
CHANGES = ("OPEN", "WRITE", "SYNC", "SYNC_NAMES", "TRUNCATE", "ALLOCATE", "RENAME", "UNLINK", "MAKE_DIRECTORY", "REMOVE_DIRECTORY")
ACTIONS = ("NOTHING", "KILL_BEFORE", "KILL_AFTER", "FAIL", "SHORT", "SHORT_FAIL", "DO_AND_FAIL", "HOLD")
DAEMON, HELPERS = 1, 2


HEAD = struct.Struct("8q")
Call = collections.namedtuple("Call", "kind in_helper inode offset result path to data")


def says(error, text):
    """The words for an error are the C library's: those of glibc, or of musl."""
    others = {errno.EIO: "I/O error", errno.EDQUOT: "Quota exceeded"}
    return os.strerror(error) in text or others.get(error, "\0") in text


class Control(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("kinds", "processes", "seen", "first", "until", "action", "error", "fired", "wall_offset_ms", "no_syncs")] + [
        ("by_kind", ctypes.c_int64 * len(KINDS)), ("fired_kind", ctypes.c_int64), ("fired_in_helper", ctypes.c_int64),
        ("fired_path", ctypes.c_char * 256)]


class Faults:
    def __init__(self, project, below=".charter"):
        self.project, self.below = project, below
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="fault-", dir=project.path.parent))
        self.file = open(self.place / "control", "w+b")
        self.file.write(bytes(ctypes.sizeof(Control)))
        self.file.flush()
        self.map = mmap.mmap(self.file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self.map)
        self.control.processes = DAEMON | HELPERS

    def environment(self, trace=False):
        made = {"FAULT_PATH": str(self.project.path / self.below), "FAULT_CONTROL": str(self.place / "control")}
        if trace:
            made["FAULT_TRACE"] = str(self.place / "trace")
        return made

    def start(self, *args, trace=False, **options):
        return Daemon(self.project, *args, program=PROGRAM, env=self.environment(trace), **options)

    def arm(self, action, kinds=CHANGES, number=1, count=1, error=0, processes=DAEMON | HELPERS):
        """The action takes the calls from the number-th on, counted from now."""
        control = self.control
        control.action = 0
        control.kinds = sum(1 << KINDS.index(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
        control.processes, control.error = processes, error
        control.seen = control.fired = 0
        control.first, control.until = number, number + count
        control.action = ACTIONS.index(action)

    def disarm(self):
        self.control.action = 0

    def fired(self):
        return self.control.fired

    def place_of_fault(self):
        """Which call the action took: its kind, its path below the directory, and whose it was."""
        path = os.path.relpath(self.control.fired_path.decode(), self.project.path)
        return KINDS[self.control.fired_kind], path, "helper" if self.control.fired_in_helper else "daemon"

    def count(self, *kinds):
        return sum(self.control.by_kind[KINDS.index(kind)] for kind in kinds)

    def trace(self):
        """All calls so far: a list of Call, oldest first."""
        data, calls, at = (self.place / "trace").read_bytes(), [], 0
        while at < len(data):
            kind, helper, inode, offset, result, *lengths = HEAD.unpack_from(data, at)
            at += HEAD.size
            parts = []
            for length in lengths:
                parts.append(data[at:at + length])
                at += length
            calls.append(Call(KINDS[kind], bool(helper), inode, offset, result, parts[0].decode(), parts[1].decode(), parts[2]))
        return calls

    def wall_jumps(self, seconds):
        self.control.wall_offset_ms = int(seconds * 1000)


@contextlib.contextmanager
def ended(daemon):
    """Whatever happens, the daemon is gone behind it."""
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
