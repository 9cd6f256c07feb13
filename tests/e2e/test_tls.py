"""The link's TLS against servers that are not ours: a zoo of certificates, each with the verdict that it must get, first
with the TLS alone (tls-probe), then through the whole daemon."""

import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import BUILD, PLAIN, needs, wait_until  # noqa: E402
from peers.tls_server import listener, reset  # noqa: E402

PROBE = BUILD / "tls-probe"


def has_tls():
    config = BUILD / "include" / "autoconf.h"
    return PROBE.exists() and (not config.exists() or "#define CONFIG_TLS 1" in config.read_text())


pytestmark = [pytest.mark.skipif(not has_tls(), reason="TLS is not built in"),
              needs("TLS_1_2", "TLS_RSA", "TLS_CHACHA20", "TLS_CRL", "TLS_CLIENT_CERT", "TLS_RESUME")]


def run_probe(zoo, port, *flags, host="localhost", environment=None):
    """Exit code, verdicts, what came from the server."""
    arguments = [zoo.path(flag) if re.fullmatch(r"(?!sha256//)[\w-]+\.(pem|key|crl|der)|cas", flag) else flag
                 for flag in flags]
    done = subprocess.run([PROBE, *arguments, host, str(port)], capture_output=True, text=True, timeout=60, check=False,
                          env={**{name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")},
                               **(environment or {})})
    return done.returncode, done.stderr, done.stdout


ROOT = ("--tls-ca", "root.pem")


# --- what must be taken --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
@pytest.mark.parametrize("certificate, flags, host", [
    ("good", ROOT, "localhost"),
    ("good", ROOT, "LOCALHOST."),
    ("direct", ROOT, "localhost"),
    ("ip", ROOT, "127.0.0.1"),
    ("ip", ROOT, "::1"),
    ("ip", ROOT, "0:0::0:0.0.0.1%lo"),
    ("wildcard", ROOT, "gw.zoo.example"),
    ("within", ROOT, "gw.zoo.example"),
    ("within-root", ("--tls-ca", "critical-root.pem"), "gw.zoo.example"),
    ("ec-good", ("--tls-ca", "ec-root.pem"), "localhost"),
    ("below-8", ROOT, "localhost"),
    ("good", ("--tls-ca", "stale.pem"), "localhost"),
    ("heavy", ROOT, "localhost"),
    ("self-signed", ("--tls-ca", "self-signed.pem"), "localhost"),
    ("good", ("--tls-ca", "root.der"), "localhost"),
    ("good", ("--tls-ca", "cas"), "localhost"),
    ("good", ("--tls-ca", "intermediate.pem"), "localhost"),
    ("good", (*ROOT, "--tls-crl", "crl.pem"), "localhost"),
    ("good", (*ROOT, "--tls-crl", "crl.der"), "localhost"),
], ids=lambda value: "-".join(value) if isinstance(value, tuple) else None)
def test_a_good_certificate_is_taken(zoo, version, certificate, flags, host):
    with zoo.server(certificate, version) as server:
        code, verdict, page = run_probe(zoo, server.port, *flags, host=host)
        assert (code, verdict.startswith("open, ended in order")) == (0, True), verdict
        assert "HTTP/1.0 200" in page
        assert f"Protocol  : TLSv1.{version[-1]}" in page


# --- what must be refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("certificate, flags, host, words", [
    ("expired", ROOT, "localhost", r"certificate expired 2021-02-03 \(CN=expired\)"),
    ("future", ROOT, "localhost", r"certificate is not valid before 2045-06-07, and the clock says .*\(CN=future\)"),
    ("wrong-host", ROOT, "localhost", r"certificate is for other\.example, third\.example, not for localhost"),
    ("self-signed", ROOT, "localhost", r"certificate is self-signed \(CN=self-signed\) and not among the CAs in "),
    ("unknown-ca", ROOT, "localhost", r"the issuer of the certificate of CN=unknown-ca is unknown: CN=Other Root"),
    ("good", ("--tls-ca", "other-root.pem"), "localhost", r"is unknown: CN=Zoo Root"),
    ("good", ("--tls-ca", "empty.pem"), "localhost", r"empty\.pem holds no certificate"),
    ("good", ("--tls-ca", "absent.pem"), "localhost", r"absent\.pem: No such file"),
    ("ip", ROOT, "127.0.0.2", r"certificate is for 127\.0\.0\.1, 0:0:0:0:0:0:0:1, not for 127\.0\.0\.2"),
    ("ip", ROOT, "localhost", r"not for localhost"),
    ("ip-as-name", ROOT, "127.0.0.1", r"not for 127\.0\.0\.1"),
    ("good", ROOT, "127.0.0.1", r"certificate is for localhost, not for 127\.0\.0\.1"),
    ("wildcard", ROOT, "a.b.zoo.example", r"certificate is for \*\.zoo\.example, not for a\.b\.zoo\.example"),
    ("wildcard", ROOT, "zoo.example", r"not for zoo\.example"),
    ("cn-only", ROOT, "localhost", r"no subjectAltName.*CN=localhost"),
    ("client-only", ROOT, "localhost", r"may not be used by a server"),
    ("missing", ROOT, "localhost", r"issuer of the certificate of CN=missing-intermediate is unknown: CN=Zoo Intermediate"),
    ("missing", ("--tls-ca", "stale.pem"), "localhost", r"certificate expired 2021-02-03 \(CN=Zoo Intermediate\)"),
    ("no-ca", ROOT, "localhost", r"sent the issuer of the certificate of CN=no-ca, but CN=good may not sign it"),
    ("by-no-signer", ROOT, "localhost", r"of CN=by-no-signer, but CN=Zoo No Signer may not sign it \(basicConstraints, keyUsage"),
    ("by-below-last", ROOT, "localhost", r"of CN=Zoo Below Last, but CN=Zoo Last CA may not sign it \(basicConstraints, keyUsage"),
    ("below-9", ROOT, "localhost", r"chain of certificates is too long: at most 8 CAs"),
    ("many-names", ROOT, "localhost", r"certificates are too long"),
    ("weak", ROOT, "localhost", r"too weak \(CN=weak, key of 1024 bits"),
    ("outside", ROOT, "localhost", r"name constraints of the CA \(CN=Zoo Constrained\).*do not permit localhost"),
    ("outside-ip", ROOT, "127.0.0.1", r"name constraints .*do not permit 127\.0\.0\.1"),
    ("excluded", ROOT, "gw.zoo.example", r"name constraints .*exclude a\.secret\.zoo\.example"),
    ("behind-critical", ROOT, "localhost", r"critical extension"),
    ("behind-people", ROOT, "localhost", r"name constraints .*not checked"),
    ("outside-root", ("--tls-ca", "critical-root.pem"), "localhost", r"name constraints .*do not permit localhost"),
    ("revoked", (*ROOT, "--tls-crl", "crl.pem"), "localhost",
     r"certificate was revoked by its issuer \(CN=revoked, revoked by CN=Zoo Intermediate\)"),
    ("revoked", (*ROOT, "--tls-crl", "crl.der"), "localhost", r"certificate was revoked"),
    ("good", (*ROOT, "--tls-crl", "root.crl"), "localhost", r"no CRL of the issuer .*CN=Zoo Intermediate"),
    ("good", (*ROOT, "--tls-crl", "expired.crl"), "localhost", r"CRL of CN=Zoo Intermediate expired 2021-02-03"),
    ("good", (*ROOT, "--tls-crl", "future.crl"), "localhost", r"CRL of .* is not valid before 2045-01-01"),
    ("good", (*ROOT, "--tls-crl", "forged.crl"), "localhost", r"CRL of .* is not signed by it"),
    ("good", (*ROOT, "--tls-crl", "absent.crl"), "localhost", r"absent\.crl: No such file"),
])
def test_a_bad_certificate_is_refused(zoo, certificate, flags, host, words):
    arguments = ["-cipher", "DEFAULT:@SECLEVEL=0"] if certificate == "weak" else []
    for version in ("-tls1_3", "-tls1_2"):
        with zoo.server(certificate, version, *arguments) as server:
            code, verdict, page = run_probe(zoo, server.port, *flags, host=host)
            assert code == 1 and page == "", verdict
            assert re.match(rf"refused: TLS: .*{words}", verdict), verdict


