"""What could wedge a daemon for ever: places that are never given back, waiters that nobody wakes, answers that fit
by one byte too few, stops that are not heard.
"""

import json
import os
import resource
import signal
import subprocess
import time

import pytest

from harness import DAEMON, GRACE, MESSAGE, Closed, Project, RpcError, clean_environment, needs, step, wait_until


def test_a_long_request_goes_on_when_the_pipe_has_room_again(project, daemon_of):
    """More than a pipe holds: the rest is sent when the integration has read."""
    project.workflow("w", [
        step("big", {"big": 300000}),
        step("use", {"sleep": 0.2}, {"value": 1}, inputs={"it": "${{ outputs.big }}"}, timeout_s=20)])
    daemon = daemon_of(project)
    assert daemon.run("w").status == "succeeded"


@needs(PROCESSES=64, RUNS_IN_FLIGHT=32)
def test_runs_that_hold_all_processes_do_not_wait_for_each_other_for_ever(project, daemon_of):
    """Each run keeps six idle processes for later steps and wants two more: somebody's idle one must give way."""
    names = "abcdefgh"
    for name in names:
        project.integration(name)
    first = [step(f"s{i}", {"wait": "go"}, uses=name, value=i) for i, name in enumerate(names[:6])]
    for one in first[:5]:
        del one["with"]["do"][0]
    project.workflow("w", first + [step(f"t{i}", uses=name, value=i) for i, name in enumerate(names[6:] + names)])
    daemon = daemon_of(project)
    runs = [daemon.start_run() for _ in range(10)]
    for run in runs:
        daemon.wait_event("step.started", run, "s5")
    project.touch("go")
    for run in runs:
        assert daemon.end_of(run).status == "succeeded"


def test_followers_that_have_gone_give_their_places_back(project, daemon_of):
    """Nothing happens in the daemon meanwhile: no event tells it that nobody listens any more."""
    project.workflow("w", [{"id": "g", "gate": {"message": "?"}}])
    daemon = daemon_of(project)
    run = daemon.start_run()
    wait_until(lambda: daemon.status(run)["status"] == "waiting")
    fds = daemon.fds()
    for _ in range(40):
        client = daemon.client()
        client.call("run.events", {"run_id": run, "follow": True})
        while client.next_event()["type"] != "run.waiting":
            pass
        client.close()
    wait_until(lambda: daemon.fds() <= fds, "the places are free")
    assert daemon.call("daemon.status")


def test_following_a_run_that_has_ended_ends(project, daemon_of):
    """Also behind its last event: nothing of it can come any more."""
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    run = daemon.run()
    with daemon.client(5) as client:
        assert client.events(run.id, run.events[-1]["seq"], follow=True)[0] == []


def show(client):
    """The line of an answer to workflows.show."""
    client.request("workflows.show", {"workflow_id": "w"}, 1)
    return client.line()


@needs(PROJECT_FILE_BYTES=65536)
def test_an_answer_that_fills_a_message_to_the_last_byte(project, daemon_of):
    """One byte more than a message is refused, and stops nobody."""
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    with daemon.client() as client:
        bare = len(show(client))
    place = project.path / "workflows" / "w"
    manifest = json.loads((place / "manifest.yml").read_text())
    plan = json.loads((place / "plan.yml").read_text())
    plan["steps"][0]["with"]["pad"] = "y" * 30000
    (place / "plan.yml").write_text(json.dumps(plan))
    with daemon.client() as client:
        bare = len(show(client))
    for beyond in range(-3, 4):
        manifest["description"] = "x" * (MESSAGE - bare - 17 + beyond)
        (place / "manifest.yml").write_text(json.dumps(manifest))
        with daemon.client() as client:
            line = show(client)
            answer = json.loads(line)
            assert len(line) <= MESSAGE
            if "error" in answer:
                assert answer["error"]["code"] == -32001 and beyond > -3
            assert client.call("daemon.status")


def test_a_listener_without_descriptors_listens_again(project, daemon_of):
    """All descriptors are taken by processes and clients when one more connects: it is heard later."""
    project.workflow("w", [step("one", {"wait": "go"}, value=1)])
    daemon = daemon_of(project)
    run = daemon.start_run()
    wait_until(lambda: daemon.children(), "the integration")
    wait_until(lambda: daemon.status(run)["status"] == "running")
    used = max(map(int, os.listdir(f"/proc/{daemon.pid}/fd"))) + 1
    wait_until(lambda: daemon.fds() == len(os.listdir(f"/proc/{daemon.pid}/fd")))
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    free = sorted(set(range(used)) - set(map(int, os.listdir(f"/proc/{daemon.pid}/fd"))))
    lowest = free[0] if free else used
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (lowest, hard))
    client = daemon.client(10)
    client.request("daemon.status", request_id=1)
    time.sleep(0.5)  # the daemon has tried, and could not
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert client.answer(1)["pid"] == daemon.pid
    client.close()
    project.touch("go")
    assert daemon.end_of(run).status == "succeeded"


