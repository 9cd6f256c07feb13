"""A daemon that is killed again and again, at any moment, with a gateway that cuts the connection at any moment: every run that was answered for
ends, every step completes exactly once in the stream that the gateway has stored, and no command has a second effect.

    CHARTER_CRASH_CYCLES=1000 CHARTER_CRASH_SEED=42 make e2e PYTEST_ARGS=tests/e2e/test_crash.py
"""

import os
import random
import time

import pytest

from faults import QUICK
from harness import PLAIN, Closed, RpcError, check_run, check_stream, needs, step, wait_until
from peers import gateway as peer
from workflows import gate, question

CYCLES = int(os.environ.get("CHARTER_CRASH_CYCLES", 200 if PLAIN else 12))
SEED = int(os.environ.get("CHARTER_CRASH_SEED", time.time_ns() % 1000000))
CHUNK = 10  # cycles with the same runs: a step may be interrupted five times and no more


def quick(step_id, how=None, **members):
    return step(step_id, uses="quick", with_=how or {}, **members)


def plans(project):
    """Short steps of every kind: values, artifacts, logs, retries, side by side, gates, inputs, ends of all sorts."""
    project.integration("quick")
    project.config["integrations"]["quick"]["command"] = [QUICK]
    project.write_config()
    project.workflow("line", [quick("a", {"logs": 3}), quick("b", {"ms": 20}, inputs={"a": "${{ outputs.a }}", "n": "${{ inputs.n }}"}), quick("c", {"big": 50000}),
                              quick("d", inputs={"c": "${{ outputs.c }}"})], inputs={"n": {"type": "integer", "default": 7}}, outputs={"b": "${{ outputs.b.attempt }}"})
    project.workflow("graph", [quick("one", {"ms": 10}), quick("two", {"logs": 20}, needs=["one"]),
                               quick("three", {"fail": 2}, needs=["one"], retry={"max_attempts": 9, "initial_ms": 20, "max_ms": 50}),
                               quick("four", needs=["two", "three"])], max_parallel=3)
    project.workflow("fails", [quick("one", {"fail": 99}, retry={"max_attempts": 2, "initial_ms": 20, "max_ms": 50}), quick("tidy", when="always")])
    project.workflow("gate", [gate("g", timeout_s=600), quick("after", {"of": "${{ outputs.g.decision }}"})])
    project.workflow("ask", [question("q", {"n": {"type": "integer", "minimum": 1}, "who": {"type": "string", "default": "me"}}, timeout_s=600),
                             quick("after", inputs={"n": "${{ outputs.q.n }}"})])
    project.workflow("cancel", [quick("long", {"ms": 400}), quick("after"), quick("tidy", when="always")])


EXPECTED = {"line": ("run.succeeded",), "graph": ("run.succeeded",), "fails": ("run.failed",), "gate": ("run.succeeded",), "ask": ("run.succeeded",),
            "cancel": ("run.succeeded", "run.cancelled")}
# not open yet, decided before, ended long ago, no place
NOT_NOW = (-32011, -32009, -32005, -32002)


