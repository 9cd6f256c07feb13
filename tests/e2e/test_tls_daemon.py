"""The daemon with a gateway behind TLS: runs over it, what it says of a gateway that it does not trust, what a connection
costs."""

import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import BUILD, DEADLINE, PLAIN, clean_environment, command, needs, step, wait_until  # noqa: E402
from peers.gateway import Gateway  # noqa: E402
from peers.tls_server import listener  # noqa: E402
from test_tls import has_tls  # noqa: E402

pytestmark = [pytest.mark.skipif(not has_tls(), reason="TLS is not built in"),
              needs("TLS_1_2", "TLS_RSA", "TLS_CHACHA20", "TLS_CRL", "TLS_CLIENT_CERT", "TLS_RESUME")]


def environment(**more):
    """Nothing of this machine says where CAs are."""
    kept = {name: value for name, value in clean_environment().items() if not name.startswith("SSL_CERT_")}
    return {**kept, **more}


def url_of(gateway, scheme="https"):
    return f"{scheme}://localhost:{gateway.port}"


def link_of(daemon):
    return daemon.call("daemon.status")["gateway"]


def wait_error(daemon, words):
    """The link's status once last_error has these words."""
    return wait_until(lambda: (link := link_of(daemon)) and re.search(words, link["last_error"] or "") and link,
                      lambda: f"last_error has {words!r}: {link_of(daemon)}")


# --- a run ---------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme, version", [("https", ssl.TLSVersion.TLSv1_3), ("wss", ssl.TLSVersion.TLSv1_2)])
def test_a_run_over_tls(project, daemon_of, zoo, scheme, version):
    context = zoo.context("heavy")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(zoo.path("root.pem"))
    big = "x" * 12000  # more than one record in each direction
    project.workflow("w", [step("one", value=f"{big}-${{{{ inputs.text }}}}")], inputs={"text": {"type": "string", "required": True}},
                     outputs={"said": "${{ outputs.one }}"})
    with Gateway(ssl=context) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway, scheme), "--tls-ca", zoo.path("root.pem"), "--tls-cert",
                           zoo.path("client-chain.pem"), "--tls-key", zoo.path("client.key"), env=environment())
        connection = gateway.wait_connected()
        assert "tls" in connection.hello["daemon"]["features"]
        assert connection.request_headers["Host"] == f"localhost:{gateway.port}"
        local = daemon.run("w", {"text": "local"})
        assert local.events[-1]["data"]["outputs"] == {"said": big + "-local"}
        for number in range(10):
            answer = gateway.command("run.start", {"workflow_id": "w", "inputs": {"text": f"{number}-" + "y" * 9000}})
            assert gateway.wait_ended(answer["run_id"])["type"] == "run.succeeded"
        held = daemon.events()
        gateway.wait(lambda: gateway.daemon.acked >= held[-1]["seq"], what="every event arrives")
        assert gateway.daemon.stream()[:len(held)] == held


def test_the_gateway_of_this_version_behind_a_tls_door(project, daemon_of, zoo, tmp_path):
    """charter-gateway itself has no TLS: something in front of it ends it."""
    program = BUILD / "charter-gateway"
    if not program.exists():
        pytest.skip("charter-gateway is not built")
    log = open(tmp_path / "gateway.log", "w+", encoding="utf-8")
    process = subprocess.Popen([program, "--store", tmp_path / "store.db", "--listen", "127.0.0.1:0"], stdout=log, stderr=log)
    try:
        port = int(wait_until(lambda: re.search(r"127\.0\.0\.1:(\d+)", (tmp_path / "gateway.log").read_text()),
                              lambda: (tmp_path / "gateway.log").read_text()).group(1))

        def serve(connection):
            with zoo.context("good").wrap_socket(connection, server_side=True) as tls, \
                    socket.create_connection(("127.0.0.1", port)) as behind:
                def back():
                    while data := behind.recv(4096):
                        tls.sendall(data)
                threading.Thread(target=back, daemon=True).start()
                while data := tls.recv(4096):
                    behind.sendall(data)
        project.workflow("w", [step("one", value=1)])
        with listener(serve) as door:
            daemon = daemon_of(project, "--gateway", f"wss://localhost:{door}", "--tls-ca", zoo.path("root.pem"), env=environment())
            wait_until(lambda: link_of(daemon)["state"] == "connected", lambda: link_of(daemon))
            daemon.run("w")
            last = daemon.events()[-1]["seq"]
            wait_until(lambda: link_of(daemon)["acked_seq"] >= last, "the gateway has all events")
            assert daemon.stop() == 0
    finally:
        process.kill()
        process.wait()
        log.close()


# --- what is said of one that is not trusted ------------------------------------------------------------------------------------

