"""A damaged journal, contract section 4: refused by segment and offset, and with --salvage gone on with, from what can be read."""

import hashlib
import json
import resource
import subprocess

import pytest

from harness import DAEMON, clean_environment, command, needs, step
from peers.gateway import Gateway
from workflows import approve, gate

pytestmark = needs("SALVAGE")

SMALL = "--journal-kib=2048"


@pytest.fixture
def history(project, daemon_of):
    """Several segments; a run that waits at a gate since the first, runs that have ended, one that is cut off in the middle."""
    project.workflow("chatter", [step("talk", {"logs": {"times": 80, "text": "x" * 3000}}, value="y" * 9000)])
    project.workflow("brief", [step("talk", {"logs": {"times": 8, "text": "x" * 300}}, value="y")])
    project.workflow("wait", [step("one", value="precious"), gate("review"), step("two", value="${{ outputs.one }}")])
    project.workflow("slow", [step("begin", value=1), step("hang", {"wait": "go"}, value=2)])
    daemon = daemon_of(project, SMALL)
    waiting = daemon.start_run("wait")
    daemon.wait_event("run.waiting", waiting)
    for _ in range(2):
        daemon.run("chatter")
    slow = daemon.start_run("slow")
    daemon.wait_event("step.started", slow, "hang")
    daemon.run("brief")
    daemon.kill()
    project.touch("go")
    assert len(project.segments()) > 2
    return {"waiting": waiting, "slow": slow}


def hashes(project):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.segments()}


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def lines(path):
    """(offset, record) of every line."""
    at, found = 0, []
    for line in path.read_bytes().rstrip(b"\0").splitlines(keepends=True):
        found.append((at, json.loads(line[9:])))
        at += len(line)
    return found


def find(project, kind, run_id=None, step_id=None):
    """The segment and the offset of a record with that event."""
    for path in project.segments():
        for offset, record in lines(path):
            event = record.get("event", {})
            if event.get("type") == kind and run_id in (None, event.get("run_id")) and step_id in (None, event.get("step_id")):
                return path, offset
    raise AssertionError(kind)


def refused(project):
    before = hashes(project)
    answer = command("start", "--project-path", project.path, SMALL)
    assert answer.returncode == 5 and "--salvage" in answer.stderr, answer
    assert hashes(project) == before
    return answer.stderr


def copies(project):
    return sorted(project.file(".charter").glob("journal.damaged-*"))


def salvage(project, daemon_of, *args):
    """Started with --salvage; the copy has all that was there."""
    before = hashes(project)
    daemon = daemon_of(project, SMALL, "--salvage", *args)
    (copy,) = copies(project)
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in copy.iterdir()} == before
    return daemon


def restart(daemon, daemon_of):
    """Once more without the flag: nothing is damaged any more."""
    assert daemon.stop() == 0
    return daemon_of(daemon.project, SMALL)


def test_a_lost_log_record_costs_nobody_anything_but_that(history, project, daemon_of):
    """The run whose log it was has ended; the others go on."""
    segment, offset = project.segments()[-1], None
    for offset, record in lines(segment):
        if record.get("event", {}).get("type") == "step.log":
            break
    flip(segment, offset + 100)
    words = refused(project)
    assert f"segment {segment.name}, offset {offset}:" in words
    daemon = salvage(project, daemon_of)
    approve(daemon, history["waiting"])
    assert daemon.end_state(history["waiting"])["status"] == "succeeded"
    assert daemon.end_state(history["slow"])["status"] == "succeeded"
    daemon = restart(daemon, daemon_of)
    assert daemon.status(history["waiting"])["status"] == "succeeded"
    assert daemon.run("slow").status == "succeeded"


def test_a_run_whose_events_are_lost_fails_and_says_so(history, project, daemon_of):
    segment, offset = find(project, "step.completed", history["slow"], "begin")
    flip(segment, offset + 100)
    refused(project)
    daemon = salvage(project, daemon_of)
    state = daemon.end_state(history["slow"])
    assert state["status"] == "failed"
    assert state["error"]["kind"] == "interrupted" and "events of this run are lost" in state["error"]["message"]
    approve(daemon, history["waiting"])
    assert daemon.end_state(history["waiting"])["status"] == "succeeded"
    restart(daemon, daemon_of)


def test_events_that_are_nobodys_fail_all_that_have_said_nothing_since(history, project, daemon_of):
    """The last records of the slow run are lost, and it has none behind them: it may have gone on."""
    segment, offset = find(project, "step.started", history["slow"], "hang")
    flip(segment, offset + 100)
    refused(project)
    daemon = salvage(project, daemon_of)
    assert daemon.end_state(history["slow"])["status"] == "failed"
    restart(daemon, daemon_of)


