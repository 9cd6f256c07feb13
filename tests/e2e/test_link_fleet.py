"""A fleet that loses its one gateway in one moment: the reconnects spread over the window, they do not come as a wave.

The daemons are real, 200 of them. Their window is 10 s instead of the contract's first second (--reconnect-ms 10000,10000), so
that the machine's own delays stay small beside it. Each daemon's wait comes from the system's random source, which takes
no seed; test_link.c has the same arithmetic with one. The seed printed here is that of the order in which they start.
"""

import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest

from harness import DAEMON, PLAIN, clean_environment, wait_until
from peers.gateway import Gateway

FLEET = int(os.environ.get("TEST_FLEET", "200"))
WINDOW_S = 10
BINS = 10

pytestmark = [pytest.mark.skipif(not DAEMON.exists(), reason="charter-daemon is not built"),
              pytest.mark.skipif(not PLAIN, reason="a fleet under checkers of memory measures the checkers")]


@contextlib.contextmanager
def fleet(gateway, seed):
    place = pathlib.Path(tempfile.mkdtemp(prefix="ch-"))
    order = list(range(FLEET))
    random.Random(seed).shuffle(order)
    daemons = []
    try:
        for number in order:
            project = place / str(number)
            project.mkdir()
            (project / "charter.yml").write_text('{"project": "p%d"}\n' % number)
            with open(project / "log", "wb") as log:
                daemons.append(subprocess.Popen(
                    [DAEMON, "start", "--project-path", project, "--gateway", gateway.url, "--reconnect-ms", f"{WINDOW_S}000,{WINDOW_S}000"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**clean_environment(), "no_proxy": "*"}, cwd="/"))
            # a few at a time: the start of a daemon costs more than its life
            wait_until(lambda: len(gateway.connections) >= len(daemons) - 8, "they arrive")
        yield daemons
    finally:
        for one in daemons:
            one.terminate()
        codes = {one.wait(60) for one in daemons}
        shutil.rmtree(place, ignore_errors=True)
    assert codes == {0}


def shared_kib(pid):
    return sum(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
               if line.startswith(("Private_Dirty:", "Private_Clean:")))


def test_the_reconnects_of_a_fleet_spread_over_the_window():
    seed = int(os.environ.get("TEST_SEED", time.time_ns() % 1_000_000))
    with Gateway() as gateway, fleet(gateway, seed) as daemons:
        gateway.wait(lambda: len([c for c in gateway.connections if c.ready]) == FLEET, 120, "the fleet is there")
        first = len(gateway.dials)
        lost = time.monotonic()
        gateway._do(drop_all(gateway))
        gateway.wait(lambda: len(gateway.dials) >= first + FLEET, WINDOW_S + 30, "all have come back")
        took = time.monotonic() - lost
        waits = [at - lost for at, _, _ in gateway.dials[first:first + FLEET]]
        bins = [0] * BINS
        for wait in waits:
            bins[min(int(wait * BINS / WINDOW_S), BINS - 1)] += 1
        gateway.wait(lambda: len([c for c in gateway.connections if c.closed_at is None and c.ready]) == FLEET, 60, "all are connected")
        print(f"fleet: {FLEET} daemons, seed {seed}, window {WINDOW_S} s, back within {took:.1f} s, bins {bins}, "
              f"{sum(shared_kib(one.pid) for one in daemons) // FLEET} KiB private each")
        assert max(bins) <= 2 * FLEET / BINS, bins
        assert max(waits) <= WINDOW_S + 5
        assert not gateway.violations


async def drop_all(gateway):
    for connection in gateway._open():
        gateway._abort(connection)
