"""Fixtures of the daemon's tests. Nothing here is used by a test that does not ask for it."""

import contextlib
import os
import shutil
import signal
import tempfile

import pytest

from harness import DAEMON, Daemon, Project, wait_until


@pytest.fixture
def places():
    """Makes short temporary directories, because the address of a socket is short."""
    made = []

    def make():
        made.append(os.path.realpath(tempfile.mkdtemp(prefix="ch-")))
        return made[-1]
    yield make
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def project(places):
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    return Project(os.path.join(places(), "p"))


@pytest.fixture
def daemon_of():
    """Starts daemons. At the end each is stopped, must exit with 0, and must leave no process behind."""
    started = []

    def start(project, *args, **options):
        daemon = Daemon(project, *args, **options)
        started.append(daemon)
        return daemon
    yield start
    faults = []
    for daemon in started:
        ours = daemon.process.poll() is None
        with contextlib.suppress(AssertionError):
            code = daemon.stop()
            if ours and code != 0:
                faults.append(f"exit code {code} of {daemon.pid}:\n{daemon.tail()}")
            continue
        daemon.kill()
        faults.append(f"{daemon.pid} did not stop:\n{daemon.tail()}")
    for project in {id(daemon.project): daemon.project for daemon in started}.values():
        try:
            wait_until(lambda: not project.processes(), "no process is left", 5)
        except AssertionError:
            left = project.processes()
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            faults.append(f"processes left: {left}")
    assert not faults, "\n".join(faults)


@pytest.fixture
def daemon(project, daemon_of):
    """A daemon on the test's project, for tests that write no files before its start."""
    return daemon_of(project)
