"""Decisions from both ends, contract sections 5 to 7: the gateway and a local client answer the same gate, and one of them wins."""

import os
import random
import threading
import time

import pytest

from harness import PLAIN, RpcError as LocalError, needs, step
from peers.gateway import Gateway, RpcError
from workflows import approve, gate, one, question, start_waiting, submit

ROUNDS = int(os.environ.get("RACE_ROUNDS", 1000 if PLAIN else 100))
SEED = int(os.environ.get("RACE_SEED", time.time_ns() % 1000000))


@pytest.fixture
def gateway():
    with Gateway(name="test-gateway") as made:
        yield made


def connect(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    return daemon


def test_a_decision_and_answers_from_the_gateway(project, daemon_of, gateway):
    project.workflow("w", [gate("review"), question("details", {"n": {"type": "integer", "default": 3}}), step("two", value="${{ outputs.review.actor }}")])
    daemon = connect(project, daemon_of, gateway)
    run_id = gateway.command("run.start", {"workflow_id": "w", "inputs": {}})["run_id"]
    daemon.wait_event("run.waiting", run_id, "review")
    gateway.command("run.resume", {"run_id": run_id, "decision": "approve", "actor": "anna", "comment": "fine"})
    daemon.wait_event("run.waiting", run_id, "details")
    with pytest.raises(RpcError) as caught:
        gateway.command("run.submit_input", {"run_id": run_id, "answers": {"n": "x"}})
    assert caught.value.code == -32006 and caught.value.data["path"] == "answers.n"
    gateway.command("run.submit_input", {"run_id": run_id, "answers": {}, "actor": "bob"})
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.value("two") == "anna" and run.value("details") == {"n": 3}
    who = {"channel": "gateway", "by": "test-gateway"}
    assert one(run.events, "run.resumed")["data"] == {"decision": "approve", "comment": "fine", "actor": "anna", **who}
    assert one(run.events, "run.input_submitted")["data"] == {"answers": {"n": 3}, "actor": "bob", **who}
    gateway.wait_ended(run_id)
    assert [e["seq"] for e in gateway.events(run_id=run_id)] == [e["seq"] for e in run.events]


def test_a_decision_that_is_sent_again_decides_once(project, daemon_of, gateway):
    project.workflow("w", [gate("a"), gate("b"), step("end", value=1)])
    daemon = connect(project, daemon_of, gateway)
    run_id = start_waiting(daemon, "a")
    params = {"run_id": run_id, "decision": "approve", "actor": "anna"}
    gateway.command("run.resume", params, key="k1")
    daemon.wait_event("run.waiting", run_id, "b")
    answer = gateway.command("run.resume", params, key="k1")  # it would approve b
    assert answer["run_id"] == run_id and answer["status"] == "waiting"
    daemon.kill()
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected(after=1)
    assert gateway.command("run.resume", params, key="k1")["status"] == "waiting"
    with pytest.raises(RpcError) as caught:
        gateway.command("run.resume", {**params, "decision": "deny"}, key="k1")
    assert caught.value.code == -32013 and caught.value.data["key"] == "k1"
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert [e["step_id"] for e in run.of("run.resumed")] == ["a", "b"]


def test_refusals_of_the_gateway_are_remembered(project, daemon_of, gateway):
    project.workflow("w", [gate("a", step_={"needs": []}), gate("b", step_={"needs": []})])
    daemon = connect(project, daemon_of, gateway)
    run_id = start_waiting(daemon, "b")

    def refusal(key, **params):
        with pytest.raises(RpcError) as caught:
            gateway.command("run.resume", {"run_id": run_id, "decision": "approve", **params}, key=key)
        return caught.value.code, caught.value.data
    several = refusal("several")
    assert several[0] == -32602 and several[1]["path"] == "step_id"
    approve(daemon, run_id, step_id="a", actor="anna")
    assert refusal("several") == several  # with one gate open it would be taken by now
    twice = refusal("twice", step_id="a")
    assert twice[0] == -32011 and twice[1]["actor"] == "anna" and twice[1]["status"] == "waiting"
    approve(daemon, run_id)
    daemon.end_of(run_id)
    assert refusal("twice", step_id="a") == twice
    late = refusal("late", step_id="a")
    assert late == (-32011, {**twice[1], "status": "succeeded"}) and refusal("late", step_id="a") == late


def test_a_command_that_does_not_fit_has_an_outcome_too(project, daemon_of, gateway):
    project.workflow("w", [gate("review")])
    daemon = connect(project, daemon_of, gateway)
    run_id = start_waiting(daemon, "review")
    good = {"run_id": run_id, "decision": "approve"}

    def refusal(key, params):
        with pytest.raises(RpcError) as caught:
            gateway.command("run.resume", params, key=key)
        return caught.value.code, caught.value.data
    wrong = [("k1", {"decision": "approve"}), ("k2", {**good, "decision": "maybe"}), ("k3", {**good, "comment": []})]
    told = [refusal(*one_of_them) for one_of_them in wrong]
    assert [(code, data["path"]) for code, data in told] == [(-32602, "run_id"), (-32602, "decision"), (-32602, "comment")]
    seen = gateway.daemon.command_seq
    daemon.kill()
    daemon = daemon_of(project, "--gateway", gateway.url)
    connection = gateway.wait_connected(after=1)
    assert connection.hello["command_seen"] == seen
    assert [refusal(*one_of_them) for one_of_them in wrong] == told
    assert refusal("k2", good)[0] == -32013
    gateway.command("run.resume", good, key="k4")
    assert daemon.end_of(run_id).status == "succeeded"


def race(*sides, head_start=0.0):
    """Runs all at once, or all but the first a little later (earlier: negative); their outcomes: True, or the error."""
    outcomes = [None] * len(sides)
    line = threading.Barrier(len(sides))

    def run(i):
        line.wait()
        time.sleep(max(0.0, head_start if i > 0 else -head_start))
        try:
            sides[i]()
            outcomes[i] = True
        except (RpcError, LocalError) as error:
            outcomes[i] = error
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@needs(STEPS_PER_PLAN=128)
def test_both_ends_decide_at_once(project, daemon_of, gateway):
    gates = 50
    project.workflow("w", [gate(f"g{i}") for i in range(gates)])
    daemon = connect(project, daemon_of, gateway)
    wins = {"gateway": 0, "local": 0}
    dice, head_start = random.Random(SEED), 0.0
    print(f"RACE_SEED={SEED}")
    for _ in range(max(1, ROUNDS // gates)):
        run_id = daemon.start_run()
        told = []
        for i in range(gates):
            daemon.wait_event("run.waiting", run_id, f"g{i}")
            params = {"run_id": run_id, "decision": "approve", "step_id": f"g{i}"}
            told.append(race(lambda: gateway.command("run.resume", {**params, "actor": "gateway"}),
                             lambda: daemon.call("run.resume", {**params, "actor": "local"}), head_start=head_start + dice.uniform(-0.001, 0.001)))
            # The way of one may be shorter: whoever has won starts a little later, so that they go on meeting.
            head_start += 0.0001 if told[-1][0] is not True else -0.0001
        run = daemon.end_of(run_id)
        assert run.status == "succeeded"
        for i, outcomes in enumerate(told):
            resumed = one(run.events, "run.resumed", f"g{i}")
            winner = resumed["data"]["actor"]
            wins[winner] += 1
            assert resumed["data"]["channel"] == winner
            assert outcomes[("gateway", "local").index(winner)] is True, outcomes
            error = outcomes[("local", "gateway").index(winner)]
            assert error.code == -32011
            assert {name: error.data[name] for name in ("decision", "actor", "by", "time")} == {
                "decision": "approve", "actor": winner, "by": resumed["data"]["by"], "time": resumed["time"]}
    print(wins)
    assert sum(wins.values()) >= ROUNDS // gates * gates
    assert min(wins.values()) > 0, wins


def test_both_ends_answer_at_once(project, daemon_of, gateway):
    project.workflow("w", [question(f"q{i}", {"who": {"type": "string"}}) for i in range(10)])
    daemon = connect(project, daemon_of, gateway)
    run_id = daemon.start_run()
    for i in range(10):
        daemon.wait_event("run.waiting", run_id, f"q{i}")
        outcomes = race(lambda: gateway.command("run.submit_input", {"run_id": run_id, "answers": {"who": "gateway"}, "step_id": f"q{i}", "actor": "gateway"}),
                        lambda: submit(daemon, run_id, {"who": "local"}, step_id=f"q{i}", actor="local"))
        assert outcomes.count(True) == 1
        (error,) = [o for o in outcomes if o is not True]
        winner = ("gateway", "local")[outcomes.index(True)]
        assert error.code == -32011 and error.data["actor"] == winner
    run = daemon.end_of(run_id)
    for i in range(10):
        event = one(run.events, "run.input_submitted", f"q{i}")
        assert event["data"]["answers"]["who"] == event["data"]["actor"] == event["data"]["channel"]


def test_a_pause_holds_the_queue_and_not_who_was_answered(project, daemon_of, gateway):
    project.workflow("w", [gate("review"), step("two", value=2)])
    daemon = connect(project, daemon_of, gateway)
    waiting = start_waiting(daemon, "review")
    gateway.notify("daemon.pause")
    queued = gateway.command("run.start", {"workflow_id": "w", "inputs": {}})
    assert queued["status"] == "queued"
    approve(daemon, waiting)
    assert daemon.end_of(waiting).status == "succeeded"
    assert daemon.status(queued["run_id"])["status"] == "queued"
    gateway.notify("daemon.unpause")
    daemon.wait_event("run.waiting", queued["run_id"])
    approve(daemon, queued["run_id"])
    assert daemon.end_of(queued["run_id"]).status == "succeeded"
