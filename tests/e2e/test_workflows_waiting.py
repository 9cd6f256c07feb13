"""Places, times and processes of runs that wait, contract sections 3 to 5: concurrency, run timeouts, more waiting runs than places."""

import time

from harness import PLAIN, needs, step, wait_until
from workflows import approve, cancel, deny, gate, manifest, one, seconds, start_waiting

LONG = 3 if PLAIN else 5  # seconds in which a step is surely under way


# --- concurrency ----------------------------------------------------------------------------------------------------


def test_concurrency_keeps_runs_in_the_queue_in_order(project, daemon_of):
    project.workflow("w", [gate("review"), step("one", value=1)])
    project.workflow("other", [step("one", value=1)])
    manifest(project, "w", concurrency=2)
    daemon = daemon_of(project)
    runs = [daemon.start_run() for _ in range(5)]
    for run_id in runs[:2]:
        daemon.wait_event("run.waiting", run_id)
    assert [daemon.status(run_id)["status"] for run_id in runs] == ["waiting"] * 2 + ["queued"] * 3
    assert daemon.call("daemon.status")["runs"] == {"active": 0, "waiting": 2, "queued": 3}
    assert daemon.run("other").status == "succeeded"  # it has no limit
    approve(daemon, runs[1])  # whoever ends makes room for the oldest
    daemon.wait_event("run.waiting", runs[2])
    assert [daemon.status(run_id)["status"] for run_id in runs[3:]] == ["queued", "queued"]
    cancel(daemon, runs[3])
    assert daemon.end_of(runs[3]).kinds() == ["run.created", "run.cancel_requested", "run.cancelled"]
    deny(daemon, runs[0])
    daemon.wait_event("run.waiting", runs[4])
    approve(daemon, runs[2])
    approve(daemon, runs[4])
    ended = [daemon.end_of(run_id) for run_id in runs]
    assert [run.status for run in ended] == ["denied", "succeeded", "succeeded", "cancelled", "succeeded"]
    assert one(ended[2].events, "run.started")["seq"] > ended[1].events[-1]["seq"]
    assert one(ended[4].events, "run.started")["seq"] > ended[0].events[-1]["seq"]


def test_concurrency_after_a_crash(project, daemon_of):
    project.workflow("w", [gate("review")])
    manifest(project, "w", concurrency=1)
    daemon = daemon_of(project)
    runs = [daemon.start_run() for _ in range(3)]
    daemon.wait_event("run.waiting", runs[0])
    daemon.kill()
    daemon = daemon_of(project)
    assert [daemon.status(run_id)["status"] for run_id in runs] == ["waiting", "queued", "queued"]
    for run_id in runs:
        daemon.wait_event("run.waiting", run_id)
        approve(daemon, run_id)
        assert daemon.end_of(run_id).status == "succeeded"


# --- places ---------------------------------------------------------------------------------------------------------


@needs(RUNS_IN_FLIGHT=32, RUNS_WAITING=64)
def test_runs_that_wait_give_their_places_back(project, daemon_of):
    project.workflow("w", [gate("review"), step("one", {"wait": "go"}, value=1)])
    project.workflow("busy", [step("one", {"wait": "go"}, value=1)])
    daemon = daemon_of(project)
    waiting = [daemon.start_run() for _ in range(40)]  # there are 32 places
    for run_id in waiting:
        daemon.wait_event("run.waiting", run_id)
    assert daemon.call("daemon.status")["runs"] == {"active": 0, "waiting": 40, "queued": 0}
    busy = [daemon.start_run("busy") for _ in range(32)]
    late = daemon.start_run("busy")
    assert daemon.status(busy[-1])["status"] == "running" and daemon.status(late)["status"] == "queued"
    approve(daemon, waiting[7])  # it comes first when a place comes free
    assert daemon.status(waiting[7])["steps"][1]["status"] == "pending"
    project.touch("go")
    ended = {run_id: daemon.end_of(run_id) for run_id in [waiting[7], late, *busy]}
    assert {run.status for run in ended.values()} == {"succeeded"}
    assert ended[waiting[7]].of("step.started", "one")[0]["seq"] < ended[late].of("step.started", "one")[0]["seq"]
    for run_id in waiting[:7] + waiting[8:]:
        cancel(daemon, run_id)
    for run_id in waiting[:7] + waiting[8:]:
        assert daemon.end_of(run_id).status == "cancelled"


def test_processes_go_while_a_run_waits_and_come_back(project, daemon_of):
    project.integration("puppet", config={"setup": [{"count": "log"}], "teardown": [{"count": "log"}]})
    project.workflow("w", [step("one", {"count": "log"}), gate("review"), step("two", {"count": "log"})])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    wait_until(lambda: not project.processes(), "the integration has gone")
    first = [line.split()[:2] for line in project.file("log").read_text().splitlines()]
    assert [name for name, _ in first] == ["setup", "execute", "teardown"]
    approve(daemon, run_id)
    assert daemon.end_of(run_id).status == "succeeded"
    wait_until(lambda: len(project.file("log").read_text().splitlines()) == 6)
    second = [line.split()[:2] for line in project.file("log").read_text().splitlines()][3:]
    assert [name for name, _ in second] == ["setup", "execute", "teardown"] and second[0][1] != first[0][1]


