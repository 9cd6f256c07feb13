"""Integrations that crash, hang, lie, flood and flee: each ends its step with the right kind and within its deadline, and leaves no process, no
descriptor and no file; the runs beside it do not notice.

All of them meet one daemon, a few at a time, beside neighbours that only want to work.
"""

import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from harness import DAEMON, GRACE, HERE, PLAIN, Daemon, Project, clean_environment, needs, step, wait_until

pytestmark = needs(MESSAGE_BYTES=65536)

PROGRAM = str(HERE / "integrations" / "hostile.py")
AT_ONCE = 8
SLACK = 6 if PLAIN else 60
TIMEOUT = 1  # of those that would never end

# case: the kind of its error (None: the step succeeds), words of it or its value, and more
FINE = (None, "fine")
TIMES_OUT = ("timeout", "")
CASES = {
    # setup
    "crash_in_setup": ("exited", "SIGSEGV"), "exit_in_setup": ("exited", "code 9"), "exit_at_once": ("exited", "code 0"),
    "hang_in_setup": TIMES_OUT, "refuse_setup": ("setup_failed", "not today"), "not_ok_in_setup": ("setup_failed", "not ok"),
    "garbage_before_everything": ("protocol", "no JSON"), "setup_answer_too_large": ("too_large", "65536"),
    "answer_before_the_question": ("protocol", "nobody waits for"),
    # ends in the middle
    "crash_in_execute": ("exited", "SIGSEGV"), "abort_with_half_an_answer": ("exited", "SIGABRT after half a line"),
    "exit_0_without_an_answer": ("exited", "code 0 without an answer"), "exit_code": ("exited", "code 42"),
    "half_a_line_then_exit": ("exited", "half a line"), "kill_own_group": ("exited", "SIGKILL"),
    "hang": TIMES_OUT, "ignore_sigterm": TIMES_OUT, "stop_signal": TIMES_OUT, "stopped_whole_group": TIMES_OUT,
    "answer_after_cancel": TIMES_OUT, "closes_stdin": FINE, "closes_stdin_and_hangs": TIMES_OUT,
    "closes_stdout_and_lives": ("protocol", "lives on"), "closes_everything_and_lives": ("protocol", "lives on"),
    "never_reads": TIMES_OUT, "never_reads_and_answers": FINE,
    # what it says
    "garbage": ("protocol", "no JSON"), "binary_garbage": ("protocol", "no JSON"), "nul": ("protocol", "no JSON"), "nul_alone": ("protocol", "no JSON"),
    "invalid_utf8": ("protocol", "UTF-8"), "bom_in_the_middle": ("protocol", "no JSON"), "deep_nesting": ("protocol", "nest"),
    "wrong_id": ("protocol", '"7"'), "number_for_id": ("protocol", "id 2"), "null_id": ("protocol", "null"), "two_answers": ("protocol", "two answers"),
    "answer_and_error": ("protocol", ""), "member_twice": ("protocol", 'the member "id" is given twice'), "value_and_artifact": ("protocol", "both"),
    "neither_value_nor_artifact": ("protocol", "neither"), "result_is_a_text": ("protocol", ""), "a_request": ("protocol", "daemon.stop"),
    "a_batch": ("protocol", "object"), "log_too_large": ("too_large", "only results"), "error_without_form": ("protocol", ""),
    "endless_logs": TIMES_OUT, "endless_stderr": TIMES_OUT, "endless_blank_lines": TIMES_OUT,
    "hundred_mb_without_a_line_feed": ("exited", "half a line"), "hundred_mb_of_garbage": ("protocol", "no JSON"),
    "stderr_flood": FINE, "stderr_without_a_line_feed": FINE, "stderr_of_bytes": FINE, "bom_and_crlf": FINE, "slowly": FINE,
    "thousands_of_progress": FINE, "malformed_notifications": FINE, "number_of_a_million_digits": (None, None),
    # what it starts and takes
    "grandchild_holds_the_pipes": FINE, "grandchild_of_a_crash": ("exited", "code 1"), "setsid_escapee": FINE,
    "setsid_escapee_of_a_crash": ("exited", "code 1"), "escapee_without_a_trace": FINE, "family_of_escapees": FINE, "hundred_children": TIMES_OUT,
    "memory_hog": ("exited", "code 1"), "cpu_hog": ("exited", "SIGKILL"), "file_hog": (None, [13, 24]),
    "kills_the_daemon": (None, ["refused"] * 3),
    "artifact_outside": ("protocol", ""), "artifact_absolute": ("protocol", ""), "artifact_behind_a_link": ("protocol", ""),
    "artifact_behind_a_linked_folder": ("protocol", ""), "artifact_is_a_device": ("protocol", ""), "artifact_is_a_fifo": ("protocol", ""),
    "artifact_is_a_folder": ("protocol", ""), "artifact_is_missing": ("protocol", ""), "artifact_with_a_nul": ("protocol", ""),
    "removes_its_folder": ("protocol", ""),
    # teardown
    "hang_in_teardown": FINE, "crash_in_teardown": FINE, "lives_after_teardown": FINE, "talks_after_teardown": FINE,
}
LIMITS = {"memory_hog": {"memory_mb": 200}, "cpu_hog": {"cpu_s": 1}, "file_hog": {"open_files": 16}}
LARGE = {"never_reads", "never_reads_and_answers"}  # with a request of more than a pipe's room


