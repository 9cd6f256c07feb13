"""charter-gateway from outside: daemons on one side (peers/daemon.py), HTTP on the other."""

import asyncio
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from peers.daemon import Daemon, HelloRefused, RpcError  # noqa: E402

from harness import needs

pytestmark = needs("GATEWAY")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
GATEWAY = BUILD / "charter-gateway"
DEADLINE_S = 20


class Gateway:
    def __init__(self, folder, *args):
        self.folder, self.args, self.process = folder, args, None
        self.store = folder / "events.db"

    def start(self):
        self.process = subprocess.Popen([GATEWAY, "--listen", "127.0.0.1:0", "--store", self.store, *self.args],
                                        stdout=subprocess.PIPE, stderr=open(self.folder / "gateway.log", "ab"))
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on 127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def stop(self, how=signal.SIGTERM):
        """Ends the gateway; its exit code."""
        if self.process is None:
            return None
        self.process.send_signal(how)
        code = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        self.process = None
        return code

    def http(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=45)
        try:
            if isinstance(body, dict):
                body = json.dumps(body)
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read()
            is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
            return answer.status, json.loads(text) if is_json and text else text
        finally:
            connection.close()

    def get(self, path, **headers):
        status, body = self.http("GET", path, headers=headers)
        assert status == 200, (status, body)
        return body

    async def ask(self, *args, **kwargs):
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.http(*args, **kwargs))

    async def rpc(self, daemon_id, method, params=None, key=None, call_id=7):
        headers = {"Idempotency-Key": key} if key else {}
        return await self.ask("POST", f"/v1/daemons/{daemon_id}/rpc",
                              {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or {}}, headers)

    def raw(self, data=b""):
        link = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        link.sendall(data)
        return link

    def query(self, sql):
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path).start()
    yield gateway
    if gateway.process is not None:
        assert gateway.stop() == 0


def read_all(link):
    data = b""
    try:
        while chunk := link.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def until(link, marker):
    data = b""
    while marker not in data:
        chunk = link.recv(65536)
        assert chunk, data
        data += chunk
    return data


# --- events ---------------------------------------------------------------------------------------


