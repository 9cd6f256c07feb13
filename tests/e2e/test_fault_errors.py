"""Every call on the files of a project failing once, with every error that matters: the outcome is the one of the table in the README ("When the
disk fails"), every time, and a start after it finds everything that was told."""

import errno
import os
import random
import time

import pytest

from faults import PROGRAM, Faults, ended, says
from harness import PLAIN, RpcError, check_stream, wait_until
from test_fault_kill import TYPES, Told, check, drop, half_made, make, reachable

SEED = int(os.environ.get("CHARTER_FAULT_SEED", time.time_ns() % 1000000))
STRIDE = 1 if PLAIN else 7
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")


def expected(kind, path, who, error, ready, accepted):
    """The table."""
    if error in (errno.EINTR, "short") or kind in ("CLOSE", "UNLINK"):
        return "nothing"
    if path == ".charter/daemon.sock" or path.endswith(".addr"):
        return "nothing"
    if not ready:
        return "exit 6"
    if path.startswith(".charter/journal"):
        if kind == "READ":
            return "nothing"  # asked again
        return "nothing" if kind == "WRITE" and error in FULL else "exit 6"
    if "/artifacts" in path or who == "helper" and accepted:
        return "too_large"
    if who == "helper":
        return "-32012" if error in FULL else "-32603"
    # The spare of daemon.json: made at the next start.
    return "nothing"  # reading plan.json: asked again; making artifacts_dir: the integration sees


def outcome(daemon, told):
    try:
        if not told.drive(daemon, "r"):
            return f"exit {daemon.wait()}"
    except RpcError as refused:
        assert not told.accepted
        assert "; the run was not accepted" in refused.message, refused
        assert refused.code != -32012 or set(refused.data) == {"bytes", "limit"}, refused
        return str(refused.code)
    except AssertionError:
        events = daemon.events("r")
        failed = [e["data"]["error"] for e in events if e["type"] == "step.failed"]
        assert len(failed) == 1 and events[-1]["type"] == "run.failed", events
        assert "cannot be stored" in failed[0]["message"]
        return failed[0]["kind"]
    events = daemon.events("r")
    assert [e["type"] for e in events] == TYPES
    assert [e.get("step_id") for e in events] == [None, None, "one", "one", "review", "review", "review", "review", "two", "two", None]
    return "nothing"


def one_fault(place, kind, error, number):
    """False: there are fewer calls."""
    project = make(place, f"{kind}{error}{number}")
    fault, told, text = Faults(project), Told(), ""
    if error == "short":
        fault.arm("SHORT", kind, number)
    else:
        fault.arm("FAIL", kind, number, error=error)
    with ended(fault.start(ready=False)) as daemon:
        wait_until(lambda: daemon.process.poll() is not None or reachable(daemon), lambda: f"{kind} {number}: {daemon.tail()}")
        ready = daemon.process.poll() is None
        got = outcome(daemon, told) if ready else f"exit {daemon.process.returncode}"
        if ready and got == "exit 6" and kind == "SYNC":
            assert fault.control.seen == fault.control.first, "a sync that failed is never tried again"
        text = daemon.log
        if fault.fired() == 0:
            assert got == "nothing"
            return False
    fault.disarm()
    call = fault.place_of_fault()
    what = f"{call} with {error if error == 'short' else errno.errorcode[error]}: {text}"
    allowed = {expected(*call, error, ready, told.accepted)}
    if call[0] == "OPEN" and call[2] == "helper" and not call[1].endswith(("plan.json.new", ".new-")):
        allowed.add("nothing")  # a directory that is looked through, by who removes old runs or adds up artifacts
    assert got in allowed, what
    if got == "exit 6":
        assert says(error, text), "it says why: " + what
    with ended(fault.start()) as daemon:
        if got == "too_large":
            assert [e["type"] for e in daemon.events("r")][-1] == "run.failed"
            check_stream(daemon.events())
        else:
            assert told.drive(daemon, "r"), what
            check(daemon, "r", told, project)
        assert not half_made(project), half_made(project)
    drop(project, fault)
    return True


CASES = [(kind, error) for error in (errno.EIO, errno.ENOSPC, errno.EINTR, "short")
         for kind in ("OPEN", "READ", "WRITE", "SYNC", "SYNC_NAMES", "TRUNCATE", "ALLOCATE", "RENAME", "UNLINK", "MAKE_DIRECTORY", "CLOSE")
         if (error != "short" or kind in ("READ", "WRITE"))
         and (error != errno.ENOSPC or kind not in ("READ", "CLOSE", "UNLINK"))
         and (error != errno.EINTR or kind in ("OPEN", "READ", "WRITE", "SYNC", "SYNC_NAMES", "TRUNCATE", "ALLOCATE", "CLOSE"))
         ] + [("WRITE", errno.EDQUOT), ("WRITE", errno.EROFS), ("SYNC", errno.EDQUOT)]


@pytest.mark.parametrize("kind, error", CASES, ids=lambda value: value if isinstance(value, str) else errno.errorcode[value])
def test_every_call_fails_once(places, kind, error):
    place, number = places(), 1 + random.Random(SEED).randrange(STRIDE)
    print(f"CHARTER_FAULT_SEED={SEED}")
    while one_fault(place, kind, error, number):
        number += STRIDE
