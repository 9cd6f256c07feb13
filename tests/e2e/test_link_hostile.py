"""A WebSocket server that misbehaves in every way we could think of, on bare sockets (peers/raw.py), against one daemon: each
time the verdict that RFC 6455 asks for, in bounded time; afterwards the daemon is back, and the zoo as a whole has cost no
memory and no descriptors."""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time

import pytest

from harness import DAEMON, MESSAGE, PLAIN, Daemon, Project, step, wait_until
from peers.raw import PONG, Server, close_frame, frame, say

PATIENCE = 1 if PLAIN else 6
GROWTH_KIB = 512  # what one connection may touch and not have given back yet: its message, its queue


class Zoo:
    """One daemon, and the server that it always comes back to."""

    def __init__(self):
        self.place = os.path.realpath(tempfile.mkdtemp(prefix="ch-"))
        self.server = Server()
        project = Project(os.path.join(self.place, "p"))
        project.workflow("talk", [step("one", {"log": "x" * 900}, value="y" * 12000)])
        self.daemon = Daemon(project, "--gateway", self.server.url, "--reconnect-ms", "1,20")
        self.peer = None
        self.visit(lambda peer: None)
        self.fds, self.private = self.daemon.fds(), self.private_kib()
        self.worst_kib, self.cases = self.private, 0

    def private_kib(self):
        with open(f"/proc/{self.daemon.pid}/smaps_rollup") as file:
            return int(re.search(r"Private_Dirty:\s+(\d+)", file.read()).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.daemon.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def link(self):
        return self.daemon.call("daemon.status")["gateway"]

    def fresh(self):
        """A session that nothing is wrong with."""
        if self.peer is None:
            self.peer = self.server.session()
            answer = self.peer.call("daemon.status")
            assert answer["result"]["gateway"]["state"] == "connected"
            self.peer.ack()
        return self.peer

    def lose(self):
        peer = self.fresh()
        self.peer = None
        peer.reset()

    def visit(self, misbehave):
        """The misbehaviour meets a daemon that has just dialled; then all must be well again."""
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.reset()
        result = misbehave(self.server.accept())
        self.fresh()
        return result

    def in_session(self, misbehave):
        peer, self.peer = self.fresh(), None
        result = misbehave(peer)
        self.fresh()
        return result


@pytest.fixture(scope="module")
def zoo():
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    one = Zoo()
    yield one
    one.server.close()
    code = one.daemon.stop()
    shutil.rmtree(one.place, ignore_errors=True)
    assert code == 0, one.daemon.tail()


@pytest.fixture(autouse=True)
def costs(zoo):
    """Each case is bounded in memory; the processor's time and the clock are the case's own to check."""
    zoo.cases += 1
    yield
    zoo.worst_kib = max(zoo.worst_kib, zoo.private_kib())
    if PLAIN:
        assert zoo.private_kib() - zoo.private < GROWTH_KIB, f"{zoo.private} KiB before the zoo, {zoo.private_kib()} now"


# --- frames that must not be: the daemon says why in a close frame, and ends the connection -------------------------------

HALF = frame(0x01, b"half")
RULES = {
    # reserved bits and opcodes
    "rsv1-on-text": (frame(0xC1, b"{}"), 1002, "reserved bit"),
    "rsv2-on-text": (frame(0xA1, b"{}"), 1002, "reserved bit"),
    "rsv3-on-binary": (frame(0x92, b"{}"), 1002, "reserved bit"),
    "rsv1-on-ping": (frame(0xC9), 1002, "reserved bit"),
    "rsv1-on-continuation": (HALF + frame(0xC0, b"{}"), 1002, "reserved bit"),
    "rsv-on-close": (frame(0xF8, b"\x03\xe8"), 1002, "reserved bit"),
    "opcode-3": (frame(0x83), 1002, "reserved opcode"),
    "opcode-7-with-payload": (frame(0x87, b"abc"), 1002, "reserved opcode"),
    "opcode-11": (frame(0x8B), 1002, "reserved opcode"),
    "opcode-15": (frame(0x8F, b"abc"), 1002, "reserved opcode"),
    # masks
    "masked-text": (frame(0x81, b"{}", mask=b"\1\2\3\4"), 1002, "masked frame"),
    "masked-ping": (frame(0x89, mask=b"\0\0\0\0"), 1002, "masked frame"),
    "masked-close": (frame(0x88, b"\x03\xe8", mask=b"abcd"), 1002, "masked frame"),
    # lengths
    "length-16-of-5": (frame(0x81, b"hello", form=16), 1002, "shortest form"),
    "length-16-of-125": (frame(0x81, b"x" * 125, form=16), 1002, "shortest form"),
    "length-64-of-0": (frame(0x81, b"", form=64), 1002, "shortest form"),
    "length-64-of-65535": (frame(0x81, b"x" * 65535, form=64), 1002, "shortest form"),
    "length-64-highest-bit": (frame(0x81, length=1 << 63, form=64), 1002, "shortest form"),
    "length-64-all-bits": (frame(0x81, length=(1 << 64) - 1, form=64), 1002, "shortest form"),
    # control frames
    "ping-fragmented": (frame(0x09, b"p") + frame(0x80, b"q"), 1002, "fragmented control"),
    "pong-fragmented": (frame(0x0A, b"p"), 1002, "fragmented control"),
    "close-fragmented": (frame(0x08, b"\x03") + frame(0x80, b"\xe8"), 1002, "fragmented control"),
    "ping-of-126": (frame(0x89, b"x" * 126), 1002, "125 bytes"),
    "pong-of-65536": (frame(0x8A, b"x" * 65536), 1002, "125 bytes"),
    "close-of-126": (close_frame(1000, b"x" * 124), 1002, "125 bytes"),
    "ping-that-only-promises-126": (frame(0x89, length=126), 1002, "125 bytes"),
    # fragments
    "continuation-of-nothing": (frame(0x80, b"x"), 1002, "continuation without"),
    "open-continuation-of-nothing": (frame(0x00, b"x"), 1002, "continuation without"),
    "continuation-behind-the-end": (frame(0x81, b"{}") + frame(0x80, b"x"), 1002, "continuation without"),
    "text-inside-text": (HALF + frame(0x81, b"{}"), 1002, "inside another"),
    "binary-inside-text": (HALF + frame(0x82, b"{}"), 1002, "inside another"),
    "text-inside-binary": (frame(0x02, b"half") + frame(0x81, b"{}"), 1002, "inside another"),
    "text-inside-text-behind-a-ping": (HALF + frame(0x89) + frame(0x01, b"x"), 1002, "inside another"),
    # sizes: refused by the header, whatever follows
    "too-long-by-one": (frame(0x81, length=65537), 1009, "too long"),
    "too-long-by-a-tebibyte": (frame(0x82, length=1 << 40), 1009, "too long"),
    "too-long-by-2-to-the-63": (frame(0x81, length=(1 << 63) - 1), 1009, "too long"),
    "too-long-in-two-fragments": (frame(0x01, b" " * 65536) + frame(0x80, length=1), 1009, "too long"),
    "too-long-in-many-fragments": (frame(0x01, b" ") + frame(0x00, b" " * 1000) * 66, 1009, "too long"),
    "endless-fragments": (frame(0x01) + (frame(0x00, b" ") + frame(0x00)) * 70000, 1009, "too long"),
    # UTF-8
    "utf8-ff": (frame(0x81, b"\xff"), 1007, "not UTF-8"),
    "utf8-overlong": (frame(0x81, b"\"\xc0\xaf\""), 1007, "not UTF-8"),
    "utf8-surrogate": (frame(0x81, b"\"\xed\xa0\x80\""), 1007, "not UTF-8"),
    "utf8-beyond-10ffff": (frame(0x81, b"\"\xf4\x90\x80\x80\""), 1007, "not UTF-8"),
    "utf8-lone-continuation": (frame(0x81, b"\"\x80\""), 1007, "not UTF-8"),
    "utf8-cut-at-the-end": (frame(0x81, b"\"\xe2\x82"), 1007, "inside a character"),
    "utf8-cut-in-the-last-fragment": (frame(0x01, b"\"\xe2") + frame(0x80, b"\x82"), 1007, "inside a character"),
    "utf8-bad-across-fragments": (frame(0x01, b"\"\xe2") + frame(0x89, b"!") + frame(0x80, b"("), 1007, "not UTF-8"),
    "utf8-bad-at-once-in-a-frame-that-never-ends": (frame(0x81, b"\"\xc3(", length=MESSAGE - 5000), 1007, "not UTF-8"),
    "utf8-bad-at-once-in-fragments-that-never-end": (frame(0x01, b"\"\xf4") + frame(0x00, b"\x90"), 1007, "not UTF-8"),
    # close frames
    "close-with-half-a-code": (frame(0x88, b"\x03"), 1002, "half a code"),
    **{f"close-with-{code}": (close_frame(code), 1002, "close code")
       for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)},
    "close-reason-no-utf8": (close_frame(1000, b"bye \xff"), 1007, "reason"),
    "close-reason-cut-in-a-character": (close_frame(1001, b"bye \xe2\x82"), 1007, "reason"),
    # what the protocol above does not know
    "binary-message": (frame(0x82, b"{}"), 1003, "binary"),
    "binary-in-fragments": (frame(0x02, b"{") + frame(0x80, b"}"), 1003, "binary"),
    "empty-binary": (frame(0x82), 1003, "binary"),
    "ack-of-what-was-never-sent": (say({"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": 1 << 40}}), 4400, "acknowledged"),
    "ack-that-is-none": (say({"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": "x"}}), 4400, "events.ack"),
}


