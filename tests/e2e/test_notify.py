"""What a service manager hears from a daemon that it watches, at a socket of the test's own."""

import errno
import os
import signal
import socket
import time

import pytest

from faults import PROGRAM, Faults
from harness import Daemon, Project, command, needs, step, wait_until

pytestmark = needs("NOTIFY")


class Manager:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.address = address
        self.heard = []

    def hear(self, wanted, timeout=30):
        """The first line, of those not asked for yet, that has this in it."""
        end = time.monotonic() + timeout
        while True:
            for at, line in enumerate(self.heard):
                if wanted in line:
                    del self.heard[:at + 1]
                    return line
            if (left := end - time.monotonic()) <= 0:
                raise TimeoutError(wanted)
            self.socket.settimeout(left)
            self.heard += self.socket.recv(4096).decode().splitlines()

    def drain(self):
        self.heard.clear()
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            pass


@pytest.fixture(params=["path", pytest.param("abstract", marks=pytest.mark.needs("abstract_sockets"))])
def manager(request, tmp_path):
    found = Manager(str(tmp_path / "notify") if request.param == "path" else f"@charter-test-{os.getpid()}-{time.monotonic_ns()}")
    yield found
    found.socket.close()


def environment(manager, watchdog_us=None):
    env = {"NOTIFY_SOCKET": manager.address}
    if watchdog_us:
        env["WATCHDOG_USEC"] = str(watchdog_us)
    return env


def test_ready_status_stopping(tmp_path, manager):
    project = Project(tmp_path / "p")
    project.workflow("w", [step("a", {"wait": "go"})])
    daemon = Daemon(project, env=environment(manager), ready=False)
    try:
        assert manager.hear("READY=1") == "READY=1"
        # Whoever waits for this may use the socket at once.
        assert daemon.call("daemon.status")["pid"] == daemon.pid
        assert manager.hear("STATUS=") == "STATUS=0 runs executing, 0 queued or waiting; no gateway"
        assert not manager.heard
        run = daemon.start_run()
        manager.hear("STATUS=1 runs executing, 0 queued or waiting")
        project.touch("go")
        daemon.end_of(run)
        manager.hear("STATUS=0 runs executing, 0 queued or waiting")
        daemon.signal(signal.SIGTERM)
        assert manager.hear("STOPPING=1") == "STOPPING=1"
        assert daemon.wait() == 0
    finally:
        daemon.stop()


def test_signs_of_life(tmp_path, manager):
    daemon = Daemon(Project(tmp_path / "p"), env=environment(manager, 400_000), ready=False)
    try:
        manager.hear("WATCHDOG=1")
        started = time.monotonic()
        for _ in range(15):
            manager.hear("WATCHDOG=1")
        # At half of it: five in a second, three seconds. Late ones are the machine's; twice as many would be ours.
        assert time.monotonic() - started > 1.6
        # One that hangs gives none, and goes on with them when it goes on.
        daemon.signal(signal.SIGSTOP)
        wait_until(lambda: open(f"/proc/{daemon.pid}/stat").read().rpartition(")")[2].split()[0] == "T", "it is stopped")
        manager.drain()
        with pytest.raises(TimeoutError):
            manager.hear("WATCHDOG=1", timeout=1)
        daemon.signal(signal.SIGCONT)
        manager.hear("WATCHDOG=1")
    finally:
        daemon.signal(signal.SIGCONT)
        daemon.stop()


def test_a_start_that_fails_tells_nothing(tmp_path, manager):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "charter.yml").write_text("project: [\n")
    assert command("start", "--project-path", tmp_path / "p", env=environment(manager)).returncode == 3
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.socket.recv(100)


def test_a_manager_that_is_gone_stops_nobody(tmp_path):
    daemon = Daemon(Project(tmp_path / "p"), env={"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"})
    try:
        wait_until(lambda: "cannot be told" in daemon.log, "the log")
        assert daemon.call("daemon.status")["pid"] == daemon.pid
        assert daemon.log.count("cannot be told") == 1
    finally:
        assert daemon.stop() == 0


@pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")
def test_waiting_for_the_disk_is_no_death(tmp_path):
    """It does nothing else until the journal can be written; no manager must kill it meanwhile."""
    manager = Manager(str(tmp_path / "notify"))
    project = Project(tmp_path / "p")
    project.workflow("w", [step("a", value=1)])
    fault = Faults(project, ".charter/journal")
    daemon = Daemon(project, program=PROGRAM, env={**fault.environment(), **environment(manager, 400_000)})
    try:
        fault.arm("FAIL", ("WRITE", "ALLOCATE", "OPEN", "TRUNCATE"), 1, 10 ** 9, error=errno.ENOSPC)
        with daemon.client() as client:
            client.request("run.start", {"workflow_id": "w", "inputs": {}})
            manager.hear("everything waits")
            for _ in range(6):
                manager.hear("WATCHDOG=1", timeout=10)
            fault.disarm()
            client.read()
        wait_until(lambda: "it can be written again" in daemon.log, "it goes on")
    finally:
        fault.disarm()
        daemon.stop()
        manager.socket.close()
