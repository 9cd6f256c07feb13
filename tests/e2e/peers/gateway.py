"""A gateway written from the contract (section 6) alone, with python3-websockets: what the daemon's link is
tested against. It runs in a thread of its own, keeps what daemons send like a real store would,
notes every breach of the contract in `violations`, and misbehaves where a test asks for it.

    with Gateway() as gateway:
        ...start a daemon with gateway.url...
        gateway.wait_connected()
        run = gateway.command("run.start", {"workflow_id": "w"})
        gateway.wait(lambda: gateway.events("run.succeeded"))

All methods may be called from the test's thread. Leaving the block fails the test when the daemon
broke the contract; `violations.clear()` forgives what a test provoked.
"""

import asyncio
import datetime
import http
import json
import re
import socket
import struct
import threading
import time

import websockets
from websockets.legacy.server import WebSocketServerProtocol

SUBPROTOCOL = "charter.v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
WAIT_S = 30


class RpcError(Exception):
    """An error answer of the daemon."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')} {error.get('message')}")
        self.code, self.message, self.data = error.get("code"), error.get("message"), error.get("data")


class Lost(Exception):
    """The connection went before the answer came."""


def now():
    stamp = datetime.datetime.now(datetime.timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03}Z"


def no_duplicates(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a member is given twice: {names}")
    return dict(pairs)


class Daemon:
    """What the store knows of one daemon id."""

    def __init__(self, daemon_id):
        self.id = daemon_id
        self.events = {}    # seq: event
        self.raw = {}       # seq: its text as it came
        self.heads = {}     # seq: the chain's hash after it
        self.gaps = []      # {"from", "to", "reason"}
        self.acked = None   # None: never heard of
        self.next_n = {}    # run_id: n
        self.hellos = []    # params, oldest first
        self.command_seq = 0
        self.received = 0   # events with repetitions

    def stream(self):
        return [self.events[seq] for seq in sorted(self.events)]


class Connection:
    def __init__(self, socket_, number):
        self.socket, self.number = socket_, number
        self.daemon = None
        self.hello = None
        self.hellos = 0
        self.ready = False          # hello was answered well
        self.limit = None           # the ceiling that was told
        self.messages = []          # parsed, as they came
        self.pending = {}           # id: future
        self.request_headers = dict(socket_.request_headers.raw_items())
        self.path = socket_.path
        self.opened_at = time.monotonic()
        self.closed_at = None
        self.close_code = None      # the daemon's, or of the close that was agreed upon
        self.close_reason = None


class Gateway:
    def __init__(self, *, name="test-gateway", host="127.0.0.1", port=0, prefix="", token=None, heartbeat_s=30,
                 message_bytes=65536, limit=None, ssl=None):
        self.name, self.host, self.port, self.prefix = name, host, port, prefix
        self.token = token
        self.ssl = ssl               # an ssl.SSLContext: wss and https
        self.heartbeat_s, self.message_bytes = heartbeat_s, message_bytes
        self.limit = limit           # ceiling: highest seq that may be sent; None: none
        self.daemons = {}            # id: Daemon
        self.connections = []        # every one that got past the upgrade, oldest first
        self.dials = []              # (monotonic time, path, headers) of every request that came
        self.violations = []

        # Faults; change them at any time.
        self.acking = True           # False: events are stored, and acknowledged by release_acks() or later acks
        self.storing = True          # False: what comes is dropped unread
        self.answer_hello = True     # False: silence
        self.hello_error = None      # {"code":…, "message":…} instead of a result
        self.hello_patch = {}        # merged into the result, one level deep
        self.hello_patch_once = {}   # the same, for the next hello alone
        self.refusal = None          # (status, headers, body) instead of 101
        self.redirects = {}          # path: (status, Location)
        self.upgrade_headers = {}    # set or replaced in a 101; None removes
        self.on_append = None        # called with (connection, events) before they are stored; True: handled

        self._ids = 0
        self._lock = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._server = None

    # --- life ---------------------------------------------------------------------------------

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.ssl else ''}://{host}:{self.port}{self.prefix}"

    def __enter__(self):
        if not self._thread.is_alive():
            self._thread.start()
        self.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if kind is None:
            assert not self.violations, self.violations

    def start(self):
        """Listens; after stop() on the same port, with the store as it was."""
        self._do(self._start())

    def stop(self, drop=False):
        """No more listening; connections are closed with 1001, or cut where drop."""
        self._do(self._stop(drop))

    async def _start(self):
        assert self._server is None
        self._server = await websockets.serve(
            self._serve, self.host, self.port, subprotocols=[SUBPROTOCOL], create_protocol=self._protocol,
            max_size=self.message_bytes, ping_interval=None, compression=None, close_timeout=2, reuse_address=True,
            ssl=self.ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self, drop):
        if self._server is None:
            return
        if drop:
            for connection in self._open():
                self._abort(connection)
        self._server.close()
        await self._server.wait_closed()
        self._server = None

    def _do(self, coroutine, timeout=WAIT_S):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def _protocol(self, *args, **kwargs):
        return _Protocol(self, *args, **kwargs)

    def _violation(self, text):
        self.violations.append(text)

    # --- waiting --------------------------------------------------------------------------------

    def wait(self, condition, timeout=WAIT_S, what=None):
        """Until the condition holds, looked at after whatever happens here; its value."""
        end = time.monotonic() + timeout
        with self._lock:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                assert left > 0, f"not within {timeout} s: {what or condition}; {self._summary()}"
                self._lock.wait(min(left, 0.05))

    def _summary(self):
        last = self.connections[-1] if self.connections else None
        return (f"{len(self.dials)} dials, {len(self.connections)} connections"
                + (f", the last {'open' if last.closed_at is None else f'closed with {last.close_code} {last.close_reason}'}"
                   if last else "")
                + f", violations {self.violations}")

    def _tell(self):
        with self._lock:
            self._lock.notify_all()

    def wait_connected(self, timeout=WAIT_S, after=0):
        """The connection whose hello was answered, once there is one numbered above `after`."""
        return self.wait(lambda: self.connected(after), timeout, "a daemon is connected")

    def connected(self, after=0):
        for connection in reversed(self.connections):
            if connection.ready and connection.closed_at is None and connection.number > after:
                return connection
        return None

    # --- what was stored -------------------------------------------------------------------------

    @property
    def daemon(self):
        """The only daemon there is."""
        assert len(self.daemons) == 1, list(self.daemons)
        return next(iter(self.daemons.values()))

    def events(self, kind=None, run_id=None):
        """Stored events of all daemons, in order, of a type and a run."""
        return [event for daemon in list(self.daemons.values()) for event in daemon.stream()
                if (kind is None or event["type"] == kind) and (run_id is None or event.get("run_id") == run_id)]

    def wait_event(self, kind, run_id=None, timeout=WAIT_S):
        return self.wait(lambda: self.events(kind, run_id), timeout, f"{kind} of {run_id}")[0]

    def wait_ended(self, run_id, timeout=WAIT_S):
        """The event that ends the run."""
        endings = ("run.succeeded", "run.failed", "run.cancelled", "run.denied")
        return self.wait(lambda: [e for e in self.events(run_id=run_id) if e["type"] in endings], timeout,
                         f"the end of {run_id}")[0]

    # --- talking to the daemon ---------------------------------------------------------------------

    def request(self, method, params=None, timeout=WAIT_S, connection=None):
        """A request without a command; its result, or RpcError, or Lost."""
        return self._do(self._request(connection, method, params, timeout), timeout + 5)

    def command(self, method, params=None, key=None, seq=None, timeout=WAIT_S, connection=None):
        """The same with params.command; seq goes on by itself."""
        connection = connection or self.connected()
        if connection is None:
            raise Lost("no daemon is connected")
        daemon = connection.daemon
        if seq is None:
            daemon.command_seq += 1
            seq = daemon.command_seq
        else:
            daemon.command_seq = max(seq, daemon.command_seq)
        params = dict(params or {}, command={"seq": seq, "key": key or f"key-{seq}"})
        return self.request(method, params, timeout, connection)

    async def _request(self, connection, method, params, timeout):
        connection = connection or self.connected()
        if connection is None:
            raise Lost("no daemon is connected")
        self._ids += 1
        request_id = f"g{self._ids}" if self._ids % 2 else self._ids  # both kinds of id, and each comes back as it was
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if params is not None:
            message["params"] = params
        future = self._loop.create_future()
        connection.pending[request_id] = future
        await connection.socket.send(json.dumps(message))
        return await asyncio.wait_for(future, timeout)

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.send_raw(json.dumps(message))

    def send_raw(self, data):
        """A text message (str) or a binary one (bytes), whatever is in it."""
        self._do(self.connected().socket.send(data))

    def send_bytes(self, data):
        """Bytes below the WebSocket: frames of the test's own making."""
        connection = self.connected()

        async def write():
            connection.socket.transport.write(data)
        self._do(write())

    def set_limit(self, limit):
        """A new ceiling, told at once."""
        self.limit = limit
        connection = self.connected()
        if connection is not None:
            self._do(self._ack(connection))

    def hold_acks(self):
        self.acking = False

    def release_acks(self):
        self.acking = True
        connection = self.connected()
        if connection is not None:
            self._do(self._ack(connection))

    def close(self, code=1000, reason="", connection=None):
        connection = connection or self.connected()
        self._do(connection.socket.close(code, reason))
        self.wait(lambda: connection.closed_at is not None)

    def drop(self, reset=True):
        """Cuts the connection: RST, or FIN without a close frame."""
        connection = self.connected()
        self._loop.call_soon_threadsafe(self._abort, connection, reset)
        self.wait(lambda: connection.closed_at is not None)

    def _abort(self, connection, reset=True):
        transport = connection.socket.transport
        if reset and transport.get_extra_info("socket").fileno() >= 0:  # it may have closed itself just now
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def freeze(self):
        """Reads nothing any more and answers nothing: the connection stays open."""
        connection = self.connected()
        self._loop.call_soon_threadsafe(connection.socket.transport.pause_reading)

    def thaw(self):
        connection = self.connected()
        self._loop.call_soon_threadsafe(connection.socket.transport.resume_reading)

    def refuse(self, status, headers=(), body=b""):
        self.refusal = (status, list(headers), body)

    def accept(self):
        self.refusal = None

    def _open(self):
        return [c for c in self.connections if c.closed_at is None]

    # --- a connection's life ---------------------------------------------------------------------------

    async def _serve(self, socket_, path=None):
        connection = Connection(socket_, len(self.connections) + 1)
        self.connections.append(connection)
        self._tell()
        try:
            async for message in socket_:
                await self._take(connection, message)
                self._tell()
        except websockets.ConnectionClosed:
            pass
        finally:
            connection.closed_at = time.monotonic()
            connection.close_code, connection.close_reason = socket_.close_code, socket_.close_reason
            for future in connection.pending.values():
                if not future.done():
                    future.set_exception(Lost(f"closed with {socket_.close_code}"))
            connection.pending.clear()
            self._tell()

    async def _take(self, connection, data):
        if not self.storing:
            return
        if isinstance(data, bytes):
            self._violation("a binary message")
            return
        if len(data.encode()) > self.message_bytes:
            self._violation(f"a message of {len(data.encode())} bytes")
        try:
            message = json.loads(data, object_pairs_hook=no_duplicates)
        except ValueError as error:
            self._violation(f"a message that is no JSON: {error}: {data[:200]}")
            return
        connection.messages.append(message)
        if message.get("jsonrpc") != "2.0":
            self._violation(f"no JSON-RPC 2.0: {data[:200]}")
        method = message.get("method")
        if not connection.ready and method != "daemon.hello":
            self._violation(f"something came before hello was answered: {data[:200]}")
        elif method == "daemon.hello":
            await self._hello(connection, message)
        elif method == "events.append":
            await self._append(connection, message["params"])
        elif method == "events.gap":
            await self._gap(connection, message["params"])
        elif method is not None:
            self._violation(f"the daemon has no business calling {method}")
        else:
            self._answer(connection, message)

    def _answer(self, connection, message):
        future = connection.pending.pop(message.get("id"), None)
        if future is None:
            if message.get("id") is not None:
                self._violation(f"an answer that nobody waits for: {message}")
            return
        if ("result" in message) == ("error" in message):
            self._violation(f"neither result nor error, or both: {message}")
        if future.done():
            return
        if "error" in message:
            error = message["error"]
            if not isinstance(error.get("code"), int) or not isinstance(error.get("message"), str):
                self._violation(f"an error without code or message: {message}")
            future.set_exception(RpcError(error))
        else:
            future.set_result(message["result"])

    # --- hello ---------------------------------------------------------------------------------------------

    def _check_hello(self, params):
        def want(condition, what):
            if not condition:
                self._violation(f"hello: {what}: {params}")
        daemon, events = params.get("daemon", {}), params.get("events", {})
        want(params.get("protocol") == [1], "protocol is [1]")
        want(isinstance(daemon.get("id"), str) and daemon["id"], "daemon.id")
        want(isinstance(daemon.get("epoch"), int) and daemon["epoch"] > 0, "daemon.epoch")
        want(isinstance(daemon.get("version"), str), "daemon.version")
        want(isinstance(daemon.get("features"), list), "daemon.features")
        want(isinstance(params.get("project"), str), "project")
        want(params.get("reason") in ("start", "reconnect", "crash", "upgrade", "forked"), "reason")
        want(isinstance(params.get("limits", {}).get("message_bytes"), int), "limits.message_bytes")
        want(isinstance(params.get("limits", {}).get("runs"), int), "limits.runs")
        want(isinstance(events.get("first"), int) and isinstance(events.get("next"), int)
             and 1 <= events["first"] <= events["next"], "events.first <= events.next")
        want(isinstance(params.get("command_seen"), int), "command_seen")
        want(isinstance(params.get("runs"), list)
             and all({"run_id", "status", "n"} <= set(run) for run in params["runs"]), "runs")
        want(TIME.match(params.get("clock", {}).get("time", "")), "clock.time")
        want(isinstance(params.get("clock", {}).get("synced"), bool), "clock.synced")

    async def _hello(self, connection, message):
        params = message.get("params", {})
        connection.hellos += 1
        if connection.hellos > 2 or (connection.hellos == 2 and params.get("reason") != "forked"):
            self._violation("a second hello")
        connection.hello = params
        self._check_hello(params)
        daemon_id = params.get("daemon", {}).get("id", "?")
        daemon = self.daemons.get(daemon_id)
        if daemon is None:
            daemon = Daemon(daemon_id)
        daemon.hellos.append(params)
        if not self.answer_hello:
            return
        if self.hello_error:
            await connection.socket.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": self.hello_error}))
            return
        if daemon.acked is None:
            daemon.acked = params["events"]["first"] - 1
        daemon.command_seq = max(daemon.command_seq, params.get("command_seen", 0))
        last = daemon.events.get(daemon.acked)
        result = {
            "protocol": 1, "gateway": self.name, "session": f"s-{connection.number}",
            "limits": {"message_bytes": self.message_bytes}, "heartbeat_s": self.heartbeat_s,
            "events": {"acked": daemon.acked, "acked_time": last["time"] if last else None, "limit": self.limit},
            "clock": {"time": now()},
        }
        once, self.hello_patch_once = self.hello_patch_once, {}
        for name, value in {**self.hello_patch, **once}.items():
            if isinstance(value, dict) and isinstance(result.get(name), dict):
                result[name] = {**result[name], **value}
            else:
                result[name] = value
        acked = result["events"]["acked"]
        parted = acked >= params["events"]["next"]
        if not parted:
            self.daemons[daemon_id] = daemon
            connection.daemon = daemon
            connection.limit = result["events"]["limit"]
            connection.ready = True
        await connection.socket.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        if parted:
            connection.ready = False

    # --- events --------------------------------------------------------------------------------------------

    async def _ack(self, connection):
        connection.limit = self.limit
        await connection.socket.send(json.dumps(
            {"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": connection.daemon.acked, "limit": self.limit}}))

    async def _append(self, connection, params):
        daemon, events = connection.daemon, params.get("events")
        if not isinstance(events, list) or not events:
            self._violation(f"an append without events: {params}")
            return
        if self.on_append and self.on_append(connection, events):
            return
        for event in events:
            seq = event.get("seq")
            daemon.received += 1
            if connection.limit is not None and seq > connection.limit:
                self._violation(f"event {seq} is past the ceiling {connection.limit}")
            if seq in daemon.events:
                if daemon.events[seq] != event:
                    self._violation(f"event {seq} came twice with other content: {event}, {daemon.events[seq]}")
                continue
            if seq > daemon.acked + 1:
                self._violation(f"event {seq} leaves a hole after {daemon.acked}")
                await connection.socket.close(4400, "a hole")
                return
            self._check_event(daemon, event)
            daemon.events[seq] = event
            daemon.acked = max(daemon.acked, seq)
        self._check_head(connection, events, params.get("head"))
        if self.acking:
            await self._ack(connection)

    def _check_head(self, connection, events, head):
        """Of the batch's last event, and the same whenever that event ends a batch."""
        if head is None:
            if "chain" in connection.hello["daemon"]["features"]:
                self._violation("a batch without the chain's head")
            return
        seq, sha256 = head.get("seq"), head.get("sha256")
        if seq != events[-1]["seq"] or not re.fullmatch("[0-9a-f]{64}", str(sha256)):
            self._violation(f"a head that is none of this batch: {head}, not {events[-1]['seq']}")
        elif connection.daemon.heads.setdefault(seq, sha256) != sha256:
            self._violation(f"the head of event {seq} was {connection.daemon.heads[seq]}, and is {sha256}")

    def _check_event(self, daemon, event):
        seq, run_id = event["seq"], event.get("run_id")
        if not TIME.match(str(event.get("time"))) or not isinstance(event.get("type"), str) or "data" not in event:
            self._violation(f"an event without time, type or data: {event}")
        if run_id is None:
            if "n" in event:
                self._violation(f"n without a run: {event}")
            return
        wanted = daemon.next_n.get(run_id)
        if wanted is not None and event.get("n") != wanted:
            self._violation(f"event {seq} of {run_id} has n {event.get('n')}, not {wanted}")
        if wanted is None and event.get("n") != 1 and not daemon.gaps and min(daemon.events, default=seq) == 1:
            self._violation(f"the first event of {run_id} has n {event.get('n')}")
        daemon.next_n[run_id] = event.get("n", 0) + 1

    async def _gap(self, connection, params):
        daemon = connection.daemon
        if params.get("from") != daemon.acked + 1 or params.get("to", 0) < daemon.acked + 1:
            self._violation(f"a gap that does not begin behind {daemon.acked}: {params}")
        daemon.gaps.append(params)
        daemon.next_n.clear()
        daemon.acked = params["to"]
        if self.acking:
            await self._ack(connection)


