"""The control socket, contract sections 1, 5 and 7: framing, envelopes, methods, errors, what one client can do to others."""

import json
import os
import socket
import stat
import time

import pytest

from harness import MESSAGE, PLAIN, Closed, Project, RpcError, check_stream, needs, step, wait_until

STATUS = {"version", "pid", "uptime_s", "project", "daemon_id", "epoch", "gateway", "runs", "journal"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def status_line(request_id="1", end=b"\n", **members):
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "daemon.status", **members}).encode() + end


def expect_error(client, data, code, request_id=None):
    client.send_raw(data)
    message = client.read()
    assert "result" not in message and message["id"] == request_id, message
    assert message["error"]["code"] == code, message
    assert isinstance(message["error"]["message"], str) and message["error"]["message"]
    return message["error"]


@pytest.fixture(autouse=True, scope="module")
def begin_half_a_line(half_a_line):
    """It takes half a minute: begun here, looked at in test_runs.py."""


def usable(client):
    return STATUS <= set(client.call("daemon.status"))


# --- framing and envelopes ------------------------------------------------------------------------------------------


@needs(JOURNAL_KIB=65536)
def test_status_says_what_the_contract_lists(project, daemon_of):
    daemon = daemon_of(project)
    status = daemon.call("daemon.status")
    assert STATUS <= set(status)
    assert status["pid"] == daemon.pid and status["project"] == "e2e" and status["epoch"] == 1
    assert {"url", "state", "since", "reconnects", "last_error", "next_try_s", "acked_seq"} <= set(status["gateway"])
    assert status["gateway"]["url"] is None
    assert status["runs"] == {"active": 0, "waiting": 0, "queued": 0}
    assert {"bytes", "limit", "first_seq", "last_seq"} <= set(status["journal"])
    assert status["journal"]["limit"] == 64 << 20 and status["journal"]["last_seq"] >= 1


@pytest.mark.parametrize("request_id", ["1", 1, 0, -7, 9007199254740993, "", "x" * 64, "grüß", "a\"b\\c", "1.5"])
def test_ids_come_back_as_they_were(daemon, request_id):
    with daemon.client() as client:
        client.request("daemon.status", request_id=request_id)
        assert client.answer(request_id)["pid"] == daemon.pid


@pytest.mark.parametrize("text", [
    '"id": 1.5', '"id": 1e3', '"id": true', '"id": {}', '"id": []', '"id": "%s"' % ("x" * 65)])
def test_ids_of_other_kinds_are_refused(daemon, text):
    with daemon.client() as client:
        expect_error(client, b'{"jsonrpc":"2.0",%s,"method":"daemon.status"}\n' % text.encode(), -32600)
        assert usable(client)


def test_a_large_integer_id_keeps_every_digit(daemon):
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":9223372036854775807,"method":"daemon.status"}\n')
        assert b'"id":9223372036854775807' in client.line().replace(b" ", b"")


def test_crlf_bom_blank_lines_and_white_space_are_taken(daemon):
    with daemon.client() as client:
        client.send_raw(b"\xef\xbb\xbf" + status_line("a", b"\r\n") + b"\n\r\n\n  \n" + b" \t" + status_line("b", b" \r\n"))
        assert client.read()["id"] == "a"
        assert client.read()["id"] == "b"
        assert usable(client)


def test_a_bom_later_is_no_json(daemon):
    with daemon.client() as client:
        usable(client)
        expect_error(client, b"\xef\xbb\xbf" + status_line(), -32700)


def test_pipelined_requests_are_answered_in_order(daemon):
    with daemon.client() as client:
        client.send_raw(b"".join(status_line(number) for number in range(500)))
        assert [client.read()["id"] for _ in range(500)] == list(range(500))


def test_a_request_may_come_byte_by_byte(daemon):
    with daemon.client() as client:
        for byte in status_line("slow"):
            client.send_raw(bytes([byte]))
        assert client.read()["id"] == "slow"


