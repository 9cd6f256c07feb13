"""A daemon that is killed again and again, at any moment: every step completes exactly once in the journal, every run
ends, and a gateway has every event once.

    CHARTER_CRASH_CYCLES=300 CHARTER_CRASH_SEED=42 make e2e PYTEST_ARGS=tests/e2e/test_crash.py
"""

import os
import random
import time

import pytest

from harness import ENDINGS, PLAIN, Closed, RpcError, check_run, check_stream, step, wait_until
from peers.gateway import Gateway

CYCLES = int(os.environ.get("CHARTER_CRASH_CYCLES", 30 if PLAIN else 6))
SEED = int(os.environ.get("CHARTER_CRASH_SEED", time.time_ns() % 1000000))
CHUNK = 10  # cycles with the same runs: a step may be interrupted five times and no more


def plans(project):
    """Short steps of every kind: values, artifacts, logs, retries, side by side, gates, inputs, ends of all sorts."""
    count = [{"count": "effects"}]
    project.workflow("line", [
        step("a", *count, {"log": {"level": "info", "message": "a"}}, value="x" * 300),
        step("b", *count, {"sleep": 0.03}, value={"of": "${{ outputs.a }}"}),
        step("c", *count, {"big": 100000}),
        step("d", *count, value=1, inputs={"c": "${{ outputs.c }}"})], outputs={"b": "${{ outputs.b.of }}"})
    project.workflow("graph", [
        step("one", *count, {"sleep": 0.02}, value=1),
        step("two", *count, {"stderr": {"text": "line\n", "times": 20}}, value=2, needs=["one"]),
        step("three", *count, {"sleep": 0.02}, value=3, needs=["one"]),
        step("four", *count, value=4, needs=["two", "three"])], max_parallel=3)
    project.workflow("fails", [
        step("one", *count, {"error": {"code": 1, "message": "no"}},
             retry={"max_attempts": 2, "initial_ms": 20, "max_ms": 50}),
        step("tidy", *count, value=1, when="always")])
    project.workflow("gate", [
        {"id": "g", "gate": {"message": "go on?", "timeout_s": 600}},
        step("after", *count, value="${{ outputs.g.decision }}")])


EXPECTED = {"line": "run.succeeded", "graph": "run.succeeded", "fails": "run.failed", "gate": "run.succeeded"}


class Crowd:
    """Submits runs under ids of its own, answers gates, and never minds that the daemon has gone."""

    def __init__(self, dice):
        self.dice = dice
        self.wanted = {}  # run_id: workflow; submitted once or more, the outcome unknown
        self.known = set()  # those that the daemon has answered for
        self.approved = set()

    def submit(self, daemon, count):
        with daemon.client() as client:
            for run in [r for r in self.wanted if r not in self.known]:
                self.start(client, run)
            for _ in range(count):
                run = f"r{len(self.wanted)}-{self.dice.randrange(10**6)}"
                self.wanted[run] = self.dice.choice(sorted(EXPECTED))
                self.start(client, run)

    def start(self, client, run):
        while True:
            try:
                client.call("run.start", {"workflow_id": self.wanted[run], "run_id": run, "labels": {"w": self.wanted[run]}})
                self.known.add(run)
                return
            except RpcError as error:
                assert error.code == -32009, error  # busy
                time.sleep(0.02)

    def approve(self, daemon):
        with daemon.client() as client:
            for run in sorted(r for r in self.known - self.approved if self.wanted[r] == "gate"):
                try:
                    client.call("run.resume", {"run_id": run, "decision": "approve"})
                    self.approved.add(run)
                except RpcError as error:
                    # not open yet, decided before the crash, ended long ago
                    assert error.code in (-32011, -32009, -32005), error

    def meddle(self, daemon):
        """As long as the daemon lives."""
        try:
            self.submit(daemon, self.dice.randrange(4))
            self.approve(daemon)
        except (OSError, Closed):
            pass


def check_runs(events, crowd):
    runs = {}
    for event in events:
        if "run_id" in event:
            runs.setdefault(event["run_id"], []).append(event)
    assert set(runs) >= crowd.known, "what was accepted is there"
    for run_id, own in runs.items():
        check_run(own)
        interrupted = [e for e in own if e["type"] == "step.failed" and e["data"]["error"]["kind"] == "interrupted"]
        if not interrupted:
            assert own[-1]["type"] == EXPECTED[crowd.wanted[run_id]], own
        completed = [e["step_id"] for e in own if e["type"] == "step.completed"]
        assert len(completed) == len(set(completed)), own
        for name in {e["step_id"] for e in own if "step_id" in e}:
            kinds = [e["type"] for e in own if e.get("step_id") == name and e["type"] not in ("step.log", "step.progress")]
            ends = [k for k in kinds if k in ("step.completed", "step.failed", "step.skipped")]
            assert len(ends) == 1 and kinds[-1] == ends[0], own
            starts = [e["attempt"] for e in own if e.get("step_id") == name and e["type"] == "step.started"]
            assert starts == list(range(1, len(starts) + 1)), own


@pytest.mark.parametrize("with_gateway", [False, True], ids=["alone", "gateway"])
def test_every_step_completes_once_through_any_number_of_kills(project, daemon_of, with_gateway):
    print(f"CHARTER_CRASH_SEED={SEED} CHARTER_CRASH_CYCLES={CYCLES}")
    dice = random.Random(SEED)
    plans(project)
    gateway = Gateway() if with_gateway else None
    if gateway is not None:
        gateway.__enter__()
    arguments = ["--gateway", gateway.url] if gateway is not None else []
    crowd = Crowd(dice)
    told = {}  # what a client was told must never change
    try:
        for cycle in range(CYCLES):
            daemon = daemon_of(project, *arguments)
            end = time.monotonic() + dice.random() * (0.5 if PLAIN else 3)
            while time.monotonic() < end:
                crowd.meddle(daemon)
                try:
                    for event in daemon.events(after=max(told, default=0)):
                        assert told.setdefault(event["seq"], event) == event
                except (OSError, Closed):
                    pass
                time.sleep(0.01)
            daemon.kill()
            if cycle % CHUNK == CHUNK - 1 or cycle == CYCLES - 1:  # let them all end
                daemon = daemon_of(project, *arguments)

                def all_have_ended():
                    crowd.submit(daemon, 0)
                    crowd.approve(daemon)
                    return daemon.call("daemon.status")["runs"] == {"active": 0, "waiting": 0, "queued": 0}
                wait_until(all_have_ended, lambda: f"all runs end: {daemon.call('runs.list')}\n{daemon.tail()}", 120)
                events = daemon.events()
                check_stream(events)
                for event in events:
                    assert told.setdefault(event["seq"], event) == event
                check_runs(events, crowd)
                if gateway is not None:
                    last = events[-1]["seq"]
                    wait_until(lambda: daemon.call("daemon.status")["gateway"]["acked_seq"] >= last, "all is acknowledged")
                    stream = gateway.daemon.stream()
                    assert stream[:len(events)] == events
                daemon.stop()
        assert any(kind in ENDINGS for kind in (e["type"] for e in told.values()))
    finally:
        if gateway is not None:
            gateway.__exit__(None, None, None)