class _Protocol(WebSocketServerProtocol):
    """The upgrade: checks what a daemon must ask for, and refuses where a test wants it."""

    def __init__(self, gateway, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gateway = gateway
        self.pings_in = 0

    async def pong(self, data=b""):
        self.pings_in += 1  # the library answers each ping by this call
        await super().pong(data)
        self.gateway._tell()

    async def process_request(self, path, request_headers):
        gateway = self.gateway
        gateway.dials.append((time.monotonic(), path, request_headers))
        gateway._tell()
        offered = ", ".join(request_headers.get_all("Sec-WebSocket-Protocol"))
        if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
            gateway._violation(f"the subprotocol {SUBPROTOCOL} is not asked for")
        if path in gateway.redirects:
            status, location = gateway.redirects[path]
            return http.HTTPStatus(status), [("Location", location)] if location is not None else [], b"elsewhere\n"
        if gateway.refusal:
            status, headers, body = gateway.refusal
            return http.HTTPStatus(status), headers, body
        if path != f"{gateway.prefix}/v1/daemon":
            return http.HTTPStatus.NOT_FOUND, [], b"nothing here\n"
        if gateway.token is not None and request_headers.get("Authorization") != f"Bearer {gateway.token}":
            return http.HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Bearer")], b"wrong token\n"
        return None

    def write_http_response(self, status, headers, body=None):
        if status == 101:
            for name, value in self.gateway.upgrade_headers.items():
                if name in headers:
                    del headers[name]
                if value is not None:
                    headers[name] = value
        super().write_http_response(status, headers, body)


__all__ = ["Connection", "Daemon", "Gateway", "Lost", "RpcError"]
