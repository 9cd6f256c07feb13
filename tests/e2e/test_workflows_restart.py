"""Workflows across the daemon's ends, contract section 4: kill -9 and SIGTERM at gates, questions, retries; interruptions."""

import signal
import time

import pytest

from harness import DEADLINE, step, wait_until
from workflows import approve, cancel, deny, gate, one, question, seconds, start_waiting, submit


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_gates_and_questions_wait_on(project, daemon_of, how):
    project.workflow("w", [step("one", {"count": "log"}, value=1), gate("review", "Is ${{ outputs.one }} right?", timeout_s=3600),
                           question("details", {"to": {"type": "string", "default": "x"}}, timeout_s=3600),
                           step("two", value=["${{ outputs.one }}", "${{ outputs.review.actor }}", "${{ outputs.details.to }}"])])
    daemon = daemon_of(project)
    at_gate, at_question = start_waiting(daemon, "review"), start_waiting(daemon, "review")
    approve(daemon, at_question, actor="anna")
    daemon.wait_event("run.waiting", at_question, "details")
    before = [daemon.status(run_id) for run_id in (at_gate, at_question)]
    for _ in range(2):
        getattr(daemon, how)()
        daemon = daemon_of(project)
        assert [daemon.status(run_id) for run_id in (at_gate, at_question)] == before
    approve(daemon, at_gate, actor="bob")
    daemon.wait_event("run.waiting", at_gate, "details")
    submit(daemon, at_gate, {"to": "y"})
    submit(daemon, at_question, {})
    first, second = daemon.end_of(at_gate), daemon.end_of(at_question)
    assert first.value("two") == [1, "bob", "y"] and second.value("two") == [1, "anna", "x"]
    for run in (first, second):
        assert len(run.of("run.waiting")) == 2 and run.of("step.interrupted") == []
    assert len(project.file("log").read_text().splitlines()) == 2  # what had finished did not run again


