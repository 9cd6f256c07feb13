"""Contract section 4, retention: segments go, what unfinished runs need of them is carried on, and a start reads only the newest."""

import re
import shutil

import pytest

from harness import DAEMON, ENDINGS, PLAIN, RpcError, needs, step, wait_until
from peers.gateway import Gateway
from workflows import approve, gate

SMALL = "--journal-kib=2048"


def chatter(project):
    """A run of it writes about 256 KiB."""
    project.workflow("chatter", [step("talk", {"logs": {"times": 80, "text": "x" * 3000}}, value="y" * 12000)])


def status(daemon):
    return daemon.call("daemon.status")["journal"]


def turn_over(daemon, times=1):
    """Lets the journal come around until nothing of it is as old as now."""
    for _ in range(times):
        last = status(daemon)["last_seq"]
        for _ in range(64):
            daemon.run("chatter")
            if status(daemon)["first_seq"] > last:
                break
        assert status(daemon)["first_seq"] > last


@needs(MESSAGE_BYTES=65536, RUNS_WAITING=64)
def test_a_gate_that_waits_pins_nothing(project, daemon_of):
    """The run's inputs, values, failures and labels outlive every segment that they were written to, and several daemons."""
    chatter(project)
    project.workflow("w", [
        step("one", value={"text": "ü" * 2000, "n": 12345678901234567890.5}),
        step("two", {"error": {"code": 7, "message": "not today"}}, continue_on_error=True),
        gate("review", "Publish ${{ outputs.one.n }}?"),
        step("three", value=["${{ inputs.city }}", "${{ outputs.one }}", "${{ outputs.review.comment }}"])],
        inputs={"city": {"type": "string"}}, outputs={"all": "${{ outputs.three }}"})
    daemon = daemon_of(project, SMALL)
    run_id = daemon.start_run("w", {"city": "Köln"}, labels={"team": "a"})
    daemon.wait_event("run.waiting", run_id)
    before = daemon.status(run_id)
    for _ in range(2):
        turn_over(daemon, 2)
        assert status(daemon)["bytes"] < status(daemon)["limit"]
        assert daemon.status(run_id) == before
        daemon.kill()
        daemon = daemon_of(project, SMALL)
        assert daemon.status(run_id) == before
    approve(daemon, run_id, comment="at last")
    # Where it began is held no longer: whoever reads its events is told so.
    with daemon.client() as client:
        client.call("run.events", {"run_id": run_id, "follow": True})
        gap = client.read()
        assert gap["method"] == "events.gap" and gap["params"]["to"] + 1 == status(daemon)["first_seq"]
        while client.next_event()["type"] != "run.succeeded":
            pass
    state = daemon.status(run_id)
    assert state["status"] == "succeeded" and state["labels"] == {"team": "a"}
    assert state["outputs"] == {"all": ["Köln", {"text": "ü" * 2000, "n": 12345678901234567890.5}, "at last"]}
    assert [(s["id"], s["status"]) for s in state["steps"]] == [
        ("one", "completed"), ("two", "failed"), ("review", "completed"), ("three", "completed")]
    assert state["steps"][1]["error"]["message"] == before["steps"][1]["error"]["message"]
    # And so it is after one more start, from a checkpoint.
    daemon.kill()
    daemon = daemon_of(project, SMALL)
    assert daemon.status(run_id) == state
    again = daemon.call("run.start", {"workflow_id": "w", "run_id": run_id, "inputs": {"city": "Köln"}})
    assert again["status"] == "succeeded"