# --- pins -------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("certificate, pins, flags, host, words", [
    ("good", ["good"], ROOT, "localhost", None),
    ("good", ["ec-good", "good"], ROOT, "localhost", None),
    ("self-signed", ["self-signed"], (), "localhost", None),
    ("unknown-ca", ["good"], (), "localhost", None),  # the servers of the zoo share their key
    ("good", ["ec-good"], ROOT, "localhost", r"has the pin sha256//\S{43}=, which is not among those given"),
    ("self-signed", ["ec-good", "heavy"], (), "localhost", r"which is not among those given"),
    ("self-signed", ["self-signed"], ROOT, "localhost", r"self-signed .* not among the CAs"),
    ("unknown-ca", ["good"], (*ROOT, "--tls-crl", "crl.pem"), "localhost", r"issuer .* is unknown"),
    ("self-signed", ["self-signed"], (), "other.example", r"not for other\.example"),
    ("expired", ["good"], (), "localhost", r"expired 2021-02-03"),
    ("cn-only", ["good"], (), "localhost", r"no subjectAltName"),
])
def test_pins_add_to_the_ca_or_replace_it(zoo, certificate, pins, flags, host, words):
    given = [part for pin in pins for part in ("--tls-pin", zoo.pin(pin))]
    with zoo.server(certificate) as server:
        code, verdict, _ = run_probe(zoo, server.port, *given, *flags, host=host)
        assert code == (0 if words is None else 1), verdict
        assert re.match(rf"refused: TLS: .*{words}" if words else "open", verdict), verdict
        joined = ";".join(zoo.pin(pin) for pin in pins)
        assert run_probe(zoo, server.port, "--tls-pin", joined, *flags, host=host)[0] == code


