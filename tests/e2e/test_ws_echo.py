"""The daemon's WebSocket code under a fuzzing server of the Autobahn kind, in small: build/ws-echo dials /runCase?case=NAME,
the case sends frames made by hand and says what must come back. The families have Autobahn's numbers. Shares no code
with src/."""

import base64
import contextlib
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

from harness import built, needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
ECHO = BUILD / "ws-echo"
PATIENCE_S = 20 if os.environ.get("TEST_VARIANT", "plain") == "plain" else 120

pytestmark = pytest.mark.skipif(not ECHO.exists(), reason="ws-echo is not built")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", fin=True, reserved=0, length=None):
    """As a server sends it, unmasked; `length` other than the payload's writes a header alone."""
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([size])
    elif size < 65536:
        head += b"\x7e" + struct.pack(">H", size)
    else:
        head += b"\x7f" + struct.pack(">Q", size)
    return head + payload


def fragments(opcode, payload, size):
    if isinstance(payload, str):
        payload = payload.encode()
    pieces = [payload[at:at + size] for at in range(0, len(payload), size)] or [b""]
    return [frame(opcode if at == 0 else CONTINUATION, piece, fin=at == len(pieces) - 1) for at, piece in enumerate(pieces)]


def close_frame(code=1000, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def trust(tls):
    """Flags under which the certificate in this folder is good."""
    if built("TLS_CA"):
        return ["--tls-ca", tls / "cert.pem"]
    key = subprocess.run(["openssl", "pkey", "-in", tls / "key.pem", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    return ["--tls-pin", "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode()]


class Server:
    """One connection of ws-echo, past the opening handshake."""

    def __init__(self, case, tls=None, receive_buffer=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer is not None:
            # Before the connection is there: a window that shrinks afterwards makes this side's kernel take the
            # acknowledgements of data beyond it for invalid, window updates among them, and both stand still for good.
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.settimeout(PATIENCE_S)
        url = f"127.0.0.1:{self.listener.getsockname()[1]}/runCase?case={case}&agent=charter"
        args = [f"ws://{url}"] if tls is None else [*trust(tls), f"wss://{url}"]
        self.process = subprocess.Popen([ECHO, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, "CHARTER_PROXY": "none"})
        self.socket, _ = self.listener.accept()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_S)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.request = head.decode()
        fields = dict(line.split(": ", 1) for line in self.request.split("\r\n")[1:])
        key = fields["Sec-WebSocket-Key"]
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        self.socket.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        self.masks = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.socket.close()
        self.listener.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S if kind is None else 0.1)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def send(self, *pieces):
        """Each piece in a write of its own."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_in(self, data, size):
        for at in range(0, len(data), size):
            self.socket.sendall(data[at:at + size])

    def take(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def frame(self):
        """fin, opcode, payload of the next frame; what a client must do is checked."""
        first, second = self.take(2)
        assert first & 0x70 == 0 and second & 0x80, "reserved bits clear, masked"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.take(2))
            assert size > 125, "shortest form"
        elif size == 127:
            (size,) = struct.unpack(">Q", self.take(8))
            assert size > 65535, "shortest form"
        mask = self.take(4)
        self.masks.append(mask)
        payload = self.take(size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        assert first & 0x0F < 8 or (first & 0x80 and size <= 125), "control frames are whole and short"
        return bool(first & 0x80), first & 0x0F, payload

    def message(self):
        """The next message, or control frame: its opcode and payload."""
        fin, opcode, payload = self.frame()
        if opcode >= 8:
            return opcode, payload
        assert opcode in (TEXT, BINARY)
        whole = [payload]
        while not fin:
            fin, inner, payload = self.frame()
            if inner >= 8:
                self.between = (inner, payload)
                fin = False
                continue
            assert inner == CONTINUATION
            whole.append(payload)
        return opcode, b"".join(whole)

    def ended(self):
        """Nothing follows but the end of the connection."""
        try:
            data = self.buffer + self.socket.recv(1)
        except ConnectionResetError:
            data = b""
        assert data == b"", data

    def exit(self):
        code = self.process.wait(PATIENCE_S)
        return code, self.process.stderr.read()

    def close_cleanly(self):
        self.send(close_frame(1000))
        assert self.message() == (CLOSE, struct.pack(">H", 1000))
        self.socket.shutdown(socket.SHUT_WR)
        code, words = self.exit()
        assert (code, words) == (0, "")

    def fails_with(self, *codes):
        """It says one of these codes, ends with words; what it said before counts as nothing."""
        while True:
            opcode, payload = self.message()
            if opcode == CLOSE:
                break
        assert struct.unpack(">H", payload[:2])[0] in codes, payload
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        code, words = self.exit()
        assert code == 1 and f"closed with {codes[0]}" in words, (code, words)


def echoed(server, opcode, payload):
    if isinstance(payload, str):
        payload = payload.encode()
    got_opcode, got = server.message()
    assert got_opcode == opcode
    assert len(got) == len(payload) and got == payload


# --- 1, 9, 10: lengths ----------------------------------------------------------------------------------------------


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("opcode, fill", [(TEXT, b"*"), (BINARY, b"\xfe")], ids=["text", "binary"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
def test_1_framing(opcode, fill, size):
    with Server(f"1-{opcode}-{size}") as server:
        server.send(frame(opcode, fill * size))
        echoed(server, opcode, fill * size)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
def test_1_framing_of_all_lengths_on_one_connection():
    with Server("1-all") as server:
        for size in [*range(0, 300), 4080, 4095, 4096, 4097, 8191, 8192, 8193, 65534, 65537]:
            server.send(frame(BINARY, os.urandom(size)[:size]) if size % 2 else frame(TEXT, "x" * size))
            opcode, payload = server.message()
            assert len(payload) == size and opcode == (BINARY if size % 2 else TEXT)
        assert len(set(server.masks)) == len(server.masks), "masks are new for each frame"
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("chop", [997, 1])
def test_1_header_and_payload_in_pieces(chop):
    size = 65536 if chop > 1 else 700
    with Server(f"1-chop-{chop}") as server:
        server.send_in(frame(TEXT, "*" * size), chop)
        echoed(server, TEXT, "*" * size)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("size", [64 << 10, 256 << 10, 1 << 20, 4 << 20])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_9_large_messages(opcode, size):
    payload = ("\u00e4\u20ac\U0001f600x" * (size // 10)).encode() if opcode == TEXT else random.Random(size).randbytes(size)
    with Server(f"9-{opcode}-{size}") as server:
        server.send(frame(opcode, payload))
        echoed(server, opcode, payload)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
def test_9_sixteen_mebibytes():
    with Server("9-16M") as server:
        payload = bytes(16 << 20)
        server.send(frame(BINARY, payload))
        echoed(server, BINARY, payload)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("size", [64, 1024, 16384, 1 << 20])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_9_a_large_message_in_fragments(opcode, size):
    total = 1 << 20 if size >= 1024 else 1 << 16
    payload = b"\xc3\xa4" * (total // 2)
    with Server(f"9-fragments-{opcode}-{size}") as server:
        server.send(b"".join(fragments(opcode, payload, size)))
        echoed(server, opcode, payload)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("chop", [64, 512, 2048])
def test_9_a_large_message_in_small_writes(chop):
    with Server(f"9-chop-{chop}") as server:
        payload = "*" * (256 << 10 if chop > 64 else 32 << 10)
        server.send_in(frame(TEXT, payload), chop)
        echoed(server, TEXT, payload)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("size", [0, 16, 1024, 16384])
def test_9_a_hundred_messages_in_turn(size):
    with Server(f"9-turns-{size}") as server:
        for number in range(100):
            server.send(frame(TEXT if number % 2 else BINARY, b"k" * size))
            echoed(server, TEXT if number % 2 else BINARY, b"k" * size)
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
def test_9_many_messages_at_once_come_back_in_order():
    with Server("9-burst") as server:
        server.send(b"".join(frame(TEXT, f"message {number}") for number in range(2000)))
        for number in range(2000):
            echoed(server, TEXT, f"message {number}")
        server.close_cleanly()


@needs(MESSAGE_BYTES=65536)
@pytest.mark.parametrize("size", [1300, 7])
def test_10_automatic_fragments(size):
    with Server(f"10-{size}") as server:
        server.send(*fragments(TEXT, "*" * 65536 if size > 100 else "*" * 600, size))
        echoed(server, TEXT, "*" * 65536 if size > 100 else "*" * 600)
        server.close_cleanly()


# --- 2: pings and pongs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
def test_2_pings_are_answered(payload):
    with Server("2") as server:
        server.send(frame(PING, payload))
        assert server.message() == (PONG, payload)
        server.close_cleanly()


def test_2_a_ping_octet_by_octet():
    with Server("2.6") as server:
        server.send_in(frame(PING, b"\xfe" * 125), 1)
        assert server.message() == (PONG, b"\xfe" * 125)
        server.close_cleanly()


def test_2_a_ping_that_is_too_long():
    with Server("2.5") as server:
        server.send(frame(PING, b"\xfe" * 126))
        server.fails_with(1002)


@pytest.mark.parametrize("payload", [b"", b"unsolicited pong payload"])
def test_2_pongs_that_nobody_asked_for(payload):
    with Server("2.7") as server:
        server.send(frame(PONG, payload), frame(PING, b"then a ping"))
        assert server.message() == (PONG, b"then a ping")
        server.close_cleanly()


@pytest.mark.parametrize("chop", [0, 1])
def test_2_ten_pings(chop):
    with Server("2.10") as server:
        data = b"".join(frame(PING, f"payload-{number}") for number in range(10))
        server.send_in(data, chop or len(data))
        for number in range(10):
            assert server.message() == (PONG, f"payload-{number}".encode())
        server.close_cleanly()


def test_2_a_flood_of_pings_is_bounded():
    """Nobody reads the answers: what is kept of them is one."""
    with Server("2.flood", receive_buffer=4096) as server:
        sent = 200_000
        server.send(b"".join(frame(PING, f"{number:0100}") for number in range(sent)))
        answers = []
        while not answers or answers[-1] != sent - 1:
            opcode, payload = server.message()
            assert opcode == PONG
            answers.append(int(payload))
        assert answers == sorted(answers) and len(set(answers)) == len(answers)
        # 22 MB of pongs fit in no buffer between the two: who answers all of them has kept them.
        assert len(answers) < sent / 2
        server.close_cleanly()


def test_2_a_ping_while_a_long_message_is_sent_back():
    with Server("2.during") as server:
        payload = random.Random(1).randbytes(8 << 20)
        server.send(frame(BINARY, payload))
        first = server.take(1)          # the echo has begun, and nobody reads it
        server.buffer = first + server.buffer
        server.send(frame(PING, b"now"))
        server.between = None
        echoed(server, BINARY, payload)
        assert server.between == (PONG, b"now"), "the pong comes inside the message"
        server.close_cleanly()


# --- 3, 4: reserved bits and opcodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reserved", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_3_reserved_bits(reserved, opcode):
    with Server(f"3.{reserved}.{opcode}") as server:
        server.send(frame(TEXT, "fine"))
        echoed(server, TEXT, "fine")
        server.send(frame(opcode, b"\x03\xe8" if opcode == CLOSE else b"x", reserved=reserved))
        server.fails_with(1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"reserved opcode payload"])
def test_4_reserved_opcodes(opcode, payload):
    with Server(f"4.{opcode}") as server:
        server.send(frame(TEXT, "fine") + frame(opcode, payload) + frame(PING))
        server.fails_with(1002)


# --- 5: fragments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, pieces", {
    "ping in two": [frame(PING, b"frag", fin=False), frame(CONTINUATION, b"ment")],
    "pong in two": [frame(PONG, b"frag", fin=False), frame(CONTINUATION, b"ment")],
    "close in two": [frame(CLOSE, b"\x03", fin=False), frame(CONTINUATION, b"\xe8")],
    "continuation of nothing": [frame(CONTINUATION, b"non-continuation")],
    "open continuation of nothing": [frame(CONTINUATION, b"non-continuation", fin=False), frame(TEXT, b"Hello")],
    "continuation after the end": [*fragments(TEXT, b"fragment1fragment2", 9), frame(CONTINUATION, b"more")],
    "text inside text": [frame(TEXT, b"fragment1", fin=False), frame(TEXT, b"fragment2")],
    "binary inside text": [frame(TEXT, b"fragment1", fin=False), frame(BINARY, b"fragment2")],
    "text inside text, octet by octet": [bytes([octet]) for octet in frame(TEXT, b"f1", fin=False) + frame(TEXT, b"f2")],
}.items(), ids=lambda value: value if isinstance(value, str) else "")
def test_5_fragments_that_are_refused(name, pieces):
    with Server("5") as server:
        server.send(*pieces)
        server.fails_with(1002)


@pytest.mark.parametrize("chop", [0, 1])
def test_5_fragments_with_pings_between(chop):
    with Server("5.6") as server:
        data = b"".join([frame(TEXT, "fragment1", fin=False), frame(PING, b"ping 1"), frame(CONTINUATION, b"", fin=False),
                         frame(PING, b"ping 2"), frame(CONTINUATION, "fragment2")])
        server.send_in(data, chop or len(data))
        assert server.message() == (PONG, b"ping 1")
        assert server.message() == (PONG, b"ping 2")
        echoed(server, TEXT, "fragment1fragment2")
        server.close_cleanly()


def test_5_fragments_slowly():
    with Server("5.18") as server:
        for piece in (frame(TEXT, "one ", fin=False), frame(CONTINUATION, "two ", fin=False), frame(PING, b"?")):
            server.send(piece)
        assert server.message() == (PONG, b"?")
        server.send(frame(CONTINUATION, "three"))
        echoed(server, TEXT, "one two three")
        server.close_cleanly()


# --- 6: UTF-8 ---------------------------------------------------------------------------------------------------------

VALID = ["", "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!", "\u03ba\u1f79\u03c3\u03bc\u03b5", "\x00", "\x7f", "\u0080",
         "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff", "\ufeff"]
INVALID = [b"\x80", b"\xbf", b"\x80\xbf\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf",
           b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
           b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xff", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xc3(",
           b"\xe2\x82(", b"\xf0\x9f\x98("]
CUT = [b"\xc3", b"\xe2\x82", b"\xe2", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"ok\xce"]


def test_6_valid_text_in_any_split():
    with Server("6.valid") as server:
        for text in VALID:
            server.send(frame(TEXT, text), b"".join(fragments(TEXT, text, 1)))
            echoed(server, TEXT, text)
            echoed(server, TEXT, text)
            server.send_in(frame(TEXT, text), 1)
            echoed(server, TEXT, text)
        for bad in INVALID + CUT:
            server.send(frame(BINARY, bad))
            echoed(server, BINARY, bad)
        server.close_cleanly()


@pytest.mark.parametrize("bad", INVALID + CUT, ids=lambda bad: bad.hex())
def test_6_invalid_text(bad):
    with Server("6.invalid") as server:
        server.send(frame(TEXT, bad))
        server.fails_with(1007)


@pytest.mark.parametrize("bad", INVALID[::3] + CUT[::3], ids=lambda bad: bad.hex())
def test_6_invalid_text_in_fragments(bad):
    with Server("6.fragments") as server:
        server.send(*fragments(TEXT, b"fine until here " + bad, 1))
        server.fails_with(1007)


@pytest.mark.parametrize("pieces", [
    [frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xf4\x90", fin=False)],                              # 6.4.1: the message has not ended
    [frame(TEXT, b"\xce\xba", fin=False), frame(CONTINUATION, b"\xf4\x90", fin=False)],              # 6.4.2
    [frame(TEXT, b"", length=1000) + b"\xce\xba\xf4", b"\x90"],                                      # 6.4.3: nor the frame
    [frame(TEXT, b"", length=65536) + b"x" * 10 + b"\xff"],                                          # 6.4.4
], ids=["fragment", "second fragment", "frame", "long frame"])
def test_6_invalid_text_fails_at_the_octet(pieces):
    with Server("6.4") as server:
        server.send(*pieces)
        server.fails_with(1007)


# --- 7: closing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_7_valid_codes_are_answered(code):
    with Server("7.7") as server:
        server.send(close_frame(code, b"the reason" if code % 2 else b""))
        opcode, payload = server.message()
        assert opcode == CLOSE and payload[:2] == struct.pack(">H", code)
        server.socket.shutdown(socket.SHUT_WR)
        assert server.exit() == (0, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_invalid_codes_are_errors(code):
    with Server("7.9") as server:
        server.send(close_frame(code))
        server.fails_with(1002)


def test_7_an_empty_close():
    with Server("7.3.1") as server:
        server.send(frame(CLOSE))
        opcode, payload = server.message()
        assert opcode == CLOSE and payload in (b"", struct.pack(">H", 1000))
        server.socket.shutdown(socket.SHUT_WR)
        assert server.exit() == (0, "")


@pytest.mark.parametrize("payload, code", [(b"\x03", 1002), (b"\x03\xe8" + b"*" * 124, 1002), (b"\x03\xe8\xce\xba\xed\xa0\x80", 1007)],
                         ids=["one octet", "126 octets", "reason that is no UTF-8"])
def test_7_close_frames_that_are_wrong(payload, code):
    with Server("7.3") as server:
        server.send(frame(CLOSE, payload))
        server.fails_with(code)


def test_7_the_longest_reason():
    with Server("7.3.5") as server:
        server.send(close_frame(1000, b"*" * 123))
        assert server.message()[0] == CLOSE
        server.socket.shutdown(socket.SHUT_WR)
        assert server.exit() == (0, "")


@pytest.mark.parametrize("after", [frame(TEXT, "late"), frame(PING, b"late"), close_frame(1001), frame(CONTINUATION, b"x"), b"\xff" * 50])
def test_7_nothing_is_answered_after_the_close(after):
    with Server("7.1") as server:
        server.send(frame(TEXT, "before") + close_frame() + after)
        echoed(server, TEXT, "before")
        assert server.message() == (CLOSE, struct.pack(">H", 1000))
        server.socket.shutdown(socket.SHUT_WR)
        server.ended()
        assert server.exit() == (0, "")


def test_7_a_close_inside_a_message():
    with Server("7.1.5") as server:
        server.send(frame(TEXT, "fragment1", fin=False), close_frame(), frame(CONTINUATION, b"fragment2"))
        assert server.message() == (CLOSE, struct.pack(">H", 1000))
        server.socket.shutdown(socket.SHUT_WR)
        assert server.exit() == (0, "")


def test_7_we_may_begin():
    with Server("7.us") as server:
        server.send(frame(TEXT, "up"))
        echoed(server, TEXT, "up")
        server.process.send_signal(signal.SIGTERM)
        assert server.message() == (CLOSE, struct.pack(">H", 1000))
        server.send(close_frame())
        server.socket.shutdown(socket.SHUT_WR)
        assert server.exit() == (0, "")


def test_7_a_server_that_does_not_hang_up_is_left():
    with Server("7.stay") as server:
        server.send(close_frame())
        assert server.message()[0] == CLOSE
        assert server.exit() == (0, "")


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_connection_without_a_close_frame_is_an_error(how):
    with Server("lost") as server:
        server.send(frame(TEXT, "x"))
        echoed(server, TEXT, "x")
        if how == "RST":
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.socket.close()
        code, words = server.exit()
        assert code == 1 and words.startswith("ws-echo: the connection ")


# --- lengths that are wrong, masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, code", {
    "masked": (b"\x81\x85aaaa\x00\x00\x00\x00\x00", 1002),
    "126 for 125": (b"\x82\x7e\x00\x7d" + b"x" * 125, 1002),
    "127 for 65535": (b"\x82\x7f" + struct.pack(">Q", 65535) + b"x" * 65535, 1002),
    "64 bits": (b"\x82\x7f" + b"\xff" * 8, 1002),
    "too long": (b"\x82\x7f" + struct.pack(">Q", 1 << 40), 1009),
}.values(), ids=["masked", "126 for 125", "127 for 65535", "64 bits", "too long"])
def test_headers_that_are_wrong(data, code):
    with Server("headers") as server:
        server.send(data)
        server.fails_with(code)


# --- the same under TLS -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not built("TLS") or shutil.which("openssl") is None:
        pytest.skip("built without TLS, or no openssl here")
    place = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=echo", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", place / "key.pem",
                    "-out", place / "cert.pem"], check=True, capture_output=True)
    return place


def close_under_tls(server):
    server.send(close_frame(1000))
    assert server.message() == (CLOSE, struct.pack(">H", 1000))
    with contextlib.suppress(OSError):
        server.socket.unwrap()
    server.socket.close()
    assert server.exit() == (0, "")


@pytest.mark.parametrize("size", [0, 125, 126, 4096, 16384, 16385, 65536, 1 << 20, 4 << 20])
def test_under_tls_lengths(certificate, size):
    with Server(f"tls-{size}", certificate) as server:
        payload = random.Random(size).randbytes(size)
        server.send(frame(BINARY, payload))
        echoed(server, BINARY, payload)
        server.send(b"".join(fragments(TEXT, "x" * size, max(1, size // 7))))
        echoed(server, TEXT, "x" * size)
        close_under_tls(server)


def test_under_tls_pieces_and_pings(certificate):
    with Server("tls-pieces", certificate) as server:
        server.send_in(frame(TEXT, "in records of one octet") + frame(PING, b"ping"), 1)
        echoed(server, TEXT, "in records of one octet")
        assert server.message() == (PONG, b"ping")
        server.send(b"".join(frame(TEXT, f"message {number}") for number in range(3000)))
        for number in range(3000):
            echoed(server, TEXT, f"message {number}")
        close_under_tls(server)


def test_under_tls_errors_are_told(certificate):
    with Server("tls-error", certificate) as server:
        server.send(frame(TEXT, b"\xff"))
        server.fails_with(1007)


def test_wss_without_tls_is_refused_in_words():
    if built("TLS"):
        pytest.skip("built with TLS")
    failed = echo("wss://127.0.0.1:1/")
    assert failed.returncode != 0 and "no TLS" in failed.stderr


# --- the program ------------------------------------------------------------------------------------------------------


def test_the_request():
    with Server("request") as server:
        assert server.request.startswith("GET /runCase?case=request&agent=charter HTTP/1.1\r\n")
        assert "Sec-WebSocket-Protocol" not in server.request and "Sec-WebSocket-Extensions" not in server.request
        server.close_cleanly()


def echo(*args):
    return subprocess.run([ECHO, *map(str, args)], capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)


def test_usage_and_failures():
    assert echo().returncode == 2
    assert echo("--token-file").returncode == 2
    assert echo("ftp://127.0.0.1/").returncode == 2
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    failed = echo(f"ws://127.0.0.1:{port}/")
    assert failed.returncode == 1 and "Connection refused" in failed.stderr


def test_a_token_is_sent(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(PATIENCE_S)
        process = subprocess.Popen([ECHO, "--token-file", tmp_path / "token", f"http://127.0.0.1:{listener.getsockname()[1]}"],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        peer, _ = listener.accept()
        with peer:
            request = peer.recv(65536).decode()
            peer.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?")
            assert "\r\nAuthorization: Bearer s3cret\r\n" in request and request.startswith("GET / HTTP/1.1\r\n")
            _, words = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1 and "HTTP 401 Unauthorized: who?" in words and "s3cret" not in words


def test_many_cases_are_quick():
    begun = time.monotonic()
    for number in range(10):
        with Server(number) as server:
            server.close_cleanly()
    assert time.monotonic() - begun < PATIENCE_S