def took(entry, begin="started_at"):
    """Seconds from the beginning to the end of a step, or of a run, by the daemon's clock."""
    begun, ended = (datetime.datetime.fromisoformat(entry[name].replace("Z", "+00:00")) for name in (begin, "ended_at"))
    return (ended - begun).total_seconds()


def of_run(run_id):
    """Processes that carry the run's mark, in their environment or on their command line."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for name in ("environ", "cmdline"):
                try:
                    if run_id.encode() in pathlib.Path("/proc", entry, name).read_bytes():
                        found.append(int(entry))
                except OSError:
                    pass
    return found


class Neighbours:
    """Small runs, one after the other: how long each took."""

    def __init__(self, daemon):
        self.daemon, self.run, self.begun, self.took, self.failed = daemon, None, 0, [], []

    def look(self):
        if self.run is not None:
            status = self.daemon.status(self.run)
            if status["status"] in ("queued", "running"):
                return
            self.took.append(took(status, "created_at"))
            if status["status"] != "succeeded":
                self.failed.append(status)
            self.run = None
        if time.monotonic() - self.begun < 0.5:  # a retained run is worth keeping
            return
        self.run, self.begun = self.daemon.start_run("neighbour"), time.monotonic()

    def wait(self):
        wait_until(lambda: self.run is None or self.daemon.status(self.run)["status"] not in ("queued", "running"), "the last neighbour has ended")


class Battle:
    """Every case once; what became of each."""

    def __init__(self, project, daemon):
        self.project, self.daemon, self.runs, self.left = project, daemon, {}, {}
        self.neighbours = Neighbours(daemon)
        self.neighbours.look()
        self.neighbours.wait()
        self.fds = len(self.descriptors())
        self.has_landlock = daemon.call("daemon.status").get("sandbox") == "landlock"
        waiting = [name for name in CASES if name != "kills_the_daemon" or self.keeps_signals_in()]
        active = {}
        while waiting or active:
            while waiting and len(active) < AT_ONCE:
                name = waiting.pop(0)
                active[name] = daemon.start_run(name)
            self.neighbours.look()
            time.sleep(0.02)
            for name, run in list(active.items()):
                state = daemon.status(run)
                if state["status"] not in ("queued", "running"):
                    self.runs[name] = state
                    del active[name]
                    self.left[name] = ["not looked at"]
            self.look_for_files()
        self.neighbours.wait()
        wait_until(lambda: not self.look_for_files(), lambda: f"left: {self.left}", 3 * GRACE + SLACK)

    def descriptors(self):
        """Without those of the journal, which keeps the segment open that it has read last."""
        return [name for name in self.daemon.open_files() if "/journal/" not in name]

    def look_for_files(self):
        """What stands in the folders of ended runs besides what belongs there."""
        for name in [name for name, left in self.left.items() if left]:
            try:
                names = os.listdir(self.project.path / ".charter" / "runs" / self.runs[name]["run_id"])
            except FileNotFoundError:  # a hundred newer runs have ended since
                names = []
            self.left[name] = sorted(set(names) - {"plan.json", "files", "artifacts"})
        return [name for name, left in self.left.items() if left]

    def keeps_signals_in(self):
        return self.has_landlock and tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 12)

    def gone(self, name):
        run = self.runs[name]["run_id"]
        wait_until(lambda: not of_run(run), lambda: f"processes of {name}: {of_run(run)}", 3 * GRACE + SLACK)


@pytest.fixture(scope="module")
def battle():
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    place = os.path.realpath(tempfile.mkdtemp(prefix="ch-"))
    project = Project(os.path.join(place, "p"))
    for name in CASES:
        project.integration(name, command=[PROGRAM, name], limits=LIMITS.get(name, {}))
        never = CASES[name] == TIMES_OUT
        project.workflow(name, [step("hostile", uses=name, timeout_s=TIMEOUT if never else 60, **({"inputs": {"big": "x" * 14000, "many": ["${{ inputs.big }}"] * 8}} if name in LARGE else {})),
                                step("after", value="works", when="always")],
                         outputs={"value": "${{ outputs.hostile }}"} if CASES[name][0] is None and CASES[name][1] else None,
                         inputs={"big": {"type": "string", "default": "y" * 12000}})
    project.workflow("neighbour", [step("one", {"log": {"level": "info", "message": "busy"}}, value=1), step("two", value=2)])
    daemon = Daemon(project, "--journal-kib", "1000000")  # what floods says is kept beside what the others say
    try:
        yield Battle(project, daemon)
    finally:
        daemon.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs("subreaper")) if "escapee" in name else name for name in CASES])
def test_a_hostile_integration(battle, name):
    if name not in battle.runs:
        pytest.skip("this kernel does not keep signals in")
    run = battle.runs[name]
    hostile, after = run["steps"]
    kind, words = CASES[name]
    if kind is None:
        assert run["status"] == "succeeded", hostile["error"]
        if words is not None:
            assert run["outputs"] == {"value": words}
    else:
        error = hostile["error"]
        assert run["status"] == "failed" and error["kind"] == kind and words in error["message"], error
        # At once, or at its timeout with a grace time for `cancel` and another for SIGTERM.
        assert took(hostile) < (TIMEOUT + 2 * GRACE if kind == "timeout" else GRACE) + SLACK
    assert after["status"] == "completed"
    battle.gone(name)
    assert battle.left[name] == []


def test_neighbours_do_not_notice(battle):
    assert len(battle.neighbours.took) > 5 and not battle.neighbours.failed
    print(f"{len(battle.neighbours.took)} neighbours, the slowest took {max(battle.neighbours.took):.2f} s")
    assert max(battle.neighbours.took) < (5 if PLAIN else 60)


@pytest.mark.needs("subreaper")
def test_everything_is_given_back(battle):
    """Descriptors, processes, memory: after all of them together."""
    wait_until(lambda: not battle.project.processes() and not battle.daemon.children(), "no process is left", 3 * GRACE + SLACK)
    wait_until(lambda: len(battle.descriptors()) <= battle.fds, lambda: f"{battle.fds} descriptors before, now {battle.descriptors()}")
    if PLAIN:
        assert battle.daemon.memory() < 64 * 1024
    assert battle.daemon.run("neighbour").status == "succeeded"


@pytest.mark.needs("subreaper")
def test_a_stop_leaves_no_escapee(project, daemon_of):
    """Also where the program still lives when the daemon goes."""
    project.integration("hostile", command=[PROGRAM, "family_of_escapees"])
    project.workflow("w", [step("one", uses="hostile"), step("two", {"touch": "on"}, {"wait": "never"}), step("three", uses="hostile")])
    daemon = daemon_of(project)
    run = daemon.start_run()
    project.wait_file("on")
    assert of_run(run)
    daemon.stop()
    wait_until(lambda: not of_run(run), lambda: f"left: {of_run(run)}", 10)


@pytest.mark.needs("subreaper")
def test_children_that_the_daemon_came_with_are_left_alone(project):
    """As where a shell starts something in the background and then becomes the daemon; what integrations leave behind still goes."""
    project.integration("hostile", command=[PROGRAM, "setsid_escapee"])
    project.workflow("w", [step("one", uses="hostile"), step("two", value=2)])
    log = open(project.path.parent / "p.log", "wb")
    daemon = Daemon.__new__(Daemon)
    daemon.project, daemon.log_path = project, project.path.parent / "p.log"
    with log:
        daemon.process = subprocess.Popen(
            ["/bin/sh", "-c", 'sleep 1000 & echo $! >"$1/sleeper"; exec "$2" start --project-path "$1"', "sh", project.path, DAEMON],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=clean_environment())
    daemon.pid = daemon.process.pid
    sleeper = None
    try:
        daemon.wait_ready()
        sleeper = int(project.file("sleeper").read_text())
        run = daemon.run()
        assert run.status == "succeeded"
        wait_until(lambda: not of_run(run.id), lambda: f"left: {of_run(run.id)}", 10)
        assert pathlib.Path("/proc", str(sleeper), "comm").read_text() == "sleep\n"
    finally:
        daemon.stop()
        if sleeper is not None:
            os.kill(sleeper, signal.SIGKILL)