def check_verdict(zoo, end, code, words):
    assert end.code() == code and end.seconds < 2.5 * PATIENCE
    assert words in zoo.link()["last_error"], zoo.link()["last_error"]
    assert not end.reset


@pytest.mark.parametrize("name", RULES)
def test_broken_rules(zoo, name):
    data, code, words = RULES[name]

    def misbehave(peer):
        peer.send(data)
        return peer.rest()
    check_verdict(zoo, zoo.in_session(misbehave), code, words)


@pytest.mark.parametrize("name", ["rsv1-on-text", "masked-text", "length-64-highest-bit", "ping-of-126", "text-inside-text",
                                  "utf8-cut-in-the-last-fragment", "close-with-999", "too-long-in-two-fragments"])
def test_broken_rules_byte_by_byte(zoo, name):
    data, code, words = RULES[name]

    def misbehave(peer):
        peer.send(data[:-20])
        with contextlib.suppress(ConnectionError):
            peer.trickle(data[-20:])
        return peer.rest()
    check_verdict(zoo, zoo.in_session(misbehave), code, words)


@pytest.mark.parametrize("name", ["opcode-3", "continuation-of-nothing", "utf8-ff", "too-long-by-one", "close-with-1005"])
def test_broken_rules_before_hello_is_answered(zoo, name):
    data, code, words = RULES[name]

    def misbehave(peer):
        peer.upgrade()
        peer.read_hello()
        peer.send(data)
        return peer.rest()
    check_verdict(zoo, zoo.visit(misbehave), code, words)