# --- the system's CAs -------------------------------------------------------------------------------------------------------

def test_the_systems_bundle_is_searched_without_a_flag(zoo):
    bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    others = bundle.read_text(encoding="utf-8") if bundle.exists() else ""
    ours = zoo.directory / "bundle.crt"
    ours.write_text(others + "\n# ours\n" + pathlib.Path(zoo.path("root.pem")).read_text(encoding="ascii"))
    with zoo.server("good") as server:
        assert run_probe(zoo, server.port, environment={"SSL_CERT_FILE": str(ours)})[0] == 0
        assert run_probe(zoo, server.port, environment={"SSL_CERT_DIR": zoo.path("cas")})[0] == 0
        code, verdict, _ = run_probe(zoo, server.port)
        assert code == 1 and re.search(r"CN=Zoo Root was not sent|the server's CA is unknown|no bundle of CAs", verdict)


def test_crls_work_with_the_systems_bundle(zoo):
    environment = {"SSL_CERT_DIR": zoo.path("cas")}
    with zoo.server("revoked") as server:
        assert "revoked by its issuer" in run_probe(zoo, server.port, "--tls-crl", "crl.pem", environment=environment)[1]
    with zoo.server("good") as server:
        assert run_probe(zoo, server.port, "--tls-crl", "crl.pem", environment=environment)[0] == 0


# --- client certificates ----------------------------------------------------------------------------------------------------

CLIENT = ("--tls-cert", "client-chain.pem", "--tls-key")


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
@pytest.mark.parametrize("key", ["client.key", "client-old.key"])
def test_a_client_certificate_is_shown(zoo, version, key):
    with zoo.server("heavy", version, "-Verify", "3", "-CAfile", "root.pem", "-verify_return_error") as server:
        code, verdict, _ = run_probe(zoo, server.port, *ROOT, *CLIENT, key)
        assert code == 0, verdict
        wait_until(lambda: "CN = client" in server.report, "the server names the client")


def test_an_ec_client_certificate_is_shown(zoo):
    for key in ("ec-client.key", "ec-client-old.key"):
        with zoo.server("ec-good", "-Verify", "3", "-CAfile", "ec-root.pem", "-verify_return_error") as server:
            code, verdict, _ = run_probe(zoo, server.port, "--tls-ca", "ec-root.pem", "--tls-cert",
                                         zoo.path("ec-client.chain"), "--tls-key", key)
            assert code == 0, verdict


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_a_missing_client_certificate_is_named(zoo, version):
    with zoo.server("good", version, "-Verify", "3", "-CAfile", "root.pem", "-verify_return_error") as server:
        code, verdict, _ = run_probe(zoo, server.port, *ROOT)
        assert code == 1 and "client certificate" in verdict, verdict


