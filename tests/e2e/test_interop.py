"""The daemon's link and WebSocket servers that are not ours: python3-websockets, aiohttp, Node's ws, websocketd, and nginx as a
proxy in between, each from the distribution; a test whose server is not here skips with its name.  (TLS: test_tls*.py.)"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from harness import BUILD, check_stream, free_port, needs, step, wait_until
from peers.gateway import Gateway
from peers.relay import Relay, node_ws, python_has

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
os.environ["PATH"] += ":/usr/sbin:/sbin"


def websockets_server(limit):
    if not python_has("websockets"):
        pytest.skip("python3-websockets is not here")
    return Relay(sys.executable, str(PEERS / "relay_websockets.py"), str(limit))


def aiohttp_server(limit):
    if not python_has("aiohttp"):
        pytest.skip("python3-aiohttp is not here")
    return Relay(sys.executable, str(PEERS / "relay_aiohttp.py"), str(limit))


def node_server(limit):
    env = node_ws()
    if env is None:
        pytest.skip("Node's ws (node-ws) is not here")
    return Relay("node", str(PEERS / "relay_ws.js"), str(limit), env=env)


SERVERS = {"websockets": websockets_server, "aiohttp": aiohttp_server, "node-ws": node_server}


@pytest.fixture(params=SERVERS)
def make(request):
    return SERVERS[request.param]


@pytest.fixture
def talk(project):
    """About 400 KB of events: batches as long as a message may be."""
    project.workflow("talk", [step("one", {"logs": {"text": "grüße " + "x" * 3000, "times": 100}}, value={"pad": "y" * 12000})])
    return project


def start(daemon_of, project, url):
    return daemon_of(project, "--gateway", url, "--reconnect-ms", "10,100")


def connected(relay, daemon, number=1):
    """The session of that number is there."""
    relay.until(lambda: len(relay.hellos) >= number)
    line = relay.opened[number - 1]
    assert line["protocol"] == "charter.v1" and line["path"] == "/v1/daemon" and not line["extensions"]
    wait_until(lambda: daemon.call("daemon.status")["gateway"]["state"] == "connected", "the answer to hello is taken")


def ask(relay, name, pieces=None):
    """A question of exactly the message limit."""
    text = json.dumps({"jsonrpc": "2.0", "id": name, "method": "daemon.status", "x": "ä" * 1000}, ensure_ascii=False)
    text += " " * (65536 - len(text.encode()))
    if pieces:
        relay.tell("fragments", pieces=[text[at:at + pieces] for at in range(0, len(text), pieces)])
    else:
        relay.tell("text", data=text)
    relay.wait(lambda line: name in relay.answers)
    assert relay.answers[name]["result"]["gateway"]["state"] == "connected"


@needs(MESSAGE_BYTES=65536)
def test_a_session_with(make, talk, daemon_of):
    with make(1 << 20) as relay:
        daemon = start(daemon_of, talk, relay.url)
        connected(relay, daemon)
        run_id = daemon.start_run("talk")
        relay.wait(lambda line: relay.has("run.succeeded", run_id))
        assert max(relay.sizes) > 60000, "no long message went"
        relay.tell("ping", data="are you there?")
        relay.wait(lambda line: line["type"] == "pong" and line["data"] == "are you there?")
        ask(relay, "long")
        if make is not aiohttp_server:  # its server sends no fragments
            ask(relay, "in fragments", pieces=5000)
        if make is not websockets_server:  # it answers pings and does not tell
            relay.wait(lambda line: line["type"] == "ping")
        for number, code in enumerate((1012, 1001, 4000)):
            relay.tell("close", code=code, reason="because")
            seen = relay.wait(lambda line: line["type"] == "close")["code"]
            assert seen == code or (seen is None and make is aiohttp_server)  # it does not tell the code of its own closing
            wait_until(lambda: f"closed with {code}: because" in daemon.log, daemon.tail)
            connected(relay, daemon, number + 2)
            assert relay.hellos[-1]["reason"] == "reconnect"
        relay.tell("drop")
        connected(relay, daemon, 5)
        run_id = daemon.start_run("talk")
        relay.wait(lambda line: relay.has("run.succeeded", run_id))
        check_stream([relay.events[seq] for seq in sorted(relay.events)])
        assert list(relay.events.values()) == daemon.events()


@needs(MESSAGE_BYTES=65536)
def test_a_limit_that_was_not_told_by(make, talk, daemon_of):
    """The library itself closes with 1009: batches shrink until they pass."""
    with make(20000) as relay:
        daemon = start(daemon_of, talk, relay.url)
        connected(relay, daemon)
        run_id = daemon.start_run("talk")
        relay.wait(lambda line: line["type"] == "close")
        relay.wait(lambda line: relay.has("run.succeeded", run_id), 60)
        assert "closed with 1009" in daemon.log
        kinds = [event["type"] for event in relay.events.values()]
        assert kinds.count("step.log") == 100 and "events.oversize" not in kinds


def test_the_daemon_leaves_in_order(make, talk, daemon_of):
    with make(1 << 20) as relay:
        daemon = start(daemon_of, talk, relay.url)
        connected(relay, daemon)
        assert daemon.stop() == 0
        assert relay.wait(lambda line: line["type"] == "close")["code"] == 1001
        assert "daemon.stopped" in [event["type"] for event in relay.events.values()]


# --- websocketd: a program for each connection, messages are its lines -----------------------------------------------------------

GATEWAY_ON_LINES = '''#!/usr/bin/python3
import json, sys
store = sys.argv[1]
acked = 0
try:
    acked = json.loads(open(store).read().splitlines()[-1])["seq"]
except (OSError, IndexError):
    pass
def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "daemon.hello":
        say({"id": message["id"], "result": {"protocol": 1, "gateway": "lines", "session": "s", "limits": {"message_bytes": 65536},
             "heartbeat_s": 30, "events": {"acked": acked, "acked_time": None, "limit": None}, "clock": {"time": "2026-01-31T12:00:00.000Z"}}})
    elif message.get("method") == "events.append":
        with open(store, "ab", buffering=0) as file:  # whole lines, whoever reads or kills
            for event in message["params"]["events"]:
                if event["seq"] == acked + 1:
                    file.write(json.dumps(event).encode() + b"\\n")
                    acked = event["seq"]
        say({"method": "events.ack", "params": {"acked": acked, "limit": None}})
'''


def test_websocketd(talk, daemon_of):
    if not shutil.which("websocketd"):
        pytest.skip("websocketd is not here")
    program, store, port = talk.path.parent / "gateway", talk.path.parent / "store", free_port()
    program.write_text(GATEWAY_ON_LINES)
    program.chmod(0o755)
    command = ["websocketd", "--address", "127.0.0.1", "--port", str(port), "--header-ws", "Sec-WebSocket-Protocol: charter.v1",
               "--loglevel", "error", "--maxforks", "4", str(program), str(store)]

    def stored():
        lines = store.read_text().split("\n")[:-1] if store.exists() else []  # behind the last line feed one is under way
        return [json.loads(line) for line in lines]
    daemon = start(daemon_of, talk, f"ws://127.0.0.1:{port}")
    for number in range(2):
        server = subprocess.Popen(command, start_new_session=True)
        try:
            run_id = daemon.start_run("talk")
            wait_until(lambda: [e for e in stored() if e.get("run_id") == run_id and e["type"] == "run.succeeded"], daemon.tail)
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    check_stream(stored())


# --- nginx in front ------------------------------------------------------------------------------------------------------------------

NGINX = """
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /fleet/ {{
            proxy_pass http://127.0.0.1:{upstream}/;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 3s;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(place, upstream):
    if not shutil.which("nginx"):
        pytest.skip("nginx is not here")
    port = free_port()
    config = place / "nginx.conf"
    config.write_text(NGINX.format(place=place, port=port, upstream=upstream))
    with open(place / "nginx.log", "w") as log:
        process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(place), "-e", "stderr"], stdout=log, stderr=log)
    try:
        def listens():
            assert process.poll() is None, (place / "nginx.log").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                return True
        wait_until(listens, "nginx listens")
        yield f"http://127.0.0.1:{port}/fleet"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def place(places):
    return pathlib.Path(places())


