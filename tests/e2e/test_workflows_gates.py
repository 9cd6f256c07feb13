"""Gates, contract sections 3 to 5 and 7: opened, decided once, timed out, closed with their run."""

import os
import threading

import pytest

from harness import RpcError, step
from workflows import approve, cancel, deny, gate, one, seconds, start_waiting, types

BY = f"uid:{os.getuid()}"


def gated(project, *before, after=(), **members):
    project.workflow("w", [*before, gate("review", **members), *after], inputs={"city": {"type": "string", "default": "Köln"}})


# --- decisions ------------------------------------------------------------------------------------------------------


def test_an_approved_gate_from_beginning_to_end(project, daemon_of):
    gated(project, step("one", value={"a": [1]}), message="Publish ${{ outputs.one.a[0] }} for ${{ inputs.city }}?",
          step_={"output": "verdict"},
          after=[step("two", value=["${{ outputs.review }}", "${{ named_outputs.verdict.decision }}", "by ${{ outputs.review.actor }}"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    state = daemon.status(run_id)
    assert (state["status"], state["waiting_for"]) == ("waiting", "gate")
    assert state["waiting"] == {"step_id": "review", "message": "Publish 1 for Köln?", "fields": None, "deadline": None}
    assert [(s["id"], s["status"]) for s in state["steps"]] == [("one", "completed"), ("review", "waiting"), ("two", "pending")]
    assert daemon.call("daemon.status")["runs"]["waiting"] == 1
    answer = approve(daemon, run_id, actor="anna", comment="looks \"good\"\n")
    assert answer["run_id"] == run_id and answer["status"] in ("running", "succeeded") and answer["waiting"] is None
    run = daemon.end_of(run_id)
    assert types(run.events) == [
        ("run.created", None), ("run.started", None), ("step.started", "one"), ("step.completed", "one"),
        ("step.started", "review"), ("run.waiting", "review"), ("run.resumed", "review"), ("step.completed", "review"),
        ("step.started", "two"), ("step.completed", "two"), ("run.succeeded", None)]
    assert one(run.events, "step.started", "review")["data"] == {"uses": "gate"}
    assert one(run.events, "run.waiting")["data"] == {"for": "gate", "message": "Publish 1 for Köln?", "deadline": None}
    assert one(run.events, "run.resumed")["data"] == {
        "decision": "approve", "comment": "looks \"good\"\n", "channel": "local", "actor": "anna", "by": BY}
    value = {"decision": "approve", "actor": "anna", "comment": "looks \"good\"\n"}
    assert one(run.events, "step.completed", "review")["data"] == {"value": value, "output": "verdict"}
    assert run.value("two") == [value, "approve", "by anna"]
    assert run.step("review")["status"] == "completed"


def test_without_actor_and_comment_they_are_null(project, daemon_of):
    gated(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert one(run.events, "run.resumed")["data"] == {"decision": "approve", "comment": None, "channel": "local", "actor": None, "by": BY}
    assert run.value("review") == {"decision": "approve", "actor": None, "comment": None}


def test_a_denied_gate_denies_the_run_and_always_steps_run(project, daemon_of):
    gated(project, after=[
        step("never", value=1),
        step("on-failure", value=1, when="failure"),
        step("tidy", value=["${{ outputs.review.decision }}", "${{ outputs.never }}", "${{ run.error.step_id }}"], when="always")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    deny(daemon, run_id, actor="bob", comment="no")
    run = daemon.end_of(run_id)
    assert run.status == "denied"
    assert types(run.events)[2:] == [
        ("step.started", "review"), ("run.waiting", "review"), ("run.resumed", "review"), ("step.completed", "review"),
        ("step.started", "tidy"), ("step.completed", "tidy"), ("run.denied", None)]
    assert run.events[-1]["data"] == {"step_id": "review", "actor": "bob", "by": BY, "comment": "no"}
    assert run.value("tidy") == ["deny", None, "review"]
    assert run.error is None and run.state["outputs"] is None
    assert daemon.call("runs.list", {"status": "denied"})["runs"][0]["run_id"] == run_id


def test_a_message_that_cannot_be_resolved_fails_the_step(project, daemon_of):
    project.workflow("w", [step("one", value={}), gate("review", "Is ${{ outputs.one.nothing }} right?")])
    run = daemon_of(project).run()
    assert run.status == "failed" and run.failure()["kind"] == "template" and "nothing" in run.failure()["message"]
    assert run.of("run.waiting") == []


@pytest.mark.parametrize("value,shown", [(7, "7"), (None, ""), ({"a": [1, "x"]}, '{"a":[1,"x"]}'), ("text", "text")])
def test_a_message_is_text_whatever_it_names(project, daemon_of, value, shown):
    project.workflow("w", [step("one", value=value), gate("alone", "${{ outputs.one }}"), gate("inside", "<${{ outputs.one }}>")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "alone")
    assert daemon.status(run_id)["waiting"]["message"] == shown
    approve(daemon, run_id)
    assert daemon.wait_event("run.waiting", run_id, "inside")["data"]["message"] == f"<{shown}>"
    approve(daemon, run_id)
    assert daemon.end_of(run_id).status == "succeeded"


def test_secrets_are_masked_in_decisions(project, daemon_of):
    project.config["secrets"] = {"TOKEN": {"env": "WF_TOKEN"}}
    project.integration("puppet", env={"TOKEN": "${{ secrets.TOKEN }}"})
    gated(project)
    daemon = daemon_of(project, env={"WF_TOKEN": "hush-hush-hush"})
    run_id = start_waiting(daemon, "review")
    approve(daemon, run_id, comment="the token is hush-hush-hush")
    run = daemon.end_of(run_id)
    assert one(run.events, "run.resumed")["data"]["comment"] == "the token is ***"
    assert run.value("review")["comment"] == "the token is ***"


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params,path", [
    ({"decision": "maybe"}, "decision"), ({"decision": True}, "decision"), ({}, "decision"),
    ({"decision": "approve", "comment": 1}, "comment"), ({"decision": "approve", "actor": ["a"]}, "actor"),
    ({"decision": "approve", "actor": "a" * 65}, "actor"), ({"decision": "approve", "step_id": 3}, "step_id")])
def test_params_that_do_not_fit(project, daemon_of, params, path):
    gated(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    error = daemon.refused("run.resume", {"run_id": run_id, **params})
    assert error.code == -32602 and error.data["path"] == path and error.data["reason"]
    assert daemon.status(run_id)["status"] == "waiting"
    cancel(daemon, run_id)
    daemon.end_of(run_id)


def test_decided_twice_while_the_run_goes_on_and_after_its_end(project, daemon_of):
    gated(project, after=[step("two", {"wait": "go"}, value=2), gate("later", "Once more?")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    approve(daemon, run_id, actor="anna", comment="yes")
    resumed = daemon.wait_event("run.resumed", run_id)
    for params in ({}, {"step_id": "review"}):
        error = daemon.refused("run.resume", {"run_id": run_id, "decision": "deny", "actor": "bob", **params})
        assert error.code == -32011
        assert error.data == {"status": "running", "decision": "approve", "actor": "anna", "by": BY, "time": resumed["time"]}
    project.touch("go")
    later = daemon.wait_event("run.waiting", run_id, "later")
    # that gate is named, and this one was decided
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "deny", "step_id": "review"})
    assert error.code == -32011 and error.data["status"] == "waiting" and error.data["actor"] == "anna"
    assert later["seq"] > resumed["seq"]
    deny(daemon, run_id, actor="carol")
    run = daemon.end_of(run_id)
    assert run.status == "denied"
    decided = {e["step_id"]: e for e in run.of("run.resumed")}
    # the run has ended: the last decision, or that of the gate that is named
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"})
    assert error.code == -32011
    assert error.data == {"status": "denied", "decision": "deny", "actor": "carol", "by": BY, "time": decided["later"]["time"]}
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "review"})
    assert error.code == -32011
    assert error.data == {"status": "denied", "decision": "approve", "actor": "anna", "by": BY, "time": decided["review"]["time"]}
    # after a restart as well
    daemon.stop()
    daemon = daemon_of(project)
    assert daemon.refused("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "review"}).data == error.data


def test_runs_and_gates_that_are_not_there(project, daemon_of):
    gated(project, step("one", {"wait": "go"}))
    project.workflow("plain", [step("one", value=1)])
    daemon = daemon_of(project)
    error = daemon.refused("run.resume", {"run_id": "r-nobody", "decision": "approve"})
    assert error.code == -32005 and error.data == {"what": "run", "id": "r-nobody"}
    run_id = daemon.start_run()
    daemon.wait_event("step.started", run_id, "one")
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"})
    assert error.code == -32011 and error.data == {"status": "running"}  # not yet open
    project.touch("go")
    daemon.wait_event("run.waiting", run_id)
    assert daemon.refused("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "one"}).code == -32011
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "two"})
    assert error.code == -32005 and error.data == {"what": "step", "id": "two"}
    assert daemon.refused("run.submit_input", {"run_id": run_id, "answers": {}}).code == -32011  # a gate is no input
    assert daemon.status(run_id)["status"] == "waiting"
    approve(daemon, run_id, step_id="review")
    assert daemon.end_of(run_id).status == "succeeded"
    plain = daemon.run("plain")
    error = daemon.refused("run.resume", {"run_id": plain.id, "decision": "approve"})
    assert error.code == -32011 and error.data == {"status": "succeeded"}


def test_several_open_gates_must_be_named(project, daemon_of):
    project.workflow("w", [gate("a", step_={"needs": []}), gate("b", step_={"needs": []}), gate("c"),
                           step("end", value="${{ outputs.a.actor }}${{ outputs.b.actor }}${{ outputs.c.actor }}", needs=["a", "b", "c"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "c")
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"})
    assert error.code == -32602 and error.data["path"] == "step_id"
    assert daemon.status(run_id)["waiting"]["step_id"] in "abc"
    approve(daemon, run_id, step_id="b", actor="B")
    assert daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"}).code == -32602
    approve(daemon, run_id, step_id="a", actor="A")
    assert daemon.status(run_id)["waiting"]["step_id"] == "c"
    approve(daemon, run_id, actor="C")  # the only one left
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.value("end") == "ABC"


def test_a_denial_closes_the_other_gates(project, daemon_of):
    project.workflow("w", [gate("a", step_={"needs": []}), gate("b", step_={"needs": []}), step("busy", {"touch": "busy"}, {"await_cancel": "cancelled"}, needs=[])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "b")
    project.wait_file("busy")
    deny(daemon, run_id, step_id="a")
    run = daemon.end_of(run_id)
    assert run.status == "denied" and run.events[-1]["data"]["step_id"] == "a"
    assert {run.of("step.failed", s)[0]["data"]["error"]["kind"] for s in ("b", "busy")} == {"cancelled"}
    assert project.read("cancelled")["method"] == "cancel"
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "b"})
    assert error.code == -32011 and error.data == {"status": "denied"}  # it was closed, nobody decided it


def test_one_of_many_at_once_wins(project, daemon_of):
    gated(project, after=[step("two", value=2)])
    daemon = daemon_of(project)
    for _ in range(5):
        run_id = start_waiting(daemon, "review")
        outcomes = []

        def decide(name, word):
            try:
                daemon.call("run.resume", {"run_id": run_id, "decision": word, "actor": name, "step_id": "review"})
                outcomes.append((name, word, None))
            except RpcError as error:
                outcomes.append((name, word, error))
        threads = [threading.Thread(target=decide, args=(f"u{i}", "approve" if i % 2 else "deny")) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run = daemon.end_of(run_id)
        (winner,) = [o for o in outcomes if o[2] is None]
        resumed = one(run.events, "run.resumed")
        assert (resumed["data"]["actor"], resumed["data"]["decision"]) == winner[:2]
        assert run.status == ("succeeded" if winner[1] == "approve" else "denied")
        for _, _, error in outcomes:
            if error is not None:
                assert error.code == -32011
                assert (error.data["actor"], error.data["decision"], error.data["by"], error.data["time"]) == (
                    *winner[:2], BY, resumed["time"])


# --- timeouts -------------------------------------------------------------------------------------------------------


def test_a_timeout_denies_unless_told(project, daemon_of):
    gated(project, timeout_s=0.2, after=[step("two", value=2)])
    run = daemon_of(project).run()
    assert run.status == "denied"
    waiting = one(run.events, "run.waiting")
    assert 0.199 <= seconds(waiting, waiting["data"]["deadline"]) <= 0.201
    assert seconds(waiting, run.events[-1]) >= 0.199
    assert run.events[-1]["data"] == {"step_id": "review", "reason": "timeout"}
    assert run.of("step.started", "two") == []


def test_a_timeout_that_approves(project, daemon_of):
    gated(project, timeout_s=0.1, on_timeout="approve", after=[step("two", value="${{ outputs.review }}")])
    daemon = daemon_of(project)
    run = daemon.run()
    assert run.status == "succeeded"
    assert run.value("two") == {"decision": "approve", "actor": None, "comment": None}
    resumed = one(run.events, "run.resumed")
    assert resumed["data"]["decision"] == "approve" and resumed["data"]["actor"] is None
    error = daemon.refused("run.resume", {"run_id": run.id, "decision": "deny"})
    assert error.code == -32011 and error.data["decision"] == "approve" and error.data["time"] == resumed["time"]


def test_a_timeout_that_fails(project, daemon_of):
    gated(project, timeout_s=0.1, on_timeout="fail", after=[
        step("told", value="${{ run.error.kind }} ${{ run.error.step_id }}", when="failure")])
    run = daemon_of(project).run()
    assert run.status == "failed" and run.error["kind"] == "timeout" and run.events[-1]["data"]["step_id"] == "review"
    assert run.value("told") == "timeout review" and run.of("run.resumed") == []


def test_a_failing_timeout_that_may_fail(project, daemon_of):
    gated(project, timeout_s=0.1, on_timeout="fail", step_={"continue_on_error": True}, after=[step("two", value="${{ outputs.review.decision }}")])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("two") is None and run.step("review")["status"] == "failed"


def test_the_deadline_is_shown(project, daemon_of):
    gated(project, timeout_s=3600)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    deadline = daemon.status(run_id)["waiting"]["deadline"]
    waiting = daemon.wait_event("run.waiting", run_id)
    assert deadline == waiting["data"]["deadline"] and seconds(waiting, deadline) == pytest.approx(3600, abs=0.01)
    cancel(daemon, run_id)
    daemon.end_of(run_id)


# --- cancel, if, restarts -------------------------------------------------------------------------------------------


def test_cancel_while_waiting(project, daemon_of):
    gated(project, after=[step("two", value=2), step("tidy", value="${{ outputs.review }}", when="always")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    cancel(daemon, run_id, reason="enough", actor="anna")
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and run.events[-1]["data"] == {"reason": "enough"}
    assert run.of("step.failed", "review")[0]["data"]["error"]["kind"] == "cancelled"
    assert run.value("tidy") is None and run.of("step.started", "two") == []
    assert one(run.events, "run.cancel_requested")["data"] == {"reason": "enough", "channel": "local", "actor": "anna", "by": BY}


def test_a_skipped_gate_asks_nobody(project, daemon_of):
    project.workflow("w", [step("one", value=False), gate("review", step_={"if": "${{ outputs.one }}"}), step("two", value="${{ outputs.review.decision }}")])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.of("run.waiting") == [] and len(run.of("step.skipped", "review")) == 1
    assert run.value("two") is None


def test_a_gate_that_always_runs_waits_after_a_failure(project, daemon_of):
    project.workflow("w", [step("one", {"error": {"code": -1, "message": "no"}}),
                           gate("look", "Seen ${{ run.error.step_id }}: ${{ run.error.kind }}?", step_={"when": "always"})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    waiting = daemon.wait_event("run.waiting", run_id, "look")
    assert waiting["data"]["message"] == "Seen one: integration_error?"
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.error["kind"] == "integration_error" and run.value("look")["decision"] == "approve"