@pytest.mark.parametrize("flags, words", [
    (("--tls-cert", "client.pem", "--tls-key", "server.key"), r"is not that of the certificate in"),
    (("--tls-cert", "client.pem", "--tls-key", "client-encrypted.key"), r"is encrypted"),
    (("--tls-cert", "client.pem", "--tls-key", "client-encrypted8.key"), r"is encrypted"),
    (("--tls-cert", "client.pem", "--tls-key", "client.pem"), r"holds no private key"),
    (("--tls-cert", "client.key", "--tls-key", "client.key"), r"holds no certificate"),
    (("--tls-cert", "client.pem", "--tls-key", "absent.key"), r"the client's key .*: No such file"),
    (("--tls-cert", "absent.pem", "--tls-key", "client.key"), r"the client's certificate .*: No such file"),
])
def test_a_client_certificate_that_cannot_be_used_is_named(zoo, flags, words):
    with zoo.server("good") as server:
        code, verdict, _ = run_probe(zoo, server.port, *ROOT, *flags)
        assert code == 1 and re.search(rf"^refused: TLS: .*{words}", verdict, re.M), verdict


def test_an_open_key_file_is_warned_of_once(zoo):
    key = pathlib.Path(zoo.path("client.key"))
    with zoo.server("good") as server:
        key.chmod(0o644)
        _, verdict, _ = run_probe(zoo, server.port, *ROOT, *CLIENT, "client.key", "--times", "2")
        assert verdict.count("can be read by everybody") == 1, verdict
        key.chmod(0o640)
        assert "everybody" not in run_probe(zoo, server.port, *ROOT, *CLIENT, "client.key")[1]


# --- versions, ciphers, protocols -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(zoo, version):
    with zoo.server("good", version, "-cipher", "ALL:@SECLEVEL=0") as server:
        code, verdict, _ = run_probe(zoo, server.port, *ROOT)
        assert code == 1 and "no version of TLS" in verdict, verdict


def test_the_lowest_version_can_be_raised(zoo):
    with zoo.server("good", "-tls1_2") as server:
        assert run_probe(zoo, server.port, *ROOT, "--tls-min", "1.2")[0] == 0
        code, verdict, _ = run_probe(zoo, server.port, *ROOT, "--tls-min", "1.3")
        assert code == 1 and "no version of TLS" in verdict, verdict
    with zoo.server("good") as server:
        assert run_probe(zoo, server.port, *ROOT, "--tls-min", "1.3")[0] == 0


@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                                   "ECDHE-RSA-CHACHA20-POLY1305", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                   "TLS_CHACHA20_POLY1305_SHA256"])
def test_every_cipher_of_ours_works(zoo, suite):
    flags = ["-tls1_3", "-ciphersuites", suite] if suite.startswith("TLS_") else ["-tls1_2", "-cipher", suite]
    with zoo.server("good", *flags) as server:
        code, verdict, page = run_probe(zoo, server.port, *ROOT)
        assert code == 0 and suite in page, verdict


def test_ciphers_without_forward_secrecy_are_refused(zoo):
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"):
        with zoo.server("good", "-tls1_2", "-cipher", suite) as server:
            code, verdict, _ = run_probe(zoo, server.port, *ROOT)
            assert code == 1 and "no common cipher" in verdict, verdict


@pytest.mark.parametrize("group", ["P-256", "P-384", "P-521", "X25519"])
def test_every_group_of_ours_works(zoo, group):
    for version in ("-tls1_3", "-tls1_2"):
        with zoo.server("good", version, "-groups", group) as server:
            code, verdict, _ = run_probe(zoo, server.port, *ROOT)
            assert code == 0, verdict


def test_sni_and_alpn_are_said(zoo):
    with zoo.server("good", "-servername", "localhost", "-cert2", "ec-good.pem", "-key2", "ec-good.key") as server:
        code, verdict, _ = run_probe(zoo, server.port, "--tls-pin", zoo.pin("ec-good"))
        assert code == 0, verdict
    # An address has no place in SNI.
    seen = []
    context = zoo.context("ip")
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    context.set_alpn_protocols(["http/1.1"])

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            seen.append(tls.selected_alpn_protocol())
            tls.recv(100)
            tls.unwrap()
    with listener(serve) as port:
        assert run_probe(zoo, port, *ROOT, host="127.0.0.1")[0] == 0
    assert seen == [None, "http/1.1"]


