"""A thousand lost connections of every kind, one after the other, while runs go on: nothing is lost, nothing is kept, nothing
spins.  TEST_SEED repeats a run, TEST_LOSSES sets the count."""

import collections
import contextlib
import os
import random
import re
import select
import socket
import threading
import time

import pytest

from harness import LOG_LEVEL, PLAIN, check_stream, step, wait_until
from peers.raw import Server, close_frame, frame, say

SEED = int(os.environ.get("TEST_SEED") or random.randrange(1 << 32))
LOSSES = int(os.environ.get("TEST_LOSSES") or (1000 if PLAIN else 100))
HEARTBEAT_S = 1  # the shortest there is
TCP_REPAIR = 19  # Linux: a socket in this mode is closed without a word to the other side


class Gateway(Server):
    """Stores what comes, acknowledges now and then, and goes away in all possible manners."""

    def __init__(self, chance):
        super().__init__(heartbeat_s=HEARTBEAT_S)
        self.chance, self.count, self.spent = chance, collections.Counter(), collections.Counter()
        self.repeated = 0
        self.told = 0  # in an ack
        kinds = {name[5:]: getattr(self, name) for name in dir(self) if name.startswith("lose_")}
        # Silence lasts one and a half heartbeats each time; the others take no time at all.
        self.kinds = {name: kind for name, kind in kinds.items() if name != "silence"}
        self.silences = max(2, LOSSES // 150)

    def take_event(self, event):
        self.repeated += event["seq"] in self.events
        super().take_event(event)

    def lose(self, number):
        name = "silence" if number % (LOSSES // self.silences) == 1 else self.chance.choice(sorted(self.kinds))
        self.count[name] += 1
        began = time.monotonic()
        try:
            (self.lose_silence if name == "silence" else self.kinds[name])()
        except (ConnectionError, BrokenPipeError):
            pass  # the daemon was faster
        self.spent[name] += time.monotonic() - began

    def listen(self, peer, least=1):
        """Some of the traffic, acknowledged at random; least: so many messages."""
        seen = len(peer.messages)
        until = time.monotonic() + self.chance.random() * 0.015
        while len(peer.messages) < seen + least or time.monotonic() < until:
            if peer._parse() is None:
                if select.select([peer.socket], [], [], 0.005)[0]:
                    assert peer.more(), "the daemon ended a good session"
                elif time.monotonic() > until:
                    return
            elif self.chance.random() < 0.5:
                peer.ack()
                self.told = self.acked

    def served(self):
        peer = self.session()
        self.listen(peer)
        return peer

    def cut(self, peer):
        if self.chance.random() < 0.5:
            peer.close()
        else:
            peer.reset()

    # --- kinds -------------------------------------------------------------------------------

    def lose_reset(self):
        self.served().reset()

    def lose_end(self):
        self.served().close()

    def lose_end_with_bytes_unread(self):
        peer = self.session()
        select.select([peer.socket], [], [], 0.05)
        peer.close()

    def lose_one_direction(self):
        peer = self.served()
        peer.finish()
        peer.rest()

    def lose_close_frame(self):
        peer = self.served()
        peer.send(close_frame(self.chance.choice([1000, 1001, 1011, 1012, 1013])))
        peer.rest()

    def lose_close_frame_and_reset(self):
        peer = self.served()
        peer.send(close_frame(1012))
        peer.reset()

    def lose_inside_a_frame(self):
        peer = self.served()
        data = say({"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": self.acked}})
        peer.send(data[:self.chance.randrange(1, len(data))])
        self.cut(peer)

    def lose_inside_a_message(self):
        peer = self.served()
        peer.send(frame(0x01, b'{"jsonrpc":') + frame(0x89, b"x") + frame(0x00, b'"2'))
        self.cut(peer)

    def lose_by_a_broken_rule(self):
        peer = self.served()
        peer.send(self.chance.choice([frame(0x83), frame(0x81, b"\xff"), frame(0x81, length=70000), frame(0x80), b"\0" * 100]))
        assert peer.rest().code() in (1002, 1007, 1009)

    def lose_before_the_request(self):
        self.cut(self.accept())

    def lose_inside_the_answer(self):
        peer = self.accept()
        peer.read_request()
        answer = peer.answer()
        peer.send(answer[:self.chance.randrange(len(answer))])
        self.cut(peer)

    def lose_by_a_refusal(self):
        peer = self.accept()
        peer.read_request()
        peer.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n")
        peer.close()

    def lose_before_hello(self):
        self.cut(self.accept().upgrade())

    def lose_instead_of_an_answer_to_hello(self):
        peer = self.accept().upgrade()
        peer.read_hello()
        self.cut(peer)

    def lose_after_single_bytes_written(self):
        peer = self.accept()
        peer.read_request()
        peer.trickle(peer.answer())
        peer.read_hello()
        peer.trickle(say(peer.hello_result()))
        self.listen(peer)
        peer.trickle(frame(0x89, b"byte by byte"))
        peer.reset()

    def lose_after_single_bytes_read(self):
        peer = self.session()
        for _ in range(self.chance.randrange(1, 400)):
            if not select.select([peer.socket], [], [], 0.005)[0] or not peer.more(1):
                break
        peer.reset()

    def lose_what_was_not_acknowledged(self):
        """The gateway goes on from the last ack that it has told, as one does that stores by and by: events come again."""
        peer = self.accept().upgrade()
        peer.read_hello()
        peer.send(say(peer.hello_result(events={"acked": self.told, "acked_time": None, "limit": None})))
        self.listen(peer)
        self.cut(peer)

    def lose_what_was_not_stored(self):
        """Read from the wire and dropped: the gateway's machine has died."""
        peer = self.session()
        if select.select([peer.socket], [], [], 0.05)[0]:
            peer.socket.recv(1 << 20)
        peer.reset()

    def lose_by_drain(self):
        peer = self.served()
        peer.send(say({"jsonrpc": "2.0", "method": "gateway.drain", "params": {"reconnect_after_ms": 1}}))
        assert peer.rest().code() == 1001

    def lose_by_a_restart(self):
        peer = self.served()
        self.listener.close()
        peer.reset()
        time.sleep(self.chance.random() * 0.03)  # dials are refused meanwhile
        self.listen_again()

    def lose_half(self):
        """Our side forgets the connection without a word, as a machine does that has lost its power and came back."""
        peer = self.served()
        with contextlib.suppress(OSError):  # not root, or not Linux
            peer.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        peer.close()

    def lose_silence(self):
        """Neither read nor written any more, and not closed: the heartbeat must find it."""
        peer = self.served()
        began = time.monotonic()
        waiting = self.accept()
        seconds = time.monotonic() - began
        assert seconds < HEARTBEAT_S * 1.5 + 5 or not PLAIN, f"silence was borne for {seconds:.1f} s"
        peer.close()
        waiting.reset()

    def listen_again(self):
        address = ("127.0.0.1", self.port)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(64)
        self.listener.settimeout(self.timeout)


class Traffic(threading.Thread):
    """Runs, one after the other, as long as the losses last."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.target, self.runs, self.stopped, self.fault = daemon, [], False, None
        self.start()

    def run(self):
        try:
            while not self.stopped:
                run = self.target.run("talk")
                assert run.status == "succeeded" and len(run.of("step.log")) == 30
                self.runs.append(run.id)
                time.sleep(0.05)
        except BaseException as fault:
            self.fault = fault

    def end(self):
        self.stopped = True
        self.join(60)
        assert not self.is_alive() and self.fault is None, self.fault
        return self.runs


def private_kib(daemon):
    with open(f"/proc/{daemon.pid}/smaps_rollup") as file:
        return int(re.search(r"Private_Dirty:\s+(\d+)", file.read()).group(1))


def open_files(daemon):
    """Without the journal's, which is read through a few of its segments at a time."""
    return sorted(re.sub(r"\d+", "N", name) for name in daemon.open_files() if "/journal/" not in name)


def cpu_s(daemon):
    with open(f"/proc/{daemon.pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def catch_up(gateway, daemon):
    """One good session until everything is there and acknowledged; it stays open."""
    peer = gateway.session()
    last = daemon.call("daemon.status")["journal"]["last_seq"]
    while gateway.acked < last:
        assert peer.frame() is not None
    peer.ack()
    wait_until(lambda: daemon.call("daemon.status")["gateway"]["acked_seq"] == last, "the last ack is taken")
    return peer


@pytest.mark.skipif(LOSSES < 20, reason="TEST_LOSSES is too few for all kinds")
def test_connections_are_lost_and_nothing_else(project, daemon_of):
    print(f"\nTEST_SEED={SEED} TEST_LOSSES={LOSSES}")
    project.workflow("talk", [step("one", {"logs": {"text": "x" * 200, "times": 30}}, value={"pad": "y" * 3000})])
    gateway = Gateway(random.Random(SEED))
    daemon = daemon_of(project, "--gateway", gateway.url, "--reconnect-ms", "1,20", "--log-level", LOG_LEVEL)
    for _ in range(20):  # what the first of everything touches is no leak
        gateway.lose_reset()
    assert daemon.run("talk").status == "succeeded"
    peer = catch_up(gateway, daemon)
    files, private, cpu, began = open_files(daemon), private_kib(daemon), cpu_s(daemon), time.monotonic()
    peer.reset()

    traffic = Traffic(daemon)
    for number in range(LOSSES):
        gateway.lose(number)
        assert traffic.fault is None, traffic.fault
    seconds, cpu_losses = time.monotonic() - began, cpu_s(daemon) - cpu
    runs = traffic.end()
    gateway.heartbeat_s = 30
    peer = catch_up(gateway, daemon)

    # Nothing is lost: what the gateway has is what the daemon has said here.
    local = daemon.events()
    stored = [gateway.events[seq] for seq in sorted(gateway.events)]
    check_stream(stored)
    first = local[0]["seq"]
    assert stored[first - 1:] == local[:len(stored) - first + 1]
    ended = {event["run_id"] for event in stored if event["type"] == "run.succeeded"}
    assert set(runs) <= ended and len(runs) > 0

    # Nothing is kept.
    wait_until(lambda: not collections.Counter(open_files(daemon)) - collections.Counter(files), lambda: f"open before: {files}, now: {open_files(daemon)}")
    after = private_kib(daemon)
    assert after - private < 512 or not PLAIN, f"{private} KiB before, {after} now"

    # Nothing spins: neither with the losses nor in the session behind them.
    cpu = cpu_s(daemon)
    time.sleep(1)
    idle = cpu_s(daemon) - cpu
    assert idle < 0.05 or not PLAIN, f"{idle * 1000:.0f} ms of the processor in a second of nothing"
    # The runs have their share of it: an event costs far below a millisecond, a connection a few.
    bound = LOSSES * 0.01 + len(stored) * 0.0005 + 1
    assert cpu_losses < bound or not PLAIN, f"{cpu_losses:.1f} s of the processor, of at most {bound:.1f}"
    status = daemon.call("daemon.status")["gateway"]
    assert status["state"] == "connected"
    print(f"{LOSSES} losses in {seconds:.1f} s, {cpu_losses:.2f} s of the processor ({cpu_losses / LOSSES * 1e3:.2f} ms a loss), "
          f"idle {idle * 1000:.1f} ms/s; {len(stored)} events of {len(runs)} runs, {gateway.repeated} came again; "
          f"private and dirty {private} -> {after} KiB; {status['reconnects']} sessions lost\n" +
          ", ".join(f"{name} {count} ({gateway.spent[name]:.1f} s)" for name, count in sorted(gateway.count.items())))
    peer.close()
    gateway.close()