@pytest.mark.parametrize("name", ["opcode-3", "utf8-ff", "too-long-by-one"])
def test_our_close_frame_arrives_although_the_server_goes_on_sending(zoo, name):
    """A socket that is closed with bytes unread resets the connection, and may take our close frame with it."""
    data, code, words = RULES[name]

    def misbehave(peer):
        peer.send(data + frame(0x81, b"{}") * 50000)
        return peer.rest()
    check_verdict(zoo, zoo.in_session(misbehave), code, words)


@pytest.mark.parametrize("name", ["rsv1-on-text", "utf8-ff", "too-long-by-a-tebibyte", "close-with-half-a-code", "binary-message"])
def test_a_server_that_never_closes_is_left(zoo, name):
    data, code, _ = RULES[name]

    def misbehave(peer):
        peer.send(data)
        return peer.rest(polite=False)
    assert zoo.in_session(misbehave).code() == code


def test_a_server_that_sends_for_ever_after_its_fault_is_left(zoo):
    def misbehave(peer):
        cpu, began = zoo.cpu_s(), time.monotonic()
        peer.send(frame(0x83))
        peer.socket.settimeout(1)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while time.monotonic() - began < 10 * PATIENCE:
                peer.send(b"\0" * 65536)
        peer.close()
        return time.monotonic() - began, zoo.cpu_s() - cpu
    seconds, cpu = zoo.in_session(misbehave)
    assert seconds < 5 * PATIENCE and (cpu < 2.5 or not PLAIN)


# --- what is unusual and allowed -----------------------------------------------------------------------------------------------


def question(text, request_id):
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "daemon.status", "x": text}, ensure_ascii=False).encode()


def is_answered(peer, request_id):
    return peer.wait_message(lambda message: message.get("id") == request_id)["result"]["gateway"]["state"] == "connected"


def test_fragments_of_one_byte_with_pings_between_are_taken(zoo):
    peer, text = zoo.fresh(), question("grüß € 𝄞", "fragments")
    peer.send(frame(0x01) + b"".join(frame(0x00, text[i:i + 1]) + frame(0x00) + frame(0x89, b"%d" % i) for i in range(len(text))) +
              frame(0x80))
    assert is_answered(peer, "fragments")


