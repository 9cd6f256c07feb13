"""Clocks that jump, contract section 4: deadlines are monotonic within a daemon's life; across an outage the rest is what the wall clock says, never
more than the full time, and the full time where the clock stands before the record."""

import time

import pytest

from faults import PROGRAM, QUICK, Faults, ended
from harness import PLAIN, check_stream, needs, step
from workflows import approve, cancel, gate, question, seconds

DAY = 86400
LATE = 30 if PLAIN else 60  # what a busy machine may take beyond; the jumps are of days

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")


@pytest.fixture
def fault(project):
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    return Faults(project)


def waited(daemon, run_id, since):
    """Seconds until the run has ended, by our clock."""
    run = daemon.end_of(run_id)
    check_stream(daemon.events())
    return run, time.monotonic() - since


@needs(RUNS_IN_FLIGHT=32)
@pytest.mark.parametrize("jump", [-DAY, DAY, -3600 * 24 * 365 * 30], ids=["back", "on", "to-the-nineties"])
def test_a_jump_while_the_daemon_lives_changes_no_deadline(project, fault, jump):
    project.workflow("gate", [gate("g", timeout_s=1.5, on_timeout="approve")])
    project.workflow("ask", [question("q", {}, timeout_s=1.5, on_timeout="fail")])
    project.workflow("run", [gate("g")], timeout_s=1.5)
    project.workflow("step", [step("s", uses="quick", with_={"until": "never"}, timeout_s=1.5)])
    project.workflow("retry", [step("s", uses="quick", with_={"fail": 1}, retry={"max_attempts": 2, "initial_ms": 1500, "max_ms": 1500})])
    with ended(fault.start()) as daemon:
        since = time.monotonic()
        runs = {name: daemon.start_run(name) for name in ("gate", "ask", "run", "step", "retry")}
        daemon.wait_event("step.retrying", runs["retry"])
        for name in ("gate", "ask", "run"):
            daemon.wait_event("run.waiting", runs[name])
        daemon.wait_event("step.started", runs["step"])
        fault.wall_jumps(jump)
        ends = {"gate": "succeeded", "ask": "failed", "run": "failed", "step": "failed", "retry": "succeeded"}
        for name, run_id in runs.items():
            run, took = waited(daemon, run_id, since)
            assert run.status == ends[name]
            assert (0.7 if name == "retry" else 1.5) <= took <= 1.5 + 5 + LATE, (name, took)  # 5: the grace of what is cut short
        assert len({daemon.start_run("gate") for _ in range(20)} | set(runs.values())) == 25, "ids are new, whatever the clock says"


@pytest.mark.parametrize("jump, least, most", [
    (DAY, 0, 0),        # it ran out while nobody was there
    (-DAY, 4, 4),       # before the record: the full time
    (2, 1, 2.1),        # as if the outage had been longer
    (-1, 3, 4),         # a step of a clock that is put right: never more than the full time
], ids=["a-day-on", "a-day-back", "two-seconds-on", "a-second-back"])
def test_a_jump_during_an_outage(project, fault, jump, least, most):
    project.workflow("gate", [gate("g", timeout_s=4)])
    project.workflow("run", [gate("g"), step("tidy", uses="quick", when="always")], timeout_s=4)
    with ended(fault.start()) as daemon:
        runs = [daemon.start_run(name) for name in ("gate", "run")]
        for run_id in runs:
            daemon.wait_event("run.waiting", run_id)
        told = daemon.events()
    fault.wall_jumps(jump)
    since = time.monotonic()
    with ended(fault.start()) as daemon:
        run, took = waited(daemon, runs[0], since)
        assert run.status == "denied" and least - 1 <= took <= most + LATE, took
        if jump == -DAY:
            assert took >= 4, "the full time"
        run, took = waited(daemon, runs[1], since)
        assert run.status == "failed" and run.error["kind"] == "timeout" and least - 1 <= took <= most + LATE, took
        assert daemon.events()[:len(told)] == told
        assert seconds(told[0], daemon.events()[len(told)]) == pytest.approx(jump, abs=30 if PLAIN else 200)


def test_the_clock_of_a_device_that_begins_every_life_in_1970(project, fault):
    """Many lives, each at the same moment: ids, decisions and the order of runs hold all the same."""
    project.workflow("w", [gate("g", timeout_s=600), step("s", uses="quick")])
    runs, waiting = [], None
    for life in range(4):
        fault.wall_jumps(-time.time() + 10)
        with ended(fault.start()) as daemon:
            if waiting:
                approve(daemon, waiting)
                assert daemon.end_of(waiting).status == "succeeded"
            runs += [daemon.start_run() for _ in range(3)]
            cancel(daemon, runs[-1])
            daemon.end_of(runs[-1])
            waiting = runs[-2]
            daemon.wait_event("run.waiting", waiting)
            check_stream(daemon.events())
            assert daemon.events()[0]["time"].startswith("1970-01-01T00:0"), daemon.events()[0]
            rows = daemon.call("runs.list", {"limit": 100})["runs"]
            assert [row["run_id"] for row in rows] == runs[::-1], "newest first, by what came last"
    assert len(set(runs)) == 12
