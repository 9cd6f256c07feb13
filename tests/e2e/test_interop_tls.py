"""Programs that end TLS in front of a gateway: nginx, haproxy, stunnel, each as its distribution has it, with our gateway behind
them. One that is not here skips its tests by name."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import BUILD, clean_environment, free_port, needs, step, wait_until  # noqa: E402
from peers.gateway import Gateway  # noqa: E402
from test_tls import has_tls  # noqa: E402

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

pytestmark = [pytest.mark.skipif(not has_tls(), reason="TLS is not built in"),
              needs("TLS_1_2", "TLS_RSA", "TLS_CHACHA20", "TLS_CRL", "TLS_CLIENT_CERT", "TLS_RESUME")]


class Front:
    """One running terminator. `client_ca` makes it demand a client certificate."""

    def __init__(self, program, zoo, place, upstream, certificate, versions, client_ca=None):
        self.program, self.place, self.port = program, place, free_port()
        self.executable = shutil.which({"stunnel": "stunnel4"}.get(program, program), path=PATH)
        if self.executable is None:
            pytest.skip(f"{program} is not here")
        self.arguments = getattr(self, program)(zoo, upstream, certificate, versions, client_ca)
        self.process = None
        self.start()

    def nginx(self, zoo, upstream, certificate, versions, client_ca):
        client = f"ssl_client_certificate {client_ca}; ssl_verify_client on; ssl_verify_depth 3;" if client_ca else ""
        (self.place / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {self.place}/nginx.pid; error_log stderr warn;
{"user root;" if os.getuid() == 0 else ""}
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {self.place}/a; proxy_temp_path {self.place}/b; fastcgi_temp_path {self.place}/c;
    uwsgi_temp_path {self.place}/d; scgi_temp_path {self.place}/e;
    server {{
        listen 127.0.0.1:{self.port} ssl; server_name localhost;
        ssl_certificate {zoo.path(certificate)}.chain; ssl_certificate_key {zoo.path(certificate)}.key;
        ssl_protocols {" ".join(versions)}; ssl_session_cache shared:a:1m; ssl_session_tickets on; {client}
        location / {{
            proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_read_timeout 60s;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;
        }}
    }}
}}
""")
        return ["-c", str(self.place / "nginx.conf"), "-p", str(self.place), "-e", "stderr"]

    def haproxy(self, zoo, upstream, certificate, versions, client_ca):
        client = f"ca-file {client_ca} verify required" if client_ca else ""
        (self.place / "haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend front
    bind 127.0.0.1:{self.port} ssl crt {zoo.path(certificate)}.both alpn http/1.1 ssl-min-ver {versions[0]} ssl-max-ver {versions[-1]} {client}
    default_backend gateway
backend gateway
    server one 127.0.0.1:{upstream}
""")
        return ["-db", "-f", str(self.place / "haproxy.cfg")]

    def stunnel(self, zoo, upstream, certificate, versions, client_ca):
        client = f"CAfile = {client_ca}\nverifyChain = yes" if client_ca else ""
        (self.place / "stunnel.conf").write_text(f"""
foreground = yes
pid =
syslog = no
[front]
accept = 127.0.0.1:{self.port}
connect = 127.0.0.1:{upstream}
cert = {zoo.path(certificate)}.chain
key = {zoo.path(certificate)}.key
sslVersionMin = {versions[0]}
sslVersionMax = {versions[-1]}
{client}
""")
        return [str(self.place / "stunnel.conf")]

    def start(self):
        with open(self.place / "front.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([self.executable, *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.listens, self.said)

    def listens(self):
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def said(self):
        return (self.place / "front.log").read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def front_of(zoo, tmp_path):
    fronts = []

    def make(program, upstream, certificate="heavy", versions=("TLSv1.2", "TLSv1.3"), client_ca=None):
        place = tmp_path / f"{program}-{len(fronts)}"
        place.mkdir()
        front = Front(program, zoo, place, upstream, certificate, versions, client_ca)
        fronts.append(front)
        return front
    yield make
    for front in fronts:
        front.stop()


@pytest.fixture
def our_gateway(tmp_path):
    """charter-gateway: its port."""
    program = BUILD / "charter-gateway"
    if not program.exists():
        pytest.skip("charter-gateway is not built")
    log = tmp_path / "gateway.log"
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen([program, "--store", tmp_path / "store.db", "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out)
    try:
        yield int(wait_until(lambda: re.search(r"127\.0\.0\.1:(\d+)", log.read_text()), log.read_text).group(1))
    finally:
        process.terminate()
        process.wait(10)


def link_of(daemon):
    return daemon.call("daemon.status")["gateway"]


def environment():
    return {**clean_environment(), "SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}


PROGRAMS = ("nginx", "haproxy", "stunnel")


@pytest.mark.parametrize("program", PROGRAMS)
def test_our_gateway_behind(project, daemon_of, zoo, front_of, our_gateway, program):
    front = front_of(program, our_gateway)
    project.workflow("w", [step("one", value="x" * 9000), step("two", value="${{ outputs.one }}")])
    daemon = daemon_of(project, "--gateway", f"https://localhost:{front.port}", "--tls-ca", zoo.path("root.pem"), env=environment())
    wait_until(lambda: link_of(daemon)["state"] == "connected", lambda: f"{link_of(daemon)} {front.said()}")
    for _ in range(20):
        daemon.run("w")
    last = daemon.events()[-1]["seq"]
    wait_until(lambda: link_of(daemon)["acked_seq"] >= last, lambda: link_of(daemon))
    with urllib.request.urlopen(f"http://127.0.0.1:{our_gateway}/v1/runs", timeout=10) as answer:
        assert answer.read().decode().count('"succeeded"') >= 20
    assert link_of(daemon)["reconnects"] == 0 and link_of(daemon)["last_error"] is None


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_commands_and_a_restart_of_the_front(project, daemon_of, zoo, front_of, program, version):
    project.workflow("w", [step("one", value="${{ inputs.text }}")], inputs={"text": {"type": "string", "required": True}},
                     outputs={"said": "${{ outputs.one }}"})
    with Gateway() as gateway:
        front = front_of(program, gateway.port, certificate="ec-good", versions=(version,))
        daemon = daemon_of(project, "--gateway", f"wss://localhost:{front.port}", "--tls-ca", zoo.path("ec-root.pem"),
                           "--reconnect-ms", "50,200", env=environment())
        for number in range(3):
            gateway.wait(lambda number=number: len([c for c in gateway.connections if c.ready]) > number,
                         what=lambda: f"{link_of(daemon)} {front.said()}")
            answer = gateway.command("run.start", {"workflow_id": "w", "inputs": {"text": f"{number}" + "y" * 9000}})
            assert gateway.wait_ended(answer["run_id"])["data"]["outputs"]["said"].startswith(str(number))
            if number < 2:
                front.stop()
                wait_until(lambda: link_of(daemon)["state"] != "connected", lambda: link_of(daemon))
                front.start()
        held = daemon.events()
        gateway.wait(lambda: gateway.daemon.acked >= held[-1]["seq"], what="every event arrives")
        assert gateway.daemon.stream()[:len(held)] == held


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_front_that_wants_a_client_certificate(project, daemon_of, zoo, front_of, places, program):
    flags = ("--tls-ca", zoo.path("root.pem"), "--reconnect-ms", "50,200")
    with Gateway() as gateway:
        front = front_of(program, gateway.port, client_ca=zoo.path("root.pem"))
        url = f"https://localhost:{front.port}"
        without = daemon_of(project, "--gateway", url, *flags, env=environment())
        # nginx answers with a page, the others with an alert.
        wait_until(lambda: re.search("client certificate|HTTP 400", link_of(without)["last_error"] or ""),
                   lambda: f"{link_of(without)} {front.said()}")
        assert not gateway.connections
        without.stop()
        daemon_of(project, "--gateway", url, *flags, "--tls-cert", zoo.path("client-chain.pem"), "--tls-key",
                  zoo.path("client.key"), env=environment())
        gateway.wait_connected()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_gateway_that_is_away_behind_its_front(project, daemon_of, zoo, front_of, program):
    with Gateway() as gateway:
        front = front_of(program, gateway.port)
        gateway.stop()
        daemon = daemon_of(project, "--gateway", f"https://localhost:{front.port}", "--tls-ca", zoo.path("root.pem"),
                           "--reconnect-ms", "50,200", env=environment())
        link = wait_until(lambda: (now := link_of(daemon))["last_error"] and now, "it is told")
        assert re.search("HTTP 50[234]|TLS: |ended", link["last_error"]), link
        began = time.monotonic()
        gateway.start()
        gateway.wait_connected()
        assert time.monotonic() - began < 30
