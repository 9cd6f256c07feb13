"""The daemon's gateway link (contract section 6) against a gateway that shares no code with it (peers/gateway.py)."""

import contextlib
import datetime
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import CONFIGURATION, LOG_LEVEL, built, needs  # noqa: E402
from peers.gateway import Gateway, Lost, RpcError  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
DAEMON = BUILD / "charter-daemon"

pytestmark = pytest.mark.skipif(not DAEMON.exists(), reason="charter-daemon is not built")

# Upper bounds of times are for machines that do nothing else; checkers of memory take their time.
PATIENCE = 2 if os.environ.get("TEST_VARIANT", "plain") == "plain" else 10

INTEGRATION = '''#!/usr/bin/python3
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = {"ok": True}
    if request["method"] == "execute":
        config = request["params"]["step"]["with_config"]
        for number in range(config.get("logs", 0)):
            print(json.dumps({"jsonrpc": "2.0", "method": "log",
                              "params": {"level": "info", "message": f"{number} " + "x" * config.get("size", 10)}}))
        sys.stdout.flush()
        time.sleep(config.get("sleep_s", 0))
        result = {"value": {"text": config.get("text"), "pad": "y" * config.get("pad", 0)}}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
'''

MANIFEST = """{"id": "work", "name": "Work", "inputs": {
    "text": {"type": "string", "required": true, "max_length": 50},
    "logs": {"type": "integer", "default": 0},
    "size": {"type": "integer", "default": 10},
    "pad": {"type": "integer", "default": 0},
    "sleep_s": {"type": "number", "default": 0}}}
"""

PLAN = """{"steps": [
    {"id": "one", "uses": "worker", "with": {"text": "${{ inputs.text }}", "logs": "${{ inputs.logs }}",
        "size": "${{ inputs.size }}", "pad": "${{ inputs.pad }}", "sleep_s": "${{ inputs.sleep_s }}"}},
    {"id": "two", "uses": "worker", "with": {"text": "${{ outputs.one.text }} again"}}],
  "outputs": {"said": "${{ outputs.two.text }}"}}
"""


