"""A daemon's side of the gateway link, written from the contract alone (sections 1, 4, 6, 7).

It shares no code with the project: tests use it to look at the gateway from outside, and it refuses
(AssertionError) whatever the gateway says against the contract. Streams live in memory: a Daemon object
that is connected again is the same daemon with a higher epoch.
"""

import asyncio
import datetime
import itertools
import hashlib
import json

import websockets


def now():
    return datetime.datetime.utcnow().isoformat(timespec="milliseconds") + "Z"


class HelloRefused(Exception):
    def __init__(self, error):
        super().__init__(str(error))
        self.error = error


class RpcError(Exception):
    """Raised by a handler: becomes the error of the answer."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.error = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


CHANGING = {"run.start", "run.resume", "run.submit_input", "run.cancel"}


class Daemon:
    def __init__(self, url, daemon_id, project="weather", token=None):
        self.url = url.replace("http://", "ws://") + "/v1/daemon"
        self.id = daemon_id
        self.project = project
        self.token = token
        self.epoch = 0
        self.version = "0.0.1-peer"
        self.events = []  # the stream as this daemon holds it
        self.first = 1
        self.n = {}  # run id -> last n
        self.acked = None
        self.limit = None
        self.command_seen = 0
        self.message_bytes = 65536
        self.previous_id = None
        self.hello_answer = None
        self.requests = []  # every request that came down, as it came
        self.notifications = []
        self.answer = self.default_answer  # handler(method, params) -> result
        self.muted = False  # takes requests, answers none
        self.ids = set()  # request ids of the present connection
        self.ws = None
        self.reader = None
        self.changed = asyncio.Condition()
        self.run_numbers = itertools.count(1)

    # --- the stream -----------------------------------------------------------------------------

    @property
    def next(self):
        return self.first + len(self.events) if not self.events else self.events[-1]["seq"] + 1

    def emit(self, kind, run_id=None, step_id=None, attempt=None, data=None, time=None):
        event = {"seq": self.next}
        if run_id is not None:
            self.n[run_id] = self.n.get(run_id, 0) + 1
            event.update(run_id=run_id, n=self.n[run_id])
        event.update(time=time or now(), type=kind)
        if step_id is not None:
            event["step_id"] = step_id
        if attempt is not None:
            event["attempt"] = attempt
        event["data"] = {} if data is None else data
        self.events.append(event)
        return event

    def emit_run(self, run_id, steps=("only",), workflow="daily", outputs=None):
        """A whole run that succeeds."""
        self.emit("run.created", run_id, data={"workflow_id": workflow, "inputs": {}, "labels": {},
                                               "channel": "local", "actor": None, "by": "uid:0",
                                               "plan_sha256": "0" * 64})
        self.emit("run.started", run_id)
        for step in steps:
            self.emit("step.started", run_id, step, 1, {"uses": "sh"})
            self.emit("step.completed", run_id, step, 1, {"value": 1, "output": None})
        self.emit("run.succeeded", run_id, data={"outputs": outputs or {}})

    def forget_before(self, seq):
        """Retention went further than the gateway acknowledged."""
        self.events = [event for event in self.events if event["seq"] >= seq]
        self.first = seq

    # --- the connection -------------------------------------------------------------------------

    def headers(self):
        return {"Authorization": "Bearer " + self.token} if self.token else {}

    async def dial(self):
        self.ids = set()
        self.ws = await websockets.connect(self.url, subprotocols=["charter.v1"], extra_headers=self.headers(),
                                           ping_interval=None, max_size=None, close_timeout=5)
        assert self.ws.subprotocol == "charter.v1", "the gateway must select the subprotocol"

    def hello_params(self, reason):
        daemon = {"id": self.id, "epoch": self.epoch, "version": self.version, "features": []}
        if self.previous_id:
            daemon["previous_id"] = self.previous_id
        return {"protocol": [1], "daemon": daemon, "project": self.project, "reason": reason,
                "limits": {"message_bytes": self.message_bytes, "runs": 32},
                "events": {"first": self.first, "next": self.next}, "command_seen": self.command_seen,
                "runs": [], "clock": {"time": now(), "synced": True}}

    async def hello(self, reason="start", params=None):
        await self.send({"jsonrpc": "2.0", "id": "h", "method": "daemon.hello",
                         "params": params or self.hello_params(reason)})
        answer = json.loads(await asyncio.wait_for(self.ws.recv(), 10))
        assert answer["jsonrpc"] == "2.0" and answer["id"] == "h", answer
        if "error" in answer:
            raise HelloRefused(answer["error"])
        result = self.hello_answer = answer["result"]
        assert result["protocol"] == 1 and isinstance(result["gateway"], str) and result["session"], result
        assert result["limits"]["message_bytes"] > 0 and result["heartbeat_s"] > 0, result
        assert isinstance(result["events"]["acked"], int) and "limit" in result["events"], result
        assert result["clock"]["time"].endswith("Z"), result
        self.acked, self.limit = result["events"]["acked"], result["events"]["limit"]
        return result

    async def connect(self, reason="start", new_epoch=True):
        """Dials, says hello, and serves what comes from then on."""
        if new_epoch:
            self.epoch += 1
        await self.dial()
        await self.hello(reason)
        self.reader = asyncio.create_task(self.read())
        if self.acked < self.first - 1:
            await self.notify("events.gap", {"from": self.acked + 1, "to": self.first - 1, "reason": "retention"})
            await self.wait(lambda: self.acked >= self.first - 1)
        return self

    async def close(self, code=1000):
        await self.ws.close(code)
        await self.join()

    async def vanish(self):
        """As if the power failed: no close frame."""
        self.ws.transport.abort()
        await self.join()

    async def join(self):
        if self.reader:
            await asyncio.wait_for(self.reader, 15)
            self.reader = None

    async def closed(self, timeout=15):
        """Waits for the gateway to close; its code and reason."""
        await asyncio.wait_for(self.ws.wait_closed(), timeout)
        await self.join()
        return self.ws.close_code, self.ws.close_reason

    async def send(self, message):
        await self.ws.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def notify(self, method, params):
        await self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def push(self, batch=50):
        """Sends what is not acknowledged, and waits until it is."""
        pending = [event for event in self.events if event["seq"] > self.acked]
        for start in range(0, len(pending), batch):
            part = pending[start:start + batch]
            await self.append(part)
        await self.wait(lambda: self.acked >= self.next - 1)

    async def append(self, events, **other):
        await self.notify("events.append", {"events": events, "head": self.head(events[-1]["seq"]), **other})

    def head(self, seq):
        """Of a chain of its own: any hash that stands for all events up to there."""
        text = "".join(json.dumps(event) for event in self.events if event["seq"] <= seq)
        return {"seq": seq, "sha256": hashlib.sha256(text.encode()).hexdigest()}

    async def wait(self, condition, timeout=10):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), timeout)

    # --- what comes down ------------------------------------------------------------------------

    async def read(self):
        try:
            async for text in self.ws:
                assert isinstance(text, str), "messages are text"
                message = json.loads(text)
                assert message["jsonrpc"] == "2.0", message
                if "method" in message:
                    await self.on_call(message)
                async with self.changed:
                    self.changed.notify_all()
        except websockets.ConnectionClosed:
            pass
        async with self.changed:
            self.changed.notify_all()

    async def on_call(self, message):
        method, params = message["method"], message.get("params", {})
        if "id" not in message:
            self.notifications.append(message)
            if method == "events.ack":
                assert params["acked"] >= self.acked, "acks are cumulative"
                assert "limit" in params
                self.acked = params["acked"]
            return
        assert message["id"] not in self.ids, "a request id came twice on one connection"
        self.ids.add(message["id"])
        self.requests.append(message)
        if method in CHANGING:
            command = params["command"]
            assert isinstance(command["seq"], int) and 0 < len(command["key"]) <= 64, command
        else:
            assert "command" not in params
        if not self.muted:
            await self.reply(message)

    async def reply(self, message):
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        command = message.get("params", {}).get("command")
        try:
            answer["result"] = self.answer(message["method"], message.get("params", {}))
        except RpcError as refusal:
            answer["error"] = refusal.error
        if command and answer.get("error", {}).get("code") not in (-32001, -32002, -32009, -32012):
            self.command_seen = max(self.command_seen, command["seq"])
        await self.send(answer)

    def default_answer(self, method, params):
        if method == "run.start":
            run_id = params.get("run_id") or f"r-peer{next(self.run_numbers):03d}"
            self.emit_run(run_id, workflow=params["workflow_id"])
            return {"run_id": run_id, "status": "queued"}
        if method == "daemon.status":
            return {"daemon_id": self.id, "epoch": self.epoch}
        raise RpcError(-32601, "method not found")
