"""Crashes, stops and starts, contract section 4 (recovery) and the daemon's signals: nothing that was told is lost, nothing is done twice."""

import hashlib
import os
import pathlib
import random
import signal
import time

import pytest

from harness import DEADLINE, ENDINGS, GRACE, PLAIN, Daemon, check_stream, command, needs, step, wait_until


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def digests(project):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.segments()}


# --- kill -9 --------------------------------------------------------------------------------------------------------


@pytest.mark.needs("subreaper")
def test_a_run_goes_on_after_a_crash(project, daemon_of):
    project.workflow("w", [step("one", {"count": "one"}, value="first"),
                           step("two", {"count": "two"}, {"record": "two-${{ run.id }}.json"}, {"spawn": {"pid": "child.pid"}}, {"once": {
                               "file": "crashed", "do": [{"spawn": {"pid": "escaped.pid", "session": True, "stubborn": True}}, {"touch": "begun"}, {"wait": "never"}]}},
                                value="second"),
                           step("three", {"count": "three"}, value="${{ outputs.one }} ${{ outputs.two }}")], outputs={"all": "${{ outputs.three }}"})
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    first = daemon.call("daemon.status")
    before = daemon.events()
    lost = [int(line.split()[1]) for line in project.file("two").read_text().splitlines()] + [project.read("child.pid"), project.read("escaped.pid")]
    daemon.kill()
    assert project.file(".charter/daemon.sock").exists()  # left behind, and no obstacle
    daemon = daemon_of(project)
    # Killed before anything starts; to be gone they need a processor.
    wait_until(lambda: not [pid for pid in lost if alive(pid)], "what the dead daemon had started is gone")
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.outputs == {"all": "first second"}
    assert [e["type"] for e in run.events] == [
        "run.created", "run.started", "step.started", "step.completed", "step.started", "step.interrupted", "step.started", "step.completed",
        "step.started", "step.completed", "run.succeeded"]
    assert run.of("step.interrupted")[0]["data"]["reason"]
    assert [e["attempt"] for e in run.of("step.started", "two")] == [1, 2] and run.step("two")["attempt"] == 2
    assert len(project.file("one").read_text().splitlines()) == 1
    assert [line.split()[2] for line in project.file("two").read_text().splitlines()] == ["1", "2"]
    assert len(project.file("three").read_text().splitlines()) == 1
    context = project.read(f"two-{run_id}.json")["params"]["context"]
    assert context["attempt"] == 2 and context["idempotency_key"] == f"{run_id}/two"
    # the stream goes on behind what was told
    events = daemon.events()
    check_stream(events)
    assert events[:len(before)] == before
    started = [e["data"] for e in events if e["type"] == "daemon.started"]
    assert [d["epoch"] for d in started] == [1, 2] and started[0]["reason"] == "start" and started[1]["reason"] == "crash"
    second = daemon.call("daemon.status")
    assert second["daemon_id"] == first["daemon_id"] and second["epoch"] == 2