def test_nginx_between(talk, daemon_of, place):
    """Its idle timeout of 3 s is longer than half a heartbeat: pings keep the way open."""
    with Gateway(heartbeat_s=4) as gateway, nginx(place, gateway.port) as url:
        daemon = start(daemon_of, talk, url)
        connection = gateway.wait_connected()
        assert connection.path == "/v1/daemon"
        run = gateway.command("run.start", {"workflow_id": "talk", "inputs": {}})
        gateway.wait_ended(run["run_id"])
        gateway.wait(lambda: connection.socket.pings_in >= 3)  # six seconds of nothing else
        assert len(gateway.connections) == 1
        gateway.drop()
        gateway.wait_connected(after=1)
        gateway.stop(drop=True)  # 502 from nginx now
        wait_until(lambda: "HTTP 502" in (daemon.call("daemon.status")["gateway"]["last_error"] or ""), "a refusal by nginx")
        run_id = daemon.start_run("talk")
        gateway.start()
        gateway.wait_ended(run_id)


def test_nginx_in_front_of_our_gateway(talk, daemon_of, place):
    program = BUILD / "charter-gateway"
    if not program.exists():
        pytest.skip("charter-gateway is not built")
    port = free_port()
    server = subprocess.Popen([program, "--store", str(place / "store.db"), "--listen", f"127.0.0.1:{port}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with nginx(place, port) as url:
            daemon = start(daemon_of, talk, url)
            run = daemon.run("talk")
            wait_until(lambda: daemon.call("daemon.status")["gateway"]["acked_seq"] >= run.events[-1]["seq"], daemon.tail)
    finally:
        server.terminate()
        server.wait(20)
