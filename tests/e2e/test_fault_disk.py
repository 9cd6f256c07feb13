"""Disks that are full, over a quota, or read-only, and have room again: nothing is lost, everything goes on by itself, and a start is possible
meanwhile."""

import errno
import os
import resource
import subprocess
import time

import pytest

from faults import PROGRAM, QUICK, Faults, ended, says
from harness import DAEMON, DEADLINE, Daemon, Project, RpcError, built, check_stream, clean_environment, needs, step, wait_until
from workflows import approve, gate


def quick(step_id, how=None, **members):
    return step(step_id, uses="quick", with_=how or {}, **members)


def prepare(project):
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    return project


@pytest.fixture
def small_disk(places):
    """A file system of a few megabytes, where we may mount one; `small_disk.resize(...)`."""
    place = places()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    project = prepare(Project(os.path.join(place, "p")))
    project.resize = lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
    yield project
    subprocess.run(["umount", "-l", place], check=True)


def fill(project):
    """Takes all that is left of the disk."""
    with open(project.path.parent / "ballast", "ab", buffering=0) as file:
        for size in (65536, 4096, 512, 64, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC


def is_full(project):
    found = os.statvfs(project.path)
    return found.f_bavail == 0


def end_all(daemon, runs):
    for run in runs:
        assert daemon.end_of(run).status == "succeeded"
    check_stream(daemon.events())


@needs(MESSAGE_BYTES=65536)
def test_a_disk_that_fills_during_runs_and_is_enlarged(small_disk, daemon_of):
    """What was reserved takes the events for a while; then everything waits."""
    small_disk.workflow("w", [quick("first", {"until": "go"})] + [quick(f"s{i}", {"big": 4000}) for i in range(15)], {"text": {"type": "string"}})
    daemon = daemon_of(small_disk)
    runs = [daemon.start_run(inputs={"text": "i" * 30000}) for _ in range(14)]
    for run in runs:
        daemon.wait_event("run.started", run)
    small_disk.touch("gone")
    fill(small_disk)
    os.rename(small_disk.file("gone"), small_disk.file("go"))
    wait_until(lambda: "integrations wait" in daemon.log, lambda: f"the disk is full: {daemon.tail()}")
    time.sleep(1)  # it goes on waiting
    assert daemon.process.poll() is None and is_full(small_disk)
    assert daemon.call("daemon.status")["journal"]["pressure"] == "integrations_wait"
    waiting = [run["run_id"] for run in daemon.call("runs.list", {"limit": 100})["runs"] if run["ended_at"] is None]
    assert waiting
    daemon.call("run.cancel", {"run_id": waiting[0]})
    cancelled = [waiting[0]]
    runs.remove(waiting[0])
    small_disk.resize("64m")
    assert daemon.end_of(cancelled[0]).status == "cancelled"
    end_all(daemon, runs)
    wait_until(lambda: taken(daemon, runs), "a new run is taken")
    end_all(daemon, runs)


def taken(daemon, runs):
    try:
        runs.append(daemon.start_run())
        return True
    except RpcError as error:
        assert error.code in (-32012, -32009)
        return False


def test_starts_on_a_disk_that_is_full(small_disk, daemon_of):
    """Also again and again; a decision, a cancel and the ends of runs fit as well."""
    small_disk.workflow("w", [gate("g"), quick("after")])
    small_disk.workflow("long", [quick("one", {"until": "never"}), quick("two")])
    daemon = daemon_of(small_disk)
    waiting = [daemon.start_run() for _ in range(3)]
    cancelled = daemon.start_run("long")
    daemon.wait_event("step.started", cancelled)
    for run in waiting:
        daemon.wait_event("run.waiting", run)
    events = daemon.events()
    fill(small_disk)
    assert is_full(small_disk)
    epochs = []
    for _ in range(3):
        daemon.kill()
        fill(small_disk)  # what the dead daemon had reserved and does not need goes to others
        daemon = daemon_of(small_disk)
        epochs.append(daemon.call("daemon.status")["epoch"])
        assert daemon.events()[:len(events)] == events
    assert daemon.stop() == 0
    fill(small_disk)
    daemon = daemon_of(small_disk)
    epochs.append(daemon.call("daemon.status")["epoch"])
    assert epochs == [2, 3, 4, 5]
    assert is_full(small_disk)
    daemon.call("run.cancel", {"run_id": cancelled})
    assert daemon.end_of(cancelled).status == "cancelled"
    approve(daemon, waiting[0])
    assert daemon.end_of(waiting[0]).status == "succeeded"
    with pytest.raises(RpcError) as refused:
        daemon.start_run()
    assert refused.value.code == -32012 and set(refused.value.data) == {"bytes", "limit"}, "a new run needs space"
    small_disk.resize("16m")
    for run in waiting[1:]:
        approve(daemon, run)
    end_all(daemon, waiting)
    wait_until(lambda: taken(daemon, waiting), "a new run is taken")


@needs(CLIENTS=32)
@pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=lambda number: errno.errorcode[number])
def test_ten_runs_wait_for_a_disk_that_takes_nothing(project, error):
    """Not even what was reserved: nobody is told anything meanwhile, and then everything."""
    prepare(project).workflow("w", [quick(f"s{i}") for i in range(5)])
    fault = Faults(project, ".charter/journal")
    with ended(fault.start()) as daemon:
        daemon.run()
        told = daemon.events()
        with daemon.client() as follower:
            follower.call("run.events", {"follow": True, "after": told[-1]["seq"]})
            fault.arm("FAIL", ("WRITE", "ALLOCATE", "OPEN", "TRUNCATE"), 1, 10 ** 9, error=error)
            clients = [daemon.client() for _ in range(10)]
            for number, client in enumerate(clients):
                client.request("run.start", {"workflow_id": "w", "inputs": {}, "run_id": f"r{number}"})
            wait_until(lambda: fault.fired() >= 3, "it is tried again")
            follower.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                follower.line()
            assert says(error, daemon.log) and "everything waits until it can" in daemon.log
            assert not project.processes(), "nothing is started before it is on disk"
            fault.disarm()
            follower.socket.settimeout(DEADLINE)
            assert follower.next_event()["seq"] == told[-1]["seq"] + 1
            for number, client in enumerate(clients):
                if "error" in (answer := client.read()):  # came when the disk was full already
                    assert answer["error"]["code"] == -32012
                    wait_until(lambda: started_as(daemon, f"r{number}"), "a new run is taken")
            end_all(daemon, [f"r{number}" for number in range(10)])
            assert daemon.events()[:len(told)] == told
        assert not built("LOG_INFO") or "it can be written again" in daemon.log


def started_as(daemon, run_id):
    try:
        return daemon.start_run(run_id=run_id)
    except RpcError as error:
        assert error.code == -32012
        return None


@needs(ARTIFACT_MIB=64)
def test_a_file_that_may_not_grow_is_an_error_of_its_step(project):
    """RLIMIT_FSIZE, as a service manager may set it: no signal ends the daemon."""
    prepare(project).workflow("w", [quick("one", {"big": 6000000}), quick("two")])

    class Limited(Daemon):
        def __init__(self):
            self.project, self.log_path = project, project.path.parent / "p.log"
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen([DAEMON, "start", "--project-path", str(project.path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd="/", env=clean_environment(),
                                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000000, resource.RLIM_INFINITY)))
            self.pid = self.process.pid
            self.wait_ready()
    with ended(Limited()) as daemon:
        run = daemon.run()
        assert run.status == "failed" and run.failure()["kind"] == "too_large" and "may not grow" in run.failure()["message"]
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert daemon.run().status == "succeeded"