def test_a_graceful_stop_does_not_wait_for_people(project, daemon_of):
    project.workflow("w", [step("one", value=1), gate("review")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    wait_until(lambda: not project.processes())
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(10) == 0
    daemon = daemon_of(project)
    approve(daemon, run_id)
    assert daemon.end_of(run_id).status == "succeeded"


def test_the_rest_of_the_time_is_right_after_a_crash(project, daemon_of):
    project.workflow("w", [gate("review", timeout_s=1.2)])
    project.workflow("q", [question("details", {}, timeout_s=1.2, on_timeout="fail")])
    daemon = daemon_of(project)
    runs = [start_waiting(daemon, "review"), start_waiting(daemon, "details", "q")]
    daemon.kill()
    daemon = daemon_of(project)
    first, second = [daemon.end_of(run_id) for run_id in runs]
    assert first.status == "denied" and first.events[-1]["data"] == {"step_id": "review", "reason": "timeout"}
    assert second.status == "failed" and second.error["kind"] == "timeout"
    for run in (first, second):
        late = seconds(one(run.events, "run.waiting")["data"]["deadline"], run.events[-1]["time"])
        assert -0.01 <= late <= DEADLINE, late


def test_what_ran_out_while_nobody_was_there(project, daemon_of):
    project.workflow("w", [gate("review", timeout_s=1.5, on_timeout="approve"), step("two", value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    deadline = daemon.wait_event("run.waiting", run_id, "review")["data"]["deadline"]
    daemon.kill()
    wait_until(lambda: seconds(deadline, time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())) > 0, "the deadline has passed")
    daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and one(run.events, "run.resumed")["data"]["by"] == "timeout"


def test_a_runs_timeout_goes_on_across_a_crash(project, daemon_of):
    project.workflow("w", [gate("review"), step("tidy", value="${{ run.error.kind }}", when="always")], timeout_s=1)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    daemon.kill()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "timeout" and run.value("tidy") == "timeout"
    assert 0.99 <= seconds(one(run.events, "run.started"), run.of("step.failed", "review")[0]) <= 1 + DEADLINE


def test_a_crash_after_the_runs_timeout_keeps_its_reason(project, daemon_of):
    project.workflow("w", [gate("review"), step("tidy", {"touch": "on"}, {"wait": "go"}, value="${{ run.error.kind }}", when="always")], timeout_s=0.2)
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    daemon.kill()
    daemon = daemon_of(project)
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "timeout" and run.events[-1]["data"]["step_id"] is None
    assert run.value("tidy") == "timeout" and len(run.of("step.interrupted", "tidy")) == 1


def test_a_denied_run_stays_denied_after_a_crash(project, daemon_of):
    project.workflow("w", [gate("review"), step("two", value=2), step("tidy", {"touch": "on"}, {"wait": "go"}, value=1, when="always")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    deny(daemon, run_id, actor="bob", comment="no")
    project.wait_file("on")
    daemon.kill()
    daemon = daemon_of(project)
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"})
    assert error.code == -32011 and error.data["decision"] == "deny" and error.data["actor"] == "bob"
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "denied" and run.events[-1]["data"]["comment"] == "no" and run.of("step.started", "two") == []


def test_a_cancel_stays_a_cancel_after_a_crash(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "on"}, {"await_cancel": "c"}, {"hang": 1})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    cancel(daemon, run_id, reason="enough")
    project.wait_file("c")
    daemon.kill()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "cancelled" and run.events[-1]["data"] == {"reason": "enough"} and len(run.of("step.started")) == 1


def last_record_of(project, kind):
    """Cuts the journal behind the record of the last event of that type, as if the daemon had died there."""
    segment = project.segments()[-1]
    data = segment.read_bytes().rstrip(b"\0")
    at = data.rindex(b'"type":"%s"' % kind.encode())
    segment.write_bytes(data[:data.index(b"\n", at) + 1])


@pytest.mark.parametrize("kind", ["gate", "input"])
def test_a_crash_between_the_answer_and_what_comes_of_it(project, daemon_of, kind):
    asked = gate("ask") if kind == "gate" else question("ask", {"n": {"type": "integer"}, "d": {"type": "integer", "default": 2}})
    project.workflow("w", [{**asked, "output": "told"}, step("two", value="${{ named_outputs.told }}")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "ask")
    if kind == "gate":
        approve(daemon, run_id, actor="anna", comment="a \"comment\"")
    else:
        submit(daemon, run_id, {"n": 1})
    daemon.wait_event("step.completed", run_id, "ask")
    daemon.kill()
    last_record_of(project, "run.resumed" if kind == "gate" else "run.input_submitted")
    run = daemon_of(project).end_of(run_id)
    value = {"decision": "approve", "actor": "anna", "comment": "a \"comment\""} if kind == "gate" else {"n": 1, "d": 2}
    assert run.status == "succeeded" and run.value("ask") == value and run.value("two") == value
    assert len(run.of("run.waiting")) == 1 and run.of("step.interrupted") == []
    assert one(run.events, "step.completed", "ask")["data"]["output"] == "told"


# --- interruptions --------------------------------------------------------------------------------------------------


def test_an_interrupted_step_beside_an_open_gate(project, daemon_of):
    project.workflow("w", [gate("review", step_={"needs": []}), step("a", {"count": "log"}, {"once": {"file": "on", "do": [{"hang": 1}]}}, value=1, needs=[]),
                           step("end", value=2, needs=["review", "a"])])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    daemon.kill()
    daemon = daemon_of(project)
    daemon.wait_event("step.completed", run_id, "a")  # nobody has decided yet
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and len(run.of("step.interrupted")) == 1 and run.step("a")["attempt"] == 2


def test_interruptions_do_not_count_as_attempts(project, daemon_of):
    project.workflow("w", [step("one", {"count": "log"}, {"once": {"file": "on", "do": [{"hang": 1}]}}, {"exit": 3},
                                retry={"max_attempts": 2, "initial_ms": 1})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    daemon.kill()
    run = daemon_of(project).end_of(run_id)
    assert [(e["type"], e["attempt"]) for e in run.events if e.get("step_id") and e["type"] != "step.log"] == [
        ("step.started", 1), ("step.interrupted", 1), ("step.started", 2), ("step.retrying", 2), ("step.started", 3), ("step.failed", 3)]
    assert run.of("step.retrying")[0]["data"]["next_attempt"] == 3


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_on_interrupt_fail(project, daemon_of, how):
    project.workflow("w", [step("one", {"touch": "on"}, {"await_cancel": "c"}, on_interrupt="fail", retry={"max_attempts": 3, "initial_ms": 1}),
                           step("told", value="${{ run.error.kind }}", when="failure")])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    getattr(daemon, how)()
    run = daemon_of(project).end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "interrupted" and run.value("told") == "interrupted"
    assert len(run.of("step.interrupted")) == 1 and len(run.of("step.started", "one")) == 1


def test_five_interruptions_are_enough(project, daemon_of):
    project.workflow("w", [step("one", {"count": "log"}, {"hang": 1}), step("tidy", value=1, when="always")])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    for attempt in range(1, 6):
        wait_until(lambda: project.file("log").exists() and len(project.file("log").read_text().splitlines()) == attempt)
        daemon.kill()
        daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "interrupted" and run.value("tidy") == 1
    assert len(run.of("step.interrupted", "one")) == 5 and len(run.of("step.started", "one")) == 5 and run.step("one")["attempt"] == 5


def test_retries_go_on_after_a_crash(project, daemon_of):
    project.workflow("w", [step("one", {"count": "log"}, {"exit": 3}, retry={"max_attempts": 2, "initial_ms": 60000, "max_ms": 60000})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    daemon.wait_event("step.retrying", run_id)
    daemon.kill()
    run = daemon_of(project).end_of(run_id)  # the wait has been long enough
    assert run.status == "failed" and [e["attempt"] for e in run.of("step.started")] == [1, 2]
    assert [e["attempt"] for e in run.of("step.retrying")] == [1] and run.of("step.interrupted") == []
    assert len(project.file("log").read_text().splitlines()) == 2


def test_a_drain_does_not_wait_for_people(project, daemon_of):
    project.workflow("w", [gate("review", step_={"needs": []}), step("busy", {"touch": "on"}, {"wait": "go"}, value=1, needs=[]),
                           step("end", value=2, needs=["review", "busy"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    project.wait_file("on")
    daemon.call("daemon.stop", {"drain": True})
    project.touch("go")
    assert daemon.wait() == 0
    daemon = daemon_of(project)
    state = daemon.status(run_id)
    assert state["status"] == "waiting" and [s["status"] for s in state["steps"]] == ["waiting", "completed", "pending"]
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.of("step.interrupted") == []


def test_a_crash_while_a_gate_opens(project, daemon_of):
    project.workflow("w", [gate("review")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    daemon.kill()
    last_record_of(project, "step.started")
    daemon = daemon_of(project)
    daemon.wait_event("run.waiting", run_id)
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and len(run.of("run.waiting")) == 1 and len(run.of("step.interrupted")) == 1