def test_frames_byte_by_byte_are_taken(zoo):
    peer = zoo.fresh()
    peer.trickle(frame(0x89, b"still there?") + frame(0x81, question("z" * 300, "bytes")))
    assert peer.wait(lambda one: one.opcode == PONG).payload == b"still there?"
    assert is_answered(peer, "bytes")


def test_a_message_of_the_limit_is_taken(zoo):
    peer, text = zoo.fresh(), question("", "long")
    peer.send(frame(0x81, text + b" " * (MESSAGE - len(text))))
    assert is_answered(peer, "long")
    peer.send(frame(0x01, b" " * (MESSAGE * 5 // 8)) + frame(0x00) + frame(0x80, text.replace(b"long", b"more") + b" " * (MESSAGE * 3 // 8 - len(text))))
    assert is_answered(peer, "more")


def test_empty_fragments_without_end_cost_nothing(zoo):
    peer, cpu = zoo.fresh(), zoo.cpu_s()
    peer.send(frame(0x01, question("", "empty")) + frame(0x00) * 200000 + frame(0x80))
    assert is_answered(peer, "empty")
    assert zoo.cpu_s() - cpu < 1 or not PLAIN


def test_unasked_pongs_are_ignored(zoo):
    peer = zoo.fresh()
    peer.send((frame(0x8A) + frame(0x8A, b"\xff\xfe" * 60)) * 20000 + frame(0x81, question("", "pongs")))
    assert is_answered(peer, "pongs")


def test_a_ping_with_any_bytes_is_answered_with_the_same(zoo):
    peer, payload = zoo.fresh(), bytes(range(131, 256))
    peer.send(frame(0x89, payload))
    assert peer.wait(lambda one: one.opcode == PONG).payload == payload
    peer.send(frame(0x89))
    assert peer.wait(lambda one: one.opcode == PONG).payload == b""


def test_a_flood_of_pings_is_answered_by_its_last(zoo):
    """Nobody reads meanwhile: answers do not pile up."""
    peer, cpu = zoo.fresh(), zoo.cpu_s()
    pings = 300000
    peer.send(b"".join(frame(0x89, b"%06d" % i) for i in range(pings)))
    answers = []
    peer.wait(lambda one: answers.append(one.payload) or one.payload == b"%06d" % (pings - 1))
    assert all(one.isdigit() for one in answers) and answers == sorted(set(answers))
    assert zoo.cpu_s() - cpu < 3 or not PLAIN
    peer.call("daemon.status")


def test_a_flood_of_questions_is_answered_or_not_read(zoo):
    """The server never reads: the daemon stops to read it, and keeps nothing of it."""
    peer = zoo.fresh()
    peer.socket.settimeout(0.5)
    sent, one = 0, frame(0x81, question("", "flood"))
    with contextlib.suppress(TimeoutError):
        while sent < 50_000_000:
            peer.send(one * 100)
            sent += 100 * len(one)
    assert sent < 50_000_000, "the daemon takes questions whose answers nobody reads"
    if PLAIN:
        assert zoo.private_kib() - zoo.private < GROWTH_KIB
    zoo.lose()
    zoo.fresh()


# --- a link so slow that what is under way takes long ---------------------------------------------------------------------------


@pytest.fixture
def slow(project, daemon_of):
    """A daemon with 800 KB of events for a server that takes a few KiB at a time."""
    project.workflow("talk", [step("one", {"logs": {"text": "x" * 3900, "times": 200}}, value=1)])
    server = Server(receive_buffer=4096)
    daemon = daemon_of(project, "--gateway", server.url, "--reconnect-ms", "1,20")
    assert daemon.run("talk").status == "succeeded"
    peer = server.session()
    # Until it can send no more, everything on the way is full.
    seen = wait_until(lambda: unsent(peer), "the way is full")
    while (now := unsent(peer)) != seen or time.sleep(0.2) or unsent(peer) != seen:
        seen = now
    yield daemon, peer
    server.close()
    peer.close()


def unsent(peer):
    """Bytes of the daemon's that its system holds: the send queue of /proc/net/tcp."""
    ours, theirs = peer.socket.getsockname()[1], peer.socket.getpeername()[1]
    with open("/proc/net/tcp") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == theirs and int(fields[2].split(":")[1], 16) == ours:
                return int(fields[4].split(":")[0], 16)
    return 0


def test_a_ping_is_answered_while_a_large_message_is_being_sent(slow):
    daemon, peer = slow
    held, before = unsent(peer), peer.bytes_in
    peer.send(frame(0x89, b"in between"))
    pong = peer.wait(lambda one: one.opcode == PONG)
    assert pong.payload == b"in between"
    assert peer.message is not None, "the pong came between two messages, not inside one"
    assert peer.bytes_in - before < 48 * 1024, f"{peer.bytes_in - before} bytes came before the pong"
    assert held < 32 * 1024
    peer.wait_message(lambda message: peer.server.acked >= 200)


def test_a_close_does_not_wait_for_a_large_message(slow):
    daemon, peer = slow
    before = peer.bytes_in
    peer.send(close_frame(1012))
    end = peer.rest()
    assert end.code() == 1012 and peer.bytes_in - before < 48 * 1024


# --- the end of a connection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code, reason", [(1000, b""), (1001, b"going"), (1011, b""), (1012, b""), (1013, "später".encode()), (1014, b""),
                                          (3000, b""), (3999, b"x" * 123)])
def test_a_close_frame_is_answered_with_its_code(zoo, code, reason):
    def behave(peer):
        peer.send(close_frame(code, reason))
        return peer.rest(polite=False)
    end = zoo.in_session(behave)
    assert end.code() == code and not end.reset
    assert str(code) in zoo.link()["last_error"] and reason.decode() in zoo.link()["last_error"]


def test_a_close_frame_without_a_code_is_answered(zoo):
    def behave(peer):
        peer.send(close_frame())
        return peer.rest(polite=False)
    assert zoo.in_session(behave).code() in (None, 1000)


def test_what_follows_a_close_frame_is_ignored(zoo):
    def misbehave(peer):
        peer.send(close_frame(1000) + frame(0x89, b"ping") + frame(0x81, question("", "late")) + frame(0xFF, b"rubbish") + close_frame(4410))
        return peer.rest()
    end = zoo.in_session(misbehave)
    assert end.code() == 1000 and not end.of(PONG)
    assert "1000" in zoo.link()["last_error"]


def test_after_its_close_frame_the_server_may_keep_silent(zoo):
    def misbehave(peer):
        peer.send(close_frame(1000))
        return peer.rest(polite=False)
    assert zoo.in_session(misbehave).code() == 1000


@pytest.mark.parametrize("data, words", [(close_frame(1012, b"upgrade"), "closed with 1012: upgrade"), (frame(0x83), "reserved opcode")],
                         ids=["close-frame", "fault"])
def test_a_reset_behind_the_last_word_is_no_reason_to_wait(zoo, data, words):
    """Our close frame finds nobody; what the server said last is what is told."""
    def misbehave(peer):
        peer.send(data)
        peer.reset()
        return time.monotonic()
    began = zoo.in_session(misbehave)
    assert time.monotonic() - began < 1.5 * PATIENCE
    assert words in zoo.link()["last_error"]


CUTS = {
    "between-frames": b"",
    "in-the-first-byte-of-a-header": frame(0x81, b"{}")[:1],
    "in-a-16-bit-length": frame(0x81, b"x" * 300)[:3],
    "in-a-64-bit-length": frame(0x81, length=65536)[:7],
    "in-a-payload": frame(0x81, b"x" * 300)[:100],
    "in-a-control-frame": frame(0x89, b"ping")[:4],
    "between-fragments": HALF,
    "in-a-character": frame(0x01, b"\xe2"),
    "in-a-close-frame": close_frame(1000)[:3],
}


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_connection_that_is_cut(zoo, cut, how):
    def misbehave(peer):
        peer.send(CUTS[cut])
        if how == "FIN":
            peer.finish()
            return peer.rest(polite=False)
        peer.reset()
    end = zoo.in_session(misbehave)
    assert end is None or (end.code() is None and end.seconds < 2 * PATIENCE)
    assert re.search("without a close frame|reset|failed", zoo.link()["last_error"]), zoo.link()["last_error"]


# --- before there are frames: the opening handshake, hello ------------------------------------------------------------------------


def in_place_of_101(data):
    def misbehave(peer):
        peer.read_request()
        with contextlib.suppress(ConnectionError):
            peer.send(data(peer) if callable(data) else data)
        peer.finish()
        return peer.rest(polite=False)
    return misbehave


HANDSHAKES = {
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "frames-at-once": frame(0x81, b"{}") * 20,
    "zeros": b"\0" * 4000,
    "nothing": b"",
    "half-a-status-line": b"HTTP/1.1 10",
    "endless-header": b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 100000,
    "endless-headers": b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Header: value\r\n" * 10000,
    "http-1.0": lambda peer: peer.answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "status-200": lambda peer: peer.answer().replace(b"101 Switching Protocols", b"200 OK"),
    "accept-of-another-key": lambda peer: peer.answer(Sec_WebSocket_Accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    "no-accept": lambda peer: peer.answer(Sec_WebSocket_Accept=None),
    "no-upgrade": lambda peer: peer.answer(Upgrade=None),
    "no-connection": lambda peer: peer.answer(Connection=None),
    "unasked-extension": lambda peer: peer.answer(Sec_WebSocket_Extensions="permessage-deflate"),
    "another-subprotocol": lambda peer: peer.answer(Sec_WebSocket_Protocol="charter.v9"),
    "no-subprotocol": lambda peer: peer.answer(Sec_WebSocket_Protocol=None),
    "bare-line-feeds": lambda peer: peer.answer().replace(b"\r\n", b"\n"),
    "nul-in-a-header": lambda peer: peer.answer(X="a\0b"),
    "folded-header": lambda peer: peer.answer(X="a\r\n b"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_broken_handshakes(zoo, name):
    end = zoo.visit(in_place_of_101(HANDSHAKES[name]))
    assert not end.frames and end.seconds < 2 * PATIENCE
    assert re.search("handshake|refused the connection", zoo.link()["last_error"]), zoo.link()["last_error"]


def test_a_right_handshake_byte_by_byte_is_taken(zoo):
    def behave(peer):
        peer.read_request()
        peer.trickle(peer.answer())
        peer.read_hello()
        peer.trickle(say(peer.hello_result()))
        peer.call("daemon.status")
        peer.reset()
    zoo.visit(behave)


def test_answers_that_are_none_yet_are_passed_over(zoo):
    def behave(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + peer.answer())
        peer.read_hello()
        peer.send(say(peer.hello_result()))
        peer.call("daemon.status")
        peer.reset()
    zoo.visit(behave)


HELLOS = {
    "a-question-first": say({"jsonrpc": "2.0", "id": 1, "method": "daemon.status"}),
    "a-notification-first": say({"jsonrpc": "2.0", "method": "daemon.pause"}),
    "no-json": frame(0x81, b"hello"),
    "empty-text": frame(0x81),
    "deep-json": frame(0x81, b"[" * (MESSAGE // 2)),
    "another-id": say({"jsonrpc": "2.0", "id": "x", "result": {}}),
    "no-result": say({"jsonrpc": "2.0", "id": "h"}),
    "result-and-error": say({"jsonrpc": "2.0", "id": "h", "result": {}, "error": {"code": 1, "message": "x"}}),
    "result-of-nothing": say({"jsonrpc": "2.0", "id": "h", "result": None}),
    "acked-negative": say({"jsonrpc": "2.0", "id": "h", "result": {"protocol": 1, "gateway": "g", "events": {"acked": -1}}}),
    "acked-fraction": say({"jsonrpc": "2.0", "id": "h", "result": {"protocol": 1, "gateway": "g", "events": {"acked": 0.5}}}),
}


@pytest.mark.parametrize("name", HELLOS)
def test_broken_answers_to_hello(zoo, name):
    def misbehave(peer):
        peer.upgrade()
        peer.send(HELLOS[name])  # in the same breath as 101, before hello was read
        return peer.rest()
    end = zoo.visit(misbehave)
    assert end.code() == 4400
    assert "hello" in zoo.link()["last_error"]


def test_frames_in_the_packet_of_101_are_frames(zoo):
    def misbehave(peer):
        peer.read_request()
        peer.send(peer.answer() + frame(0x89, b"early") + frame(0x83))
        return peer.rest()
    end = zoo.visit(misbehave)
    assert end.code() == 1002 and "reserved opcode" in zoo.link()["last_error"]


# --- all together ------------------------------------------------------------------------------------------------------------------


def test_the_zoo_has_cost_nothing(zoo):
    """The last test of this file: the daemon that met all of the above."""
    assert zoo.cases > 40
    zoo.fresh()
    zoo.daemon.end_of(zoo.daemon.start_run("talk"))
    wait_until(lambda: zoo.daemon.fds() == zoo.fds, lambda: f"{zoo.fds} descriptors, {zoo.daemon.fds()} now")
    assert not zoo.daemon.children()
    print(f"\n{zoo.cases} cases: {zoo.private} KiB private and dirty before, at most {zoo.worst_kib} between, {zoo.private_kib()} after; "
          f"{zoo.cpu_s():.2f} s of the processor")