def test_notifications_get_no_answer(daemon):
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","method":"daemon.status"}\n{"jsonrpc":"2.0","method":"no.such"}\n')
        client.send_raw(status_line("after"))
        assert client.read()["id"] == "after"


@pytest.mark.parametrize("data, code", [
    (b"[]\n", -32600),
    (b"[" + status_line("1", b"") + b"]\n", -32600),
    (b'"text"\n', -32600),
    (b"17\n", -32600),
    (b"null\n", -32600),
    (b"{}\n", -32600),
    (b'{"jsonrpc":"1.0","id":1,"method":"daemon.status"}\n', -32600),
    (b'{"id":1,"method":"daemon.status"}\n', -32600),
    (b'{"jsonrpc":"2.0","id":1}\n', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":7}\n', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status"\n', -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status"}}\n', -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status",}\n', -32700),
    (b"{'jsonrpc':'2.0'}\n", -32700),
    (b'{"jsonrpc":"2.0","id":01,"method":"daemon.status"}\n', -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"a\xff"}\n', -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"a\x00b"}\n', -32700),
    (b"\x00\n", -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"a\tb"}\n', -32700),
    (b"nonsense\n", -32700),
    (bytes(range(128, 256)) + bytes(set(range(128)) - {10, 13}) + b"\n", -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","params":{"x":' + b"[" * 31 + b"]" * 31 + b"}}\n", -32700),
], ids=range(22))
def test_what_is_no_request_is_refused_and_the_client_stays(daemon, data, code):
    with daemon.client() as client:
        client.send_raw(data)
        message = client.read()
        assert message["error"]["code"] == code, message
        assert message["id"] in (None, 1)
        assert usable(client)


def test_depth_32_is_taken(daemon):
    with daemon.client() as client:
        # message, params, x and 29 below them
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","params":{"x":' + b"[" * 30 + b"]" * 30 + b"}}\n")
        assert client.read()["result"]["pid"] == daemon.pid


@pytest.mark.parametrize("line, name", [
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"daemon.status"}', "id"),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","method":"daemon.stop"}', "method"),
    (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","params":{},"params":{}}', "params"),
    (b'{"jsonrpc":"2.0","id":1,"method":"run.status","params":{"run_id":"a","run_id":"b"}}', "run_id"),
    (b'{"jsonrpc":"2.0","id":1,"method":"run.status","params":{"run_id":"a","run\\u005fid":"b"}}', "run_id"),
])
def test_a_known_member_given_twice_is_named(daemon, line, name):
    with daemon.client() as client:
        client.send_raw(line + b"\n")
        error = client.read()["error"]
        assert error["code"] == -32600 and name in error["message"]


def test_unknown_members_are_ignored(daemon):
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","x":{"id":3},"x":2,"id":1,"method":"daemon.status","params":{"y":1,"y":2}}\n')
        assert client.read()["result"]["pid"] == daemon.pid


@pytest.mark.parametrize("method", ["", "daemon", "daemon.", "daemon.statu", "daemon.statuss", "Daemon.status", "rpc.x", "step.run"])
def test_unknown_methods(daemon, method):
    assert daemon.refused(method).code == -32601


