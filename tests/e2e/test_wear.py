"""What the daemon writes to the disk, by its own count: nothing where nothing happens, and all of it where something does."""

import re
import subprocess

import pytest

from harness import BUILD, DEADLINE, clean_environment, step, wait_until


def disk_of(daemon):
    disk = daemon.call("daemon.status").get("disk")
    if disk is None:
        pytest.skip("METRICS is not built in")
    return disk


def files_of(project):
    """Bytes in the files that runs and the journal are made of; what is reserved and empty is none."""
    return sum(len(path.read_bytes().rstrip(b"\0")) for folder in ("journal", "runs") for path in (project.path / ".charter" / folder).rglob("*")
               if path.is_file())


def test_an_idle_daemon_writes_nothing(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    daemon.run("w")
    journal = project.path / ".charter" / "journal"
    up = daemon.call("daemon.status")["uptime_s"]
    wait_until(lambda: daemon.call("daemon.status")["uptime_s"] >= up + 3, "what may wait for company has been written")
    before, files = disk_of(daemon), {path: path.stat().st_mtime_ns for path in journal.iterdir()}
    begun = daemon.call("daemon.status")["uptime_s"]
    wait_until(lambda: daemon.call("daemon.status")["uptime_s"] >= begun + 5, "five seconds")
    after = disk_of(daemon)
    assert after["idle"].pop("seconds") >= before["idle"].pop("seconds") + 4
    assert after == before, "questions about it cost nothing either"
    assert {path: path.stat().st_mtime_ns for path in journal.iterdir()} == files


def test_what_is_written_is_told_by_run_by_event_and_while_nothing_runs(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    runs = [daemon.run("w") for _ in range(3)]
    disk = disk_of(daemon)
    assert disk["runs_ended"] == len(runs)
    wait_until(lambda: disk_of(daemon)["events"] == len(daemon.events()), "all that is in the journal, as this is the first start")
    wait_until(lambda: disk_of(daemon)["idle"]["seconds"] >= 2, "two seconds of nothing")
    assert disk_of(daemon)["idle"]["bytes_written"] == disk_of(daemon)["idle"]["syncs"] == 0
    before = disk_of(daemon)
    project.workflow("gate", [{"id": "g", "gate": {"message": "?"}}])
    run = daemon.start_run("gate")
    wait_until(lambda: daemon.status(run)["status"] == "waiting", "the gate")
    now = disk_of(daemon)
    assert now["bytes_written"] > before["bytes_written"] and now["idle"]["bytes_written"] == 0, "what a run writes is not idle's"
    up = daemon.call("daemon.status")["uptime_s"]
    wait_until(lambda: daemon.call("daemon.status")["uptime_s"] >= up + 2, "two seconds at the gate")
    assert disk_of(daemon)["idle"] == now["idle"], "a run that waits is no idling"


def test_what_runs_write_is_counted_with_what_helpers_do(project, daemon_of):
    big = "x" * 40_000  # becomes an artifact, which a helper writes
    project.workflow("small", [step("one", value=1)])
    project.workflow("large", [step("one", value=big)])
    daemon = daemon_of(project)
    daemon.run("small")
    held = files_of(project)  # first: what is written between the two looks may count for too much, never for too little
    before = disk_of(daemon)
    daemon.run("small")
    grown = files_of(project) - held
    small = disk_of(daemon)
    assert small["bytes_written"] - before["bytes_written"] >= grown > 0
    assert 2 <= small["syncs"] - before["syncs"] <= 12, "plan.json, its folders, the events"
    assert daemon.run("large").status == "succeeded"
    large = disk_of(daemon)
    assert large["bytes_written"] - small["bytes_written"] > len(big)
    charter = BUILD / "charter"
    if charter.exists():
        shown = subprocess.run([charter, "daemon", "status", "--project-path", str(project.path)], capture_output=True, text=True,
                               timeout=DEADLINE, check=True, env=clean_environment()).stdout
        assert re.search(r"^disk +\d+ bytes written, \d+ syncs since its start, by \d+ runs and \d+ events; of these 0 bytes, 0 syncs in \d+ s without a run$", shown, re.M), shown
