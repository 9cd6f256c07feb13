"""The ways to a gateway: HTTP proxies, redirects, names with several addresses; and what comes of each that does not lead
there. Proxies and servers here are sockets of the test's own."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import BUILD, DEADLINE, PLAIN, command, free_port, needs, wait_until
from peers.gateway import Gateway


ECHO = BUILD / "ws-echo"
AUTOCONF = BUILD / "include" / "autoconf.h"


def is_built(symbol):
    return AUTOCONF.exists() and f"#define CONFIG_{symbol} 1" in AUTOCONF.read_text()

needs_proxy = pytest.mark.skipif(not is_built("PROXY"), reason="built without PROXY")


@pytest.fixture
def gateway():
    with Gateway() as one:
        yield one


def link(daemon):
    return daemon.call("daemon.status")["gateway"]


def error(daemon, *words):
    """Waits for a last_error with all these words."""
    def found():
        text = link(daemon)["last_error"] or ""
        return text if all(word in text for word in words) else None
    return wait_until(found, lambda: f"{words} in {link(daemon)}\n{daemon.tail()}")


def waiting(daemon):
    return wait_until(lambda: (lambda one: one if one["state"] == "waiting" else None)(link(daemon)), lambda: daemon.tail())


class Proxy:
    """CONNECT as RFC 9110 has it. `hosts` maps the asked HOST:PORT to where it really is; `answer` (bytes) is said
    instead; `credentials` is what Proxy-Authorization must hold."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.hosts, self.heads, self.answer, self.credentials, self.silent = {}, [], None, None, False
        self.established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self.open, self.closing = [], False
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept(self):
        while not self.closing:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError, ValueError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(4096)
                if not data:
                    return
                head += data
            assert head.endswith(b"\r\n\r\n"), "nothing is said before the answer"
            head = head.decode()
            self.heads.append(head)
            if self.silent:
                return
            if self.answer is not None:
                client.sendall(self.answer)
                client.shutdown(socket.SHUT_WR)
                return
            if self.credentials is not None and f"\r\nProxy-Authorization: Basic {self.credentials}\r\n" not in head:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 8\r\n\r\nwho asks")
                client.shutdown(socket.SHUT_WR)
                return
            target = head.split()[1]
            host, port = self.hosts.get(target, target).rsplit(":", 1)
            upstream = socket.create_connection((host.strip("[]"), int(port)))
            self.open.append(upstream)
            client.sendall(self.established)
            threading.Thread(target=self.pump, args=(upstream, client), daemon=True).start()
            self.pump(client, upstream)

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):  # however it ended
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy():
    with Proxy() as one:
        yield one