def test_a_signal_ends_a_drain_that_has_no_bound(project, daemon_of):
    project.workflow("w", [step("one", {"hang": 1})])
    daemon = daemon_of(project)
    run = daemon.start_run()
    daemon.wait_event("step.started", run)
    wait_until(lambda: project.processes(), "the integration")
    daemon.call("daemon.stop", {"drain": True})
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(20) == 0


@needs("LOG_INFO")
def test_the_second_signal_stops_at_once_also_when_steps_are_being_interrupted(project, daemon_of):
    project.workflow("w", [step("one", {"ignore": [15]}, {"touch": "on"}, {"hang": 1})])
    daemon = daemon_of(project)
    daemon.start_run()
    project.wait_file("on")
    daemon.call("daemon.stop", {"timeout_s": 0})
    begun = time.monotonic()
    wait_until(lambda: "stopping" in daemon.log)
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGINT)
    assert daemon.wait(20) == 0
    assert time.monotonic() - begun < GRACE, "the grace time was not waited for"


@needs("CHECK")
def test_a_secret_in_a_pipe_that_nobody_fills_stops_nobody(project, daemon_of):
    os.mkfifo(project.file("pipe"))
    project.config["secrets"] = {"S": {"file": "pipe"}}
    project.integration("puppet", env={"S": "${{ secrets.S }}"})
    project.workflow("w", [step("one", value=1)])
    daemon = subprocess.run([DAEMON, "check", "--project-path", str(project.path)], timeout=20,
                            env=clean_environment(), capture_output=True, check=False)
    assert daemon.returncode in (0, 3)
    daemon = daemon_of(project, ready=False)
    def settled():
        if daemon.process.poll() is not None:
            return True
        try:
            with daemon.client(2) as client:
                return client.call("daemon.status")
        except (OSError, Closed, RpcError):
            return False
    wait_until(settled, "the daemon refuses, or serves", 10)
    if daemon.process.poll() is None:
        assert daemon.run().status == "failed"


@pytest.mark.parametrize("text", ["\\u0001" * 1024])
def test_comments_full_of_escapes(project, daemon_of, text):
    project.workflow("w", [{"id": "g", "gate": {"message": "?"}}])
    daemon = daemon_of(project)
    run = daemon.start_run()
    wait_until(lambda: daemon.status(run)["status"] == "waiting")
    daemon.call("run.resume", {"run_id": run, "decision": "approve", "comment": json.loads(f'"{text}"')})
    assert daemon.end_of(run).status == "succeeded"


# --- disks and journals that get full -------------------------------------------------------------


@pytest.fixture
def small_disk(places):
    """A file system of four megabytes, where we may mount one."""
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    place = places()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield Project(os.path.join(place, "p"))
    subprocess.run(["umount", "-l", place], check=True)


def fill(project):
    """Takes what is left of the disk; the name of what must go to free it."""
    name = project.path.parent / "ballast"
    with open(name, "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return name


@needs(JOURNAL_KIB=65536)
def test_a_chatty_step_on_a_small_disk_loses_logs_alone(small_disk, daemon_of):
    small_disk.workflow("w", [step("one", {"stderr": {"text": "y" * 200 + "\n", "times": 50000}}, value=1), step("two", value=2)])
    daemon = daemon_of(small_disk)
    run = daemon.run()
    assert run.status == "succeeded"
    dropped = [e for e in daemon.events() if e["type"] == "events.dropped"]
    assert dropped and all(e["data"]["run_id"] == run.id for e in dropped)
    assert sum(e["data"]["count"] for e in dropped) + len(run.of("step.log")) == 50000
    check_seqs(daemon.events())


def check_seqs(events):
    assert [e["seq"] for e in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))


def test_endings_fit_a_full_disk_and_new_runs_are_taken_when_it_has_room(small_disk, daemon_of):
    small_disk.workflow("w", [step("one", {"wait": "go"}, value=1), step("two", value=2)])
    small_disk.workflow("big", [step("one", value="z" * 15000)])
    daemon = daemon_of(small_disk)
    run = daemon.start_run()
    daemon.wait_event("step.started", run)
    wait_until(lambda: small_disk.processes(), "the integration")
    with open(small_disk.file("go.new"), "w", encoding="ascii"):
        pass
    ballast = fill(small_disk)
    os.rename(small_disk.file("go.new"), small_disk.file("go"))
    assert daemon.end_of(run).status == "succeeded"
    ballast.unlink()

    def taken():
        try:
            return daemon.run("big").status == "succeeded"
        except RpcError as error:
            assert error.code == -32012
            return False
    wait_until(taken, "a new run is taken")


def test_control_bytes_on_stderr_do_not_keep_a_step_from_failing(project, daemon_of):
    """Escaped they are six times as long, more than an event holds in a small build."""
    project.workflow("w", [step("one", {"stderr": {"text": "\x01" * 200 + "\n", "times": 30}}, {"exit": 3})])
    daemon = daemon_of(project)
    assert daemon.run().failure()["exit_code"] == 3


# --- secrets --------------------------------------------------------------------------------------


