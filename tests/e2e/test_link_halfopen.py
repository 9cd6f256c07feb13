"""A link whose packets vanish: the connection looks open and carries nothing.  A network namespace of the test's own, with
packets dropped by nftables or iptables; it needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN) and Linux."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import time

import pytest

from harness import PLAIN, Daemon, step, wait_until
from peers.gateway import Gateway

CLONE_NEWNET = 0x40000000
HEARTBEAT_S = 2
SLACK_S = 1.0 if PLAIN else 10.0
os.environ["PATH"] += ":/usr/sbin:/sbin"


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (command, done.stderr)


class Nft:
    def __init__(self):
        sh("nft", "add", "table", "inet", "charter")
        sh("nft", "add", "chain", "inet", "charter", "input", "{ type filter hook input priority 0; }")

    def drop(self, side, port):
        sh("nft", "add", "rule", "inet", "charter", "input", "tcp", side, str(port), "drop")

    def heal(self):
        sh("nft", "flush", "chain", "inet", "charter", "input")


class Iptables:
    def drop(self, side, port):
        sh("iptables", "-A", "INPUT", "-p", "tcp", f"--{side}", str(port), "-j", "DROP")

    def heal(self):
        sh("iptables", "-F", "INPUT")


@pytest.fixture
def firewall():
    """This thread, and what it starts, moves into a network of its own until the end of the test."""
    if not shutil.which("ip"):
        pytest.skip("ip (iproute2) is not here")
    tools = [kind for name, kind in (("nft", Nft), ("iptables", Iptables)) if shutil.which(name)]
    if not tools:
        pytest.skip("neither nft (nftables) nor iptables is here")
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET) != 0:
        os.close(home)
        pytest.skip(f"no network namespace for this user: {os.strerror(ctypes.get_errno())}")
    try:
        sh("ip", "link", "set", "lo", "up")
        yield tools[0]()
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)


@pytest.fixture
def pair(firewall, project):
    project.workflow("talk", [step("one", {"logs": {"text": "x" * 500, "times": 20}}, {"sleep": 0.1}, value=1)])
    with Gateway(heartbeat_s=HEARTBEAT_S) as gateway:
        daemon = Daemon(project, "--gateway", gateway.url, "--reconnect-ms", "50,500")
        try:
            gateway.wait_connected()
            yield gateway, daemon
        finally:
            with contextlib.suppress(AssertionError):
                firewall.heal()
            code = daemon.stop()
        assert code == 0, daemon.tail()


def port_of(connection):
    """The daemon's port of that connection: the next one has another."""
    return connection.socket.remote_address[1]


def wait_replaced(gateway, daemon, dials, runs_go_on):
    """Until the next dial; the seconds.  Runs go on meanwhile."""
    began = time.monotonic()
    runs = []
    while len(gateway.dials) == dials:
        assert time.monotonic() < began + HEARTBEAT_S * 1.5 + SLACK_S + 5, daemon.tail()
        if runs_go_on:
            runs.append(daemon.run("talk"))
            assert runs[-1].status == "succeeded"
        else:
            time.sleep(0.01)
    return gateway.dials[dials][0] - began, runs


@pytest.mark.parametrize("traffic", [False, True], ids=["idle", "during-runs"])
@pytest.mark.parametrize("sides", [("sport", "dport"), ("sport",), ("dport",)], ids=["both-ways", "from-the-daemon", "to-the-daemon"])
def test_a_half_open_link_is_declared_dead_and_replaced(firewall, pair, sides, traffic):
    gateway, daemon = pair
    daemon.run("talk")
    gateway.wait(lambda: gateway.daemon.acked == daemon.call("daemon.status")["journal"]["last_seq"])
    dials = len(gateway.dials)
    for side in sides:
        firewall.drop(side, port_of(gateway.connected()))
    seconds, runs = wait_replaced(gateway, daemon, dials, traffic)
    # Silence counts from the last byte: that was at most half a heartbeat ago, so the daemon pings no later than that.
    # A run is up to half a second; the dial waits at most 50 ms.
    assert seconds < HEARTBEAT_S * 1.5 + 0.05 + SLACK_S, f"{seconds:.1f} s"
    gateway.wait_connected(after=1)
    wait_until(lambda: daemon.call("daemon.status")["gateway"]["reconnects"] == 1, "the answer to hello is taken")
    assert "dead: nothing heard for 3.0 s" in daemon.call("daemon.status")["gateway"]["last_error"]
    for run in runs:
        gateway.wait_ended(run.id)
        assert [event["n"] for event in gateway.events(run_id=run.id)] == list(range(1, len(run.events) + 1))
    assert not gateway.daemon.gaps
    print(f"\nreplaced after {seconds:.2f} s of {HEARTBEAT_S * 1.5} s; {len(runs)} runs meanwhile")


def test_a_network_that_takes_nothing_is_waited_for(firewall, pair):
    """New connections vanish as well: each dial has its deadline, runs go on, and the first dial after the network is
    there again brings everything."""
    gateway, daemon = pair
    firewall.drop("dport", gateway.port)
    wait_until(lambda: daemon.call("daemon.status")["gateway"]["state"] == "connecting", "a dial into nothing", 10)
    runs = [daemon.run("talk") for _ in range(3)]
    assert all(run.status == "succeeded" for run in runs)
    firewall.heal()
    gateway.wait_connected(after=1)
    for run in runs:
        gateway.wait_ended(run.id)
