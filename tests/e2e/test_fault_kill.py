"""kill -9 at every call that a daemon makes on its files and to its peers, before it and behind it, during a run of three steps with a gate:
whatever was told stays true, and the run ends as it should."""

import os
import random
import shutil
import time

import pytest

from faults import CALLS, PROGRAM, QUICK, Faults, ended
from harness import DEADLINE, PLAIN, Closed, Project, RpcError, check_run, check_stream, needs, step, wait_until
from workflows import gate

SEED = int(os.environ.get("CHARTER_KILL_SEED", time.time_ns() % 1000000))
STRIDE = 1 if PLAIN else 12  # a sanitizer looks at some of them
TYPES = ["run.created", "run.started", "step.started", "step.completed", "step.started", "run.waiting", "run.resumed", "step.completed",
         "step.started", "step.completed", "run.succeeded"]

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")


class Told:
    """What a client got to hear: true for ever."""

    def __init__(self):
        self.accepted = self.decided = False
        self.events = []

    def drive(self, daemon, run_id):
        """Brings the run to its end; whatever was done before is found done. False: the daemon has gone."""
        try:
            with daemon.client() as client:
                if self.accepted:
                    client.call("run.status", {"run_id": run_id})
                client.call("run.start", {"workflow_id": "w", "run_id": run_id})
                self.accepted = True
                client.call("run.events", {"run_id": run_id, "follow": True})
                events = []
                while not events or not events[-1]["type"].startswith("run.s") or events[-1]["type"] == "run.started":
                    events.append(client.next_event())
                    known = self.events[:len(events)]
                    assert known == events[:len(known)], (known[-1], events[-1])
                    if len(events) > len(self.events):
                        self.events.append(events[-1])
                    if events[-1]["type"] == "run.waiting":
                        self.decide(daemon, run_id)
                check_run(events)
                return True
        except (OSError, Closed):
            return False

    def decide(self, daemon, run_id):
        with daemon.client() as client:
            try:
                client.call("run.resume", {"run_id": run_id, "decision": "approve", "step_id": "review"})
                assert not self.decided, "a decision that was told is taken again"
                self.decided = True
            except RpcError as error:
                # Decided already; who was told so stays told.
                assert error.code == -32011 and error.data["decision"] == "approve", error
                self.decided = True


def check(daemon, run_id, told, project):
    events = daemon.events(run_id)
    kinds = [e["type"] for e in events]
    for name in ("one", "two"):
        starts = [e["attempt"] for e in events if e["type"] == "step.started" and e["step_id"] == name]
        stops = [e for e in events if e["type"] == "step.interrupted" and e["step_id"] == name]
        assert starts == list(range(1, len(stops) + 2)) and len(stops) <= 1, kinds
        assert len([e for e in events if e["type"] == "step.completed" and e["step_id"] == name]) == 1, kinds
        effects = [line.split()[2] for line in project.file("effects").read_text().splitlines() if line.startswith(f"{run_id} {name} ")]
        assert effects == sorted(set(effects)) and set(effects) <= set(map(str, starts)), (effects, kinds)
        assert effects[-1] == str(starts[-1]), (effects, kinds)
    without = [e["type"] for e in events if e["type"] != "step.interrupted" and not (e["type"] == "step.started" and e["attempt"] > 1)]
    assert without == TYPES, kinds
    assert events[:len(told.events)] == told.events
    check_stream(daemon.events())
    wait_until(lambda: not left_behind(project), lambda: f"what was half made is gone: {left_behind(project)}")


def half_made(project):
    return [str(path) for path in (project.path / ".charter").rglob("*") if ".new" in path.name or path.name.startswith("spill-")]


def left_behind(project):
    """Also artifacts that no event names."""
    journal = b"".join(segment.read_bytes() for segment in project.segments())
    return half_made(project) + [str(path) for path in (project.path / ".charter" / "runs").glob("*/artifacts/*") if path.name.encode() not in journal]


def make(place, number):
    project = Project(os.path.join(place, f"p{number}"))
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    project.workflow("w", [step("one", uses="quick"), gate("review"), step("two", uses="quick", output_type="artifact")])
    return project


def drop(project, fault):
    shutil.rmtree(project.path, ignore_errors=True)
    shutil.rmtree(fault.place, ignore_errors=True)


@pytest.mark.parametrize("action", ["KILL_BEFORE", "KILL_AFTER"])
def test_killed_at_every_call_of_a_run(places, action):
    place = places()
    number, killed = 1 + random.Random(SEED).randrange(STRIDE), 0
    while True:
        project = make(place, number)
        fault, told, run_id = Faults(project), Told(), f"r{number}"
        fault.arm(action, CALLS, number)
        with ended(fault.start(ready=False)) as daemon:
            # Where it dies before it listens there is nobody to talk to.
            wait_until(lambda: daemon.process.poll() is not None or reachable(daemon), lambda: f"call {number}: {daemon.tail()}")
            whole = daemon.process.poll() is None and told.drive(daemon, run_id) and fault.fired() == 0
            if not whole:
                assert daemon.wait() == -9, daemon.tail()
        fault.disarm()
        if whole:
            break
        killed += 1
        with ended(fault.start()) as daemon:
            assert told.drive(daemon, run_id), f"call {number}: {daemon.tail()}"
            check(daemon, run_id, told, project)
        drop(project, fault)
        number += STRIDE
    print(f"killed at {killed} calls, CHARTER_KILL_SEED={SEED}")
    assert killed > 100 / STRIDE


def reachable(daemon):
    try:
        with daemon.client(DEADLINE):
            return True
    except OSError:
        return False


@needs("LOG_INFO")
@pytest.mark.parametrize("action", ["KILL_BEFORE", "KILL_AFTER"])
def test_killed_at_every_call_of_a_recovery(places, action):
    """Each start goes one call further than the one before, until one gets through."""
    project = make(places(), 0)
    fault, told, run_id = Faults(project), Told(), "r"
    with ended(fault.start()) as daemon:
        daemon.start_run(run_id=run_id)
        daemon.wait_event("run.waiting", run_id)
        told.accepted, told.events = True, daemon.events(run_id)
    number = 1
    while True:
        os.truncate(daemon.log_path, 0)
        fault.arm(action, CALLS, number)
        with ended(fault.start(ready=False)) as daemon:
            wait_until(lambda: daemon.process.poll() is not None or "is ready" in daemon.log[-2000:], lambda: f"call {number}: {daemon.tail()}")
            if daemon.process.poll() is None:
                break
            assert daemon.wait() == -9, daemon.tail()
        number += STRIDE
    fault.disarm()
    assert number > 20
    with ended(fault.start()) as daemon:
        assert told.drive(daemon, run_id)
        check(daemon, run_id, told, project)
        starts = [e["data"]["epoch"] for e in daemon.events() if e["type"] == "daemon.started"]
        assert starts == sorted(set(starts)), "an epoch is used once"