def test_a_refused_gateway_is_named_in_status_and_log_with_the_next_try(project, daemon_of, zoo):
    with Gateway(ssl=zoo.context("expired")) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), "--tls-ca", zoo.path("root.pem"), env=environment())
        link = wait_error(daemon, r"^TLS: certificate expired 2021-02-03 \(CN=expired\)$")
        waiting = wait_until(lambda: (now := link_of(daemon))["state"] == "waiting" and now, "it waits")
        assert waiting["next_try_s"] >= 0 and link["since"]
        assert re.search(r"TLS: certificate expired 2021-02-03 \(CN=expired\); next try in \d+\.\d s", daemon.log)
        assert not gateway.connections and not gateway.dials, "nothing was sent to it"
        charter = BUILD / "charter"
        if charter.exists():
            shown = subprocess.run([charter, "daemon", "status", "--project-path", str(daemon.project.path)], capture_output=True,
                                   text=True, timeout=DEADLINE, check=False, env=environment())
            assert "certificate expired 2021-02-03" in shown.stdout


def test_renewed_files_need_no_restart(project, daemon_of, zoo, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(zoo.path("other-root.pem"), ca)
    with Gateway(ssl=zoo.context("good")) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), "--tls-ca", str(ca), "--reconnect-ms", "50,100", env=environment())
        wait_error(daemon, "is unknown: CN=Zoo Root")
        shutil.copy(zoo.path("root.pem"), ca)
        gateway.wait_connected()


def test_the_token_goes_to_nobody_who_was_not_verified(project, daemon_of, zoo, tmp_path):
    token = tmp_path / "token"
    token.write_text("very-secret-token\n")
    seen = []

    def serve(connection):
        try:
            with zoo.context("self-signed").wrap_socket(connection, server_side=True) as tls:
                seen.append(tls.recv(4096))
        except OSError as error:
            seen.append(str(error).encode())
    with listener(serve) as port:
        daemon = daemon_of(project, "--gateway", f"https://localhost:{port}", "--token-file", str(token), "--tls-ca",
                           zoo.path("root.pem"), env=environment())
        wait_error(daemon, "self-signed")
        wait_until(lambda: seen, "the server has an end")
        assert b"secret" not in b"".join(seen) and "very-secret" not in daemon.log


def test_a_clock_before_the_build_is_named(project, daemon_of, zoo, tmp_path):
    if not PLAIN:
        pytest.skip("checkers of memory do not go together with a preloaded library")
    source = tmp_path / "clock.c"
    source.write_text("""#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *to)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == 0)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, to);
    if (clock == CLOCK_REALTIME)
        to->tv_sec = 86400 * 3 + to->tv_sec % 86400; /* as after a reset */
    return rc;
}
""")
    library = tmp_path / "clock.so"
    made = subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("no compiler here")
    with Gateway(ssl=zoo.context("good")) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), "--tls-ca", zoo.path("root.pem"),
                           env=environment(LD_PRELOAD=str(library)))
        if "1970-01-04" not in daemon.log:
            pytest.skip("the program takes no preloaded library")
        wait_error(daemon, r"TLS: the clock of this machine is wrong: it says 1970-01-04, .*not valid yet, but from 2020-01-01 on")


def test_a_server_that_says_nothing_meets_the_deadline(project, daemon_of, zoo):
    hold = threading.Event()
    with listener(lambda connection: hold.wait(40)) as port:
        daemon = daemon_of(project, "--gateway", f"https://localhost:{port}", "--tls-ca", zoo.path("root.pem"), env=environment())
        wait_until(lambda: link_of(daemon)["state"] == "securing", "the handshake has begun")
        began = time.monotonic()
        cpu = os.times().user, open(f"/proc/{daemon.pid}/stat", encoding="ascii").read().split()[13:15]
        wait_error(daemon, rf"TLS: localhost did not finish the handshake within 10 s; is there a TLS server on port {port}\?")
        assert time.monotonic() - began < 10 + DEADLINE / 4
        after = open(f"/proc/{daemon.pid}/stat", encoding="ascii").read().split()[13:15]
        assert sum(map(int, after)) - sum(map(int, cpu[1])) < 100, "it waited without turning"
        hold.set()


def test_a_server_that_floods_the_handshake_stops_nothing(project, daemon_of, zoo):
    """Records that mean nothing, without end: the deadline strikes, and everything else goes on."""
    over = threading.Event()

    def serve(connection):
        connection.recv(4096)
        while not over.is_set():
            connection.sendall(b"\x14\x03\x03\0\x01\x01" * 4000)
    project.workflow("w", [step("one", value="x")])
    with listener(serve) as port:
        daemon = daemon_of(project, "--gateway", f"https://localhost:{port}", "--tls-ca", zoo.path("root.pem"), env=environment())
        try:
            wait_until(lambda: link_of(daemon)["state"] == "securing", "the handshake has begun")
            assert daemon.run("w").events[-1]["type"] == "run.succeeded"
            wait_error(daemon, "TLS: localhost did not finish the handshake within 10 s")
        finally:
            over.set()


def test_plain_http_on_the_port_is_named(project, daemon_of):
    with Gateway() as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), env=environment())
        wait_error(daemon, r"there is no TLS on port \d+: the server answered \"HTTP/")


