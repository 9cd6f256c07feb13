"""Commands of a gateway: taken one after the other, lost by nothing, and answered with something that fits."""

import json

import pytest

from harness import BUILD, MESSAGE, RpcError, needs, step, wait_until
from peers.gateway import Gateway
from peers.gateway import RpcError as GatewayError
from test_streams import Real
from workflows import gate, start_waiting

pytestmark = needs("LINK")


@pytest.fixture
def gateway():
    with Gateway() as one:
        yield one
        # Frames of our own have answers that the peer does not wait for.
        one.violations[:] = [found for found in one.violations if not found.startswith("an answer that nobody waits for")]


def text_frames(*messages):
    """Each a whole frame of a server; together one write."""
    data = b""
    for message in messages:
        payload = json.dumps(message).encode()
        data += b"\x81" + (bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")) + payload
    return data


def command(request_id, seq, method, key=None, **params):
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {**params, "command": {"seq": seq, "key": key or f"key-{seq}"}}}


def answers(connection, *ids):
    """In the order in which they came; None: not all of them have."""
    found = [m for m in connection.messages if m.get("id") in ids and "method" not in m]
    return found if len(found) == len(ids) else None


def test_a_cancel_finds_the_run_that_was_started_just_before(project, daemon_of, gateway):
    project.workflow("w", [step("one", {"wait": "never"}, value=1)])
    daemon_of(project, "--gateway", gateway.url)
    connection = gateway.wait_connected()
    gateway.send_bytes(text_frames(command("a", 1, "run.start", workflow_id="w", run_id="mine"),
                                   command("b", 2, "run.cancel", run_id="mine"),
                                   command("c", 3, "run.cancel", run_id="mine", reason="really")))
    got = gateway.wait(lambda: answers(connection, "a", "b", "c"), what="three answers")
    assert [answer["id"] for answer in got] == ["a", "b", "c"]
    assert [answer["result"]["run_id"] for answer in got] == ["mine"] * 3
    assert gateway.wait_ended("mine")["type"] == "run.cancelled"


def test_a_key_that_comes_again_while_it_is_worked_on_is_the_same_run(project, daemon_of, gateway):
    project.workflow("w", [step("one", {"count": "count"}, value=1)])
    daemon_of(project, "--gateway", gateway.url)
    connection = gateway.wait_connected()
    gateway.send_bytes(text_frames(command("a", 1, "run.start", "once", workflow_id="w"),
                                   command("b", 1, "run.start", "once", workflow_id="w"),
                                   command("c", 2, "run.start", "once", workflow_id="w"),
                                   command("d", 3, "run.start", "once", workflow_id="w", labels={"other": "params"})))
    got = gateway.wait(lambda: answers(connection, "a", "b", "c", "d"), what="four answers")
    assert [answer["id"] for answer in got] == ["a", "b", "c", "d"]
    assert len({answer["result"]["run_id"] for answer in got[:3]}) == 1
    assert got[3]["error"]["code"] == -32013
    gateway.wait_ended(got[0]["result"]["run_id"])
    assert project.file("count").read_text().count("\n") == 1


def test_a_crash_behind_a_later_command_loses_no_earlier_one(project, daemon_of, gateway):
    """command_seen says that all up to it was dealt with: it must not pass what was not."""
    project.workflow("w", [step("one", value=1)])
    seq, number = 0, 0
    for life in range(6):
        daemon = daemon_of(project, "--gateway", gateway.url)
        connection = gateway.wait_connected(after=number)
        number = connection.number
        run_id, ids = f"run-{life}", (f"s{life}", f"c{life}")
        start = command(ids[0], seq + 1, "run.start", workflow_id="w", run_id=run_id)
        gateway.send_bytes(text_frames(start, command(ids[1], seq + 2, "run.cancel", run_id="nobody")))
        gateway.wait(lambda: any(answers(connection, one) for one in ids), what="the first answer")
        daemon.kill()
        gateway.wait(lambda: connection.closed_at is not None, what="the loss is seen")
        daemon = daemon_of(project, "--gateway", gateway.url)
        connection = gateway.wait_connected(after=number)
        number = connection.number
        assert connection.hello["command_seen"] >= seq + 1, "what was answered was on disk"
        again = gateway.command("run.start", {"workflow_id": "w", "run_id": run_id}, key=f"key-{seq + 1}", seq=seq + 1)
        assert again["run_id"] == run_id
        gateway.wait_ended(run_id)
        seq += 2
        assert daemon.stop() == 0
        gateway.wait(lambda: connection.closed_at is not None, what="it has gone")


