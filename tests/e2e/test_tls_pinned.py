"""A pin alone vouches for a gateway: also in builds that ask no CAs (secure-min)."""

import pytest

from harness import built, needs
from test_tls import PROBE, run_probe

pytestmark = [needs("TLS"), pytest.mark.skipif(not PROBE.exists(), reason="tls-probe is not built")]


def test_the_pinned_key_is_taken(zoo):
    with zoo.server("ec-good", "-tls1_3") as server:
        code, verdict, page = run_probe(zoo, server.port, "--tls-pin", zoo.pin("ec-good"))
        assert (code, verdict.startswith("open, ended in order")) == (0, True), verdict
        assert "Protocol  : TLSv1.3" in page


def test_another_key_is_refused(zoo):
    with zoo.server("ec-good", "-tls1_3") as server:
        code, verdict, _ = run_probe(zoo, server.port, "--tls-pin", zoo.pin("good"))
        assert code != 0 and "has the pin sha256//" in verdict, verdict


def test_another_name_is_refused(zoo):
    with zoo.server("ec-good", "-tls1_3") as server:
        code, verdict, _ = run_probe(zoo, server.port, "--tls-pin", zoo.pin("ec-good"), host="127.0.0.1")
        assert code != 0 and "certificate is for" in verdict, verdict


def test_without_a_pin_nobody_is_trusted(zoo):
    with zoo.server("ec-good", "-tls1_3") as server:
        code, verdict, _ = run_probe(zoo, server.port)
        assert code != 0, verdict
        if not built("TLS_CA"):
            assert "this build asks no CAs (TLS_CA): the gateway's key must be pinned" in verdict, verdict
