"""A gateway on bare sockets, for tests that must say every byte themselves: RFC 6455 from its text, no library.  It reads
strictly: whatever the daemon sends that a client must not send fails the test.

    server = Server()
    peer = server.accept()         # a TCP connection of the daemon's
    peer.upgrade()                 # 101
    peer.welcome()                 # hello and its answer
    peer.send(frame(0x81, b"..."))
    end = peer.rest()              # all frames up to the end of the connection
"""

import base64
import codecs
import contextlib
import hashlib
import json
import select
import socket
import struct
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Broken(AssertionError):
    """The daemon sent what RFC 6455 forbids a client."""


def frame(first, payload=b"", length=None, mask=None, form=None):
    """A frame as a server sends it; `length` lies about the payload's, `form` (7, 16, 64) about the shortest form."""
    size = len(payload) if length is None else length
    form = form or (7 if size < 126 else 16 if size < 65536 else 64)
    flag = 0x80 if mask is not None else 0
    head = bytes([first, flag | (size if form == 7 else 126 if form == 16 else 127)])
    if form != 7:
        head += size.to_bytes(form // 8, "big")
    if mask is not None:
        head += mask
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + payload


def close_frame(code=None, reason=b""):
    return frame(0x88, b"" if code is None else code.to_bytes(2, "big") + reason)


def say(message):
    return frame(0x81, json.dumps(message).encode())


class Frame:
    def __init__(self, first, payload):
        self.fin, self.opcode, self.payload = bool(first & 0x80), first & 15, payload

    def code(self):
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


class End:
    """How a connection went on and ended."""

    def __init__(self):
        self.frames, self.reset, self.seconds = [], False, 0.0

    def of(self, opcode):
        return [one for one in self.frames if one.opcode == opcode]

    def code(self):
        """Of the daemon's close frame; None where it sent none."""
        closes = self.of(CLOSE)
        assert len(closes) <= 1, "two close frames"
        return closes[0].code() if closes else None


class Peer:
    """One connection of a daemon."""

    def __init__(self, server, socket_):
        self.server, self.socket = server, socket_
        self.socket.settimeout(server.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent is on its way, also before a reset
        self.buffer = bytearray()
        self.bytes_in = 0
        self.request = {}
        self.message = None  # opcode and payload of the message whose fragments are coming
        self.messages = []   # parsed JSON, as it came
        self.closed = False  # the daemon's close frame has come
        self.keys = set()
        self.hello = None

    # --- bytes -------------------------------------------------------------------------------

    def send(self, data):
        self.socket.sendall(data)

    def trickle(self, data, pieces=1):
        """So many bytes a packet."""
        for at in range(0, len(data), pieces):
            self.socket.sendall(data[at:at + pieces])

    def more(self, size=65536):
        """False at the end of the connection."""
        data = self.socket.recv(size)
        self.buffer += data
        self.bytes_in += len(data)
        return bool(data)

    def finish(self):
        """No more from us; where the daemon has gone already, that is known."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # --- the opening handshake ----------------------------------------------------------------

    def read_request(self):
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), "the daemon hung up before its request was whole"
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        line, *lines = head.decode("ascii").split("\r\n")
        assert line.endswith("/v1/daemon HTTP/1.1") and line.startswith("GET "), line
        for one in lines:
            name, colon, value = one.partition(":")
            assert colon and name.lower() not in self.request, one
            self.request[name.lower()] = value.strip()
        assert self.request["upgrade"].lower() == "websocket" and self.request["sec-websocket-version"] == "13"
        assert "upgrade" in self.request["connection"].lower() and "sec-websocket-extensions" not in self.request
        assert len(base64.b64decode(self.request["sec-websocket-key"], validate=True)) == 16
        assert self.request["sec-websocket-key"] not in self.server.keys, "a Sec-WebSocket-Key came twice"
        self.server.keys.add(self.request["sec-websocket-key"])
        return self.request

    def answer(self, **headers):
        """A right 101; None leaves a header out, a value replaces it."""
        accept = base64.b64encode(hashlib.sha1(self.request["sec-websocket-key"].encode() + GUID).digest()).decode()
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept,
                  "Sec-WebSocket-Protocol": "charter.v1"}
        fields.update((name.replace("_", "-"), value) for name, value in headers.items())
        return ("HTTP/1.1 101 Switching Protocols\r\n" +
                "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None) + "\r\n").encode()

    def upgrade(self):
        self.read_request()
        self.send(self.answer())
        return self

    # --- frames -------------------------------------------------------------------------------

    def _parse(self):
        """The next whole frame in the buffer, checked; None: more is needed."""
        data = self.buffer
        if len(data) < 2:
            return None
        first, size, at = data[0], data[1] & 0x7F, 2
        if not data[1] & 0x80:
            raise Broken("a frame without a mask")
        if size > 125:
            extra = 2 if size == 126 else 8
            if len(data) < 2 + extra:
                return None
            size, at = int.from_bytes(data[2:2 + extra], "big"), 2 + extra
            if size < (126 if extra == 2 else 65536):
                raise Broken("a length that is not in its shortest form")
        if len(data) < at + 4 + size:
            return None
        key = bytes(data[at:at + 4])
        self.keys.add(key)
        body = bytes(data[at + 4:at + 4 + size])
        long_key = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(body, "big") ^ long_key).to_bytes(size, "big")
        del data[:at + 4 + size]
        self._check(first, payload)
        return Frame(first, payload)

    def _check(self, first, payload):
        opcode, fin = first & 15, first & 0x80
        if first & 0x70 or opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise Broken(f"a first byte {first:02x}")
        if self.closed:
            raise Broken("a frame after its close frame")
        if opcode & 8:
            if not fin or len(payload) > 125:
                raise Broken("a control frame that is long or fragmented")
            if opcode == CLOSE:
                self.closed = True
                if len(payload) == 1:
                    raise Broken("half a close code")
                code = int.from_bytes(payload[:2], "big")
                if payload and not (code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999):
                    raise Broken(f"the close code {code}")
                payload[2:].decode("utf-8")
            return
        if (opcode == 0) != (self.message is not None):
            raise Broken("fragments out of order")
        if opcode:
            self.message = (opcode, codecs.getincrementaldecoder("utf-8")(), bytearray())
        opcode, decoder, whole = self.message
        whole += payload
        if opcode == TEXT:
            decoder.decode(payload, bool(fin))
        if fin:
            self.message = None
            assert opcode == TEXT, "a binary message"
            assert len(whole) <= 65536, "a message that is too long"
            self._take(json.loads(bytes(whole)))

    def _take(self, message):
        self.messages.append(message)
        if message.get("method") == "events.append":
            for event in message["params"]["events"]:
                self.server.take_event(event)

    def frame(self):
        """The next frame, or None at the end."""
        while True:
            one = self._parse()
            if one:
                return one
            if not self.more():
                if self.buffer and not self.closed:
                    raise Broken(f"the daemon ended inside a frame: {bytes(self.buffer[:20])}")
                return None

    def wait(self, condition):
        """Reads frames until condition(frame); that frame."""
        while True:
            one = self.frame()
            assert one is not None, "the connection ended"
            if condition(one):
                return one

    def wait_message(self, condition):
        self.wait(lambda _: self.messages and condition(self.messages[-1]))
        return self.messages[-1]

    def rest(self, seconds=5.0, polite=True):
        """Everything up to the end of the connection, which must come in time.  Polite: a close frame is answered
        and the connection closed, as a server should; else nothing is said or done."""
        end, began = End(), time.monotonic()
        deadline = began + seconds
        try:
            while True:
                one = self._parse()
                if one:
                    end.frames.append(one)
                    if one.opcode == CLOSE and polite:
                        polite = False
                        with contextlib.suppress(OSError):
                            self.send(close_frame(one.code()))
                            self.finish()
                    continue
                left = deadline - time.monotonic()
                assert left > 0, f"the daemon did not end the connection within {seconds} s: {[f.opcode for f in end.frames]}"
                if select.select([self.socket], [], [], left)[0] and not self.more():
                    break
        except ConnectionError:
            end.reset = True
        end.seconds = time.monotonic() - began
        self.close()
        return end

    # --- the session ----------------------------------------------------------------------------

    def read_hello(self):
        message = self.wait_message(lambda _: True)
        assert message["method"] == "daemon.hello", message
        self.hello = message["params"]
        if self.server.acked is None:
            self.server.acked = self.hello["events"]["first"] - 1
        return self.hello

    def hello_result(self, **changes):
        result = {"protocol": 1, "gateway": "raw", "session": "s", "limits": {"message_bytes": 65536},
                  "heartbeat_s": self.server.heartbeat_s,
                  "events": {"acked": self.server.acked, "acked_time": None, "limit": None},
                  "clock": {"time": "2026-01-31T12:00:00.000Z"}}
        result.update(changes)
        return {"jsonrpc": "2.0", "id": "h", "result": result}

    def welcome(self, **changes):
        self.read_hello()
        self.send(say(self.hello_result(**changes)))
        return self

    def ack(self):
        self.send(say({"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": self.server.acked, "limit": None}}))

    def call(self, method, params=None, request_id="q"):
        self.send(say({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}))
        return self.wait_message(lambda message: message.get("id") == request_id)


class Server:
    def __init__(self, heartbeat_s=30, timeout=30, receive_buffer=None):
        self.listener = socket.socket()
        if receive_buffer:  # inherited by what is accepted
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.timeout, self.heartbeat_s = timeout, heartbeat_s
        self.listener.settimeout(timeout)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.acked = None    # like a store that keeps them
        self.events = {}
        self.keys = set()

    def take_event(self, event):
        seq = event["seq"]
        if seq in self.events:
            assert self.events[seq] == event, f"event {seq} came twice with other content"
            return
        assert seq == self.acked + 1, f"event {seq} leaves a hole behind {self.acked}"
        self.events[seq] = event
        self.acked = seq

    def accept(self):
        return Peer(self, self.listener.accept()[0])

    def session(self, **changes):
        return self.accept().upgrade().welcome(**changes)

    def close(self):
        self.listener.close()
