"""What the end-to-end tests of the daemon share: projects, daemons, clients of the control socket, waiting.
Written from the contract alone; shares no code with the programs.

    def test_something(project, daemon_of):
        project.workflow("w", [step("one", value=1)])
        daemon = daemon_of(project)
        assert daemon.run("w").status == "succeeded"
"""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
DAEMON = BUILD / "charter-daemon"
PUPPET = str(HERE / "integrations" / "puppet.py")

PLAIN = os.environ.get("TEST_VARIANT", "plain") == "plain"
DEADLINE = 30 if PLAIN else 120  # for what should take no time at all

# TEST_PORT=posix: programs without port/linux. What they have no way to do, besides what daemon.status says is lacking.
POSIX = os.environ.get("TEST_PORT") == "posix"
PORT_LACKS = {"abstract_sockets", "oom_score", "released_memory", "terminal_width"} if POSIX else set()
GRACE = 5.0
ENDINGS = ("run.succeeded", "run.failed", "run.cancelled", "run.denied")


def read_configuration():
    """What the programs were built with: symbol -> 1, or its number. Empty where that is not known."""
    path = BUILD / "include" / "autoconf.h"
    return {name: int(value) for name, value in re.findall(r"^#define CONFIG_(\w+) (\d+)$", path.read_text() if path.exists() else "", re.M)}


CONFIGURATION = read_configuration()
MESSAGE = CONFIGURATION.get("MESSAGE_BYTES", 65536)


LEVELS = ("debug", "info", "warning", "error")
# All that there is.
LOG_LEVEL = next((level for level in LEVELS if "LOG_" + level.upper() in CONFIGURATION), "debug")


def built(symbol):
    if symbol.startswith("LOG_"):
        return LEVELS.index(symbol.removeprefix("LOG_").lower()) >= LEVELS.index(LOG_LEVEL)
    return not CONFIGURATION or symbol in CONFIGURATION


def needs(*symbols, **numbers):
    """Skips a test, by name, where a feature is not built in or a size is smaller than it needs."""
    lacks = [f"built without {symbol}" for symbol in symbols if not built(symbol)]
    lacks += [f"built with {name}={CONFIGURATION[name]}, it needs {least}" for name, least in numbers.items()
              if CONFIGURATION.get(name, least) < least]
    return pytest.mark.skipif(bool(lacks), reason="; ".join(lacks) or "everything is built in")