class Process:
    """A running charter-daemon and a client of its control socket."""

    def __init__(self, project, *args):
        self.project = project
        self.log = project / "daemon.log"
        self.ids = 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([DAEMON, "start", "--project-path", project, "--log-level", LOG_LEVEL, *args],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.wait(self.answers, "the control socket answers")

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("daemon.status")
        except (OSError, EOFError):
            return None

    def wait(self, condition, what, timeout=30):
        timeout *= PATIENCE / 2
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"not within {timeout} s: {what}\n{self.log.read_text()[-4000:]}"
            time.sleep(0.02)

    def call(self, method, params=None):
        self.ids += 1
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(30)
            client.connect(str(self.project / ".charter" / "daemon.sock"))
            client.sendall(json.dumps({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params or {}}).encode() + b"\n")
            answer = json.loads(client.makefile("rb").readline() or "null")
        if answer is None:
            raise EOFError
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def link(self):
        return self.call("daemon.status")["gateway"]

    def wait_link(self, state, timeout=30):
        return self.wait(lambda: (lambda link: link if link["state"] == state else None)(self.link()), f"the link is {state}", timeout)

    def start_run(self, **inputs):
        inputs.setdefault("text", "hello")
        return self.call("run.start", {"workflow_id": "work", "inputs": inputs})["run_id"]

    def ended(self, run_id):
        run = self.call("run.status", {"run_id": run_id})
        return run if run["status"] in ("succeeded", "failed", "cancelled", "denied") else None

    def wait_run(self, run_id, timeout=60):
        return self.wait(lambda: self.ended(run_id), f"{run_id} ends", timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture
def project(tmp_path):
    (tmp_path / "workflows" / "work").mkdir(parents=True)
    (tmp_path / "worker.py").write_text(INTEGRATION)
    (tmp_path / "worker.py").chmod(0o755)
    (tmp_path / "charter.yml").write_text('{"project": "e2e", "integrations": {"worker": {"command": ["./worker.py"]}}}\n')
    (tmp_path / "workflows" / "work" / "manifest.yml").write_text(MANIFEST)
    (tmp_path / "workflows" / "work" / "plan.yml").write_text(PLAN)
    return tmp_path


@pytest.fixture
def start(project):
    """Starts daemons; all are stopped at the end, and must end well."""
    started = []

    def run(*args):
        daemon = Process(project, *map(str, args))
        started.append(daemon)
        return daemon
    yield run
    codes = [daemon.stop() for daemon in started]
    assert all(code == 0 for code in codes), (codes, started[-1].log.read_text()[-4000:])


@pytest.fixture
def gateway():
    with Gateway() as one:
        yield one


INPUTS = {"workflow_id": "work", "inputs": {"text": "hello"}}


# --- hello, events, commands -----------------------------------------------------------------------


FEATURES = {
    "link": "LINK", "tls": "TLS", "tls-1.2": "TLS_1_2", "tls-rsa": "TLS_RSA", "tls-chacha20": "TLS_CHACHA20", "tls-ca": "TLS_CA", "tls-crl": "TLS_CRL",
    "tls-client-cert": "TLS_CLIENT_CERT", "tls-resume": "TLS_RESUME", "yaml": "YAML", "chain": "JOURNAL_CHAIN", "python": "PYTHON_BRIDGE",
    "landlock": "LANDLOCK", "describe": "DESCRIBE", "patterns": "PATTERN", "user-names": "USER_NAMES", "resolve": "RESOLVE", "proxy": "PROXY",
    "salvage": "SALVAGE", "notify": "NOTIFY", "metrics": "METRICS", "log-debug": "LOG_DEBUG", "log-info": "LOG_INFO", "log-warning": "LOG_WARNING",
}


def test_hello_comes_first_and_says_who_speaks(gateway, start):
    start("--gateway", gateway.url)
    hello = gateway.wait_connected().hello
    assert hello["project"] == "e2e" and hello["reason"] == "start" and hello["command_seen"] == 0
    assert hello["daemon"]["epoch"] == 1
    assert hello["daemon"]["features"] == [name for name, symbol in FEATURES.items() if built(symbol)]
    assert hello["limits"] == {"message_bytes": CONFIGURATION.get("MESSAGE_BYTES", 65536), "runs": CONFIGURATION.get("RUNS_IN_FLIGHT", 32)}
    assert gateway.wait_event("daemon.started")["seq"] == 1


def test_a_local_run_arrives_event_by_event(gateway, start):
    daemon = start("--gateway", gateway.url)
    run_id = daemon.start_run(logs=20)
    gateway.wait_ended(run_id)
    events = gateway.events(run_id=run_id)
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events if event["type"] != "step.log"]
    assert kinds == ["run.created", "run.started", "step.started", "step.completed", "step.started", "step.completed", "run.succeeded"]
    assert events[0]["data"]["channel"] == "local" and events[0]["data"]["by"] == f"uid:{os.getuid()}"
    assert events[-1]["data"]["outputs"] == {"said": "hello again"}
    assert len(gateway.events("step.log", run_id)) == 20
    assert daemon.wait(lambda: daemon.link()["acked_seq"] == gateway.daemon.acked, "acks are told")


def test_the_gateway_starts_a_run(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    run = gateway.command("run.start", dict(INPUTS, labels={"a": "b"}), key="k1")
    assert run["workflow_id"] == "work" and run["labels"] == {"a": "b"}
    gateway.wait_ended(run["run_id"])
    created = gateway.events("run.created", run["run_id"])[0]["data"]
    assert created["channel"] == "gateway" and created["by"] == "test-gateway"
    # the same key is the same run, whatever seq it has
    again = gateway.command("run.start", dict(INPUTS, labels={"a": "b"}), key="k1")
    assert again["run_id"] == run["run_id"] and again["status"] == "succeeded"
    with pytest.raises(RpcError) as refused:
        gateway.command("run.start", {"workflow_id": "work", "inputs": {"text": "other"}}, key="k1")
    assert refused.value.code == -32013
    assert len(gateway.events("run.created")) == 1
    assert gateway.request("run.status", {"run_id": run["run_id"]})["status"] == "succeeded"
    assert [one["run_id"] for one in gateway.request("runs.list")["runs"]] == [run["run_id"]]
    assert daemon.link()["state"] == "connected"


def refused(call):
    with pytest.raises(RpcError) as caught:
        call()
    return caught.value


def test_wrong_requests_get_the_right_errors(gateway, start):
    start("--gateway", gateway.url)
    gateway.wait_connected()
    error = refused(lambda: gateway.command("run.start", {"workflow_id": "work", "inputs": {"text": 7}}))
    assert error.code == -32006 and "text" in error.data["path"]
    error = refused(lambda: gateway.command("run.start", {"workflow_id": "nope", "inputs": {}}))
    assert error.code == -32005
    assert refused(lambda: gateway.request("run.start", INPUTS)).code == -32602          # no command
    assert refused(lambda: gateway.request("daemon.stop")).code == -32601                # local only
    assert refused(lambda: gateway.request("nobody.knows")).code == -32601
    assert refused(lambda: gateway.request("run.status", {"run_id": 7})).code == -32602
    # no JSON, no object, no request: answered, and the session goes on
    before = len(gateway.connected().messages)
    for bad in ("{", "[]", '{"jsonrpc":"2.0","id":1}', "nul\\u0000"):
        gateway.send_raw(bad)
    answers = gateway.wait(lambda: [m for m in gateway.connected().messages[before:] if "error" in m][3:] and
                           gateway.connected().messages[before:])
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32700, -32600, -32600, -32700]
    assert gateway.request("daemon.status")["gateway"]["state"] == "connected"
    gateway.violations.clear()


def test_many_requests_at_once_are_all_answered(gateway, start):
    start("--gateway", gateway.url)
    connection = gateway.wait_connected()
    before = len(connection.messages)
    for number in range(300):
        gateway.send_raw(json.dumps({"jsonrpc": "2.0", "id": f"many-{number}", "method": "daemon.status"}))
    answers = gateway.wait(lambda: [m for m in connection.messages[before:] if str(m.get("id")).startswith("many-")][299:]
                           and [m["id"] for m in connection.messages[before:] if "result" in m])
    assert answers == [f"many-{number}" for number in range(300)]
    gateway.violations.clear()


# --- losses ------------------------------------------------------------------------------------------


@needs(RUNS_WAITING=64)
def test_runs_go_on_while_the_gateway_is_away(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    runs = [daemon.start_run(text=f"run {number}", logs=5, sleep_s=0.2) for number in range(10)]
    gateway.stop(drop=True)
    runs += [daemon.start_run(text=f"run {number}", logs=5) for number in range(10, 20)]
    for run_id in runs:
        assert daemon.wait_run(run_id)["status"] == "succeeded"
    assert daemon.link()["state"] != "connected"
    gateway.start()
    for run_id in runs:
        gateway.wait_ended(run_id, 60)
    gateway.wait(lambda: gateway.daemon.acked == max(gateway.daemon.events))
    assert sorted(gateway.daemon.events) == list(range(1, gateway.daemon.acked + 1))
    for run_id in runs:
        numbers = [event["n"] for event in gateway.events(run_id=run_id)]
        assert numbers == list(range(1, len(numbers) + 1))
    daemon.wait(lambda: daemon.link()["reconnects"] == 1, "the answer to hello is taken")


def test_what_was_not_acknowledged_comes_again(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.wait_event("daemon.started")
    gateway.wait(lambda: daemon.link()["acked_seq"] == gateway.daemon.acked)
    gateway.on_append = lambda connection, events: True  # taken off the wire, lost before it was stored
    run_id = daemon.start_run(logs=10)
    daemon.wait_run(run_id)
    assert not gateway.events(run_id=run_id)
    gateway.on_append = None
    gateway.drop()
    gateway.wait_ended(run_id)
    assert gateway.connected().hello["reason"] == "reconnect"


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
def test_many_losses_during_traffic_lose_nothing(gateway, start, reset):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    runs = []
    for number in range(3):
        connection = gateway.wait_connected(timeout=60)
        runs += [daemon.start_run(text=f"{number}", logs=200, size=500) for _ in range(2)]
        gateway.wait(lambda: gateway.events("step.log", runs[-1]))
        gateway.drop(reset)
        assert connection.closed_at is not None
    for run_id in runs:
        gateway.wait_ended(run_id, 60)
        assert len(gateway.events("step.log", run_id)) == 200
    assert sorted(gateway.daemon.events) == list(range(1, max(gateway.daemon.events) + 1))


def test_a_second_start_goes_on_where_the_first_ended(gateway, start):
    daemon = start("--gateway", gateway.url)
    run_id = daemon.start_run()
    gateway.wait_ended(run_id)
    assert daemon.stop() == 0
    gateway.wait(lambda: gateway.connections[-1].close_code == 1001, what="the close frame is read")
    assert gateway.events("daemon.stopped"), "the last words arrive before the connection is closed"
    start("--gateway", gateway.url)
    hello = gateway.wait_connected(after=1).hello
    assert hello["daemon"]["epoch"] == 2 and hello["reason"] == "start"
    gateway.wait(lambda: len(gateway.events("daemon.started")) == 2)


def test_a_ceiling_holds_events_back(gateway, start):
    gateway.limit = 3
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    run_id = daemon.start_run(logs=10)
    daemon.wait_run(run_id)
    gateway.wait(lambda: gateway.daemon.acked == 3)
    assert daemon.link()["acked_seq"] <= 3
    gateway.set_limit(8)
    gateway.wait(lambda: gateway.daemon.acked == 8)
    gateway.set_limit(None)
    gateway.wait_ended(run_id)


@needs(MESSAGE_BYTES=65536)
def test_an_event_too_large_for_the_gateway_has_a_stand_in(start, project):
    with Gateway(message_bytes=8192) as gateway:
        daemon = start("--gateway", gateway.url)
        gateway.wait_connected()
        run_id = daemon.start_run(pad=12000)
        gateway.wait_ended(run_id)
        (stand_in,) = gateway.events("events.oversize", run_id)
        assert stand_in["data"]["type"] == "step.completed" and stand_in["data"]["bytes"] > 12000


def test_1009_makes_batches_smaller(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.stop(drop=True)
    run_id = daemon.start_run(logs=100, size=1000)
    daemon.wait_run(run_id)
    taken = []

    def refuse_large(connection, events):
        taken.append(len(events))
        if len(events) > 10:
            asyncio_close(gateway, connection, 1009)
            return True
        return False
    gateway.on_append = refuse_large
    gateway.start()
    gateway.wait_ended(run_id, 120)
    assert len(gateway.events("step.log", run_id)) == 100 and not gateway.events("events.oversize")
    assert max(taken) > 10


def test_1009_halves_what_was_said_down_to_single_events(gateway, start):
    """Also where a batch is far below what a message may be."""
    refused = []

    def one_at_a_time(connection, events):
        if len(events) > 1:
            refused.append(len(json.dumps(events)))
            asyncio_close(gateway, connection, 1009)
        return len(events) > 1
    daemon = start("--gateway", gateway.url, "--reconnect-ms", "10,50")
    gateway.wait_connected()
    gateway.stop(drop=True)
    run_id = daemon.start_run(logs=4)
    daemon.wait_run(run_id)
    gateway.on_append = one_at_a_time
    gateway.start()
    gateway.wait_ended(run_id)
    assert not gateway.events("events.oversize")
    assert max(refused) < 8192 and len(refused) <= 6 and all(b < a * 0.6 for a, b in zip(refused, refused[1:])), refused


def asyncio_close(gateway, connection, code):
    """From inside the gateway's own thread."""
    import asyncio
    asyncio.ensure_future(connection.socket.close(code), loop=gateway._loop)


# --- the streams have parted ----------------------------------------------------------------------------


def test_a_gateway_that_knows_more_than_was_said_makes_it_fork(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    run_id = daemon.start_run()
    gateway.wait_ended(run_id)
    old = gateway.daemon.id
    gateway.hello_patch_once = {"events": {"acked": 10_000, "acked_time": None}}
    gateway.drop()
    gateway.wait(lambda: len(gateway.daemons) == 2 and gateway.connected(), 60, "a new daemon id")
    new = next(daemon for daemon in gateway.daemons.values() if daemon.id != old)
    assert new.hellos[-1]["reason"] == "forked"
    assert new.hellos[-1]["daemon"]["previous_id"] == old
    gateway.wait(lambda: [event for event in new.stream() if event["type"] == "daemon.started" and event["data"].get("reason") == "forked"])
    assert [event["type"] for event in new.stream() if event.get("run_id") == run_id][-1] == "run.succeeded"
    # the new id is kept
    daemon.stop()
    start("--gateway", gateway.url)
    gateway.wait(lambda: gateway.connected() and gateway.connected().hello["daemon"]["epoch"] == 2)
    assert gateway.connected().hello["daemon"]["id"] == new.id


def test_an_event_with_another_time_makes_it_fork(gateway, start):
    start("--gateway", gateway.url)
    gateway.wait_event("daemon.started")
    old = gateway.daemon.id
    gateway.daemon.events[1]["time"] = "2001-01-01T00:00:00.000Z"
    gateway.daemon.acked = 1
    gateway.drop()
    gateway.wait(lambda: len(gateway.daemons) == 2, 60)
    assert gateway.connections[-1].hello["daemon"]["previous_id"] == old
    gateway.violations.clear()


# --- ways to be sent away ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4426])
def test_close_codes_of_the_slowest_pace(gateway, start, code):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.close(code, "not like this")
    link = daemon.wait_link("waiting")
    assert 140 <= link["next_try_s"] <= 300
    assert str(code) in link["last_error"] and "not like this" in link["last_error"]
    assert daemon.wait_run(daemon.start_run())["status"] == "succeeded"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 3999])
def test_close_codes_of_the_usual_pace(gateway, start, code):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.close(code)
    gateway.wait_connected(after=1)
    daemon.wait(lambda: daemon.link()["reconnects"] == 1, "the answer to hello is taken")


@pytest.mark.parametrize("code, state", [(4409, "superseded"), (4410, "retired")])
def test_final_close_codes_end_all_dialling(gateway, start, code, state):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.close(code, "go")
    link = daemon.wait_link(state)
    assert link["next_try_s"] is None and str(code) in link["last_error"]
    dials = len(gateway.dials)
    time.sleep(1.5)  # the first window of the usual pace would have passed
    assert len(gateway.dials) == dials
    if state == "superseded":
        error = refused(daemon.start_run)
        assert error.code == -32002 and "another daemon has taken over" in error.message
    else:
        daemon.wait_run(daemon.start_run())


@pytest.mark.parametrize("status, seconds", [(403, (140, 300)), (404, (0, 1)), (429, (0, 1)), (500, (0, 1)),
                                             (502, (0, 1)), (303, (0, 1))])
def test_refusals_of_the_upgrade(gateway, start, status, seconds):
    gateway.refuse(status, [("Location", "http://127.0.0.1:1/")], b"the first line\nthe second\n")
    daemon = start("--gateway", gateway.url)
    link = daemon.wait(lambda: (lambda link: link if link["last_error"] else None)(daemon.link()), "an error")
    assert f"HTTP {status}" in link["last_error"] and link["last_error"].endswith("the first line")
    if seconds[0] > 100:
        assert seconds[0] <= daemon.wait_link("waiting")["next_try_s"] <= seconds[1]
    else:
        gateway.accept()
        gateway.wait_connected()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y", "seconds"])
def test_retry_after_in_all_its_forms(gateway, start, status, form):
    at = time.gmtime(time.time() + 100)
    gateway.refuse(status, [("Retry-After", "100" if form == "seconds" else time.strftime(form, at))], b"later\n")
    daemon = start("--gateway", gateway.url)
    link = daemon.wait_link("waiting")
    assert 80 <= link["next_try_s"] <= 104, "the wait that was asked for, and the window behind it"
    assert f"HTTP {status}" in link["last_error"] and "later" in link["last_error"]


@pytest.mark.parametrize("value", ["86400", "99999999999999999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_retry_after_is_at_most_an_hour(gateway, start, value):
    gateway.refuse(503, [("Retry-After", value)])
    daemon = start("--gateway", gateway.url)
    assert 3590 <= daemon.wait_link("waiting")["next_try_s"] <= 3604


@pytest.mark.parametrize("value", ["soon", "-5", "Fri, 01 Jan 2001 00:00:00 GMT", "1.5", ""])
def test_a_retry_after_that_says_nothing_changes_nothing(gateway, start, value):
    gateway.refuse(503, [("Retry-After", value)])
    daemon = start("--gateway", gateway.url)
    assert daemon.wait_link("waiting")["next_try_s"] <= 8
    gateway.accept()
    gateway.wait_connected()


def test_a_token_refused_by_a_close_is_read_again(start, project):
    token = project / "token"
    token.write_text("one\n")
    with Gateway() as gateway:
        daemon = start("--gateway", gateway.url, "--token-file", token)
        gateway.wait_connected()
        assert gateway.dials[0][2]["Authorization"] == "Bearer one"
        gateway.close(4401, "expired")
        assert daemon.wait_link("waiting")["next_try_s"] > 100
        token.write_text("two\n")
        gateway.wait_connected(after=1)
        assert gateway.dials[-1][2]["Authorization"] == "Bearer two"
        # and at every dial: a token that was changed meanwhile is the one that is sent
        token.write_text("three\n")
        gateway.drop()
        gateway.wait_connected(after=2)
        assert gateway.dials[-1][2]["Authorization"] == "Bearer three"


@pytest.mark.parametrize("status, wait_s", [(403, (140, 300)), (401, (140, 300))])
def test_403_and_401_without_a_token_file(gateway, start, status, wait_s):
    gateway.refuse(status)
    daemon = start("--gateway", gateway.url)
    assert wait_s[0] <= daemon.wait_link("waiting")["next_try_s"] <= wait_s[1]
    time.sleep(2.5)  # a look at the file that is not there
    assert len(gateway.dials) == 1 and daemon.link()["state"] == "waiting"


def test_410_retires(gateway, start):
    gateway.refuse(410)
    daemon = start("--gateway", gateway.url)
    daemon.wait_link("retired")


def test_retry_after_is_a_minimum(gateway, start):
    gateway.refuse(503, [("Retry-After", "2")], b"busy\n")
    start("--gateway", gateway.url)
    gateway.wait(lambda: gateway.dials)
    gateway.accept()
    gateway.wait_connected()
    assert 2 <= gateway.dials[1][0] - gateway.dials[0][0] < 5 * PATIENCE


def test_a_gateway_that_calls_itself_by_our_token_is_not_quoted(start, project):
    (project / "token").write_text("t0kenof16letters\n")
    with Gateway(name="hello t0kenof16letters!", token="t0kenof16letters") as gateway:
        daemon = start("--gateway", gateway.url, "--token-file", project / "token")
        gateway.wait_connected()
        run = gateway.command("run.start", INPUTS)
        gateway.wait_ended(run["run_id"])
        assert gateway.events("run.created", run["run_id"])[0]["data"]["by"] == "hello ***!"
        assert "t0kenof16letters" not in daemon.log.read_text() and "hello ***!" in daemon.log.read_text()
        for segment in (project / ".charter" / "journal").iterdir():
            assert b"t0kenof16letters" not in segment.read_bytes()


def test_a_refused_token_is_read_again(start, project):
    token = project / "token"
    token.write_text("wrong\n")
    with Gateway(token="right") as gateway:
        daemon = start("--gateway", gateway.url, "--token-file", token)
        link = daemon.wait_link("waiting")
        assert "401" in link["last_error"] and link["next_try_s"] > 100
        token.write_text("right\n")
        gateway.wait_connected(20)
    assert "right" not in daemon.log.read_text().replace("wrong", "") and "Bearer" not in daemon.log.read_text()


@pytest.mark.parametrize("headers, words", [
    ({"Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "Sec-WebSocket-Accept"),
    ({"Sec-WebSocket-Protocol": None}, "charter.v1"),
    ({"Sec-WebSocket-Protocol": "charter.v2"}, "charter.v1"),
    ({"Sec-WebSocket-Extensions": "permessage-deflate"}, "extension"),
    ({"Upgrade": "h2c"}, "Upgrade"),
    ({"Connection": "close"}, "Connection"),
], ids=["accept", "no-protocol", "protocol", "extension", "upgrade", "connection"])
def test_a_wrong_answer_to_the_upgrade_is_refused(gateway, start, headers, words):
    gateway.upgrade_headers = headers
    daemon = start("--gateway", gateway.url)
    link = daemon.wait(lambda: (lambda link: link if link["last_error"] else None)(daemon.link()), "an error")
    assert words in link["last_error"]
    gateway.upgrade_headers = {}
    gateway.wait_connected()


@pytest.mark.parametrize("error, words", [({"code": -32003, "message": "too old"}, "too old"),
                                          ({"code": -32004, "message": "who?"}, "who?"),
                                          ({"code": -32602, "message": "no"}, "-32602")])
def test_an_error_to_hello_means_the_slowest_pace(gateway, start, error, words):
    gateway.hello_error = error
    daemon = start("--gateway", gateway.url)
    daemon.wait(lambda: words in (daemon.link()["last_error"] or ""), "the reason")
    assert daemon.wait_link("waiting")["next_try_s"] > 100


def frame(first, payload=b"", length=None, mask=None):
    size = len(payload) if length is None else length
    head = bytes([first])
    flag = 0x80 if mask else 0
    head += bytes([flag | size]) if size < 126 else bytes([flag | 126]) + size.to_bytes(2, "big") if size < 65536 \
        else bytes([flag | 127]) + size.to_bytes(8, "big")
    return head + (mask or b"") + payload


@pytest.mark.parametrize("data, code", [
    (frame(0x82, b"binary"), 1003),
    (frame(0xC1, b"x"), 1002),
    (frame(0x83, b"x"), 1002),
    (frame(0x8F), 1002),
    (frame(0x81, b"xxxx", mask=b"abcd"), 1002),
    (frame(0x80, b"x"), 1002),
    (frame(0x01, b"x") + frame(0x81, b"y"), 1002),
    (frame(0x09), 1002),
    (frame(0x89, b"x" * 126), 1002),
    (b"\x81\x7e\x00\x05hello", 1002),
    (frame(0x88, b"\x00"), 1002),
    (frame(0x88, b"\x03\xed"), 1002),
    (frame(0x81, b"\xff"), 1007),
    (frame(0x01, b"\xc3") + frame(0x80, b"("), 1007),
    (frame(0x88, b"\x03\xe8\xff"), 1007),
    (frame(0x81, length=65537), 1009),
    (frame(0x81, length=1 << 40), 1009),
])
def test_broken_frames_close_with_the_right_code(gateway, start, data, code):
    daemon = start("--gateway", gateway.url)
    connection = gateway.wait_connected()
    gateway.send_bytes(data)
    gateway.wait(lambda: connection.closed_at is not None, 10)
    assert connection.close_code == code
    link = daemon.wait_link("waiting") if code == 1003 else gateway.wait_connected(after=1) and daemon.link()
    assert link["last_error"]


def test_fragments_and_pings_in_between_are_taken(gateway, start):
    start("--gateway", gateway.url)
    connection = gateway.wait_connected()
    text = json.dumps({"jsonrpc": "2.0", "id": "frag", "method": "daemon.status", "x": "gr\u00fc\u00df"}, ensure_ascii=False).encode()
    data = frame(0x01, text[:1])
    for at in range(1, len(text)):
        data += frame(0x89, b"p") + frame(0x00, text[at:at + 1])
    gateway.send_bytes(data + frame(0x80))
    gateway.wait(lambda: [m for m in connection.messages if m.get("id") == "frag"])
    gateway.violations.clear()


# --- figures --------------------------------------------------------------------------------------------------


@needs("METRICS")
def test_the_status_tells_figures(gateway, start):
    ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    daemon.wait_link("connected")
    daemon.wait(lambda: daemon.link()["messages_in"] >= 2, "hello's answer, events.ack")
    link = daemon.link()
    assert gateway.connected().socket.pings_in == 0, "pings are for silence: hello is the first measure"
    assert isinstance(link["rtt_ms"], float) and 0 < link["rtt_ms"] < 5000
    assert abs(link["clock_offset_ms"]) < 1000 * PATIENCE, "one machine, one clock"
    assert link["connection"]["messages_out"] == link["messages_out"] >= 2, "hello, events.append"
    assert link["connection"]["messages_in"] == link["messages_in"]
    assert link["bytes_out"] > 500 and link["bytes_in"] > 200
    before = daemon.link()
    for _ in range(3):
        gateway.request("daemon.status")
    after = daemon.link()
    assert after["messages_in"] - before["messages_in"] == 3 == after["messages_out"] - before["messages_out"]
    assert after["bytes_out"] - before["bytes_out"] > 3 * 500
    gateway.hello_patch = {"clock": {"time": ahead.strftime("%Y-%m-%dT%H:%M:%S.000Z")}}
    gateway.drop()
    gateway.wait_connected(after=1)
    link = daemon.wait_link("connected")
    assert 3_500_000 < link["clock_offset_ms"] < 3_700_000
    assert link["messages_in"] > link["connection"]["messages_in"], "the total holds both connections"
    if (BUILD / "charter").exists():
        shown = subprocess.run([BUILD / "charter", "daemon", "status"], cwd=daemon.project, capture_output=True, text=True, timeout=30)
        assert "s ahead of ours" in shown.stdout and " messages, " in shown.stdout and "round trip" in shown.stdout, shown
    gateway.stop(drop=True)
    daemon.wait(lambda: daemon.link()["connection"] is None, "no connection, no figures of it")
    assert daemon.link()["bytes_in"] >= link["bytes_in"]


@needs("METRICS")
def test_the_round_trip_is_that_of_the_last_ping(start):
    with Gateway(heartbeat_s=1) as gateway:
        daemon = start("--gateway", gateway.url)
        gateway.wait_connected()
        of_hello = daemon.wait_link("connected")["rtt_ms"]
        gateway.wait(lambda: gateway.connected().socket.pings_in >= 2)
        daemon.wait(lambda: daemon.link()["rtt_ms"] != of_hello, "the pong was taken for a measure")
        assert 0 < daemon.link()["rtt_ms"] < 1000 * PATIENCE
        # a pong that nobody asked for measures nothing
        before = daemon.link()["rtt_ms"]
        gateway.send_bytes(frame(0x8A, b"charter") * 5)
        gateway.request("daemon.status")
        assert daemon.link()["rtt_ms"] == before or gateway.connected().socket.pings_in > 2


@needs("METRICS")
@pytest.mark.parametrize("clock", [None, 7, {}, {"time": "noon"}, {"time": 12}, []])
def test_a_gateway_without_a_clock_is_none_the_less_one(gateway, start, clock):
    gateway.hello_patch = {"clock": clock}
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    daemon.wait_link("connected")
    if not isinstance(clock, dict):
        assert daemon.link()["clock_offset_ms"] is None


# --- life signs, drain, pause, new addresses ----------------------------------------------------------------


def test_a_silent_gateway_is_declared_dead(start, project):
    with Gateway(heartbeat_s=2) as gateway:
        daemon = start("--gateway", gateway.url)
        connection = gateway.wait_connected()
        gateway.wait(lambda: connection.socket.pings_in >= 4)  # answered: it lives
        assert len(gateway.connections) == 1
        frozen = time.monotonic()
        gateway.freeze()
        daemon.wait(lambda: daemon.link()["state"] != "connected", "the loss is seen")
        assert 1 < time.monotonic() - frozen < 4.5 * PATIENCE
        assert "nothing heard for 3.0 s" in daemon.link()["last_error"]
        run_id = daemon.start_run()
        gateway.wait(lambda: len(gateway.dials) == 2)
        gateway.wait_ended(run_id)


def test_drain_leaves_and_comes_back_then(gateway, start):
    daemon = start("--gateway", gateway.url)
    connection = gateway.wait_connected()
    run_id = daemon.start_run()
    asked = time.monotonic()
    gateway.notify("gateway.drain", {"reconnect_after_ms": 1500})
    gateway.wait(lambda: connection.closed_at is not None)
    assert connection.close_code == 1001
    gateway.wait_connected(after=1)
    assert 1.5 <= gateway.dials[1][0] - asked
    assert gateway.dials[1][0] - connection.closed_at < 3 * PATIENCE
    gateway.wait_ended(run_id)


def test_pause_keeps_runs_queued_until_the_session_ends(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.notify("daemon.pause")
    gateway.request("daemon.status")  # taken in order: the pause is in force now
    run_id = daemon.start_run()
    for _ in range(50):  # turns of the loop in which it could start
        assert daemon.call("run.status", {"run_id": run_id})["status"] == "queued"
    gateway.notify("daemon.unpause")
    daemon.wait_run(run_id)
    gateway.notify("daemon.pause")
    gateway.request("daemon.status")
    run_id = daemon.start_run()
    gateway.drop()
    daemon.wait_run(run_id)


def test_the_next_url_is_tried_at_each_failure(gateway, start):
    daemon = start("--gateway", "http://127.0.0.1:1", "--gateway", gateway.url)
    gateway.wait_connected()
    link = daemon.link()
    assert link["url"] == gateway.url and "cannot connect" in link["last_error"]


def test_ipv6_and_names(start, project):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with Gateway(host="::1", prefix="/some/where") as gateway:
        start("--gateway", gateway.url + "/")
        gateway.wait_connected()
        assert gateway.dials[0][1] == "/some/where/v1/daemon"
        assert gateway.dials[0][2]["Host"] == f"[::1]:{gateway.port}"


def test_a_gateway_that_never_speaks_does_not_stop_anything(start, project):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        daemon = start("--gateway", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert daemon.wait_run(daemon.start_run())["status"] == "succeeded"
        daemon.wait(lambda: "opening handshake" in (daemon.link()["last_error"] or ""), "the deadline", 20)


def test_sighup_follows_a_changed_url(gateway, start, project):
    config = json.loads((project / "charter.yml").read_text())
    (project / "charter.yml").write_text(json.dumps({**config, "gateway": {"url": gateway.url}}))
    daemon = start()
    gateway.wait_connected()
    with Gateway(prefix="/two") as other:
        (project / "charter.yml").write_text(json.dumps({**config, "gateway": {"url": [other.url]}}))
        daemon.signal(signal.SIGHUP)
        other.wait_connected()
        gateway.wait(lambda: gateway.connections[0].closed_at is not None)
        assert gateway.connections[0].close_code == 1001
        daemon.stop()


def test_requests_in_flight_get_lost_with_the_connection(gateway, start):
    daemon = start("--gateway", gateway.url)
    gateway.wait_connected()
    gateway.drop()
    with pytest.raises(Lost):
        gateway.request("daemon.status", connection=None)
    gateway.wait_connected(after=1)
    assert gateway.request("daemon.status")["daemon_id"] == gateway.daemon.id
    assert daemon.link()["state"] == "connected"