@pytest.mark.parametrize("method, params, path", [
    ("run.status", None, "run_id"), ("run.status", {}, "run_id"), ("run.status", {"run_id": 7}, "run_id"),
    ("run.status", {"run_id": None}, "run_id"), ("run.cancel", {}, "run_id"), ("run.start", {}, "workflow_id"),
    ("run.start", {"workflow_id": 1}, "workflow_id"), ("run.start", {"workflow_id": "w", "inputs": []}, "inputs"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "labels": []}, "labels"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "labels": {"a": 1}}, "a"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "run_id": "no spaces"}, "run_id"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "run_id": "../x"}, "run_id"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "run_id": "x" * 65}, "run_id"),
    ("run.start", {"workflow_id": "w", "inputs": {}, "actor": "x" * 65}, "actor"),
    ("runs.list", {"limit": 0}, "limit"), ("runs.list", {"limit": 101}, "limit"), ("runs.list", {"limit": "1"}, "limit"),
    ("runs.list", {"limit": 1.5}, "limit"), ("runs.list", {"status": "no"}, "status"), ("runs.list", {"cursor": 1}, "cursor"),
    ("runs.list", {"cursor": "no cursor"}, "cursor"),
    ("workflows.show", {}, "workflow_id"), ("artifacts.list", {}, "run_id"),
    ("run.events", {"after": -1}, "after"), ("run.events", {"follow": "yes"}, "follow"), ("run.events", {"run_id": 1}, "run_id"),
    ("run.resume", {"run_id": "r"}, "decision"), ("run.resume", {"run_id": "r", "decision": "perhaps"}, "decision"),
    ("run.submit_input", {"run_id": "r"}, "answers"), ("run.submit_input", {"run_id": "r", "answers": []}, "answers"),
    ("daemon.stop", {"drain": "yes"}, "drain"), ("daemon.stop", {"timeout_s": -1}, "timeout_s"),
    ("run.status", [], ""), ("run.status", ["r"], ""),
])
def test_params_that_do_not_fit_are_named(project, daemon_of, method, params, path):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    error = daemon.refused(method, params)
    assert error.code == -32602, error.error
    if path:
        assert path in error.data["path"] and error.data["reason"], error.error


@pytest.mark.parametrize("method, params, what", [
    ("run.status", {"run_id": "r-none"}, "run"), ("run.cancel", {"run_id": "r-none"}, "run"),
    ("run.resume", {"run_id": "r-none", "decision": "deny"}, "run"),
    ("run.submit_input", {"run_id": "r-none", "answers": {}}, "run"),
    ("run.events", {"run_id": "r-none"}, "run"), ("artifacts.list", {"run_id": "r-none"}, "run"),
    ("workflows.show", {"workflow_id": "none"}, "workflow"), ("run.start", {"workflow_id": "none", "inputs": {}}, "workflow")])
def test_what_is_not_there_is_not_found(daemon, method, params, what):
    error = daemon.refused(method, params)
    assert error.code == -32005
    assert error.data["what"] == what and error.data["id"] in params.values()


@pytest.mark.parametrize("name", ["..", "../..", "a/b", "/etc", ".", "", "x" * 200, "a\x00b", "-a"])
def test_names_of_workflows_that_are_none(project, daemon_of, name):
    daemon = daemon_of(project)
    for method in ("workflows.show", "run.start"):
        assert daemon.refused(method, {"workflow_id": name, "inputs": {}}).code in (-32005, -32602)


# --- long and broken lines ------------------------------------------------------------------------------------------


def test_a_long_line_is_skipped_and_the_client_stays(daemon):
    with daemon.client() as client:
        # of exactly the limit: taken
        line = status_line("fits", b"", x="")
        line = status_line("fits", b"\n", x="y" * (MESSAGE - len(line)))
        assert len(line) == MESSAGE + 1
        client.send_raw(line)
        assert client.read()["id"] == "fits"
        client.send_raw(line[:-3] + b'y"}\n')
        error = client.read()["error"]
        assert error["code"] == -32001 and error["data"]["limit"] == MESSAGE and error["data"]["size"] > MESSAGE
        assert usable(client)


def test_a_line_of_10_mb(daemon):
    with daemon.client() as client, daemon.client() as other:
        client.send_raw(b"x" * 10_000_000 + b"\n" + status_line("after"))
        message = client.read()
        assert message["id"] is None and message["error"]["code"] == -32001
        assert message["error"]["data"]["size"] > message["error"]["data"]["limit"] == MESSAGE
        assert client.read()["id"] == "after"
        assert usable(other)


def test_bad_lines_between_good_ones(daemon):
    with daemon.client() as client:
        client.send_raw(status_line("a") + b"\x00\xff\n" + status_line("b") + b"z" * 70000 + b"\n" + b"[]\n" + status_line("c"))
        messages = [client.read() for _ in range(6)]
        assert [m["id"] for m in messages] == ["a", None, "b", None, None, "c"]
        assert [m["error"]["code"] for m in messages if "error" in m] == [-32700, -32001, -32600]


