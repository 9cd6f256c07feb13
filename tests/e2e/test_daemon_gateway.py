"""The daemon and a gateway that was written from the contract alone: runs, commands, and a gateway that is away for a while.
The link by itself is the subject of test_link.py.
"""

import concurrent.futures
import itertools
import time

import pytest

from harness import check_run, check_stream, needs, step, wait_until
from peers.gateway import Gateway, RpcError


@pytest.fixture
def gateway():
    with Gateway() as one:
        yield one


def refused(gateway, method, params, **how):
    with pytest.raises(RpcError) as caught:
        gateway.command(method, params, **how)
    return caught.value


def whole(gateway, daemon):
    """Both see the same stream; every event once (the gateway counts a hole or a change as a breach)."""
    held = daemon.events()
    gateway.wait(lambda: gateway.daemon.acked >= held[-1]["seq"], what="everything arrives")
    stored = gateway.daemon.stream()
    check_stream(stored)
    assert stored[:len(held)] == held
    return stored


def test_hello_then_the_stream_then_runs_by_command(project, daemon_of, gateway):
    project.workflow("w", [step("one", value="${{ inputs.city }}"), step("two", value=2)], inputs={"city": {"type": "string", "required": True}},
                     outputs={"said": "${{ outputs.one }}"})
    daemon = daemon_of(project, "--gateway", gateway.url)
    hello = gateway.wait_connected().hello
    assert hello["protocol"] == [1] and hello["reason"] == "start" and hello["project"] == "e2e" and hello["runs"] == []
    local = daemon.run("w", {"city": "Wien"})
    answer = gateway.command("run.start", {"workflow_id": "w", "inputs": {"city": "Graz"}, "labels": {"a": "b"}, "actor": "anna"}, key="first")
    assert gateway.wait_ended(answer["run_id"])["data"] == {"outputs": {"said": "Graz"}}
    events = gateway.events(run_id=answer["run_id"])
    check_run(events)
    assert [e["type"] for e in events] == local.kinds(), "the same as a local one"
    created = events[0]["data"]
    assert created["channel"] == "gateway" and created["by"] == gateway.name and created["actor"] == "anna" and created["labels"] == {"a": "b"}
    assert gateway.request("run.status", {"run_id": answer["run_id"]})["status"] == "succeeded"
    assert gateway.request("artifacts.list", {"run_id": answer["run_id"]}) == {"artifacts": []}
    assert len(gateway.request("workflows.list")["workflows"]) == 1
    assert daemon.call("daemon.status")["gateway"]["state"] == "connected"
    stored = whole(gateway, daemon)
    assert stored[0]["type"] == "daemon.started" and stored[0]["seq"] == 1


def test_errors_of_commands(project, daemon_of, gateway):
    project.workflow("w", [step("one", {"count": "count"}, value=1)], inputs={"n": {"type": "integer"}})
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    error = refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": "seven"}}, key="wrong")
    assert error.code == -32006 and "n" in error.data["path"] and error.data["reason"]
    again = refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": "seven"}}, key="wrong")
    assert (again.code, again.message, again.data) == (error.code, error.message, error.data)
    assert refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": 7}}, key="wrong").code == -32013
    for _ in range(2):  # a repeated key: the same error
        error = refused(gateway, "run.start", {"workflow_id": "nope", "inputs": {}}, key="nope")
        assert error.code == -32005 and error.data == {"what": "workflow", "id": "nope"}
    run = gateway.command("run.start", {"workflow_id": "w", "inputs": {"n": 1}}, key="once")
    gateway.wait_ended(run["run_id"])
    assert gateway.command("run.start", {"workflow_id": "w", "inputs": {"n": 1}}, key="once")["run_id"] == run["run_id"]
    error = refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": 2}}, key="once")
    assert error.code == -32013 and error.data["key"] == "once"
    assert refused(gateway, "run.cancel", {"run_id": run["run_id"]}, key="once").code == -32013
    assert len(project.file("count").read_text().splitlines()) == 1, "no second effect"
    # after a crash the daemon still knows
    daemon.kill()
    daemon = daemon_of(project, "--gateway", gateway.url)
    hello = gateway.wait_connected(after=gateway.connections[-1].number if gateway.connections[-1].closed_at else 1).hello
    assert hello["reason"] == "crash" and hello["command_seen"] >= 6 and hello["daemon"]["epoch"] == 2
    assert gateway.command("run.start", {"workflow_id": "w", "inputs": {"n": 1}}, key="once")["run_id"] == run["run_id"]
    assert refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": 2}}, key="once").code == -32013
    assert refused(gateway, "run.start", {"workflow_id": "w", "inputs": {"n": "seven"}}, key="wrong").code == -32006
    assert len(project.file("count").read_text().splitlines()) == 1
    whole(gateway, daemon)