def no_proxies():
    return {name: "" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")}


# --- proxies --------------------------------------------------------------------------------------------------------


@needs_proxy
def test_a_proxy_resolves_the_name_and_passes_everything_on(project, daemon_of, gateway, proxy):
    proxy.hosts[f"gateway.invalid:{gateway.port}"] = f"127.0.0.1:{gateway.port}"
    daemon = daemon_of(project, "--gateway", f"http://gateway.invalid:{gateway.port}", "--proxy", proxy.url, env=no_proxies())
    gateway.wait_connected()
    gateway.wait_event("daemon.started")
    (head,) = proxy.heads
    lines = head.split("\r\n")
    assert lines[0] == f"CONNECT gateway.invalid:{gateway.port} HTTP/1.1" and f"Host: gateway.invalid:{gateway.port}" in lines
    assert "Authorization" not in head
    assert gateway.dials[0][2]["Host"] == f"gateway.invalid:{gateway.port}"
    gateway.drop()
    gateway.wait_connected(after=1)
    wait_until(lambda: link(daemon)["state"] == "connected")
    assert len(proxy.heads) == 2


@needs_proxy
def test_a_proxy_on_ipv6(project, daemon_of, gateway):
    try:
        six = Proxy("::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with six as proxy:
        daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, env=no_proxies())
        gateway.wait_connected()
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{gateway.port} ")


@needs_proxy
@pytest.mark.parametrize("environment, args, used", [
    ({"http_proxy": "PROXY"}, [], True),
    ({"http_proxy": "BARE"}, [], True),
    ({"HTTP_PROXY": "PROXY"}, [], False),
    ({"https_proxy": "PROXY", "HTTPS_PROXY": "PROXY"}, [], False),
    ({"http_proxy": "PROXY"}, ["--proxy", "none"], False),
    ({"http_proxy": "PROXY", "no_proxy": "other.example, 127.0.0.0/8"}, [], False),
    ({"http_proxy": "PROXY", "NO_PROXY": "*"}, [], False),
    ({"http_proxy": "PROXY", "no_proxy": "127.0.0.2,example.org,10.0.0.0/8"}, [], True),
    ({"no_proxy": "127.0.0.1"}, ["--proxy", "PROXY"], False),
    ({"CHARTER_PROXY": "PROXY", "http_proxy": "http://127.0.0.1:1"}, [], True),
])
def test_who_says_which_proxy(project, daemon_of, gateway, proxy, environment, args, used):
    known = {"PROXY": proxy.url, "BARE": f"127.0.0.1:{proxy.port}"}
    environment = {name: known.get(value, value) for name, value in environment.items()}
    daemon_of(project, "--gateway", gateway.url, *[known.get(arg, arg) for arg in args], env={**no_proxies(), **environment})
    gateway.wait_connected()
    assert len(proxy.heads) == used


@needs_proxy
def test_https_goes_through_the_proxy_of_https(project, daemon_of, proxy):
    if not is_built("TLS"):
        pytest.skip("built without TLS")
    proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\nnot from here\n"
    daemon = daemon_of(project, "--gateway", "https://gw.invalid/x", env={**no_proxies(), "https_proxy": proxy.url})
    assert "gw.invalid:443: HTTP 403 Forbidden: not from here" in error(daemon, "HTTP 403")
    assert proxy.heads[0].startswith("CONNECT gw.invalid:443 HTTP/1.1\r\nHost: gw.invalid:443\r\n")


@needs_proxy
def test_credentials_come_from_a_file_and_are_never_told(project, daemon_of, gateway, proxy):
    proxy.credentials = "dXNlcjpzM2NyZXQgd29yZA=="  # user:s3cret word
    place = project.path.parent / "credentials"
    place.write_text("user:wr0ng\n")
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, "--proxy-credentials-file", place, env=no_proxies())
    error(daemon, f"the proxy 127.0.0.1:{proxy.port} does not take the credentials in {place}: HTTP 407", "who asks")
    assert waiting(daemon)["next_try_s"] > 100, "nobody knocks again with what was refused"
    place.write_text("user:s3cret word\n")
    gateway.wait_connected()
    assert "Authorization" not in gateway.dials[0][2], "what the proxy is told the gateway is not"
    told = daemon.log + json.dumps(daemon.call("daemon.status"))
    assert not [secret for secret in ("s3cret", "wr0ng", "dXNlc") if secret in told]
    assert "s3cret" not in pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text()


@needs_proxy
@pytest.mark.parametrize("said", ["user:s3cret word", "s3cret word", "dXNlcjpzM2NyZXQgd29yZA==", "you said Basic dXNlcjpzM2NyZXQgd29yZA==!"])
def test_credentials_that_the_proxy_repeats_are_hidden(project, daemon_of, gateway, proxy, said):
    proxy.answer = b"HTTP/1.1 407 Who\r\n\r\n" + said.encode() + b"\n"
    place = project.path.parent / "credentials"
    place.write_text("user:s3cret word\n")
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, "--proxy-credentials-file", place, env=no_proxies())
    told = error(daemon, "407", "***") + daemon.log
    assert not [secret for secret in ("s3cret", "dXNlcjpz") if secret in told]