@needs(CLIENTS=32)
def test_half_a_line_and_then_the_end(daemon):
    before = daemon.fds()
    for _ in range(20):
        with daemon.client() as client:
            client.send_raw(b'{"jsonrpc":"2.0","id"')
    with daemon.client() as client:
        assert usable(client)
    wait_until(lambda: daemon.fds() <= before, "the descriptors of clients that went are closed")


def test_a_client_that_shuts_its_side_gets_its_answers(daemon):
    with daemon.client() as client:
        client.send_raw(status_line("a") + status_line("b"))
        client.socket.shutdown(socket.SHUT_WR)
        assert [json.loads(line)["id"] for line in client.closed().splitlines()] == ["a", "b"]


def test_a_client_that_never_reads_stops_nobody(project, daemon_of):
    project.workflow("w", [step("one", {"logs": {"times": 2000, "text": "x" * 200}}, value=1)])
    daemon = daemon_of(project)
    with daemon.client() as deaf, daemon.client() as other:
        deaf.call("run.events", {"follow": True})
        deaf.socket.settimeout(0.2)
        sent = 0
        try:
            for _ in range(2000):
                deaf.send_raw(status_line("x", x="y" * 500))
                sent += 1
        except TimeoutError:
            pass  # the daemon no longer reads it: back pressure
        run = daemon.run("w")
        assert run.status == "succeeded" and len(run.of("step.log")) == 2000
        assert usable(other)


# --- many clients ---------------------------------------------------------------------------------------------------


@needs(CLIENTS=32)
def test_one_client_too_many_is_told_and_closed(daemon):
    clients = [daemon.client() for _ in range(32)]
    for client in clients:
        assert usable(client)
    with daemon.client() as extra:
        lines = extra.closed().splitlines()
        assert len(lines) == 1
        message = json.loads(lines[0])
        assert message["jsonrpc"] == "2.0" and message["id"] is None
        assert message["error"]["code"] == -32009 and message["error"]["data"]["retry_after_ms"] > 0
    for client in clients:
        assert usable(client)
        client.close()

    def room():
        try:
            return daemon.call("daemon.status")
        except (Closed, OSError, AssertionError):
            return None
    assert wait_until(room, "there is room again")


def test_clients_that_come_and_go_leave_nothing(daemon):
    with daemon.client() as client:
        usable(client)
    before = daemon.fds()
    for number in range(200):
        with daemon.client() as client:
            if number % 3 == 0:
                client.send_raw(status_line())
            elif number % 3 == 1:
                usable(client)
    wait_until(lambda: daemon.fds() <= before, "all descriptors are closed")


# --- where the socket stands ----------------------------------------------------------------------------------------