@pytest.mark.skipif(not (BUILD / "charter-gateway").exists(), reason="charter-gateway is not built")
def test_what_was_ordered_while_the_daemon_was_away_is_done_in_order(project, daemon_of, tmp_path):
    """charter-gateway sends all of it in one go when the daemon comes back."""
    project.workflow("w", [step("one", {"wait": "never"}, value=1)])
    gateway = Real(tmp_path)
    try:
        daemon = daemon_of(project, "--gateway", gateway.url)
        daemon_id = daemon.call("daemon.status")["daemon_id"]
        wait_until(lambda: daemon.call("daemon.status")["gateway"]["state"] == "connected", "the session")
        assert daemon.stop() == 0
        wait_until(lambda: not gateway.http("GET", f"/v1/daemons/{daemon_id}")[1]["connected"], "it is away")
        for number in range(4):
            for method, params in (("run.start", {"workflow_id": "w", "run_id": f"r{number}"}), ("run.cancel", {"run_id": f"r{number}"})):
                status, body = gateway.http("POST", f"/v1/daemons/{daemon_id}/rpc", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
                assert status == 202 and body["state"] == "waiting"
        daemon = daemon_of(project, "--gateway", gateway.url)
        for number in range(4):
            wait_until(lambda: gateway.http("GET", f"/v1/runs/r{number}")[1].get("status") == "cancelled", f"r{number} is cancelled")
    finally:
        gateway.end()


# --- answers that fit ---------------------------------------------------------------------------------------------------


MANY = 20
# Twenty of these are more than a message.
LOUD = ({"stderr": {"text": "e" * 200 + "\n", "times": 40}}, {"error": {"code": -1, "message": "m" * 900}})


def loud_project(project):
    project.workflow("w", [step(f"s{i}", *LOUD, continue_on_error=True) for i in range(MANY)] + [gate("g"), step("end", value="o" * 3000)],
                     outputs={"end": "${{ outputs.end }}"})


@needs(MESSAGE_BYTES=65536, STDERR_BYTES=4096, STEPS_PER_PLAN=32)
def test_a_run_with_many_long_errors_is_told_with_short_ones(project, daemon_of, gateway):
    loud_project(project)
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    run_id = start_waiting(daemon, "g")
    whole = {e["step_id"]: e["data"]["error"] for e in daemon.events(run_id) if e["type"] == "step.failed"}
    assert len(whole) == MANY and sum(len(json.dumps(error)) for error in whole.values()) > MESSAGE

    def check(run, status):
        assert run["status"] == status and len(run["steps"]) == MANY + 2
        for row in run["steps"][:MANY]:
            error = row["error"]
            assert error["kind"] == "integration_error" and error["code"] == -1 and error["stderr"] == [] and error["shortened"] is True
            assert len(error["message"]) > 100 and whole[row["id"]]["message"].startswith(error["message"])
        assert len(json.dumps(run)) < MESSAGE

    check(daemon.status(run_id), "waiting")
    first = gateway.command("run.resume", {"run_id": run_id, "decision": "approve"}, key="go")
    check(first, first["status"])
    gateway.wait_ended(run_id)
    check(daemon.status(run_id), "succeeded")
    check(gateway.command("run.resume", {"run_id": run_id, "decision": "approve"}, key="go"), "succeeded")


@needs(MESSAGE_BYTES=65536, STDERR_BYTES=4096, STEPS_PER_PLAN=32)
def test_what_is_too_long_for_the_gateway_is_told_with_its_size(project, daemon_of):
    loud_project(project)
    with Gateway(message_bytes=4096) as gateway:
        daemon = daemon_of(project, "--gateway", gateway.url)
        gateway.wait_connected()
        run_id = start_waiting(daemon, "g")

        def asked(method):
            with pytest.raises(GatewayError) as refused:
                gateway.request(method, {"run_id": run_id})
            return refused.value

        error = asked("run.status")
        assert error.code == -32001 and error.data["limit"] == 4096 < error.data["size"] < MESSAGE, "errors are short already"
        # A command that has taken effect is never answered like that: the run comes as a row.
        run = gateway.command("run.resume", {"run_id": run_id, "decision": "approve"}, key="go")
        assert run["run_id"] == run_id and "steps" not in run
        gateway.wait_ended(run_id)
        error = asked("run.status")
        assert error.code == -32001 and error.data["limit"] == 4096 < error.data["size"]
        run = gateway.command("run.resume", {"run_id": run_id, "decision": "approve"}, key="go")
        assert run["run_id"] == run_id and run["status"] == "succeeded" and "steps" not in run
        assert len(daemon.status(run_id)["steps"]) == MANY + 2, "where there is room, all is told"


def test_a_command_is_answered_however_little_the_gateway_takes(project, daemon_of):
    """A failed step's error twice, and labels beyond all that it takes."""
    project.workflow("w", [step("one", *LOUD, {"exit": 1})])
    project.workflow("v", [step("one", value=1)])
    labels = {f"{i:02}".ljust(60, "k"): "v" * 200 for i in range(16)}
    with Gateway(message_bytes=4096) as gateway:
        daemon = daemon_of(project, "--gateway", gateway.url)
        gateway.wait_connected()
        run_id = gateway.command("run.start", {"workflow_id": "w"}, key="first")["run_id"]
        wait_until(lambda: daemon.status(run_id)["status"] == "failed", "it has failed")
        again = gateway.command("run.start", {"workflow_id": "w"}, key="first")
        assert again["run_id"] == run_id and again["status"] == "failed" and again["error"]["kind"] == "integration_error"
        assert again["error"]["shortened"] is True
        run = gateway.command("run.start", {"workflow_id": "v", "labels": labels}, key="second")
        assert set(run) == {"run_id", "workflow_id", "status"} and run["workflow_id"] == "v"
        wait_until(lambda: daemon.status(run["run_id"])["status"] == "succeeded", "it has succeeded")
        run = gateway.command("run.start", {"workflow_id": "v", "labels": labels}, key="second")
        assert set(run) == {"run_id", "workflow_id", "status"} and run["status"] == "succeeded"
        # Nor does a row that is too long stand in the way of the rest.
        first = gateway.request("runs.list")
        second = gateway.request("runs.list", {"cursor": first["next_cursor"]})
        assert first["runs"] == [run] and [row["run_id"] for row in second["runs"]] == [run_id]
        assert second["runs"][0]["error"]["shortened"] is True and second["next_cursor"] is None


@needs(PROJECT_FILE_BYTES=MESSAGE, PROJECT_TOKENS=MESSAGE // 100 + 1)
def test_a_list_that_is_longer_than_a_message_is_told_with_its_size(project, daemon_of):
    for i in range(MESSAGE // 100):
        project.workflow(f"w{i:04}" + "x" * 50, [step("one", value=1)])
    daemon = daemon_of(project)
    with pytest.raises(RpcError) as refused:
        daemon.call("workflows.list")
    assert refused.value.code == -32001 and refused.value.data["limit"] == MESSAGE < refused.value.data["size"] < 3 * MESSAGE


# --- notifications ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", ["[1]", "5", "null"])
def test_notifications_are_never_answered(project, daemon_of, gateway, params):
    daemon = daemon_of(project, "--gateway", gateway.url)
    connection = gateway.wait_connected()
    for method in ("daemon.pause", "nobody.knows", "daemon.status"):
        gateway.send_raw(f'{{"jsonrpc":"2.0","method":"{method}","params":{params}}}')
    before = [m for m in connection.messages if "method" not in m]
    assert gateway.request("daemon.status")["gateway"]["paused"] is False
    assert len([m for m in connection.messages if "method" not in m]) == len(before) + 1
    assert daemon.call("daemon.status")["gateway"]["state"] == "connected"
    gateway.send_raw(f'{{"jsonrpc":"2.0","method":"events.ack","params":{params}}}')
    gateway.wait(lambda: connection.close_code, what="the close")
    assert connection.close_code == 4400


def test_a_pause_shows_in_the_status(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    gateway.notify("daemon.pause")
    assert gateway.request("daemon.status")["gateway"]["paused"] is True
    gateway.notify("daemon.unpause")
    assert gateway.request("daemon.status")["gateway"]["paused"] is False
    assert daemon.call("daemon.status")["gateway"]["paused"] is False