def test_events_are_stored_and_read_back(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        answer = (await daemon.connect()) and daemon.hello_answer
        assert answer["events"]["acked"] == 0 and answer["events"]["limit"] is None
        daemon.emit("daemon.started", data={"version": "1", "epoch": 1, "reason": "start"})
        daemon.emit_run("r-a", steps=("one", "two"), outputs={"x": 1.50})
        await daemon.push(batch=2)
        listed = (await gateway.ask("GET", "/v1/daemons"))[1]["daemons"]
        assert [set(entry) for entry in listed] == [
            {"id", "project", "connected", "epoch", "version", "last_seen", "acked", "head", "head_conflict"}]
        assert listed[0]["connected"] is True and listed[0]["acked"] == 8 and listed[0]["epoch"] == 1
        await daemon.close()
        return daemon

    daemon = asyncio.run(main())
    events = gateway.get("/v1/runs/r-a/events")["events"]
    assert events == [event for event in daemon.events if event.get("run_id") == "r-a"]
    assert [event["n"] for event in events] == list(range(1, 8))
    run = gateway.get("/v1/runs/r-a")
    assert (run["status"], run["workflow_id"], run["outputs"]) == ("succeeded", "daily", {"x": 1.5})
    assert [(step["id"], step["status"], step["attempt"]) for step in run["steps"]] == [
        ("one", "completed", 1), ("two", "completed", 1)]
    assert gateway.get("/v1/runs/r-a/events?after=5")["events"] == events[5:]
    assert gateway.get("/v1/runs/r-a/events?after=2&limit=2")["events"] == events[2:4]


def test_values_pass_byte_for_byte(gateway):
    event = ('{"seq":1,"run_id":"r-b","n":1,"time":"2026-01-31T12:00:00.123Z","type":"run.created",'
             '"data":{"workflow_id":"w","inputs":{"a":1.0e+05,"b":123456789012345678901234567890, "\\u0041":"\\/"}},"x":[ 1 ]}')

    async def main():
        daemon = Daemon(gateway.url, "d1")
        daemon.events.append(json.loads(event))
        await daemon.connect()
        await daemon.send('{"jsonrpc":"2.0","method":"events.append","params":{"events":[' + event + "]}}")
        await daemon.wait(lambda: daemon.acked == 1)
        await daemon.close()

    asyncio.run(main())
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.request("GET", "/v1/runs/r-b/events")
    assert connection.getresponse().read().decode() == '{"events":[' + event + "]}"
    connection.close()


def test_repeated_events_are_stored_once(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push()
        await daemon.notify("events.append", {"events": daemon.events})
        await daemon.notify("events.append", {"events": daemon.events[2:]})
        daemon.emit("daemon.stopped", data={"reason": "test"})
        await daemon.notify("events.append", {"events": daemon.events})
        await daemon.wait(lambda: daemon.acked == len(daemon.events))
        await daemon.close()

    asyncio.run(main())
    assert [row[0] for row in gateway.query("SELECT seq FROM events ORDER BY seq")] == [1, 2, 3, 4, 5, 6]


def test_a_hole_closes_with_4400(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.notify("events.append", {"events": [daemon.events[0], daemon.events[2]]})
        code, reason = await daemon.closed()
        assert code == 4400 and "hole" in reason

    asyncio.run(main())
    assert gateway.query("SELECT count(*) FROM events") == [(0,)]


def test_acked_continues_after_reconnect_and_restart(gateway):
    async def first():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push()
        await daemon.vanish()
        answer = (await daemon.connect("crash")) and daemon.hello_answer
        assert answer["events"]["acked"] == 5
        assert answer["events"]["acked_time"] == daemon.events[4]["time"]
        await daemon.close()
        return daemon

    daemon = asyncio.run(first())
    assert gateway.stop() == 0
    gateway.start()

    async def second():
        daemon.changed = asyncio.Condition()
        daemon.url = gateway.url.replace("http", "ws") + "/v1/daemon"
        answer = (await daemon.connect("start")) and daemon.hello_answer
        assert answer["events"]["acked"] == 5
        daemon.emit_run("r-b")
        await daemon.push()
        await daemon.close()

    asyncio.run(second())
    assert [row[0] for row in gateway.query("SELECT seq FROM events ORDER BY key")] == list(range(1, 11))
    assert [run["run_id"] for run in gateway.get("/v1/runs")["runs"]] == ["r-b", "r-a"]


def test_kill_9_loses_nothing_that_was_acked(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push(batch=1)
        gateway.stop(signal.SIGKILL)
        await daemon.join()

    asyncio.run(main())
    gateway.start()
    assert len(gateway.get("/v1/runs/r-a/events")["events"]) == 5


def test_an_unknown_daemon_begins_at_its_first_event(gateway):
    async def main():
        daemon = Daemon(gateway.url, "old")
        for number in range(4):
            daemon.emit_run(f"r-{number}")
        daemon.forget_before(11)
        answer = (await daemon.connect()) and daemon.hello_answer
        assert answer["events"]["acked"] == 10 and not daemon.notifications
        await daemon.push()
        await daemon.close()

    asyncio.run(main())
    assert gateway.query("SELECT min(seq), max(seq), count(*) FROM events") == [(11, 20, 10)]


def test_a_gap_is_recorded_and_counts_as_acked(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push()
        await daemon.close()
        daemon.emit_run("r-b")
        daemon.emit_run("r-c")
        daemon.forget_before(9)
        await daemon.connect("reconnect", new_epoch=False)
        assert daemon.acked == 8
        await daemon.push()
        await daemon.close()

    asyncio.run(main())
    assert gateway.query("SELECT first, last FROM gaps") == [(6, 8)]
    assert [row[0] for row in gateway.query("SELECT seq FROM events ORDER BY seq")] == [1, 2, 3, 4, 5, *range(9, 16)]


# --- heads of chains ------------------------------------------------------------------------------


def test_heads_are_kept_with_each_batch_and_shown(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        assert (await gateway.ask("GET", "/v1/daemons/d1"))[1]["head"] is None
        daemon.emit_run("r-a")
        daemon.emit_run("r-b")
        await daemon.push(4)
        for _ in range(2):  # another daemon's heads are its own
            other = Daemon(gateway.url, "d2")
            await other.connect()
            other.emit_run("r-a")
            await other.push()
            await other.close()
        await daemon.close()
        return daemon.head(4), daemon.head(8), daemon.head(10)

    heads = asyncio.run(main())
    kept = gateway.query("SELECT h.seq, sha256 FROM heads h JOIN daemons d ON d.key = h.daemon WHERE id = 'd1' ORDER BY h.seq")
    assert kept == [(head["seq"], head["sha256"]) for head in heads]
    shown = gateway.get("/v1/daemons/d1")
    assert shown["head"] == heads[-1] and shown["head_conflict"] is None and shown["acked"] == 10
    assert gateway.get("/v1/daemons")["daemons"][0] == shown
    assert gateway.http("GET", "/v1/daemons/nobody")[0] == 404
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.get("/v1/daemons/d1")["head"] == heads[-1]


def test_a_head_that_is_another_one_now_is_told(gateway):
    other = {"seq": 5, "sha256": "ab" * 32}

    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push()
        kept = daemon.head(5)
        await daemon.append(daemon.events)  # once more, as it was
        assert (await gateway.ask("GET", "/v1/daemons/d1"))[1]["head_conflict"] is None
        for _ in range(2):
            await daemon.append(daemon.events, head=other)
        daemon.emit_run("r-b")
        await daemon.push()  # events are not lost for it
        await daemon.close()
        return kept, daemon.head(10)

    kept, last = asyncio.run(main())
    shown = gateway.get("/v1/daemons/d1")
    conflict = shown.pop("head_conflict")
    assert conflict.pop("time").startswith("20")
    assert conflict == {"seq": 5, "kept": kept["sha256"], "named": other["sha256"]}
    assert shown["head"] == last and shown["acked"] == 10
    assert gateway.query("SELECT sha256 FROM heads WHERE seq = 5") == [(kept["sha256"],)]
    assert gateway.query("SELECT seq, kept, named FROM head_conflicts") == [(5, kept["sha256"], other["sha256"])]
    log = (gateway.folder / "gateway.log").read_text()
    assert kept["sha256"] in log and other["sha256"] in log and "edited" in log


def test_a_head_that_is_none_closes_with_4400(gateway):
    async def main():
        for head in ({"seq": 4, "sha256": "0" * 64}, {"seq": 6, "sha256": "0" * 64}, {"seq": 5, "sha256": "0" * 63},
                     {"seq": 5, "sha256": "g" * 64}, {"seq": 5, "sha256": "A" * 64}, {"seq": 5}, {"sha256": "0" * 64}, []):
            daemon = Daemon(gateway.url, "d1")
            await daemon.connect()
            daemon.emit_run("r-a")
            await daemon.append(daemon.events, head=head)
            code, reason = await daemon.closed()
            assert code == 4400 and "head" in reason, head
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.notify("events.append", {"events": daemon.events})  # a daemon without a chain
        await daemon.wait(lambda: daemon.acked == 5)
        await daemon.close()

    asyncio.run(main())
    assert gateway.query("SELECT count(*) FROM heads") == [(0,)] and gateway.get("/v1/daemons/d1")["head"] is None


def test_a_store_of_the_first_format_is_taken_over(gateway):
    async def fill(first):
        daemon = Daemon(gateway.url, "d1")
        for number in range(first + 1):
            daemon.emit_run(f"r-{number}")
        await daemon.connect()
        await daemon.push()
        await daemon.close()

    asyncio.run(fill(0))
    assert gateway.stop() == 0
    with sqlite3.connect(gateway.store) as db:
        db.executescript("""
            ALTER TABLE daemons ADD COLUMN head_seq INTEGER;
            ALTER TABLE daemons ADD COLUMN head_sha256 TEXT;
            UPDATE daemons SET head_seq = 3, head_sha256 = 'cd';
            INSERT INTO daemons SELECT 2, 'without', '', 'p', '', 1, 0, 65536, 0, 0, NULL, NULL;
            DROP TABLE heads; DROP TABLE head_conflicts; PRAGMA user_version = 1;""")
    db.close()
    gateway.start()
    assert gateway.get("/v1/daemons/d1")["head"] == {"seq": 3, "sha256": "cd"}
    assert gateway.get("/v1/daemons/without")["head"] is None
    asyncio.run(fill(1))
    assert gateway.get("/v1/daemons/d1")["head"]["seq"] == 10
    assert len(gateway.get("/v1/runs/r-0/events")["events"]) == 5
    assert gateway.query("PRAGMA user_version") == [(2,)]


def test_many_daemons_at_once(gateway):
    async def one(number):
        daemon = Daemon(gateway.url, f"d{number}")
        await daemon.connect()
        for run in range(3):
            daemon.emit_run(f"r-{number}-{run}")
            await daemon.push(batch=4)
        await daemon.close()

    async def main():
        await asyncio.gather(*(one(number) for number in range(12)))

    asyncio.run(main())
    assert gateway.query("SELECT count(*) FROM events") == [(12 * 3 * 5,)]
    assert gateway.query("SELECT count(*) FROM daemons WHERE acked = 15") == [(12,)]


# --- hello and life -------------------------------------------------------------------------------


def test_the_first_message_must_be_hello(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.dial()
        await daemon.notify("events.append", {"events": []})
        code, _ = await daemon.closed()
        assert code == 4400

    asyncio.run(main())


def test_no_common_version_closes_with_4426(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.dial()
        with pytest.raises(HelloRefused) as refused:
            await daemon.hello(params=dict(daemon.hello_params("start"), protocol=[2, 3]))
        assert refused.value.error["code"] == -32003 and refused.value.error["data"] == {"supported": [1]}
        code, _ = await daemon.closed()
        assert code == 4426

    asyncio.run(main())


def test_malformed_messages_close_with_4400(gateway):
    async def main():
        for text in ("{", "[]", '{"jsonrpc":"2.0","method":"events.append","params":{"events":[{"seq":1}]}}',
                     '{"jsonrpc":"2.0","method":"x","method":"y"}', "[" * 100):
            daemon = Daemon(gateway.url, "d1")
            await daemon.connect()
            await daemon.send(text)
            code, reason = await daemon.closed()
            assert code == 4400 and reason, text

    asyncio.run(main())


def test_the_higher_epoch_wins_and_at_equal_epochs_the_newer(gateway):
    async def main():
        old, new = Daemon(gateway.url, "d1"), Daemon(gateway.url, "d1")
        await old.connect()
        new.epoch = 0
        await new.connect()  # epoch 1 as well
        assert (await old.closed())[0] == 4409
        late = Daemon(gateway.url, "d1")
        late.epoch = 4
        await late.connect()  # epoch 5
        assert (await new.closed())[0] == 4409
        stale = Daemon(gateway.url, "d1")
        stale.epoch = 2
        await stale.dial()
        await stale.send({"jsonrpc": "2.0", "id": "h", "method": "daemon.hello", "params": stale.hello_params("start")})
        assert (await stale.closed())[0] == 4409
        await late.close()
        # Epochs are compared between live connections only.
        await stale.connect()
        await stale.close()

    asyncio.run(main())


def test_a_forked_daemon_says_hello_again(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit_run("r-a")
        await daemon.push()
        await daemon.close()
        copy = Daemon(gateway.url, "d1")
        await copy.dial()
        answer = await copy.hello()
        assert answer["events"]["acked"] == 5 >= copy.next
        copy.previous_id, copy.id = "d1", "d2"
        answer = await copy.hello("forked")
        assert answer["events"]["acked"] == 0
        copy.reader = asyncio.create_task(copy.read())
        copy.emit("daemon.started", data={"reason": "forked"})
        await copy.push()
        await copy.close()

    asyncio.run(main())
    assert gateway.query("SELECT id, previous_id, acked FROM daemons ORDER BY key") == [("d1", "", 5), ("d2", "d1", 1)]


def test_sigterm_closes_daemons_with_1001(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        gateway.process.send_signal(signal.SIGTERM)
        assert (await daemon.closed())[0] == 1001

    asyncio.run(main())
    assert gateway.process.wait(DEADLINE_S) == 0
    gateway.process.stdout.close()
    gateway.process = None


def test_a_silent_daemon_is_pinged_then_dropped(tmp_path):
    gateway = Gateway(tmp_path, "--heartbeat-s", "1").start()
    try:
        link = upgrade(gateway)
        started = time.monotonic()
        hello(link, "d1")
        frames = []
        while (frame := read_frame(link)) is not None:
            frames.append(frame)
        assert any(opcode == 9 for opcode, _ in frames)
        assert 1.4 <= time.monotonic() - started < 10
        link.close()
        assert gateway.get("/v1/daemons")["daemons"][0]["connected"] is False
    finally:
        assert gateway.stop() == 0


def test_pings_keep_a_quiet_daemon(tmp_path):
    gateway = Gateway(tmp_path, "--heartbeat-s", "1").start()

    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()  # the library answers pings by itself
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(daemon.ws.wait_closed(), 3)
        await daemon.close()

    try:
        asyncio.run(main())
    finally:
        assert gateway.stop() == 0


# --- the WebSocket --------------------------------------------------------------------------------

HANDSHAKE = ("GET /v1/daemon HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Protocol: other, charter.v1\r\n\r\n").encode()


def upgrade(gateway):
    link = gateway.raw(HANDSHAKE)
    answer = until(link, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    assert b"sec-websocket-protocol: charter.v1\r\n" in answer.lower()
    return link


def frame(opcode, payload=b"", fin=True, masked=True, rsv=0, length=None):
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    n = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if n < 126:
        head = struct.pack("!BB", first, mask | n)
    elif n < 65536:
        head = struct.pack("!BBH", first, mask | 126, n)
    else:
        head = struct.pack("!BBQ", first, mask | 127, n)
    if not masked:
        return head + payload
    key = b"\x11\x22\x33\x44"
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def read_exactly(link, n):
    data = b""
    while len(data) < n:
        try:
            chunk = link.recv(n - len(data))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return data


def read_frame(link):
    head = read_exactly(link, 2)
    if head is None:
        return None
    assert not head[1] & 0x80, "a server's frames are not masked"
    n = head[1] & 0x7F
    if n == 126:
        n = struct.unpack("!H", read_exactly(link, 2))[0]
    elif n == 127:
        n = struct.unpack("!Q", read_exactly(link, 8))[0]
    return head[0] & 0x0F, read_exactly(link, n)


def hello(link, daemon_id):
    params = Daemon("", daemon_id).hello_params("start")
    link.sendall(frame(1, json.dumps({"jsonrpc": "2.0", "id": "h", "method": "daemon.hello", "params": params}).encode()))
    opcode, payload = read_frame(link)
    assert opcode == 1
    return json.loads(payload)


def close_code(link):
    while (got := read_frame(link)) is not None:
        if got[0] == 8:
            return struct.unpack("!H", got[1][:2])[0]
    return None


@pytest.mark.parametrize("name, data, code", [
    ("unmasked", frame(1, b"{}", masked=False), 1002),
    ("reserved bit", frame(1, b"{}", rsv=4), 1002),
    ("unknown opcode", frame(3, b""), 1002),
    ("unknown control opcode", frame(11, b""), 1002),
    ("binary", frame(2, b"{}"), 1003),
    ("continuation of nothing", frame(0, b"{}"), 1002),
    ("text inside a text", frame(1, b"{", fin=False) + frame(1, b"}"), 1002),
    ("fragmented ping", frame(9, b"", fin=False), 1002),
    ("long ping", frame(9, b"x" * 126), 1002),
    ("length not shortest", struct.pack("!BBH", 0x81, 0xFE, 5), 1002),
    ("length over 2^63", struct.pack("!BBQ", 0x81, 0xFF, 1 << 63), 1002),
    ("not UTF-8", frame(1, b"\xc3\x28"), 1007),
    ("close without reason's code", frame(8, b"\x03"), 1002),
    ("close with 1005", frame(8, struct.pack("!H", 1005)), 1002),
    ("close reason not UTF-8", frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    ("too large, header alone", frame(1, b"", length=10_000_000), 1009),
    ("too large in fragments", frame(1, b"x" * 60000, fin=False) + frame(0, b"", length=60000), 1009),
    ("close is echoed", frame(8, struct.pack("!H", 4321)), 4321),
])
def test_websocket_rules(gateway, name, data, code):
    with upgrade(gateway) as link:
        link.sendall(data)
        assert close_code(link) == code


def test_fragments_and_pings_in_between(gateway):
    with upgrade(gateway) as link:
        text = json.dumps({"jsonrpc": "2.0", "id": "h", "method": "daemon.hello",
                           "params": Daemon("", "d1", project="Zürich").hello_params("start")}, ensure_ascii=False)
        data = text.encode()
        cut = data.index(b"\xc3") + 1  # inside a character
        whole = frame(1, data[:cut], fin=False) + frame(9, b"alive?") + frame(0, b"", fin=False) + frame(0, data[cut:])
        for byte in whole[:40]:  # byte by byte, then the rest
            link.sendall(bytes([byte]))
        link.sendall(whole[40:])
        assert read_frame(link) == (10, b"alive?")
        opcode, payload = read_frame(link)
        assert opcode == 1 and json.loads(payload)["result"]["protocol"] == 1
        link.sendall(frame(8, struct.pack("!H", 1000)))
        assert close_code(link) == 1000
    assert gateway.get("/v1/daemons")["daemons"][0]["project"] == "Zürich"


@pytest.mark.parametrize("change, status", [
    ((b"Upgrade: websocket\r\n", b""), b"426"),
    ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"), b"426"),
    ((b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), b"400"),
    ((b", charter.v1", b""), b"400"),
    ((b"GET", b"POST"), b"411"),
])
def test_a_wrong_upgrade_is_refused(gateway, change, status):
    with gateway.raw(HANDSHAKE.replace(*change)) as link:
        assert until(link, b"\r\n\r\n").split()[1] == status


# --- runs and lists -------------------------------------------------------------------------------


def test_runs_are_paged_newest_first(gateway):
    async def main():
        first, second = Daemon(gateway.url, "d1"), Daemon(gateway.url, "d2")
        await first.connect()
        await second.connect()
        for number in range(5):
            first.emit_run(f"r-1-{number}")
            await first.push()
            second.emit_run(f"r-2-{number}")
            await second.push()
        second.emit("run.created", "r-open", data={"workflow_id": "w", "inputs": {}, "labels": {"k": "v"}})
        await second.push()
        await first.close()
        await second.close()

    asyncio.run(main())
    expected = ["r-open"] + [f"r-{daemon}-{number}" for number in (4, 3, 2, 1, 0) for daemon in (2, 1)]
    seen, cursor = [], ""
    while cursor is not None:
        page = gateway.get("/v1/runs?limit=4" + (f"&cursor={cursor}" if cursor else ""))
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert seen == expected
    queued = gateway.get("/v1/runs?status=queued")
    assert [run["run_id"] for run in queued["runs"]] == ["r-open"] and queued["next_cursor"] is None
    assert queued["runs"][0]["labels"] == {"k": "v"}
    assert len(gateway.get("/v1/runs?status=succeeded&daemon=d1")["runs"]) == 5
    assert len(gateway.get("/v1/runs?daemon=d2")["runs"]) == 6
    for wrong in ("limit=0", "limit=x", "cursor=x", "status=nonsense"):
        assert gateway.http("GET", "/v1/runs?" + wrong)[0] == 400
    assert gateway.http("GET", "/v1/runs?daemon=nobody")[0] == 404


def test_a_run_id_of_two_daemons_is_409(gateway):
    async def main():
        for name in ("d1", "d2"):
            daemon = Daemon(gateway.url, name)
            await daemon.connect()
            daemon.emit_run("r-same", workflow="of-" + name)
            await daemon.push()
            await daemon.close()

    asyncio.run(main())
    assert gateway.http("GET", "/v1/runs/r-same")[0] == 409
    assert gateway.http("GET", "/v1/runs/r-same/events")[0] == 409
    assert gateway.get("/v1/runs/r-same?daemon=d2")["workflow_id"] == "of-d2"
    assert len(gateway.get("/v1/runs/r-same/events?daemon=d1")["events"]) == 5
    assert gateway.http("GET", "/v1/runs/r-none")[0] == 404
    assert gateway.http("GET", "/v1/runs/r-none/events")[0] == 404


def test_status_follows_the_events(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()

        async def status(expected, waiting_for=None):
            await daemon.push()
            run = (await gateway.ask("GET", "/v1/runs/r"))[1]
            assert (run["status"], run["waiting_for"]) == (expected, waiting_for)
            return run

        daemon.emit("run.created", "r", data={"workflow_id": "w", "inputs": {}, "labels": {}})
        await status("queued")
        daemon.emit("run.started", "r")
        daemon.emit("step.started", "r", "work", 1, {"uses": "sh"})
        daemon.emit("step.started", "r", "ask", 1, {"uses": "gate"})
        daemon.emit("run.waiting", "r", "ask", data={"for": "gate", "message": "Go?", "deadline": None})
        await status("running")
        error = {"kind": "exited", "message": "no", "exit_code": 3}
        daemon.emit("step.retrying", "r", "work", 1, {"error": error, "next_attempt": 2, "delay_ms": 1})
        daemon.emit("step.started", "r", "work", 2, {"uses": "sh"})
        daemon.emit("step.completed", "r", "work", 2, {"value": 1})
        run = await status("waiting", "gate")
        assert run["waiting"] == {"step_id": "ask", "message": "Go?", "fields": None, "deadline": None}
        daemon.emit("run.resumed", "r", "ask", data={"decision": "approve"})
        run = await status("running")
        assert run["waiting"] is None
        daemon.emit("step.completed", "r", "ask", 1, {"value": {}})
        daemon.emit("step.started", "r", "last", 1, {"uses": "sh"})
        daemon.emit("step.failed", "r", "last", 1, {"error": error})
        daemon.emit("run.failed", "r", data={"error": error, "step_id": "last"})
        run = await status("failed")
        assert run["error"] == error and run["ended_at"] == daemon.events[-1]["time"]
        assert [(s["id"], s["status"], s["attempt"]) for s in run["steps"]] == [
            ("work", "completed", 2), ("ask", "completed", 1), ("last", "failed", 1)]
        # An ending that was too large for any peer is an ending all the same.
        daemon.emit("run.created", "big", data={"workflow_id": "w"})
        daemon.emit("events.oversize", "big", data={"type": "run.succeeded", "bytes": 99999})
        await daemon.push()
        assert (await gateway.ask("GET", "/v1/runs/big"))[1]["status"] == "succeeded"
        await daemon.close()

    asyncio.run(main())


# --- following ------------------------------------------------------------------------------------


class Follower:
    """Reads text/event-stream in a thread."""

    def __init__(self, gateway, path, **headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE_S)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        self.answer = self.connection.getresponse()
        self.events = []
        self.thread = threading.Thread(target=self.read)
        if self.answer.status == 200:
            assert self.answer.getheader("Content-Type") == "text/event-stream"
            self.thread.start()

    def read(self):
        fields = {}
        for line in self.answer:
            line = line.decode().rstrip("\n")
            if line.startswith("id: "):
                fields["id"] = int(line[4:])
            elif line.startswith("data: "):
                fields["data"] = fields.get("data", "") + line[6:] + "\n"
            elif not line and "data" in fields:
                self.events.append((fields["id"], json.loads(fields["data"])))
                fields = {}

    def join(self):
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        self.connection.close()
        return self.events


def test_a_follower_sees_events_live_until_the_run_ends(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.emit("run.created", "r", data={"workflow_id": "w"})
        await daemon.push()
        loop = asyncio.get_running_loop()
        follower = await loop.run_in_executor(None, lambda: Follower(gateway, "/v1/runs/r/events"))
        late = await loop.run_in_executor(
            None, lambda: Follower(gateway, "/v1/runs/r/events", **{"Last-Event-ID": "2"}))
        for _ in range(300):
            daemon.emit("step.log", "r", "s", 1, {"message": "x" * 500})
        daemon.emit("run.started", "r")
        daemon.emit("run.succeeded", "r", data={"outputs": {}})
        # White space between tokens, line ends included, must not break the stream's lines.
        text = json.dumps({"jsonrpc": "2.0", "method": "events.append", "params": {"events": daemon.events[1:3]}}, indent=1)
        await daemon.send(text.replace("\n", "\r\n"))
        await daemon.wait(lambda: daemon.acked == 3)
        await daemon.push(batch=60)
        seen = await loop.run_in_executor(None, follower.join)
        assert [n for n, _ in seen] == list(range(1, 304))
        assert [event for _, event in seen] == daemon.events
        assert [n for n, _ in await loop.run_in_executor(None, late.join)] == list(range(3, 304))
        done = await loop.run_in_executor(None, lambda: Follower(gateway, "/v1/runs/r/events?after=303"))
        assert done.answer.status == 204
        done.connection.close()
        await daemon.close()

    asyncio.run(main())


def test_a_slow_follower_gets_everything(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        for _ in range(300):
            daemon.emit("step.log", "r", "s", 1, {"message": "x" * 15000})
        daemon.emit("run.succeeded", "r", data={"outputs": {}})
        link = gateway.raw(b"")
        await daemon.push(batch=4)
        link.sendall(b"GET /v1/runs/r/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        # Nothing is read until the gateway has noticed that it cannot send more, and it serves others meanwhile.
        for _ in range(20):
            assert (await gateway.ask("GET", "/healthz"))[0] == 200
        data = await asyncio.get_running_loop().run_in_executor(None, read_all, link)
        link.close()
        assert [line for line in data.split(b"\n") if line.startswith(b"id: ")] == [
            b"id: %d" % n for n in range(1, 302)]
        # Pages are cut to an answer's length: nothing is left out, a reader pages on.
        seen = 0
        while True:
            events = (await gateway.ask("GET", f"/v1/runs/r/events?after={seen}"))[1]["events"]
            if not events:
                break
            assert [event["n"] for event in events] == list(range(seen + 1, seen + 1 + len(events)))
            seen = events[-1]["n"]
        assert seen == 301
        await daemon.close()

    asyncio.run(main())


# --- commands -------------------------------------------------------------------------------------


def test_a_command_goes_through_and_comes_back(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w", "inputs": {"a": 1}}, call_id="x-1")
        assert (status, body["id"], body["result"]["status"]) == (200, "x-1", "queued")
        sent = daemon.requests[0]
        assert sent["params"]["inputs"] == {"a": 1} and sent["params"]["command"]["seq"] == 1
        await daemon.push()
        status, body = await gateway.rpc("d1", "daemon.status")
        assert (status, body["result"]["daemon_id"]) == (200, "d1")
        status, body = await gateway.rpc("d1", "no.such")
        assert (status, body["error"]["code"]) == (200, -32601)
        await daemon.close()

    asyncio.run(main())


def test_a_started_run_is_known_before_its_events(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        _, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w"})
        run_id = body["result"]["run_id"]
        assert (await gateway.ask("GET", f"/v1/runs/{run_id}"))[1]["status"] == "queued"
        assert await gateway.ask("GET", f"/v1/runs/{run_id}/events") == (200, {"events": []})
        await daemon.push()
        run = (await gateway.ask("GET", f"/v1/runs/{run_id}"))[1]
        assert (run["status"], run["workflow_id"]) == ("succeeded", "w")
        await daemon.close()

    asyncio.run(main())


def test_an_idempotency_key_is_used_once(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        first = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k1")
        again = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k1")
        assert first == again and first[0] == 200 and len(daemon.requests) == 1
        assert daemon.requests[0]["params"]["command"]["key"] == "k1"
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "other"}, key="k1")
        assert (status, body["error"]["code"], body["error"]["data"]) == (409, -32013, {"key": "k1"})
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="x" * 65)
        assert status == 400
        await daemon.close()

    asyncio.run(main())


def test_commands_wait_for_an_offline_daemon(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        daemon.command_seen = 41
        await daemon.connect()
        await daemon.close()
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "a"}, key="k-a")
        assert (status, body["seq"]) == (202, 42)
        status, body = await gateway.rpc("d1", "run.cancel", {"run_id": "r"})
        assert (status, body["seq"]) == (202, 43)
        assert (await gateway.rpc("d1", "run.status", {"run_id": "r"}))[0] == 503
        assert (await gateway.rpc("nobody", "run.status"))[0] == 404
        gateway.stop()
        gateway.start()
        daemon.url = gateway.url.replace("http", "ws") + "/v1/daemon"
        await daemon.connect()
        await daemon.wait(lambda: len(daemon.requests) == 2)
        assert [r["method"] for r in daemon.requests] == ["run.start", "run.cancel"]
        assert [r["params"]["command"]["seq"] for r in daemon.requests] == [42, 43]
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "a"}, key="k-a")
        assert status == 200 and body["result"]["status"] == "queued" and len(daemon.requests) == 2
        await daemon.close()

    asyncio.run(main())


def test_an_unanswered_command_is_sent_again_with_a_new_id(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.muted = True
        call = asyncio.create_task(gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k"))
        read = asyncio.create_task(gateway.rpc("d1", "run.status", {"run_id": "r"}))
        await daemon.wait(lambda: len(daemon.requests) == 2)
        await daemon.vanish()
        assert (await read)[0] == 503  # a read is lost with its connection
        daemon.muted = False
        await daemon.connect("reconnect")
        status, body = await call  # the caller has waited all along
        assert status == 200 and "result" in body
        starts = [r for r in daemon.requests if r["method"] == "run.start"]
        assert len(starts) == 2 and starts[0]["params"] == starts[1]["params"] and starts[0]["id"] != starts[1]["id"]
        await daemon.close()

    asyncio.run(main())


def test_refusals_that_are_no_outcomes_free_the_key(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")

        def busy(method, params):
            raise RpcError(-32009, "busy", {"retry_after_ms": 100})

        daemon.answer = busy
        await daemon.connect()
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k")
        assert (status, body["error"]["code"]) == (200, -32009)
        daemon.answer = daemon.default_answer
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k")
        assert status == 200 and "result" in body
        assert [r["params"]["command"]["seq"] for r in daemon.requests] == [1, 2]
        await daemon.close()

        # Who was promised delivery gets it, under a new seq, once the daemon takes it.
        assert (await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="later"))[0] == 202
        daemon.answer = busy
        await daemon.connect("start")
        await daemon.wait(lambda: len(daemon.requests) == 3)
        daemon.answer = daemon.default_answer
        await daemon.wait(lambda: len(daemon.requests) == 4)
        assert [r["params"]["command"] for r in daemon.requests[2:]] == [
            {"seq": 3, "key": "later"}, {"seq": 4, "key": "later"}]
        await daemon.close()

    asyncio.run(main())


def test_no_answer_within_30_s_is_202(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        daemon.muted = True
        command, read = await asyncio.gather(gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k"),
                                             gateway.rpc("d1", "run.status", {"run_id": "r"}))
        assert command == (202, {"seq": 1, "key": "k", "state": "waiting"})
        assert (read[0], read[1]["error"]["code"]) == (504, -32014)
        await daemon.reply(next(r for r in daemon.requests if r["method"] == "run.start"))
        daemon.muted = False
        # The connection is alive and in order: the answer above was taken before this one.
        await gateway.rpc("d1", "daemon.status")
        status, body = await gateway.rpc("d1", "run.start", {"workflow_id": "w"}, key="k")
        assert status == 200 and "result" in body
        await daemon.close()

    asyncio.run(main())


def test_wrong_rpc_bodies_are_refused(gateway):
    async def main():
        daemon = Daemon(gateway.url, "d1")
        daemon.message_bytes = 16384
        await daemon.connect()
        path = "/v1/daemons/d1/rpc"
        for body, status, code in (
                ("{", 400, -32700), ("[]", 400, -32600), ('{"jsonrpc":"2.0","method":"run.start"}', 400, -32600),
                ('{"jsonrpc":"2.0","id":1,"method":"run.start","params":[]}', 400, -32602),
                ('{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"command":{}}}', 400, -32602),
                (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run.start", "params": {"x": "y" * 17000}}), 413, -32001)):
            got = await gateway.ask("POST", path, body)
            assert (got[0], got[1]["error"]["code"]) == (status, code), (body[:60], got)
        assert (await gateway.ask("POST", path, "x" * 70000))[0] == 413
        assert (await gateway.ask("GET", path))[0] == 405
        assert daemon.requests == []
        await daemon.close()

    asyncio.run(main())


# --- HTTP -----------------------------------------------------------------------------------------


def test_the_token_guards_v1(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    gateway = Gateway(tmp_path, "--token-file", tmp_path / "token").start()

    async def main():
        daemon = Daemon(gateway.url, "d1", token="s3cret")
        await daemon.connect()
        await daemon.close()
        for token in (None, "s3cre", "s3cret2"):
            with pytest.raises(Exception) as refused:
                await Daemon(gateway.url, "d1", token=token).connect()
            assert refused.value.status_code == 401

    try:
        asyncio.run(main())
        assert gateway.http("GET", "/v1/runs")[0] == 401
        assert gateway.http("GET", "/v1/nothing")[0] == 401
        assert gateway.http("GET", "/v1/runs", headers={"Authorization": "Bearer wrong"})[0] == 401
        assert gateway.http("GET", "/v1/runs", headers={"Authorization": "bearer s3cret"})[0] == 200
        assert gateway.http("GET", "/healthz")[0] == 200
        (tmp_path / "token").write_text("changed")
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while gateway.http("GET", "/v1/runs", headers={"Authorization": "Bearer changed"})[0] != 200:
            assert time.monotonic() < deadline
        assert gateway.http("GET", "/v1/runs", headers={"Authorization": "Bearer s3cret"})[0] == 401
    finally:
        assert gateway.stop() == 0


def test_pages_from_elsewhere_cannot_command(gateway):
    for origin, status in (("https://evil.example", 403), ("null", 403), (f"http://127.0.0.1:{gateway.port}", 404)):
        assert gateway.http("POST", "/v1/daemons/d/rpc", "{}", {"Origin": origin})[0] == status
    with gateway.raw(HANDSHAKE.replace(b"Host: x", b"Host: x\r\nOrigin: http://y")) as link:
        assert until(link, b"\r\n\r\n").split()[1] == b"403"


def test_keep_alive_pipelining_and_head(gateway):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with gateway.raw(request + b"HEAD /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n" +
                     b"GET /v1/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as link:
        answers = read_all(link)
    assert answers.count(b"HTTP/1.1 ") == 3 and b"HTTP/1.1 404" in answers
    assert b'"runs"' not in answers


def test_expect_100_continue(gateway):
    head = b"POST /v1/daemons/d/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with gateway.raw(head) as link:
        assert until(link, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        link.sendall(b"{}")
        assert until(link, b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("data, status", [
    (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", b"505"),
    (b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\nHost: a\n\n\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", b"400"),
    (b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
    (b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
    (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", b"400"),
    (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", b"400"),
    (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", b"413"),
    (b"GET /" + b"x" * 9000, b"431"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 80 + b"\r\n", b"431"),
    (b"\x16\x03\x01\x02\x00\x01", b"400"),
    (b"DELETE /v1/runs HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
    (b"GET http://a/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
    (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
])
def test_http_rules(gateway, data, status):
    with gateway.raw(data) as link:
        assert until(link, b"\r\n").split()[1] == status


def test_many_idle_connections_leave_room_for_a_daemon(gateway):
    links = [gateway.raw() for _ in range(300)]

    async def main():
        daemon = Daemon(gateway.url, "d1")
        await daemon.connect()
        await daemon.close()

    try:
        asyncio.run(main())
    finally:
        for link in links:
            link.close()


# --- the program ----------------------------------------------------------------------------------


def run_program(*args, **environment):
    return subprocess.run([GATEWAY, *args], capture_output=True, text=True, timeout=DEADLINE_S,
                          env=dict(os.environ, **environment))


def test_usage_and_exit_codes(tmp_path):
    assert run_program("--help").returncode == 0 and "--listen" in run_program("--help").stdout
    assert run_program("--version").stdout.startswith("charter-gateway ")
    for args in ([], ["--nonsense"], ["--store"], ["--store", "x", "--listen", "here"],
                 ["--store", "x", "--heartbeat-s", "0"], ["--store", "x", "--log-level", "loud"]):
        done = run_program(*args)
        assert done.returncode == 2 and "charter-gateway:" in done.stderr, args
    assert run_program("--store", tmp_path / "none" / "x.db", "--listen", "127.0.0.1:0").returncode == 1
    assert run_program("--store", tmp_path / "x.db", "--token-file", tmp_path / "none").returncode == 1
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t(x)").connection.close()
    done = run_program("--store", tmp_path / "other.db", "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "another program" in done.stderr


def test_the_store_is_its_owners_alone(gateway):
    assert gateway.store.stat().st_mode & 0o077 == 0