def test_a_connection_cut_without_close_notify_is_lost_and_comes_back(project, daemon_of, zoo):
    def resumed():
        return gateway.connections[-1].socket.transport.get_extra_info("ssl_object").session_reused
    with Gateway(ssl=zoo.context("good")) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), "--tls-ca", zoo.path("root.pem"), "--reconnect-ms", "50,100",
                           env=environment())
        gateway.wait_connected()
        assert not resumed()
        for number in range(3):
            gateway.drop(reset=False)
            gateway.wait(lambda number=number: len([c for c in gateway.connections if c.ready]) >= number + 2, what="it comes back")
            assert resumed(), "the reconnect is cheap"
        assert wait_until(lambda: link_of(daemon)["reconnects"] >= 3, "reconnects are counted")
        assert re.search(r"TLS: |without a close frame", link_of(daemon)["last_error"])


# --- cost ---------------------------------------------------------------------------------------------------------------------------

def private_kib(daemon):
    """What the daemon has written to: its own pages, not those of the program's file that are still on their way to disk."""
    with open(f"/proc/{daemon.pid}/smaps", encoding="ascii") as file:
        return sum(int(number) for number in re.findall(r"^Anonymous: +(\d+) kB", file.read(), re.M))


@pytest.mark.needs("released_memory")
def test_the_systems_bundle_costs_no_more_than_one_ca(project, daemon_of, zoo, tmp_path):
    if not PLAIN:
        pytest.skip("checkers of memory need memory")
    root = pathlib.Path(zoo.path("root.pem")).read_text(encoding="ascii")
    other = pathlib.Path(zoo.path("other-root.pem")).read_text(encoding="ascii")
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("# a name\n" + (other + "# more\n") * 450 + root)  # half a megabyte
    assert bundle.stat().st_size > 500_000
    figures = {}
    for name, flags, env in (("one CA", ("--tls-ca", zoo.path("root.pem")), {}), ("bundle", (), {"SSL_CERT_FILE": str(bundle)})):
        with Gateway(ssl=zoo.context("good")) as gateway:
            daemon = daemon_of(project, "--gateway", url_of(gateway), *flags, env=environment(**env))
            gateway.wait_connected()
            wait_until(lambda: link_of(daemon)["state"] == "connected", "connected")
            figures[name] = private_kib(daemon)
            daemon.stop()
    print(figures)
    assert figures["bundle"] <= figures["one CA"] + 32, figures


@pytest.mark.needs("released_memory")
def test_a_tls_connection_takes_no_heap_and_gives_its_pool_back(project, daemon_of, zoo):
    if not PLAIN:
        pytest.skip("checkers of memory bring a heap of their own")
    with Gateway(ssl=zoo.context("good")) as gateway:
        daemon = daemon_of(project, "--gateway", url_of(gateway), "--tls-ca", zoo.path("cas"), "--reconnect-ms", "50,100",
                           env=environment())
        gateway.wait_connected()
        wait_until(lambda: link_of(daemon)["state"] == "connected", "connected")

        def heap():
            with open(f"/proc/{daemon.pid}/smaps", encoding="ascii") as file:
                found = re.search(r"\[heap\]\n(?:.*\n)*?Size: +(\d+) kB", file.read())
            return int(found.group(1)) if found else 0
        first, connected = heap(), private_kib(daemon)
        for number in range(5):
            gateway.stop(drop=True)
            gateway.start()
            gateway.wait(lambda number=number: len([c for c in gateway.connections if c.ready]) >= number + 2, what="it comes back")
        assert heap() == first, "the heap grew"
        gateway.stop(drop=True)
        wait_until(lambda: link_of(daemon)["state"] == "waiting", "it waits")
        wait_until(lambda: private_kib(daemon) <= connected - 24, lambda: f"{private_kib(daemon)} of {connected} KiB are left")
        gateway.start()


# --- the flags --------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, words", [
    (("--tls-pin", "sha256//short"), "44 characters"),
    (("--tls-pin", "md5//" + "A" * 43 + "="), "44 characters"),
    (("--tls-pin", "sha256//" + "A" * 42 + "B="), "44 characters"),  # bits that nobody can have
    (("--tls-min", "1.1"), "1.2 or 1.3"),
    (("--tls-cert", "x.pem"), "--tls-cert needs --tls-key"),
    (("--tls-key", "x.key"), "--tls-cert needs --tls-key"),
    (("--tls-ca", ""), "a path is missing"),
    (("--tls-ca",), "value is missing"),
    (("--tls-verify", "off"), "unknown argument"),
])
def test_flags_that_make_no_sense_are_refused(project, flags, words):
    done = command("start", "--project-path", str(project.path), *flags, env=environment())
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_variables_stand_in_for_flags(project, daemon_of, zoo):
    with Gateway(ssl=zoo.context("self-signed")) as gateway:
        daemon_of(project, "--gateway", url_of(gateway),
                  env=environment(CHARTER_TLS_PIN=zoo.pin("good") + ";" + zoo.pin("ec-good")))
        gateway.wait_connected()