def test_many_commands_at_once_wait_for_their_turn(project, daemon_of, gateway):
    """More than there are helpers to check them: none is turned away."""
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda _: gateway.command("run.start", {"workflow_id": "w", "inputs": {}})["run_id"], range(16)))
    assert len(set(runs)) == 16
    for run in runs:
        assert gateway.wait_ended(run)["type"] == "run.succeeded"
    whole(gateway, daemon)


def test_cancel_by_command(project, daemon_of, gateway):
    project.workflow("w", [step("one", {"touch": "begun"}, {"await_cancel": "cancel"})])
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    run_id = gateway.command("run.start", {"workflow_id": "w", "inputs": {}})["run_id"]
    project.wait_file("begun")
    gateway.command("run.cancel", {"run_id": run_id, "reason": "from afar"}, key="c")
    gateway.command("run.cancel", {"run_id": run_id, "reason": "from afar"}, key="c")
    assert gateway.wait_ended(run_id)["type"] == "run.cancelled"
    (requested,) = gateway.events("run.cancel_requested", run_id)
    assert requested["data"]["channel"] == "gateway" and requested["data"]["reason"] == "from afar" and requested["data"]["by"] == gateway.name
    whole(gateway, daemon)


@needs(RETAIN_RUNS=100)
def test_20_runs_while_the_gateway_is_away(project, daemon_of, gateway):
    """Down in the middle for some seconds, and then once more with half of what it had in flight lost."""
    project.workflow("w", [step(f"s{n}", {"logs": {"times": 5, "text": "x" * 100}}, {"sleep": 0.1}, value=n) for n in range(3)])
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    ids = [daemon.start_run() for _ in range(10)]
    gateway.wait_event("step.completed")
    gateway.stop(drop=True)
    away = time.monotonic()
    ids += [daemon.start_run() for _ in range(10)]
    runs = [daemon.end_of(run_id) for run_id in ids]
    assert {run.status for run in runs} == {"succeeded"}, "runs go on"
    assert daemon.call("daemon.status")["gateway"]["state"] != "connected"
    wait_until(lambda: time.monotonic() - away > 3, "three seconds")
    taken = itertools.count()

    def lose_some(connection, events):
        """Every third batch is lost with its connection, before it was stored."""
        if next(taken) % 3 == 1 and len(gateway.connections) < 5:
            connection.socket.transport.abort()
            return True
        return False
    gateway.on_append = lose_some
    gateway.start()
    for run in runs:
        gateway.wait_ended(run.id, 120)
    stored = whole(gateway, daemon)
    for run in runs:
        assert [e for e in stored if e.get("run_id") == run.id] == run.events
    assert not gateway.daemon.gaps


def test_a_crash_between_two_acknowledgements(project, daemon_of, gateway):
    project.workflow("w", [step("one", {"logs": {"times": 50, "text": "x" * 200}}, value=1)])
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    for _ in range(3):
        connection = gateway.wait_connected()
        gateway.hold_acks()
        run_id = daemon.start_run()
        gateway.wait(lambda: gateway.events("step.log", run_id))
        daemon.kill()
        gateway.wait(lambda: connection.closed_at is not None)
        gateway.release_acks()
        daemon = daemon_of(project, "--gateway", gateway.url)
        gateway.wait_connected(after=connection.number)
        assert gateway.wait_ended(run_id)["type"] == "run.succeeded"
    whole(gateway, daemon)