def test_on_interrupt_fail(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun"}, {"wait": "never"}, on_interrupt="fail"), step("two", {"touch": "two"}, value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    daemon.kill()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "interrupted"
    assert run.kinds()[-3:] == ["step.interrupted", "step.failed", "run.failed"] and run.failure()["kind"] == "interrupted"
    assert not project.file("two").exists()


def test_after_five_interruptions_a_step_fails(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun-${{ run.id }}"}, {"count": "count"}, {"wait": "never"})])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    for number in range(1, 6):
        wait_until(lambda: project.file("count").exists() and len(project.file("count").read_text().splitlines()) == number, f"attempt {number}")
        daemon.kill()
        daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.failure()["kind"] == "interrupted"
    assert len(run.of("step.interrupted")) == 5
    assert [line.split()[2] for line in project.file("count").read_text().splitlines()] == ["1", "2", "3", "4", "5"]


@needs(RUNS_WAITING=64, RETAIN_RUNS=100)
def test_what_was_answered_is_there_after_a_crash(project, daemon_of):
    project.workflow("w", [step("one", {"wait": "go"}, value="${{ inputs.n }}")], inputs={"n": {"type": "integer"}})
    daemon = daemon_of(project)
    ids = []
    for number in range(40):  # some of them are queued
        ids.append(daemon.start_run("w", {"n": number}, labels={"n": str(number)}))
    daemon.kill()
    project.touch("go")
    daemon = daemon_of(project)
    for number, run_id in enumerate(ids):
        run = daemon.end_of(run_id)
        assert run.status == "succeeded" and run.value("one") == number and run.state["labels"] == {"n": str(number)}
    check_stream(daemon.events())


def test_a_cancel_that_was_told_holds_after_a_crash(project, daemon_of):
    project.workflow("w", [step("one", {"ignore": [15]}, {"touch": "begun"}, {"wait": "never"})])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    daemon.call("run.cancel", {"run_id": run_id, "reason": "stop it"})
    daemon.kill()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "cancelled" and run.events[-1]["data"]["reason"] == "stop it"
    assert len(run.of("step.started")) == 1


@needs(RUNS_WAITING=64, RETAIN_RUNS=100)
def test_many_crashes_under_load(project, daemon_of):
    seed = int(os.environ.get("SEED", time.time()))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    project.workflow("w", [step("one", {"count": "one-${{ inputs.n }}"}, value=1), step("two", {"logs": {"times": 3, "text": "x"}}, value="${{ outputs.one }}"),
                           step("three", value={"n": "${{ inputs.n }}"})], inputs={"n": {"type": "integer"}}, outputs={"n": "${{ outputs.three.n }}"})
    daemon = daemon_of(project)
    ids, told = [], []
    for crash in range(4):
        for number in range(5):
            ids.append(daemon.start_run("w", {"n": len(ids)}))
        end = time.monotonic() + chance.uniform(0, 0.25)
        wait_until(lambda: time.monotonic() >= end, "the moment")
        told = daemon.events()
        daemon.kill()
        daemon = daemon_of(project)
        assert daemon.events()[:len(told)] == told
    for number, run_id in enumerate(ids):
        run = daemon.end_of(run_id)
        # 5 interruptions cannot come together in 4 crashes
        assert run.status == "succeeded" and run.outputs == {"n": number}, run.events
        for name in ("one", "two", "three"):
            assert len(run.of("step.completed", name)) == 1
            attempts = [e["attempt"] for e in run.of("step.started", name)]
            assert attempts == list(range(1, len(attempts) + 1)) and len(run.of("step.interrupted", name)) == len(attempts) - 1
    events = daemon.events()
    check_stream(events)
    assert sum(e["type"] in ENDINGS for e in events) == len(ids)


# --- the journal on disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"0123", b"\x00" * 4096, b"garbage garbage garbage\n", b"\xff\xfe\n{}\n"], ids=range(4))
def test_a_torn_tail_is_cut(project, daemon_of, tail):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    run = daemon.run("w")
    before = daemon.events()
    daemon.kill()
    with open(project.segments()[-1], "ab") as segment:
        segment.write(tail)
    daemon = daemon_of(project)
    assert daemon.events()[:len(before)] == before
    assert daemon.status(run.id)["status"] == "succeeded"
    assert daemon.run("w").status == "succeeded"
    check_stream(daemon.events())


def test_half_a_record_at_the_end_is_cut(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    ids = [daemon.run("w").id for _ in range(3)]
    daemon.kill()
    path = project.segments()[-1]
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    daemon = daemon_of(project)
    check_stream(daemon.events())
    assert {daemon.end_of(run_id).status for run_id in ids} == {"succeeded"}


@pytest.mark.parametrize("where", ["first-record", "middle", "zeros", "head"])
def test_damage_is_reported_and_nothing_is_touched(project, daemon_of, where):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    for _ in range(5):
        daemon.run("w")
    daemon.kill()
    path = project.segments()[0]
    content = bytearray(path.read_bytes())
    lines = content.splitlines(keepends=True)
    if where == "head":
        content[0] ^= 1
    elif where == "first-record":
        content[len(lines[0]) + 30] ^= 1
    elif where == "zeros":
        at = len(b"".join(lines[:6]))
        content[at:at + 50] = bytes(50)
    else:
        content[len(b"".join(lines[:len(lines) // 2])) + 40] ^= 0x20
    path.write_bytes(content)
    before = digests(project)
    for _ in range(2):  # and again: a supervisor that restarts it changes nothing
        ended = command("start", "--project-path", project.path)
        assert ended.returncode == 5, ended.stderr
        assert path.name in ended.stderr, ended.stderr
        assert digests(project) == before


# --- stopping and starting ------------------------------------------------------------------------------------------


@needs("LOG_INFO")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_steps_end_within_the_grace_time(project, daemon_of, number):
    project.workflow("w", [step("one", {"touch": "begun"}, {"wait": "go"}, value=1), step("two", {"touch": "two"}, value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    daemon.signal(number)
    wait_until(lambda: "stopping" in daemon.log, "the stop has begun")
    project.touch("go")
    assert daemon.wait() == 0
    assert not project.file("two").exists() and not project.processes()
    daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and not run.of("step.interrupted") and len(run.of("step.completed", "one")) == 1
    events = daemon.events()
    check_stream(events)
    assert [e["data"].get("reason") for e in events if e["type"] == "daemon.started"] == ["start", "start"]
    assert len([e for e in events if e["type"] == "daemon.stopped"]) == 1


@needs("LOG_INFO")
def test_a_second_signal_stops_at_once(project, daemon_of):
    project.workflow("w", [step("one", {"ignore": [15]}, {"touch": "begun"}, {"once": {"file": "first", "do": [{"wait": "never"}]}}, value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in daemon.log, "the stop has begun")
    begun = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    if PLAIN:
        assert time.monotonic() - begun < GRACE
    assert not project.processes()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "succeeded" and len(run.of("step.interrupted")) == 1, "a stop interrupts steps; it cancels no run"


def test_a_stop_ends_what_will_not_end(project, daemon_of):
    project.workflow("w", [step("one", {"ignore": [15, 2, 1]}, {"spawn": {"pid": "child.pid", "stubborn": True}}, {"touch": "begun"},
                                {"once": {"file": "first", "do": [{"wait": "never"}]}}, value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    begun = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(deadline=DEADLINE + 3 * GRACE) == 0
    if PLAIN:
        assert GRACE - 0.5 < time.monotonic() - begun < 3 * GRACE + 3
    assert not project.processes()
    daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and len(run.of("step.interrupted")) == 1


def test_a_second_daemon_names_the_first(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    for _ in range(2):
        ended = command("start", "--project-path", project.path)
        assert ended.returncode == 4 and str(daemon.pid) in ended.stderr, ended
    assert daemon.run("w").status == "succeeded"
    daemon.kill()
    daemon = daemon_of(project)
    ended = command("start", "--project-path", project.path)
    assert ended.returncode == 4 and str(daemon.pid) in ended.stderr


def test_many_starts_at_once_leave_one(project, daemon_of):
    started = [Daemon(project, ready=False) for _ in range(4)]
    try:
        wait_until(lambda: sum(d.process.poll() == 4 for d in started) == 3, "three give way")
        (winner,) = [d for d in started if d.process.poll() is None]
        assert winner.wait_ready()["pid"] == winner.pid
    finally:
        for daemon in started:
            if daemon.process.poll() is None:
                daemon.signal(signal.SIGTERM)
            daemon.wait()


def test_hangup_reads_the_project_again_for_later_runs(project, daemon_of):
    project.integration("tool", config={"version": 1})
    project.workflow("w", [step("one", {"touch": "begun"}, {"wait": "go"}, value=1), step("two", {"value_of": ["step", "with_config", "version"]}, uses="tool")])
    project.workflow("v", [step("two", {"value_of": ["step", "with_config", "version"]}, uses="tool")])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    project.integration("tool", config={"version": 2})
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.run("v").value("two") == 2, "the new config is in force")
    # what cannot be read changes nothing
    log = len(daemon.log)
    project.write_config('{"project": "e2e", "integrations": {"tool": {"command": 7}}}')
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "charter.yml" in daemon.log[log:], lambda: "the refusal is logged:" + daemon.log[log:])
    assert daemon.run("v").value("two") == 2
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.value("two") == 1, "a run keeps what it was accepted with"


@pytest.mark.needs("subreaper")
def test_runs_of_a_project_that_was_moved_go_on(project, daemon_of, places):
    """Nothing on disk names the place where the project stood."""
    project.workflow("w", [step("one", {"once": {"file": "first", "do": [{"touch": "begun"}, {"wait": "never"}]}}, value=1), step("two", value="${{ outputs.one }}")])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    daemon.kill()
    moved = os.path.join(places(), "q")
    wait_until(lambda: not project.processes(), "the parent-death signal", 5)
    os.rename(project.path, moved)
    project.path = pathlib.Path(moved)
    assert daemon_of(project).end_of(run_id).status == "succeeded"