# --- resumption -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
@pytest.mark.parametrize("with_client", [False, True])
def test_a_reconnect_resumes(zoo, version, with_client):
    flags = (*CLIENT, "client.key") if with_client else ()
    want = ("-Verify", "3", "-CAfile", "root.pem") if with_client else ()
    with zoo.server("good", version, *want) as server:
        code, verdict, page = run_probe(zoo, server.port, *ROOT, *flags, "--times", "4")
        assert code == 0, verdict
        found = re.findall(r"^(New|Reused), TLSv", page, re.M)
        assert found == ["New", "Reused", "Reused", "Reused"], found
        steps = [int(number) for number in re.findall(r"(\d+) steps", verdict)]
        assert steps[1] < steps[0]


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_a_server_that_forgot_is_no_failure(zoo, version):
    with zoo.server("good", version, "-no_ticket", "-no_cache") as server:
        code, verdict, page = run_probe(zoo, server.port, *ROOT, "--times", "2")
        assert code == 0 and "Reused" not in page, verdict


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_a_server_with_new_keys_for_tickets_is_no_failure(zoo, version):
    reused = []

    def serve(connection):
        context = zoo.context("good")  # each has keys of its own
        context.minimum_version = context.maximum_version = version
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(100)
            reused.append(tls.session_reused)
            tls.sendall(b"x")
            tls.unwrap()
    with listener(serve) as port:
        code, verdict, text = run_probe(zoo, port, *ROOT, "--times", "3")
        assert (code, text, reused) == (0, "xxx", [False] * 3), verdict


# --- servers that break off --------------------------------------------------------------------------------------------------

