"""What the loop does in a turn, from the calls that it makes: one sync at most, and none that nobody waits for."""

import pytest

from faults import PROGRAM, QUICK, Faults, ended
from harness import BUILD, check_stream, step, wait_until

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")


def limit(name, default):
    """Of this build."""
    config = BUILD / ".config"
    lines = config.read_text().splitlines() if config.exists() else []
    return next((int(line.split("=")[1]) for line in lines if line.startswith(f"CONFIG_{name}=")), default)


def turns(calls):
    """The daemon's own calls between one wait and the next."""
    turn = []
    for call in calls:
        if call.in_helper:
            continue
        if call.kind == "WAIT":
            yield turn
            turn = []
        else:
            turn.append(call)
    yield turn


def test_a_turn_with_many_runs_syncs_once_at_most(project):
    """As many runs as may be active (64 in the build that tests/builds makes for this)."""
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    project.workflow("w", [step("first", uses="quick", with_={"until": "go"})] + [step(f"s{i}", uses="quick", with_={"logs": 2}) for i in range(6)])
    count, fault = limit("RUNS_IN_FLIGHT", 32), Faults(project)
    with ended(fault.start("--log-level", "warning", trace=True)) as daemon:
        runs = [daemon.start_run() for _ in range(count)]
        assert daemon.call("daemon.status")["runs"] == {"active": count, "waiting": 0, "queued": 0}
        project.touch("go")
        for run in runs:
            assert daemon.end_of(run).status == "succeeded"
        check_stream(daemon.events())
        calls = fault.trace()
    seen = {"turns": 0, "syncs": 0, "events": 0}
    for turn in turns(calls):
        journal = [call for call in turn if "/.charter/journal/" in call.path and call.kind in ("WRITE", "SYNC")]
        if any(call.kind in ("OPEN", "SYNC_NAMES") and "/journal" in call.path for call in turn if call.kind != "WRITE" and call.offset != 0):
            continue  # a segment begins
        syncs = [call for call in journal if call.kind == "SYNC"]
        seen["turns"] += 1
        seen["syncs"] += len(syncs)
        seen["events"] += sum(call.data.count(b'"event":{"seq":') for call in journal)
        assert len(syncs) <= 1, turn
        if syncs:
            assert journal[0].kind == "WRITE" and journal[-1].kind == "SYNC", "what was written is synced, and nothing else is"
            assert b'"event":{' in journal[0].data or b'"memo":{' in journal[0].data
        else:
            assert not journal, "what is written is synced in the same turn"
        # Whatever says an event comes behind the sync of the turn in which it was written.
        if journal:
            first = int(journal[0].data.split(b'"event":{"seq":')[1].split(b",")[0]) if b'"event":{"seq":' in journal[0].data else None
            before = turn[:turn.index(journal[-1])]
            assert first is None or not any(call.kind == "OUT" and b'"event":{"seq":%d,' % first in call.data for call in before)
    print(seen)
    assert seen["events"] > count * 16 and seen["syncs"] < seen["events"] / 2, "runs share their syncs"


def test_nothing_is_told_before_its_sync(project):
    """The sync hangs: until it returns, nobody hears of what it will make durable; other clients neither."""
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    project.workflow("w", [step("one", uses="quick")])
    fault = Faults(project)
    with ended(fault.start()) as daemon:
        run = daemon.run("w")
        with daemon.client() as follower, daemon.client() as caller:
            follower.call("run.events", {"follow": True, "after": run.events[-1]["seq"]})
            fault.arm("HOLD", "SYNC", processes=1)
            caller.request("run.start", {"workflow_id": "w", "inputs": {}})
            wait_until(fault.fired, "the sync has begun")
            for client in (follower, caller):
                client.socket.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    client.line()
                client.socket.settimeout(30)
            assert not [p for p in project.processes() if p != daemon.pid], "nothing is started either"
            fault.disarm()
            assert follower.next_event()["type"] == "run.created"
            assert caller.read()["result"]["status"] in ("running", "queued")
