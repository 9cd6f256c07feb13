"""Fixtures of the daemon's tests. Nothing here is used by a test that does not ask for it.

A test marked `needs("subreaper")` is skipped, by that name, where the daemon says that the system lacks it."""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time

import pytest

from harness import DAEMON, PORT_LACKS, POSIX, Closed, Daemon, Project, wait_until


def pytest_terminal_summary(terminalreporter):
    """What tests print is worth reading when they pass as well: seeds, counts, what was measured."""
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and report.capstdout.strip():
            terminalreporter.write_line(f"{report.nodeid.split('/')[-1]}: {report.capstdout.strip()}")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(what): skipped where this system lacks it")


@pytest.fixture(scope="session")
def lacks():
    """What the daemon has not found on this system."""
    if not DAEMON.exists():
        return set()
    place = os.path.realpath(tempfile.mkdtemp(prefix="ch-"))
    daemon = Daemon(Project(os.path.join(place, "p")))
    found = set(daemon.call("daemon.status")["lacks"])
    daemon.stop()
    shutil.rmtree(place, ignore_errors=True)
    return found


@pytest.fixture(autouse=True)
def needed(request):
    for what in {what for mark in request.node.iter_markers("needs") for what in mark.args}:
        if what in PORT_LACKS or what in request.getfixturevalue("lacks"):
            pytest.skip(f"this system has no {what}")


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


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Certificates of every kind, and servers that show them."""
    from peers.tls_server import Zoo
    return Zoo(tmp_path_factory.mktemp("zoo"))


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
            # Where children do not die with their parent, those of a daemon that was killed are left.
            if not POSIX or not any(daemon.killed for daemon in started if daemon.project is project):
                faults.append(f"processes left: {left}")
    assert not faults, "\n".join(faults)


@pytest.fixture
def daemon(project, daemon_of):
    """A daemon on the test's project, for tests that write no files before its start."""
    return daemon_of(project)


class HalfALine:
    """A client that sends half a line and nothing more, while others go on: how long it is held, and how the others fare."""

    def __init__(self, daemon):
        self.daemon, self.answers, self.fault = daemon, 0, None
        self.half, self.idle = daemon.client(timeout=120), daemon.client()
        self.idle.call("daemon.status")
        self.half.send_raw(b'{"jsonrpc":"2.0","id"')
        self.begun, self.held_s = time.monotonic(), None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.other = threading.Thread(target=self.call, daemon=True)
        self.reader.start()
        self.other.start()

    def read(self):
        self.rest = self.half.closed()
        self.held_s = time.monotonic() - self.begun

    def call(self):
        try:
            with self.daemon.client() as client:
                while self.reader.is_alive():
                    client.call("daemon.status")
                    self.answers += 1
                    self.reader.join(0.5)
        except (OSError, Closed, AssertionError) as fault:
            self.fault = fault

    def wait(self):
        self.reader.join(120)
        self.other.join(10)
        return self


@pytest.fixture(scope="session")
def half_a_line():
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    place = os.path.realpath(tempfile.mkdtemp(prefix="ch-"))
    daemon = Daemon(Project(os.path.join(place, "p")))
    yield HalfALine(daemon)
    daemon.stop()
    shutil.rmtree(place, ignore_errors=True)