def wait_until(condition, what="the condition", deadline=DEADLINE):
    """The value of the condition, as soon as there is one."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {what() if callable(what) else what}"
        time.sleep(0.01)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']} {error['message']} {error.get('data')}")
        self.code, self.message, self.data = error["code"], error["message"], error.get("data") or {}
        self.error = error


class Closed(Exception):
    """The daemon closed the connection."""


class Client:
    """One connection to the control socket, line by line."""

    def __init__(self, path, timeout=DEADLINE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        here = os.getcwd()
        try:
            if len(os.fsencode(str(path))) > 100:  # an address is short: from its own directory
                os.chdir(os.path.dirname(path))
                path = os.path.basename(path)
            self.socket.connect(str(path))
        finally:
            os.chdir(here)
        self.buffer = bytearray()
        self.ids = 0
        self.notifications = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, message):
        self.send_raw(json.dumps(message).encode() + b"\n")

    def request(self, method, params=None, request_id=None):
        """Sends without waiting; the id."""
        if request_id is None:
            self.ids += 1
            request_id = self.ids
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return request_id

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed(bytes(self.buffer[:200]))
            self.buffer += data
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer = bytearray(rest)
        assert not line.endswith(b"\r")
        return line

    def read(self):
        line = self.line()
        assert len(line) <= MESSAGE, f"a message of {len(line)} bytes"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0", message
        return message

    def answer(self, request_id):
        """The answer to that request; notifications before it are kept."""
        while True:
            message = self.read()
            if "method" in message:
                self.notifications.append(message)
                continue
            assert message["id"] == request_id and type(message["id"]) is type(request_id), message
            if "error" in message:
                assert "result" not in message
                raise RpcError(message["error"])
            return message["result"]

    def call(self, method, params=None):
        return self.answer(self.request(method, params))

    def closed(self):
        """Waits until the daemon has closed; what still came."""
        left = bytes(self.buffer)
        self.buffer = bytearray()
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return left
            if not data:
                return left
            left += data

    def events(self, run_id=None, after=None, follow=False):
        """Subscribes and reads to events.end; the events and `last`."""
        params = {"follow": follow}
        if run_id is not None:
            params["run_id"] = run_id
        if after is not None:
            params["after"] = after
        assert self.call("run.events", params) == {}
        events = []
        while True:
            message = self.notifications.pop(0) if self.notifications else self.read()
            if message["method"] == "events.end":
                return events, message["params"]["last"]
            if message["method"] == "event":
                events.append(message["params"]["event"])
            else:
                assert message["method"] == "events.gap", message

    def next_event(self):
        message = self.notifications.pop(0) if self.notifications else self.read()
        assert message["method"] == "event", message
        return message["params"]["event"]


class Run:
    """A run that has ended: its state and its events."""

    def __init__(self, state, events):
        self.state, self.events = state, events
        self.id, self.status = state["run_id"], state["status"]
        self.error, self.outputs = state.get("error"), state.get("outputs")

    def of(self, kind, step_id=None):
        return [e for e in self.events if e["type"] == kind and (step_id is None or e.get("step_id") == step_id)]

    def kinds(self):
        return [e["type"] for e in self.events]

    def value(self, step_id):
        (event,) = self.of("step.completed", step_id)
        return event["data"]["value"]

    def step(self, step_id):
        (one,) = [s for s in self.state["steps"] if s["id"] == step_id]
        return one

    def failure(self):
        """The error of the step that failed."""
        (event,) = self.of("step.failed")
        return event["data"]["error"]


def step(step_id, *do, uses="puppet", **members):
    """A step of the puppet. `value=` is the short form of do=[{"value": …}]; `with_` adds to `with`."""
    with_ = dict(members.pop("with_", {}))
    if "value" in members:
        do = do + ({"value": members.pop("value")},)
    if do:
        with_["do"] = list(do)
    made = {"id": step_id, "uses": uses}
    if with_:
        made["with"] = with_
    if "if_" in members:
        made["if"] = members.pop("if_")
    made.update(members)
    return made


class Project:
    def __init__(self, path, name="e2e"):
        self.path = pathlib.Path(path)
        self.config = {"project": name, "integrations": {"puppet": {"command": [PUPPET]}}}
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_config()

    def write_config(self, text=None):
        """charter.yml; JSON is YAML, so that builds without YAML pass the same tests."""
        (self.path / "charter.yml").write_text(text if text is not None else json.dumps(self.config))

    def integration(self, name, **members):
        self.config["integrations"][name] = {"command": [PUPPET], **members}
        self.write_config()

    def workflow(self, name, steps, inputs=None, outputs=None, **plan):
        place = self.path / "workflows" / name
        place.mkdir(parents=True, exist_ok=True)
        manifest = {"id": name, "name": f"The {name}"}
        if inputs is not None:
            manifest["inputs"] = inputs
        (place / "manifest.yml").write_text(json.dumps(manifest))
        plan = {"steps": steps, **plan}
        if outputs is not None:
            plan["outputs"] = outputs
        (place / "plan.yml").write_text(json.dumps(plan))

    def file(self, name):
        return self.path / name

    def read(self, name):
        return json.loads((self.path / name).read_text())

    def touch(self, name):
        (self.path / name).touch()

    def wait_file(self, name):
        wait_until((self.path / name).exists, f"the file {name}")
        return self.path / name

    def processes(self):
        """Processes that stand in the project root: integrations with all that came of them."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.readlink(f"/proc/{entry}/cwd") == str(self.path):
                    found.append(int(entry))
            except OSError:
                pass
        return found

    def segments(self):
        return sorted((self.path / ".charter" / "journal").iterdir())