def test_the_socket_is_private(project, daemon):
    path = project.file(".charter/daemon.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not project.file(".charter/daemon.addr").exists()
    daemon.stop()
    assert not path.exists()


@pytest.mark.parametrize("runtime", [True, False], ids=["XDG_RUNTIME_DIR", "tmp"])
def test_a_long_path_gets_a_short_address(places, daemon_of, runtime):
    place = places()
    project = Project(os.path.join(place, "a" * 60, "b" * 60, "p"))
    project.workflow("w", [step("one", value=1)])
    env = {"XDG_RUNTIME_DIR": ""}
    if runtime:
        env["XDG_RUNTIME_DIR"] = os.path.join(place, "run")
        os.mkdir(env["XDG_RUNTIME_DIR"], 0o700)
    daemon = daemon_of(project, env=env)
    address = project.file(".charter/daemon.addr").read_text().strip()
    assert len(address) < 104 and stat.S_ISSOCK(os.stat(address).st_mode)
    assert stat.S_IMODE(os.stat(address).st_mode) == 0o600
    parent = os.path.dirname(address)
    assert parent.startswith(env["XDG_RUNTIME_DIR"] if runtime else f"/tmp/charter-{os.getuid()}")
    assert stat.S_IMODE(os.stat(parent).st_mode) == 0o700
    assert daemon.run("w").status == "succeeded"
    daemon.kill()
    daemon = daemon_of(project, env=env)
    assert daemon.run("w").status == "succeeded"
    address = project.file(".charter/daemon.addr").read_text().strip()
    assert daemon.stop() == 0
    assert not os.path.exists(address)


# --- workflows, lists -----------------------------------------------------------------------------------------------


def test_workflows_are_listed_and_shown(project, daemon_of):
    daemon = daemon_of(project)
    assert daemon.call("workflows.list") == {"workflows": []}
    project.workflow("b", [step("one", value=1)], inputs={"n": {"type": "integer", "default": 7}})
    project.workflow("a", [step("one", value=1), step("two", value=2)])
    assert sorted((w["id"], w["name"]) for w in daemon.call("workflows.list")["workflows"]) == [("a", "The a"), ("b", "The b")]
    shown = daemon.call("workflows.show", {"workflow_id": "b"})
    assert shown["manifest"]["inputs"]["n"]["default"] == 7 and shown["manifest"]["id"] == "b"
    assert [s["id"] for s in shown["plan"]["steps"]] == ["one"]


def test_runs_are_listed_newest_first_in_pages(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    project.workflow("bad", [step("one", {"exit": 1})])
    daemon = daemon_of(project)
    ids = [daemon.run("w", labels={"number": str(number)}).id for number in range(5)]
    ids.append(daemon.run("bad").id)
    ids.reverse()
    page = daemon.call("runs.list")
    assert [run["run_id"] for run in page["runs"]] == ids and page["next_cursor"] is None
    for run in page["runs"]:
        assert "steps" not in run and "outputs" not in run
        assert {"run_id", "workflow_id", "status", "labels", "created_at", "started_at", "ended_at"} <= set(run)
    assert page["runs"][1]["labels"] == {"number": "4"}
    # pages; a run that comes meanwhile disturbs nothing
    seen, cursor = [], None
    for _ in range(10):
        page = daemon.call("runs.list", {"limit": 2, "cursor": cursor} if cursor else {"limit": 2})
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if len(seen) == 2:
            newest = daemon.run("w").id
        if cursor is None:
            break
    assert seen == ids
    assert [run["run_id"] for run in daemon.call("runs.list", {"status": "failed"})["runs"]] == [ids[0]]
    assert [run["run_id"] for run in daemon.call("runs.list", {"status": "succeeded", "limit": 1})["runs"]] == [newest]
    assert daemon.call("runs.list", {"status": "running"})["runs"] == []


@needs(RUNS_WAITING=64)
def test_a_list_of_large_rows_has_fewer_rows(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    labels = {f"{number:02}" + "k" * 62: "v" * 256 for number in range(16)}
    ids = [daemon.run("w", labels=labels).id for _ in range(20)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = daemon.call("runs.list", {"limit": 100, "cursor": cursor} if cursor else {"limit": 100})
        seen += [run["run_id"] for run in page["runs"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert seen == ids[::-1] and pages > 1


def test_a_run_that_has_ended_takes_no_decision(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    run = daemon.run("w")
    for method, params in (("run.resume", {"decision": "approve"}), ("run.submit_input", {"answers": {}})):
        error = daemon.refused(method, {"run_id": run.id, **params})
        assert error.code == -32011 and error.data["status"] == "succeeded"


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_after_follow_and_end(project, daemon_of):
    project.workflow("w", [step("one", {"log": {"level": "info", "message": "hello"}}, value=1)])
    daemon = daemon_of(project)
    first, second = daemon.run("w"), daemon.run("w")
    with daemon.client() as client:
        events, last = client.events()
    check_stream(events)
    assert last == events[-1]["seq"] and events[0]["type"] == "daemon.started"
    with daemon.client() as client:
        some, end = client.events(after=last - 3)
    assert some == events[-3:] and end == last
    with daemon.client() as client:
        none, end = client.events(after=last)
    assert none == [] and end == last
    with daemon.client() as client:
        of_first, _ = client.events(first.id)
    assert of_first == first.events == [e for e in events if e.get("run_id") == first.id]
    with daemon.client() as client:
        part, _ = client.events(second.id, after=second.events[2]["seq"])
    assert part == second.events[3:]
    # following a run that has ended ends at its ending
    with daemon.client() as client:
        again, end = client.events(first.id, follow=True)
    assert again == first.events and end == first.events[-1]["seq"]


def test_followers_see_the_same_and_requests_go_on(project, daemon_of):
    project.workflow("w", [step("one", {"wait": "go"}, {"log": {"level": "info", "message": "one"}}, value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    with daemon.client() as a, daemon.client() as b, daemon.client() as all_:
        assert all_.call("run.events", {"follow": True}) == {}
        for client in (a, b):
            assert client.call("run.events", {"run_id": run_id, "follow": True}) == {}
        assert a.call("run.status", {"run_id": run_id})["status"] in ("running", "queued")
        project.touch("go")
        streams = []
        for client in (a, b):
            events = []
            while True:
                message = client.notifications.pop(0) if client.notifications else client.read()
                if message["method"] == "events.end":
                    assert message["params"]["last"] == events[-1]["seq"]
                    break
                events.append(message["params"]["event"])
            streams.append(events)
        assert streams[0] == streams[1] and streams[0][-1]["type"] == "run.succeeded"
        assert usable(a)
        # another subscription may follow the one that ended
        assert a.events(run_id)[0] == streams[0]
        seen = []
        while not seen or seen[-1]["type"] != "run.succeeded":
            seen.append(all_.next_event())
        check_stream(seen)
        assert [e for e in seen if e.get("run_id") == run_id] == streams[0]


def test_one_subscription_at_a_time(daemon):
    with daemon.client() as client:
        client.call("run.events", {"follow": True})
        with pytest.raises(RpcError) as refused:
            client.call("run.events", {})
        assert refused.value.code == -32011
        assert usable(client)


def test_a_subscriber_that_goes_leaves_nothing(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    daemon.run("w")
    before = daemon.fds()
    for _ in range(30):
        with daemon.client() as client:
            client.call("run.events", {"follow": True})
    daemon.run("w")
    wait_until(lambda: daemon.fds() <= before, "no descriptor is left")


# --- stopping -------------------------------------------------------------------------------------------------------


def test_stop_answers_and_stops(project, daemon):
    assert daemon.call("daemon.stop") == {}
    assert daemon.wait() == 0
    assert not project.file(".charter/daemon.sock").exists()


def test_stop_with_drain_waits_for_steps_and_takes_no_runs(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun"}, {"wait": "go"}, value=1), step("two", {"touch": "two"}, value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    with daemon.client() as client:
        assert client.call("daemon.stop", {"drain": True}) == {}
        with pytest.raises(RpcError) as refused:
            client.call("run.start", {"workflow_id": "w", "inputs": {}})
        assert refused.value.code == -32002
        assert client.call("run.status", {"run_id": run_id})["status"] == "running"
    assert daemon.process.poll() is None
    project.touch("go")
    assert daemon.wait() == 0
    # the step that executed was let end; the run goes on at the next start
    daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and not run.of("step.interrupted")
    assert len(run.of("step.completed", "one")) == 1


def test_a_drain_has_its_time(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun"}, {"once": {"file": "first", "do": [{"await_cancel": "cancel"}]}}, value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    begun = time.monotonic()
    assert daemon.call("daemon.stop", {"drain": True, "timeout_s": 1}) == {}
    assert daemon.wait() == 0
    if PLAIN:
        assert 0.9 < time.monotonic() - begun < 8
    daemon = daemon_of(project)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and len(run.of("step.interrupted")) == 1