def test_ended_runs_go_oldest_first_and_the_last_stay_readable(project, daemon_of):
    chatter(project)
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project, SMALL)
    first = daemon.run("w")
    turn_over(daemon)
    rows, cursor = [], None
    while True:
        page = daemon.call("runs.list", {"limit": 3, **({"cursor": cursor} if cursor else {})})
        rows += page["runs"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    ids = [row["run_id"] for row in rows]
    assert first.id not in ids and len(ids) == len(set(ids)) > 2
    assert daemon.refused("run.status", {"run_id": first.id}).code == -32005
    for run_id in ids:
        assert daemon.status(run_id)["status"] == "succeeded"
    # Their directories have gone with the others.
    wait_until(lambda: not project.file(f".charter/runs/{first.id}").exists(), "its directory has gone")


def known(daemon, run_id):
    return run_id in [run["run_id"] for run in daemon.call("runs.list", {"limit": 100})["runs"]]


def test_a_run_that_went_with_its_segment_does_not_come_back(project, daemon_of):
    """A checkpoint in a younger segment still names it; its id is free again, and the run that takes it is the only one of that name."""
    chatter(project)
    project.workflow("w", [step("one", value="${{ inputs.a }}")], inputs={"a": {"type": "integer"}})
    daemon = daemon_of(project, SMALL)
    daemon.run("w", {"a": 1}, run_id="x")
    turn_over(daemon)
    assert not known(daemon, "x")
    daemon.kill()
    daemon = daemon_of(project, SMALL)
    assert not known(daemon, "x") and daemon.refused("run.status", {"run_id": "x"}).code == -32005
    assert daemon.run("w", {"a": 2}, run_id="x").status == "succeeded"
    daemon.kill()
    daemon = daemon_of(project, SMALL)
    assert daemon.status("x")["status"] == "succeeded"
    assert daemon.call("run.start", {"workflow_id": "w", "inputs": {"a": 2}, "run_id": "x"})["status"] == "succeeded"


def test_a_run_that_went_with_its_artifacts_does_not_come_back(project, daemon_of):
    """Its events are all held: that its directory is not there tells that it is retained no longer."""
    project.workflow("w", [step("one", value="${{ inputs.a }}")], inputs={"a": {"type": "integer"}})
    daemon = daemon_of(project)
    daemon.run("w", {"a": 1}, run_id="x")
    daemon.run("w", {"a": 1}, run_id="y")
    daemon.kill()
    shutil.rmtree(project.file(".charter/runs/x"))
    daemon = daemon_of(project)
    assert not known(daemon, "x") and known(daemon, "y")
    assert daemon.refused("artifacts.list", {"run_id": "x"}).code == -32005
    daemon.run("w", {"a": 2}, run_id="x")
    daemon.kill()
    daemon = daemon_of(project)
    assert daemon.call("run.start", {"workflow_id": "w", "inputs": {"a": 2}, "run_id": "x"})["status"] == "succeeded"
    assert [run["run_id"] for run in daemon.call("runs.list", {"limit": 100})["runs"]] == ["x", "y"]


def test_nothing_goes_before_the_gateway_has_it_and_all_goes_on_when_it_does(project, daemon_of):
    """Logs are dropped and counted, runs are refused; after the acks the same daemon takes runs again."""
    chatter(project)
    with Gateway() as gateway:
        gateway.hold_acks()
        daemon = daemon_of(project, SMALL, "--gateway", gateway.url)
        refused = None
        for _ in range(400):
            try:
                daemon.run("chatter")
            except RpcError as error:
                refused = error
                break
        assert refused is not None and refused.code == -32012
        assert status(daemon)["pressure"] == "runs_refused"
        assert status(daemon)["bytes"] <= status(daemon)["limit"] and status(daemon)["first_seq"] == 1
        gateway.release_acks()
        wait_until(lambda: status(daemon)["bytes"] < status(daemon)["limit"] * 3 // 4, "room in the journal")
        assert status(daemon)["pressure"] == "none"
        daemon.run("chatter")
        last = status(daemon)["last_seq"]
        gateway.wait(lambda: gateway.events() and gateway.events()[-1]["seq"] >= last, what="the whole stream")
        assert [event["seq"] for event in gateway.events()] == list(range(1, len(gateway.events()) + 1))
        assert sum(event["data"]["count"] for event in gateway.events("events.dropped")) > 0


@needs(MESSAGE_BYTES=65536, RUNS_WAITING=64)
def test_when_only_the_reserve_is_left_integrations_wait(project, daemon_of):
    """The limit holds whatever the runs have to say; the daemon answers, decides and cancels; after the acks all go on by themselves."""
    project.workflow("big", [step("first", {"wait": "go"}, value=1)] + [step(f"s{number}", {"big": 12000}) for number in range(5)],
                     inputs={"text": {"type": "string"}})
    project.workflow("ended", [step(f"s{number}", {"big": 12000}) for number in range(3)])
    with Gateway() as gateway:
        gateway.hold_acks()
        daemon = daemon_of(project, SMALL, "--gateway", gateway.url)
        runs = [daemon.start_run("big", {"text": "t" * 9000}) for _ in range(14)]
        for run in runs:
            daemon.wait_event("run.started", run)
        fillers = set()
        with pytest.raises(RpcError):
            while True:
                fillers.add(daemon.run("ended").id)
        project.touch("go")
        wait_until(lambda: status(daemon)["pressure"] == "integrations_wait", "the limit is reached")
        assert status(daemon)["bytes"] <= status(daemon)["limit"] and status(daemon)["first_seq"] == 1
        open_runs = [run for run in runs if daemon.status(run)["ended_at"] is None]
        daemon.call("run.cancel", {"run_id": open_runs[0]})
        assert daemon.end_state(open_runs[0])["status"] == "cancelled"
        assert status(daemon)["bytes"] <= status(daemon)["limit"]
        gateway.release_acks()
        for run in runs:
            gateway.wait_ended(run)
        assert [event["run_id"] for event in gateway.events("run.cancelled")] == [open_runs[0]]
        assert {event["run_id"] for event in gateway.events("run.succeeded")} == (set(runs) | fillers) - {open_runs[0]}
        last = status(daemon)["last_seq"]
        gateway.wait(lambda: gateway.events()[-1]["seq"] >= last, what="the whole stream")
        assert [event["seq"] for event in gateway.events()] == list(range(1, len(gateway.events()) + 1))


@needs(MESSAGE_BYTES=65536, RUNS_WAITING=64)
def test_what_unfinished_runs_need_cannot_fill_the_journal(project, daemon_of):
    """It is carried on and frees nothing: before it is too much, values become artifacts and new runs are refused; all runs end."""
    project.workflow("inputs", [gate("review"), step("one", value="${{ inputs.text }}")], inputs={"text": {"type": "string"}})
    project.workflow("values", [step("first", {"wait": "go"}, value=1)] + [step(f"s{number}", {"big": 14000}) for number in range(4)] +
                     [gate("review"), step("last", value="${{ outputs.s3 }}")])
    daemon = daemon_of(project, SMALL)
    limit = status(daemon)["limit"]
    runs = [daemon.start_run("values") for _ in range(32)]
    project.touch("go")
    for run in runs:
        daemon.wait_event("run.waiting", run)
    assert limit // 2 < status(daemon)["bytes"] < limit // 4 * 3
    error = daemon.refused("run.start", {"workflow_id": "values", "inputs": {}})
    assert error.code == -32012 and "ended" in error.message
    with daemon.client() as client:
        client.call("run.events", {"after": status(daemon)["last_seq"], "follow": True})
        for run in runs:
            approve(daemon, run)
            while (event := client.next_event())["type"] not in ENDINGS:
                pass
            assert (event["run_id"], event["type"]) == (run, "run.succeeded")
    for _ in range(64):
        try:
            daemon.start_run("inputs", {"text": "t" * 14000})
        except RpcError as error:
            assert error.code == -32012 and "ended" in error.message
            break
    for row in daemon.call("runs.list", {"limit": 100, "status": "waiting"})["runs"]:
        approve(daemon, row["run_id"])
    wait_until(lambda: daemon.call("daemon.status")["runs"] == {"active": 0, "waiting": 0, "queued": 0}, "all runs have ended")
    wait_until(lambda: status(daemon)["pressure"] == "none", "room in the journal")


@needs(MESSAGE_BYTES=65536, RUNS_WAITING=64)
def test_a_start_reads_only_what_follows_the_newest_checkpoint(project, daemon_of):
    """Seen by what it reads of the old segments: their heads."""
    if shutil.which("strace") is None or not PLAIN:
        pytest.skip("strace is not installed" if PLAIN else "leaks cannot be looked for under strace")
    chatter(project)
    daemon = daemon_of(project)
    for _ in range(24):
        daemon.run("chatter")
    assert daemon.stop() == 0
    segments = project.segments()
    assert len(segments) > 4
    trace, program = project.path.parent / "trace", project.path.parent / "traced"
    program.write_text(f'#!/bin/sh\nexec strace -D -y -e trace=pread64 -o {trace} {DAEMON} "$@"\n')
    program.chmod(0o755)
    daemon = daemon_of(project, program=program)
    read = dict.fromkeys((segment.name for segment in segments), 0)
    for line in trace.read_text().splitlines():
        found = re.search(r"pread64\(\d+<[^>]*/journal/(\d+\.log)>.* = (\d+)$", line)
        if found and found[1] in read:
            read[found[1]] += int(found[2])
    assert read[segments[-1].name] > 0
    for segment in segments[:-2]:
        assert 0 < read[segment.name] <= 32768, read