def free_port(host="127.0.0.1"):
    """For a server that is told its port. Below those that the system gives to whoever asks for any, so that nobody takes it meanwhile."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.create_server((host, port)):
            return port
    raise AssertionError("no port is free")


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}


def command(*args, env=None, timeout=DEADLINE, cwd="/"):
    """A charter-daemon that is waited for."""
    return subprocess.run([DAEMON, *map(str, args)], capture_output=True, text=True, timeout=timeout, cwd=cwd,
                          stdin=subprocess.DEVNULL, env={**clean_environment(), **(env or {})})


class Daemon:
    """A charter-daemon in the foreground of its own, from / so that only integrations stand in the project."""

    def __init__(self, project, *args, env=None, ready=True, program=DAEMON):
        self.project, self.killed = project, False
        self.log_path = project.path.parent / f"{project.path.name}.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [program, "start", "--project-path", str(project.path), "--log-level", LOG_LEVEL, *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={**clean_environment(), **(env or {})})
        self.pid = self.process.pid
        if ready:
            self.wait_ready()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self):
        return self.log[-3000:]

    def path(self):
        address = self.project.path / ".charter" / "daemon.addr"
        if address.exists():
            return address.read_text().strip()
        return str(self.project.path / ".charter" / "daemon.sock")

    def wait_ready(self):
        def answers():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.tail()}"
            try:
                with self.client() as client:
                    return client.call("daemon.status")
            except (OSError, Closed):
                return None
            except RpcError as error:
                assert error.code == -32002
                return None
        return wait_until(answers, lambda: f"the daemon is ready:\n{self.tail()}")

    def client(self, timeout=DEADLINE):
        return Client(self.path(), timeout)

    def call(self, method, params=None):
        with self.client() as client:
            return client.call(method, params)

    def refused(self, method, params=None):
        """The error of a call that must not succeed."""
        try:
            result = self.call(method, params)
        except RpcError as error:
            return error
        raise AssertionError(f"{method} was taken: {result}")

    def start_run(self, workflow="w", inputs=None, **params):
        return self.call("run.start", {"workflow_id": workflow, "inputs": inputs or {}, **params})["run_id"]

    def events(self, run_id=None, after=None, follow=False):
        with self.client() as client:
            return client.events(run_id, after, follow)[0]

    def status(self, run_id):
        return self.call("run.status", {"run_id": run_id})

    def end_state(self, run_id):
        """The state of a run when it has ended, whether or not its beginning is held."""
        def ended():
            state = self.status(run_id)
            return state if state["ended_at"] is not None else None
        return wait_until(ended, lambda: f"the end of {run_id}:\n{self.tail()}")

    def end_of(self, run_id):
        """Waits for the end of the run by following it."""
        try:
            events = self.events(run_id, follow=True)
        except TimeoutError:
            raise AssertionError(f"{run_id} did not end: {self.status(run_id)}\n{self.tail()}") from None
        check_run(events)
        return Run(self.status(run_id), events)

    def run(self, workflow="w", inputs=None, **params):
        return self.end_of(self.start_run(workflow, inputs, **params))

    def wait_event(self, kind, run_id, step_id=None):
        """Follows a run up to the event of that type."""
        with self.client() as client:
            client.call("run.events", {"run_id": run_id, "follow": True})
            while True:
                event = client.next_event()
                if event["type"] == kind and (step_id is None or event["step_id"] == step_id):
                    return event
                assert event["type"] not in ENDINGS, event

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def open_files(self):
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except OSError:
                pass
        return found

    def memory(self, field="VmHWM"):
        """KiB; the highest resident size unless told."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(field)

    def children(self):
        return [int(pid) for pid in
                pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, deadline=DEADLINE):
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end within {deadline} s:\n{self.tail()}") from None

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order where nothing executes, at once where something does."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                return self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
        return self.wait()


def check_run(events):
    """What holds for the events of every run from its beginning."""
    assert events[0]["type"] == "run.created", events[0]
    assert [e["n"] for e in events] == list(range(1, len(events) + 1))
    assert len({e["run_id"] for e in events}) == 1
    seqs = [e["seq"] for e in events]
    assert seqs == sorted(set(seqs))
    assert events[-1]["type"] in ENDINGS and not [e for e in events[:-1] if e["type"] in ENDINGS]


def check_stream(events, first=1):
    """What holds for the daemon's whole stream."""
    assert [e["seq"] for e in events] == list(range(first, first + len(events)))
    counts = {}
    for event in events:
        if "run_id" not in event:
            assert "n" not in event and event["type"].startswith("daemon.")
            continue
        counts[event["run_id"]] = counts.get(event["run_id"], 0) + 1
        assert event["n"] == counts[event["run_id"]], event