def test_an_old_segment_is_missed_only_by_those_who_need_it(history, project, daemon_of):
    """The waiting run's value has gone bad in a segment that no start reads; then the segment is lost altogether."""
    segment, offset = find(project, "step.completed", history["waiting"], "one")
    assert segment != project.segments()[-1]
    flip(segment, offset + 120)
    daemon = salvage(project, daemon_of)
    state = daemon.end_state(history["waiting"])
    assert state["status"] == "failed" and "lost" in state["error"]["message"]
    assert daemon.end_state(history["slow"])["status"] == "succeeded"
    restart(daemon, daemon_of)


def test_a_missing_segment(history, project, daemon_of):
    project.segments()[-2].unlink()
    assert "missing" in refused(project)
    daemon = salvage(project, daemon_of)
    assert daemon.end_state(history["slow"])["status"] in ("failed", "succeeded")
    assert daemon.run("slow").status == "succeeded"
    restart(daemon, daemon_of)


def test_a_file_with_a_number_far_from_all_others(history, project):
    """Not taken for the end of a gap that is to be filled."""
    (project.segments()[0].parent / "0000060000.log").touch()
    refused(project)
    before = hashes(project)
    answer = command("start", "--project-path", project.path, SMALL, "--salvage")
    assert answer.returncode == 5 and "0000060000.log" in answer.stderr and "--salvage" not in answer.stderr, answer
    assert hashes(project) == before and not copies(project)


def test_a_copy_that_finds_no_space_leaves_nothing_behind(history, project):
    """Or each try under a supervisor would leave one more, on a disk that is full."""
    segment, offset = find(project, "step.completed", history["slow"], "begin")
    flip(segment, offset + 100)
    before = hashes(project)
    for _ in range(2):
        answer = subprocess.run([DAEMON, "start", "--project-path", project.path, SMALL, "--salvage"], capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY)),
                                env=clean_environment(), timeout=60, check=False)
        assert answer.returncode == 6 and "cannot be copied" in answer.stderr, answer
        assert not copies(project) and hashes(project) == before


def test_a_copy_is_never_written_over(history, project):
    """The epoch in its name may come again where daemon.json was removed."""
    segment, offset = find(project, "step.completed", history["slow"], "begin")
    flip(segment, offset + 100)
    epoch = project.read(".charter/daemon.json")["epoch"]
    old = project.file(f".charter/journal.damaged-{epoch + 1}")
    old.mkdir()
    (old / "0000000001.log").write_text("precious")
    answer = command("start", "--project-path", project.path, SMALL, "--salvage")
    assert answer.returncode == 6 and "cannot be copied" in answer.stderr, answer
    assert (old / "0000000001.log").read_text() == "precious" and len(list(old.iterdir())) == 1


@pytest.mark.parametrize("what", ["head", "half", "garbage"])
def test_worse_things(history, project, daemon_of, what):
    newest = project.segments()[-1]
    size = newest.stat().st_size
    if what == "head":
        flip(newest, 20)
    elif what == "half":
        data = newest.read_bytes()
        newest.write_bytes(data[:size // 8] + bytes(range(256)) * 64 + data[size // 8 + 16384:])
    else:
        for path in project.segments():
            path.write_bytes(b"\xde\xad\xbe\xef" * 4096)
    refused(project)
    daemon = salvage(project, daemon_of)
    assert daemon.run("slow").status == "succeeded"
    restart(daemon, daemon_of)


def test_the_gateway_is_told_what_it_will_not_get(history, project, daemon_of):
    segment, offset = find(project, "step.completed", history["slow"], "begin")
    flip(segment, offset + 100)
    with Gateway() as gateway:
        daemon = salvage(project, daemon_of, "--gateway", gateway.url)
        gateway.wait_connected()
        first = daemon.call("daemon.status")["journal"]["first_seq"]
        assert first > 1
        last = daemon.call("daemon.status")["journal"]["last_seq"]
        gateway.wait(lambda: gateway.events() and gateway.events()[-1]["seq"] >= last, what="the rest of the stream")
        assert gateway.events()[0]["seq"] >= first


def test_a_good_journal_is_left_as_it_is(history, project, daemon_of):
    daemon = daemon_of(project, SMALL, "--salvage")
    assert "nothing is damaged" in daemon.log and not copies(project)
    approve(daemon, history["waiting"])
    assert daemon.end_state(history["waiting"])["status"] == "succeeded"