class Crowd:
    """Submits runs, answers gates and questions, cancels, from both ends, and never minds that the other side has gone.  What was not answered is sent
    again as it was."""

    def __init__(self, dice, gateway):
        self.dice, self.gateway = dice, gateway
        self.wanted = {}      # run_id: workflow; submitted once or more, the outcome unknown
        self.known = set()    # those that the daemon has answered for
        self.answered = {}    # run_id: what the decision was that somebody was told
        self.unanswered = []  # commands of the gateway: (key, method, params)
        self.keys = 0

    def call(self, client, method, params):
        """By either door; None: not now."""
        try:
            if self.gateway is None or self.dice.random() < 0.6:
                return client.call(method, params)
            self.keys += 1
            self.unanswered.append((f"k{self.keys}", method, params))
            return self.send_again()
        except RpcError as error:
            assert error.code in NOT_NOW, (method, params, error)
            return None

    def send_again(self):
        """All commands without an answer, oldest first; the last answer."""
        answer = None
        while self.unanswered:
            key, method, params = self.unanswered[0]
            try:
                answer = self.gateway.command(method, params, key=key)
            except peer.RpcError as error:
                assert error.code in NOT_NOW, (method, params, error)
                answer = None
            except peer.Lost:
                return None
            del self.unanswered[0]
            if method == "run.start" and answer is not None:
                self.known.add(params["run_id"])
        return answer

    def submit(self, client, count):
        for run in [r for r in self.wanted if r not in self.known]:
            self.start(client, run)
        for _ in range(count):
            run = f"r{len(self.wanted)}-{self.dice.randrange(10**6)}"
            self.wanted[run] = self.dice.choice(sorted(EXPECTED))
            self.start(client, run)

    def start(self, client, run):
        if self.call(client, "run.start", {"workflow_id": self.wanted[run], "run_id": run, "inputs": {}, "labels": {"w": self.wanted[run]}}):
            self.known.add(run)

    def answer(self, client):
        for run in sorted(r for r in self.known if r not in self.answered):
            if self.wanted[run] == "gate":
                done = self.call(client, "run.resume", {"run_id": run, "decision": "approve"})
            elif self.wanted[run] == "ask":
                done = self.call(client, "run.submit_input", {"run_id": run, "answers": {"n": 3}})
            elif self.wanted[run] == "cancel" and self.dice.random() < 0.3:
                done = self.call(client, "run.cancel", {"run_id": run, "reason": "enough"})
            else:
                continue
            if done:
                self.answered[run] = True

    def meddle(self, daemon):
        """As long as the daemon lives."""
        try:
            with daemon.client() as client:
                if self.gateway is not None and self.gateway.connected():
                    self.send_again()
                self.submit(client, self.dice.randrange(3))
                self.answer(client)
        except (OSError, Closed):
            pass
        if self.gateway is not None and self.dice.random() < 0.1 and self.gateway.connected():
            try:
                self.gateway.drop(reset=self.dice.random() < 0.5)
            except (AttributeError, AssertionError):
                pass  # it went by itself


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
            assert own[-1]["type"] in EXPECTED[crowd.wanted[run_id]], own
        assert len([e for e in own if e["type"] in ("run.resumed", "run.input_submitted")]) <= 1, own
        for name in {e["step_id"] for e in own if "step_id" in e}:
            kinds = [e["type"] for e in own if e.get("step_id") == name and e["type"] not in ("step.log", "step.progress")]
            ends = [k for k in kinds if k in ("step.completed", "step.failed", "step.skipped")]
            assert len(ends) == 1 and kinds[-1] == ends[0], own
            starts = [e["attempt"] for e in own if e.get("step_id") == name and e["type"] == "step.started"]
            assert starts == list(range(1, len(starts) + 1)), own


def follow(daemon, told):
    """What a client was told must never change."""
    try:
        for event in daemon.events(after=max(told, default=0)):
            assert told.setdefault(event["seq"], event) == event
    except (OSError, Closed):
        pass


def let_all_end(daemon, crowd):
    with daemon.client() as client:
        crowd.submit(client, 0)
        crowd.answer(client)
        if crowd.gateway is not None:
            crowd.send_again()
        return not crowd.unanswered and crowd.known == set(crowd.wanted) and \
            client.call("daemon.status")["runs"] == {"active": 0, "waiting": 0, "queued": 0}


def check_chunk(daemon, crowd, told, gateway):
    wait_until(lambda: let_all_end(daemon, crowd), lambda: f"all runs end: {daemon.call('runs.list')}\n{daemon.tail()}", 120)
    events = daemon.events()
    check_stream(events)
    for event in events:
        assert told.setdefault(event["seq"], event) == event
    check_runs(events, crowd)
    if gateway is not None:
        last = events[-1]["seq"]
        wait_until(lambda: (daemon.call("daemon.status")["gateway"]["acked_seq"] or 0) >= last, "all is acknowledged")
        stored = gateway.daemon.stream()
        assert stored[:len(events)] == events
        check_runs(stored, crowd)


@needs(JOURNAL_KIB=65536)
@pytest.mark.parametrize("with_gateway", [False, True], ids=["alone", "gateway"])
def test_every_step_completes_once_through_any_number_of_kills(project, daemon_of, with_gateway):
    cycles = CYCLES if with_gateway else max(CYCLES // 5, CHUNK)
    print(f"CHARTER_CRASH_SEED={SEED} CHARTER_CRASH_CYCLES={CYCLES}")
    dice = random.Random(SEED)
    plans(project)
    gateway = peer.Gateway() if with_gateway else None
    arguments = []
    if gateway is not None:
        gateway.__enter__()
        arguments = ["--gateway", gateway.url, "--reconnect-ms", "20,100"]
    crowd, told = Crowd(dice, gateway), {}
    try:
        for cycle in range(1, cycles + 1):
            daemon = daemon_of(project, *arguments)
            end = time.monotonic() + dice.random() * (0.3 if PLAIN else 3)
            while time.monotonic() < end:
                crowd.meddle(daemon)
                follow(daemon, told)
            daemon.kill()
            if cycle % CHUNK == 0 or cycle == cycles:
                daemon = daemon_of(project, *arguments)
                check_chunk(daemon, crowd, told, gateway)
                daemon.kill()
        print(f"{len(crowd.known)} runs, {len(crowd.answered)} answers, {len(told)} events, {len(gateway.connections) if gateway else 0} connections")
        assert {crowd.wanted[run] for run in crowd.known} == set(EXPECTED)
    finally:
        if gateway is not None:
            gateway.stop()
    if gateway is not None:
        assert not gateway.violations, gateway.violations[:3]
        gateway.__exit__(None, None, None)