@needs_proxy
def test_407_without_credentials_names_the_flag(project, daemon_of, gateway, proxy):
    proxy.credentials = "x"
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, env=no_proxies())
    error(daemon, "wants credentials (HTTP 407 Proxy Authentication Required", "--proxy-credentials-file")
    assert waiting(daemon)["next_try_s"] > 100


@needs_proxy
@pytest.mark.parametrize("text", ["no colon", "user:pass\nX-More: header", "", None])
def test_credentials_that_are_none(project, daemon_of, gateway, proxy, text):
    place = project.path.parent / "credentials"
    if text is not None:
        place.write_text(text)
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, "--proxy-credentials-file", place,
                       env=no_proxies())
    if text is None:
        error(daemon, f"the credentials file {place} cannot be read: No such file")
        place.write_text("user:now\n")  # it is looked at again and again
        gateway.wait_connected()
    elif text == "":
        gateway.wait_connected()  # an empty file: none are sent
    else:
        error(daemon, "USER:PASSWORD", str(place))
        assert not proxy.heads and "X-More" not in daemon.log


@needs_proxy
@pytest.mark.parametrize("answer, words, soon", [
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 12\r\n\r\nno such host", "HTTP 502 Bad Gateway: no such host", True),
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP 403 Forbidden", True),
    (b"HTTP/1.1 410 Gone\r\n\r\n", "HTTP 410 Gone", True),
    (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "HTTP 401", True),
    (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n", "HTTP 302", True),
    (b"HTTP/1.1 503 Busy\r\nRetry-After: 100\r\n\r\n", "HTTP 503", False),
    (b"HTTP/1.1 200 OK\r\n\r\nHello", "bytes of its own behind its answer", True),
    (b"HTTP/1.1 200 OK\n\n", "a bare LF in its first line", True),
    (b"HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\n\r\n", 'a line folded in the header "X-Fold"', True),
    (b"HTTP/1.1 100 Continue\r\n\r\n", "ended without an answer", True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\nlater\n", "HTTP 502 Bad Gateway: later", True),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP 101 in answer to CONNECT", True),
    (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP/1.1 status line", True),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000, "too long", True),
    (b"", "ended without an answer", True),
], ids=lambda value: value[9:12].decode() if isinstance(value, bytes) else "")
def test_what_a_proxy_may_say_instead(project, daemon_of, gateway, proxy, answer, words, soon):
    proxy.answer = answer
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, env=no_proxies())
    assert "the proxy 127.0.0.1:" in error(daemon, words)
    if soon:
        proxy.answer = None
        gateway.wait_connected()
    else:
        assert 90 <= waiting(daemon)["next_try_s"] <= 103


@needs_proxy
@pytest.mark.parametrize("established", [b"HTTP/1.0 200 Connection established\r\n\r\n", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n"])
def test_proxies_of_old(project, daemon_of, gateway, proxy, established):
    proxy.established = established
    daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, env=no_proxies())
    gateway.wait_connected()


@needs_proxy
def test_a_proxy_that_says_nothing_or_is_not_there(project, daemon_of, gateway, proxy):
    proxy.silent = True
    begun = time.monotonic()
    daemon = daemon_of(project, "--gateway", gateway.url, "--proxy", proxy.url, env=no_proxies())
    wait_until(lambda: link(daemon)["state"] == "tunnelling")
    error(daemon, f"the proxy 127.0.0.1:{proxy.port}: no answer within 10 s")
    assert 9.5 < time.monotonic() - begun < (15 if PLAIN else 60)
    proxy.__exit__()
    error(daemon, f"the proxy 127.0.0.1:{proxy.port}: cannot connect to 127.0.0.1:{proxy.port}: Connection refused")
    assert not gateway.dials, "never around it"


@needs("PROXY")
@pytest.mark.parametrize("url, words", [
    ("http://me:s3cret@proxy:3128", "no user name or password may stand in a URL"),
    ("https://proxy:3128", "must begin with http://"),
    ("socks5://proxy:1080", "must begin with http://"),
    ("http://proxy:3128/path", "has no path"),
    ("http://proxy:0", "port"),
])
def test_proxies_that_cannot_be(project, url, words):
    ended = command("start", "--project-path", project.path, "--proxy", url)
    assert ended.returncode == 2 and "s3cret" not in ended.stderr
    assert words in ended.stderr if is_built("PROXY") else "knows no proxies" in ended.stderr


def test_a_password_in_a_gateways_url_is_refused_and_not_repeated(project, daemon_of):
    ended = command("start", "--project-path", project.path, "--gateway", "http://me:s3cret@gw")
    assert ended.returncode == 2 and "s3cret" not in ended.stderr and "***@gw" in ended.stderr


@needs_proxy
def test_a_password_in_the_environments_proxy_is_refused_and_not_repeated(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url, env={**no_proxies(), "http_proxy": "http://me:s3cret@127.0.0.1:1"})
    error(daemon, "the proxy that http_proxy names cannot be used", "no user name or password")
    assert waiting(daemon)["next_try_s"] > 100 and "s3cret" not in daemon.log and not gateway.dials


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.fixture
def token(project):
    place = project.path.parent / "token"
    place.write_text("t0ken\n")
    return place


def sent_token(gateway):
    return [headers.get("Authorization") for _, _, headers in gateway.dials]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("form", ["absolute", "ws", "path", "relative", "query"])
def test_redirects_to_the_same_origin_are_followed_with_the_token(project, daemon_of, token, status, form):
    with Gateway(prefix="/there", token="t0ken") as gateway:
        origin = f"127.0.0.1:{gateway.port}"
        location = {"absolute": f"http://{origin}/there/v1/daemon", "ws": f"ws://{origin}/there/v1/daemon", "path": "/there/v1/daemon",
                    "relative": "../../there/v1/./daemon", "query": "?now"}[form]
        gateway.redirects["/here/v1/daemon"] = (status, location)
        gateway.redirects["/here/v1/daemon?now"] = (status, "/there/v1/daemon")
        daemon = daemon_of(project, "--gateway", f"http://{origin}/here", "--token-file", token)
        gateway.wait_connected()
        assert set(sent_token(gateway)) == {"Bearer t0ken"}
        assert link(daemon)["url"] == f"http://{origin}/here", "the door that was configured"
        # a redirect holds for one attempt: the next one begins at the door
        gateway.drop()
        gateway.wait_connected(after=1)
        half = len(gateway.dials) // 2
        assert [path for _, path, _ in gateway.dials[:half]] == [path for _, path, _ in gateway.dials[half:]]
        assert gateway.dials[half][1] == "/here/v1/daemon"


def test_at_most_three_redirects(project, daemon_of, token):
    with Gateway(prefix="/3") as gateway:
        for number in range(4):
            gateway.redirects[f"/{number}/v1/daemon"] = (307, f"/{number + 1}/v1/daemon")
        daemon = daemon_of(project, "--gateway", f"http://127.0.0.1:{gateway.port}/0", "--token-file", token)
        error(daemon, 'HTTP 307 Temporary Redirect: the redirect to "/4/v1/daemon" is not followed: it is one too many',
              f"(after a redirect to http://127.0.0.1:{gateway.port})")
        assert [path for _, path, _ in gateway.dials[:4]] == [f"/{number}/v1/daemon" for number in range(4)]
        del gateway.redirects["/3/v1/daemon"]
        gateway.wait_connected()


def test_a_loop_of_redirects_ends(project, daemon_of):
    with Gateway() as gateway:
        gateway.redirects["/v1/daemon"] = (308, "/v1/daemon?again")
        gateway.redirects["/v1/daemon?again"] = (308, "/v1/daemon?again")
        daemon = daemon_of(project, "--gateway", gateway.url)
        error(daemon, "one too many")
        gateway.wait(lambda: len(gateway.dials) > 8)
        attempt = ["/v1/daemon"] + 3 * ["/v1/daemon?again"]
        assert [path for _, path, _ in gateway.dials[:8]] == 2 * attempt
        gateway.redirects.clear()
        gateway.wait_connected()


@pytest.mark.parametrize("location, words", [
    ("http://127.0.0.1:PORT/v1/daemon", "another origin without TLS"),
    ("//127.0.0.1:PORT/v1/daemon", "another origin without TLS"),
    ("ws://localhost:OWN/v1/daemon", "another origin without TLS"),
    ("ftp://127.0.0.1:OWN/", "it must begin with http://"),
    ("http://user:pw@127.0.0.1:OWN/v1/daemon", "no user name"),
    ("/v1/d\u00e4mon", "ASCII"),
])
def test_redirects_that_are_not_followed(project, daemon_of, token, gateway, location, words):
    with Gateway() as other:
        location = location.replace("PORT", str(other.port)).replace("OWN", str(gateway.port))
        gateway.redirects["/v1/daemon"] = (302, location.encode().decode("latin-1"))
        daemon = daemon_of(project, "--gateway", gateway.url, "--token-file", token)
        text = error(daemon, "HTTP 302 Found: the redirect to", "is not followed", words)
        assert "pw@" not in text and "t0ken" not in daemon.log
        gateway.redirects.clear()
        gateway.wait_connected()
        assert not other.dials


@pytest.mark.parametrize("status, location", [(303, "/x"), (300, "/x"), (304, "/x"), (302, None)])
def test_what_is_no_redirect(project, daemon_of, gateway, status, location):
    gateway.redirects["/v1/daemon"] = (status, location)
    daemon = daemon_of(project, "--gateway", gateway.url)
    text = error(daemon, f"HTTP {status}")
    assert "redirect to" not in text
    gateway.redirects.clear()
    gateway.wait_connected()
    assert {path for _, path, _ in gateway.dials} == {"/v1/daemon"}


class Recorder:
    """A TLS server of sorts: keeps what comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client:
                    client.settimeout(5)
                    self.received.append(client.recv(65536))


def test_https_elsewhere_is_followed_under_tls_alone(project, daemon_of, token, gateway):
    recorder = Recorder()
    gateway.redirects["/v1/daemon"] = (301, f"https://127.0.0.1:{recorder.port}/x")
    daemon = daemon_of(project, "--gateway", gateway.url, "--token-file", token)
    text = error(daemon, f"(after a redirect to https://127.0.0.1:{recorder.port}, another origin, which gets no token)")
    assert sent_token(gateway)[0] == "Bearer t0ken"
    if is_built("TLS") and not is_built("TLS_CA"):
        assert "--tls-pin" in text and not any(recorder.received)
    elif is_built("TLS"):
        assert "TLS" in text and recorder.received[0][:2] == b"\x16\x03"
    else:
        assert "this build has no TLS" in text and not recorder.received
    recorder.listener.close()


@pytest.fixture
def tls_gateway(tmp_path):
    """A server with TLS that keeps the requests and answers 101 as it should, then closes."""
    if not is_built("TLS") or shutil.which("openssl") is None:
        pytest.skip("built without TLS, or no openssl here")
    import ssl
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=other", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem",
                    "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    class Server:
        port, heads, ca, redirect = listener.getsockname()[1], [], tmp_path / "cert.pem", None

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as tls:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = tls.recv(4096)
                    if not data:
                        break
                    head += data
                head = head.decode()
                Server.heads.append(head)
                if Server.redirect:
                    tls.sendall(f"HTTP/1.1 302 Found\r\nLocation: {Server.redirect}\r\nContent-Length: 0\r\n\r\n".encode())
                    continue
                tls.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nno one")
    threading.Thread(target=serve, daemon=True).start()
    yield Server
    listener.close()


@needs("TLS_CA")
def test_no_token_goes_to_another_origin_even_with_tls(project, daemon_of, token, gateway, tls_gateway):
    gateway.redirects["/v1/daemon"] = (308, f"https://127.0.0.1:{tls_gateway.port}/v1/daemon")
    daemon = daemon_of(project, "--gateway", gateway.url, "--token-file", token, "--tls-ca", tls_gateway.ca)
    error(daemon, "HTTP 401 Unauthorized: no one", "which gets no token")
    assert "\r\nAuthorization:" not in tls_gateway.heads[0] and "Sec-WebSocket-Key" in tls_gateway.heads[0]
    assert waiting(daemon)["next_try_s"] > 100


@needs("TLS_CA")
def test_nobody_leads_from_tls_back_to_plain(project, daemon_of, token, gateway, tls_gateway):
    tls_gateway.redirect = f"{gateway.url}/v1/daemon"
    daemon = daemon_of(project, "--gateway", f"https://127.0.0.1:{tls_gateway.port}", "--token-file", token, "--tls-ca", tls_gateway.ca)
    error(daemon, "another origin without TLS")
    assert "\r\nAuthorization: Bearer t0ken\r\n" in tls_gateway.heads[0] and not gateway.dials


@needs_proxy
def test_tls_goes_through_a_proxy(project, daemon_of, token, proxy, tls_gateway):
    daemon = daemon_of(project, "--gateway", f"https://127.0.0.1:{tls_gateway.port}", "--proxy", proxy.url, "--token-file", token,
                       "--tls-ca", tls_gateway.ca, env=no_proxies())
    error(daemon, "HTTP 401 Unauthorized: no one")
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{tls_gateway.port} ") and "Bearer" not in proxy.heads[0]
    assert "\r\nAuthorization: Bearer t0ken\r\n" in tls_gateway.heads[0]


# --- addresses --------------------------------------------------------------------------------------------------------


def in_namespace(tmp_path, hosts, *args, before="true", net=False, source="files"):
    """ws-echo where /etc/hosts is ours, in a mount namespace of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mount namespaces need root and unshare")
    (tmp_path / "hosts").write_text(hosts)
    (tmp_path / "nsswitch").write_text(f"hosts: {source}\n")
    script = (f"mount --bind {tmp_path}/hosts /etc/hosts && mount --bind {tmp_path}/nsswitch /etc/nsswitch.conf || exit 99\n"
              f"{before}\nexec \"$@\"\n")
    probe = subprocess.run(["unshare", "-m", *(["-n"] if net else []), "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no namespaces here")
    return subprocess.Popen(["unshare", "-m", *(["-n"] if net else []), "sh", "-c", script, "sh", *map(str, args)], stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, **no_proxies()})


def outcome(process, seconds=DEADLINE):
    _, words = process.communicate(timeout=seconds)
    if process.returncode == 99:
        pytest.skip(f"no bind mounts here: {words}")
    return process.returncode, words


class Plain:
    """Refuses every upgrade by a status, which is proof enough that it was reached."""

    def __init__(self, host, port=0):
        self.listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.peers, self.at = [], []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, peer = self.listener.accept()
                self.peers.append(peer[0])
                self.at.append(time.monotonic())
                with client:
                    client.settimeout(10)
                    with contextlib.suppress(OSError):
                        client.recv(65536)
                        client.sendall(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")

    def close(self):
        self.listener.close()


@contextlib.contextmanager
def black_hole(host, port):
    """A listener whose queue is full: connections to it get no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield


def hosts_of(*addresses):
    return "".join(f"{address} many.test\n" for address in addresses)


@needs("RESOLVE")
def test_refused_addresses_are_passed_at_once(tmp_path):
    with contextlib.closing(Plain("127.0.0.7")) as server:
        begun = time.monotonic()
        code, words = outcome(in_namespace(tmp_path, hosts_of("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.7"), ECHO,
                                           f"ws://many.test:{server.port}/"))
        assert code == 1 and "HTTP 418" in words and len(server.peers) == 1
        assert time.monotonic() - begun < (2 if PLAIN else 30)


@needs("RESOLVE")
def test_silent_addresses_are_overtaken(tmp_path):
    """Four of five say nothing; whatever the order, the fifth is reached, later ones a quarter of a second apart."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.closing(Plain("127.0.0.9")))
        holes = [f"127.0.0.{number}" for number in (2, 3, 4, 5)]
        for hole in holes:
            stack.enter_context(black_hole(hole, server.port))
        begun = time.monotonic()
        code, words = outcome(in_namespace(tmp_path, hosts_of(*holes, "127.0.0.9"), ECHO, f"ws://many.test:{server.port}/"))
        assert code == 1 and "HTTP 418" in words, words
        assert time.monotonic() - begun < (8 if PLAIN else 60), "two rounds of a quarter of the deadline at most"


@needs("RESOLVE")
def test_when_no_address_answers_the_deadline_strikes(tmp_path):
    with contextlib.ExitStack() as stack:
        port = free_port("127.0.0.2")
        for hole in ("127.0.0.2", "127.0.0.3"):
            stack.enter_context(black_hole(hole, port))
        begun = time.monotonic()
        code, words = outcome(in_namespace(tmp_path, hosts_of("127.0.0.2", "127.0.0.3"), ECHO, f"ws://many.test:{port}/"))
        assert code == 1 and "nor to its other addresses: no answer within 10 s" in words
        assert 9 < time.monotonic() - begun < (15 if PLAIN else 60)


@needs("RESOLVE")
@pytest.mark.parametrize("listens", ["::1", "127.0.0.1"])
def test_both_families_are_tried(tmp_path, listens):
    try:
        server = Plain(listens)
    except OSError:
        pytest.skip(f"no {listens} here")
    with contextlib.closing(server):
        code, words = outcome(in_namespace(tmp_path, hosts_of("::1", "127.0.0.1"), ECHO, f"ws://many.test:{server.port}/"))
        assert code == 1 and "HTTP 418" in words and len(server.peers) == 1


SERVE_ONCE = ("python3 -c \"import socket; s = socket.create_server(('%s', 8080), family=socket.%s); open('%s/up', 'w').close(); "
              "c, _ = s.accept(); c.recv(65536); c.sendall(b'HTTP/1.1 418 Teapot\\r\\nContent-Length: 0\\r\\n\\r\\n')\" & "
              "while [ ! -e %s/up ]; do sleep 0.05; done")


@needs("RESOLVE")
@pytest.mark.parametrize("host, family, setup", [
    ("127.0.0.1", "AF_INET", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up"),
    ("::1", "AF_INET6", "ip link set lo up; ip addr del 127.0.0.1/8 dev lo"),
], ids=["IPv4 only", "IPv6 only"])
def test_hosts_with_one_family_alone(tmp_path, host, family, setup):
    if shutil.which("ip") is None or not pathlib.Path("/proc/sys/net/ipv6").exists():
        pytest.skip("no ip, or no IPv6, here")
    before = f"mount -o remount,rw /proc/sys 2>/dev/null; {{ {setup}; }} || exit 99\n" + SERVE_ONCE % (host, family, tmp_path, tmp_path)
    code, words = outcome(in_namespace(tmp_path, hosts_of("::1", "127.0.0.1"), ECHO, "ws://many.test:8080/", before=before, net=True))
    assert code == 1 and "HTTP 418" in words, words


@needs("RESOLVE")
def test_names_are_resolved_anew_at_each_attempt(tmp_path):
    with contextlib.closing(Plain("127.0.0.3")) as server:
        process = in_namespace(tmp_path, "127.0.0.2 moving.test\n", "sh", "-c",
                               f"{ECHO} ws://moving.test:{server.port}/; echo '127.0.0.3 moving.test' >{tmp_path}/hosts; "
                               f"exec {ECHO} ws://moving.test:{server.port}/")
        code, words = outcome(process)
        assert code == 1 and "127.0.0.2" in words and "refused" in words and "HTTP 418" in words


@needs("RESOLVE")
def test_a_name_server_that_says_nothing_has_its_deadline(tmp_path):
    (tmp_path / "resolv").write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    before = (f"mount --bind {tmp_path}/resolv /etc/resolv.conf && ip link set lo up || exit 99\n"
              "python3 -c \"import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 53)); "
              f"open('{tmp_path}/up', 'w').close(); s.settimeout(40); s.recv(512); open('{tmp_path}/asked', 'w').close(); time.sleep(12)\" 2>/dev/null &\n"
              f"while [ ! -e {tmp_path}/up ]; do sleep 0.05; done")
    if shutil.which("ip") is None:
        pytest.skip("no ip here")
    begun = time.monotonic()
    code, words = outcome(in_namespace(tmp_path, "", ECHO, "ws://slow.test:8080/", before=before, net=True, source="dns"))
    assert code == 1 and "cannot resolve slow.test: no answer within 10" in words, words
    assert (tmp_path / "asked").exists() and 9 < time.monotonic() - begun < (15 if PLAIN else 60)


def test_names_that_are_none(project, daemon_of):
    daemon = daemon_of(project, "--gateway", "http://no-such-name.invalid", env=no_proxies())
    error(daemon, "cannot resolve no-such-name.invalid: ")


def test_tcp_notices_a_dead_peer_by_itself(project, daemon_of, gateway):
    """Keepalive probes, and a bound on unacknowledged bytes, on the daemon's own socket."""
    daemon = daemon_of(project, "--gateway", gateway.url)
    gateway.wait_connected()
    sockets = [int(fd) for fd in os.listdir(f"/proc/{daemon.pid}/fd") if os.readlink(f"/proc/{daemon.pid}/fd/{fd}").startswith("socket:")]
    try:
        pidfd = os.pidfd_open(daemon.pid)
    except (AttributeError, OSError):
        pytest.skip("no pidfd here")
    found = []
    for number in sockets:
        fd = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, number, 0)  # pidfd_getfd
        if fd < 0:
            os.close(pidfd)
            pytest.skip("another process's descriptors cannot be had here")
        with socket.socket(fileno=fd) as one:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                found.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
                found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    os.close(pidfd)
    assert found == [1, 1, 30, 30000]


def test_a_reset_during_the_handshake_is_told(project, daemon_of):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        daemon = daemon_of(project, "--gateway", f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.settimeout(DEADLINE)
        client, _ = listener.accept()
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        error(daemon, "the opening handshake failed: Connection reset")


@pytest.mark.parametrize("said", ["{token}", "Bearer {token}", "you sent Authorization: Bearer {token}, which we do not know",
                                  "x" * 140 + "{token}"], ids=["alone", "bearer", "amid", "cut"])
def test_a_token_that_the_gateway_repeats_is_hidden(project, daemon_of, token, said):
    secret = "tok-" + "0123456789abcdef" * 4
    token.write_text(secret + "\n")
    with Gateway() as gateway:
        gateway.refuse(500, (), said.format(token=secret).encode() + b"\n")
        daemon = daemon_of(project, "--gateway", gateway.url, "--token-file", token)
        assert sent_token(gateway) or waiting(daemon)
        assert "***" in error(daemon, "500")
        assert secret[:8] not in error(daemon, "500") and secret[:8] not in daemon.log


def test_an_empty_token_file_is_named(project, daemon_of, token, gateway):
    token.write_text("\n")
    daemon = daemon_of(project, "--gateway", gateway.url, "--token-file", token)
    error(daemon, "token file", "is empty")
    assert not gateway.dials
    token.write_text("t0ken\n")
    gateway.wait_connected()
    assert sent_token(gateway) == ["Bearer t0ken"]