def test_a_secret_that_is_replaced_again_and_again_stays_usable(project, daemon_of):
    """What is hidden is bounded; values that hold no more make room."""
    project.config["secrets"] = {"S": {"file": "secret"}, "T": {"file": "other"}}
    project.file("other").write_text("other-" + "o" * 500)
    project.integration("puppet", env={"S": "${{ secrets.S }}"})
    project.workflow("w", [step("one", {"stderr": {"text": "${{ inputs.s }} ${{ inputs.t }}\n"}}, value=1)],
                     {"s": {"type": "string"}, "t": {"type": "string"}})
    project.file("secret").write_text("first-" + "x" * 1000)
    daemon = daemon_of(project)
    for i in range(12):
        secret = f"{i}-" + "abcdefghij" * 100
        project.file("secret").write_text(secret)
        run = daemon.run(inputs={"s": "nothing", "t": "nothing"})
        assert run.status == "succeeded", run.events
    run = daemon.run(inputs={"s": secret, "t": "other-" + "o" * 500})
    assert run.of("step.log")[0]["data"]["message"] == "*** ***"


def test_no_half_of_a_secret_passes_where_a_text_is_cut(project, daemon_of):
    secret = "correct-horse-battery-staple"
    project.file("secret").write_text(secret)
    project.config["secrets"] = {"S": {"file": "secret"}}
    project.write_config()
    for name, action in {"log": {"log": {"level": "info", "message": "x" * 4086 + secret}},
                         "progress": {"progress": {"current": 1, "message": "x" * 4086 + secret}},
                         "error": {"error": {"code": 1, "message": "x" * 1010 + secret}}}.items():
        project.workflow(name, [step("one", action, {"error": {"code": 1, "message": "x" * 1010 + secret}})])
        daemon = daemon_of(project)
        assert "x-corr" not in json.dumps(daemon.run(name).events)
        assert "xcorr" not in json.dumps(daemon.events())
        daemon.stop()


TALKS_ON = """#!/usr/bin/python3
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["method"] == "execute":
        os.write(1, b"half of it\\"}}\\n" if request["id"] == "3" else b"")
        answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"value": "x" * 20000}}) + "\\n"
        tail = '{"jsonrpc":"2.0","method":"log","params":{"level":"info","message":"' if request["id"] == "2" else ""
        os.write(1, (answer + tail).encode())
    else:
        os.write(1, (json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"ok": True}}) + "\\n").encode())
"""


def test_half_a_line_behind_a_long_answer_spoils_no_later_step(project, daemon_of):
    """While the answer is stored nothing behind it is kept; the other half of what was dropped goes with it."""
    program = project.file("talks_on.py")
    program.write_text(TALKS_ON)
    program.chmod(0o755)
    project.config["integrations"]["talker"] = {"command": ["./talks_on.py"]}
    project.write_config()
    project.workflow("w", [step("one", uses="talker"), step("two", uses="talker")])
    run = daemon_of(project).run("w")
    assert run.status == "succeeded", run.events


@needs("LOG_INFO")
@needs("PATTERN")
def test_a_stop_waits_for_no_submission(project, daemon_of):
    """Patterns that take the helper its ten seconds of CPU time, one with glibc, one with musl: asked to stop twice, the daemon
    does so at once."""
    patterns = {"glibc": r"(.*)(.*)(.*)(.*)\4\3\2\1x", "musl": "(a?b?){255}x"}
    project.workflow("w", [step("one", value=1)], inputs={name: {"type": "string", "pattern": pattern} for name, pattern in patterns.items()})
    daemon = daemon_of(project)
    client = daemon.client()
    client.send({"jsonrpc": "2.0", "id": 1, "method": "run.start",
                 "params": {"workflow_id": "w", "inputs": {name: "ab" * 7000 for name in patterns}}})
    wait_until(lambda: daemon.children(), "the helper")
    begun = time.monotonic()
    os.kill(daemon.pid, signal.SIGTERM)
    wait_until(lambda: "stopping" in daemon.log, "the stop")
    os.kill(daemon.pid, signal.SIGTERM)
    with pytest.raises(RpcError) as refused:
        client.answer(1)
    assert refused.value.code == -32002
    assert daemon.wait() == 0 and time.monotonic() - begun < 8


TIDIES = """#!/usr/bin/python3
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    answer = {"result": {"ok": True}}
    if request["method"] == "execute":
        answer = {"error": {"code": 1, "message": "not yet"}}
    elif request["method"] == "teardown":
        time.sleep(0.5)
        open("tidied", "w").close()
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
"""


def test_a_stop_lets_idle_processes_tidy_up(project, daemon_of):
    """Between two attempts a process has nothing in flight: it gets its teardown, not a signal."""
    program = project.file("tidies.py")
    program.write_text(TIDIES)
    program.chmod(0o755)
    project.config["integrations"]["tidy"] = {"command": ["./tidies.py"]}
    project.write_config()
    project.workflow("w", [step("one", uses="tidy", retry={"max_attempts": 5, "initial_ms": 60000})])
    daemon = daemon_of(project)
    run = daemon.start_run()
    daemon.wait_event("step.retrying", run, "one")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and project.file("tidied").exists()