def test_processes_stay_while_something_executes(project, daemon_of):
    project.integration("p0", config={"teardown": [{"touch": "gone"}]})
    project.workflow("w", [step("first", {"count": "pids"}, uses="p0", needs=[]), gate("review", step_={"needs": ["first"]}),
                           step("busy", {"wait": "go"}, needs=["first"]), step("again", {"count": "pids"}, uses="p0", needs=["review"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    approve(daemon, run_id)
    daemon.wait_event("step.completed", run_id, "again")
    project.touch("go")
    assert daemon.end_of(run_id).status == "succeeded"
    assert len({line.split()[1] for line in project.file("pids").read_text().splitlines()}) == 1


def test_an_answer_during_the_teardown(project, daemon_of):
    project.integration("puppet", config={"teardown": [{"touch": "tearing"}, {"wait": "go"}]})
    project.workflow("w", [step("one", value=1), gate("review"), step("two", value=2)])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    project.wait_file("tearing")
    approve(daemon, run_id)
    daemon.wait_event("step.completed", run_id, "two")  # by a new process
    project.touch("go")
    assert daemon.end_of(run_id).status == "succeeded"


def test_the_counts_of_daemon_status(project, daemon_of):
    project.workflow("w", [gate("review"), step("one", {"wait": "go"})])
    daemon = daemon_of(project)
    first, second = start_waiting(daemon, "review"), start_waiting(daemon, "review")
    assert daemon.call("daemon.status")["runs"] == {"active": 0, "waiting": 2, "queued": 0}
    approve(daemon, first)
    assert daemon.call("daemon.status")["runs"] == {"active": 1, "waiting": 1, "queued": 0}
    assert [r["run_id"] for r in daemon.call("runs.list", {"status": "waiting"})["runs"]] == [second]
    row = daemon.call("runs.list", {"status": "waiting"})["runs"][0]
    assert row["waiting_for"] == "gate" and row["waiting"]["step_id"] == "review"
    approve(daemon, second)
    project.touch("go")
    for run_id in (first, second):
        assert daemon.end_of(run_id).status == "succeeded"


# --- the run's timeout ----------------------------------------------------------------------------------------------


def test_a_run_that_takes_too_long(project, daemon_of):
    project.workflow("w", [step("one", {"await_cancel": "cancelled"}), step("two", value=2),
                           step("told", value=["${{ run.error.kind }}", "${{ run.error.step_id }}"], when="failure"), step("tidy", value=1, when="always")],
                     timeout_s=LONG)
    run = daemon_of(project).run()
    assert run.status == "failed" and run.error["kind"] == "timeout" and run.events[-1]["data"]["step_id"] is None
    assert run.events[-1]["data"]["error"]["kind"] == "timeout"
    assert run.of("step.failed", "one")[0]["data"]["error"]["kind"] == "cancelled" and project.read("cancelled")["method"] == "cancel"
    assert run.value("told") == ["timeout", None] and run.value("tidy") == 1 and run.of("step.started", "two") == []
    assert seconds(one(run.events, "run.started"), run.of("step.failed")[0]) >= LONG - 0.001


def test_a_runs_timeout_while_a_gate_waits(project, daemon_of):
    project.workflow("w", [gate("review", timeout_s=3600, on_timeout="approve"), step("two", value=2)], timeout_s=0.3)
    daemon = daemon_of(project)
    run = daemon.run()
    assert run.status == "failed" and run.error["kind"] == "timeout" and run.of("run.resumed") == []
    assert run.of("step.failed", "review")[0]["data"]["error"]["kind"] == "cancelled"
    assert 0.299 <= seconds(one(run.events, "run.started"), run.events[-1])


def test_a_runs_timeout_while_a_retry_waits(project, daemon_of):
    project.workflow("w", [step("one", {"exit": 1}, retry={"max_attempts": 9, "initial_ms": 60000, "max_ms": 60000})], timeout_s=0.5)
    run = daemon_of(project).run()
    assert run.status == "failed" and run.error["kind"] == "timeout" and len(run.of("step.started")) == 1


def test_the_queue_does_not_count(project, daemon_of):
    project.workflow("w", [gate("review", timeout_s=LONG, on_timeout="approve")], timeout_s=1.8 * LONG)
    manifest(project, "w", concurrency=1)
    daemon = daemon_of(project)
    runs = [daemon.start_run() for _ in range(2)]
    ended = [daemon.end_of(run_id) for run_id in runs]
    assert [run.status for run in ended] == ["succeeded", "succeeded"]


# --- cancel at any moment -------------------------------------------------------------------------------------------


@needs(RUNS_IN_FLIGHT=32, RUNS_WAITING=64)
def test_cancel_with_all_places_taken(project, daemon_of):
    project.workflow("w", [gate("review"), step("tidy", value=1, when="always")])
    project.workflow("busy", [step("one", {"wait": "go"}, value=1)])
    daemon = daemon_of(project)
    waiting = start_waiting(daemon, "review")
    busy = [daemon.start_run("busy") for _ in range(32)]
    assert daemon.status(busy[-1])["status"] == "running"
    cancel(daemon, waiting)
    daemon.wait_event("step.failed", waiting, "review")  # at once; its last step waits for a place
    project.touch("go")
    run = daemon.end_of(waiting)
    assert run.status == "cancelled" and run.value("tidy") == 1
    for run_id in busy:
        assert daemon.end_of(run_id).status == "succeeded"


def test_an_idle_daemon_with_waiting_runs_sleeps(project, daemon_of):
    project.workflow("w", [gate("review", timeout_s=3600), step("one", value=1)])
    project.workflow("retry", [gate("review", step_={"needs": []}), step("a", {"exit": 1}, needs=[], retry={"max_attempts": 2, "initial_ms": 1, "max_ms": 1})])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    again = daemon.start_run("retry")
    assert daemon.end_of(again).status == "failed"
    wait_until(lambda: not project.processes())

    def times():
        fields = open(f"/proc/{daemon.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = times()
    daemon.call("daemon.status")
    # half a second of waiting is the measurement itself, not synchronisation
    time.sleep(0.5)
    assert times() - before <= 2
    cancel(daemon, run_id)
    daemon.end_of(run_id)