def test_plain_text_on_the_port_is_named(zoo):
    def serve(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with listener(serve) as port:
        code, verdict, _ = run_probe(zoo, port, *ROOT)
        assert code == 1 and f'there is no TLS on port {port}: the server answered "HTTP/' in verdict, verdict


def through(zoo, cut, certificate="good"):
    """A way to an openssl server that ends after `cut` bytes from it; -1: with RST at once."""
    def serve(connection):
        with zoo.server(certificate) as server, socket.create_connection(("127.0.0.1", server.port)) as behind:
            connection.settimeout(5)
            left = cut
            while left > 0:
                behind.sendall(connection.recv(4096))
                behind.settimeout(5)
                bytes_ = behind.recv(left)
                connection.sendall(bytes_)
                left -= len(bytes_)
            if cut <= 0:
                connection.recv(4096)
            if cut < 0:
                reset(connection)
    return listener(serve)


@pytest.mark.parametrize("cut, words", [
    (0, "before it said anything"), (1, "in the middle of the handshake"), (200, "in the middle of the handshake"),
    (1500, "in the middle of the handshake"), (-1, "Connection reset"),
])
def test_a_handshake_that_is_cut_is_named(zoo, cut, words):
    with through(zoo, cut) as port:
        code, verdict, _ = run_probe(zoo, port, *ROOT)
        assert code == 1 and verdict.startswith("refused: TLS: ") and words in verdict, verdict


def test_a_missing_close_notify_is_a_lost_connection(zoo):
    for orderly in (True, False):
        def serve(connection, orderly=orderly):
            with zoo.context("good").wrap_socket(connection, server_side=True) as tls:
                tls.recv(100)
                tls.sendall(b"half an answer")
                if orderly:
                    tls.unwrap()
                else:
                    tls.shutdown(socket.SHUT_RDWR)
        with listener(serve) as port:
            code, verdict, text = run_probe(zoo, port, *ROOT)
            assert text == "half an answer"
            if orderly:
                assert (code, verdict.startswith("open, ended in order")) == (0, True), verdict
            else:
                assert code == 1 and "open, then TLS: the connection was cut: its end came without close_notify" in verdict


def test_we_say_close_notify(zoo):
    told = []

    def serve(connection):
        with zoo.context("good").wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as tls:
            tls.recv(100)
            tls.sendall(b"x")
            tls.unwrap()  # ends well only where the other side says close_notify too
            told.append("close_notify")
    with listener(serve) as port:
        assert run_probe(zoo, port, *ROOT)[0] == 0
        wait_until(lambda: told, "the server is told of the end")


def test_a_byte_at_a_time_is_enough(zoo):
    def serve(connection):
        with zoo.server("good") as server, socket.create_connection(("127.0.0.1", server.port)) as behind:
            connection.setblocking(False)
            behind.setblocking(False)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                for source, sink in ((connection, behind), (behind, connection)):
                    try:
                        byte = source.recv(1)
                        if not byte:
                            return
                        sink.sendall(byte)
                    except BlockingIOError:
                        time.sleep(0)
    with listener(serve) as port:
        code, verdict, page = run_probe(zoo, port, *ROOT)
        assert code == 0 and "HTTP/1.0 200" in page, verdict


def test_a_changed_byte_is_noticed(zoo):
    def serve(connection):
        with zoo.server("good", "-tls1_3") as server, socket.create_connection(("127.0.0.1", server.port)) as behind:
            count = 0
            behind.sendall(connection.recv(4096))
            while count < 3000:
                bytes_ = bytearray(behind.recv(4096))
                count += len(bytes_)
                bytes_[-1] ^= 1
                connection.sendall(bytes_)
    with listener(serve) as port:
        code, verdict, _ = run_probe(zoo, port, *ROOT)
        assert code == 1 and "refused: TLS: " in verdict, verdict


def test_a_server_that_reads_slowly_gets_the_same_bytes(zoo):
    """Records are cut in the middle by a full socket, again and again."""
    text = "".join(f"{number:06}," for number in range(18000))
    got = []

    def serve(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with zoo.context("good").wrap_socket(connection, server_side=True) as tls:
            while sum(map(len, got)) < len(text):
                got.append(tls.recv(700))
                time.sleep(0.0005)
            tls.unwrap()
    with listener(serve) as port:
        code, verdict, _ = run_probe(zoo, port, *ROOT, "--send", text)
        assert code == 0, verdict
        assert b"".join(got).decode() == text


def test_no_step_of_a_handshake_takes_long(zoo):
    for version in ("-tls1_3", "-tls1_2"):
        with zoo.server("heavy", version, "-Verify", "3", "-CAfile", "root.pem") as server:
            code, verdict, _ = run_probe(zoo, server.port, *ROOT, *CLIENT, "client.key")
            assert code == 0, verdict
            longest = float(re.search(r"longest of ([\d.]+) ms", verdict).group(1))
            print(version, longest)
            assert longest < (250 if PLAIN else 5000), verdict  # a machine that does other things too


# What TLS passes over in silence, and what anybody on the way can send.
EMPTY = {"change-cipher-spec": b"\x14\x03\x03\0\x01\x01", "warnings": b"\x15\x03\x03\0\x02\x01\x5a"}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_flood_of_empty_records_leaves_the_loop_its_turns(kind):
    """However many there are, one step looks at few of them."""
    count = 20000

    def serve(connection):
        connection.recv(4096)
        connection.sendall(EMPTY[kind] * count)
    with listener(serve) as port:
        code, verdict, _ = run_probe(None, port)
        assert code == 1 and "TLS: the server cut the connection" in verdict, verdict
        assert int(re.search(r"(\d+) steps", verdict).group(1)) > count / 50, verdict


def test_a_key_update_ends_the_connection_with_words(zoo):
    """Known limit: mbedTLS 3.6 does not know it. The connection ends, and says why."""
    with zoo.server("good", "-tls1_3", page=False) as server:
        probe = subprocess.Popen([PROBE, *("--tls-ca", zoo.path("root.pem")), "localhost", str(server.port)], stderr=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        wait_until(lambda: "GET /" in server.report, lambda: server.report)
        server.process.stdin.write(b"hello\n")
        server.process.stdin.flush()
        assert probe.stdout.read(6) == "hello\n"
        server.process.stdin.write(b"K\nand on\n")
        server.process.stdin.flush()
        _, verdict = probe.communicate(timeout=30)
        assert "TLS: the server sent a message that is not taken here (KeyUpdate, perhaps)" in verdict, verdict
