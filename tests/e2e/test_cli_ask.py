"""`charter` asks at a terminal what a run waits for: a real daemon, a real pseudo-terminal."""

import json
import pathlib
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import step, wait_until  # noqa: E402
from peers.terminal import CHARTER, Terminal, environment  # noqa: E402

pytestmark = pytest.mark.skipif(not CHARTER.exists(), reason="charter is not built (CONFIG_CLI)")

DECIDE = r"approve, deny, or leave it waiting\? "
COMMENT = r"comment \(may be left empty\): "
GATE = {"id": "review", "gate": {"message": "Publish for ${{ inputs.city }}?"}}
FIELDS = {
    "recipient": {"type": "string", "required": True, "min_length": 3, "description": "who gets the report"},
    "level": {"type": "string", "enum": ["short", "long"], "default": "short"},
    "copies": {"type": "integer", "maximum": 9},
    "urgent": {"type": "boolean", "default": False},
    "tags": {"type": "array", "items": "string"},
}
DETAILS = {"id": "details", "input": {"message": "Who gets it?", "fields": FIELDS}}


@pytest.fixture
def asking(project, daemon_of):
    project.workflow("gate", [GATE, step("after", value=1)], inputs={"city": {"type": "string", "default": "Rome"}},
                     outputs={"decided": "${{ outputs.review }}"})
    project.workflow("form", [DETAILS], outputs={"answers": "${{ outputs.details }}"})
    return daemon_of(project)


def events(daemon, kind):
    with daemon.client() as client:
        return [event for event in client.events()[0] if event["type"] == kind]


def outputs(daemon):
    (ended,) = events(daemon, "run.succeeded")
    return ended["data"]["outputs"]


def waiting_run(daemon):
    def found():
        runs = daemon.call("runs.list")["runs"]
        return runs and runs[0]["status"] == "waiting" and runs[0]["run_id"]
    return wait_until(found, "a run waits")


def charter(daemon, *args):
    return subprocess.run([CHARTER, *args], cwd=daemon.project.path, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, env=environment())


def test_a_gate_is_asked_for_with_a_comment(asking):
    with Terminal(asking.project.path, "run", "gate") as terminal:
        terminal.until(r"review +waits for gate: Publish for Rome\?")
        terminal.answer(DECIDE, "maybe\n")
        terminal.answer("please answer approve, deny or leave.*\n.*" + DECIDE, "\n")
        terminal.answer(DECIDE, "a\n")
        terminal.answer(COMMENT, "fine with me\n")
        assert terminal.wait() == 0
        assert re.search(r"decided: approve by uid:\d+: fine with me", terminal.shown())
    assert outputs(asking)["decided"] == {"decision": "approve", "actor": None, "comment": "fine with me"}


def test_a_denial_ends_with_code_3_and_the_actor_is_recorded(asking):
    with Terminal(asking.project.path, "run", "gate", "--actor", "eve") as terminal:
        terminal.answer(DECIDE, "deny\n")
        terminal.answer(COMMENT, "\n")
        assert terminal.wait() == 3
    (resumed,) = events(asking, "run.resumed")
    assert resumed["data"]["decision"] == "deny" and resumed["data"]["actor"] == "eve"
    assert resumed["data"]["comment"] is None


@pytest.mark.parametrize("leaving", ["leave\n", "\x04"], ids=["leave", "ctrl-d"])
def test_a_gate_that_is_left_stays_open_and_can_be_resumed_later(asking, leaving):
    with Terminal(asking.project.path, "run", "gate") as terminal:
        terminal.answer(DECIDE, leaving)
        assert terminal.wait() == 5
        assert "charter resume r-" in terminal.shown()
    run_id = waiting_run(asking)
    with Terminal(asking.project.path, "resume", run_id, "--comment", "later") as terminal:
        terminal.until(r"Publish for Rome\?")
        terminal.answer(DECIDE, "approve\n")
        assert terminal.wait() == 0
    wait_until(lambda: asking.call("run.status", {"run_id": run_id})["status"] == "succeeded")
    assert outputs(asking)["decided"]["comment"] == "later"


def test_answers_are_asked_field_by_field_and_wrong_ones_again(asking):
    with Terminal(asking.project.path, "run", "form") as terminal:
        terminal.until("Who gets it")
        terminal.until(r"recipient: who gets the report\n +text, characters at least 3; required\n")
        terminal.answer("recipient> ", "\n")
        terminal.answer("an answer is required.*\n *recipient> ", "bo\n")
        terminal.until("one of short, long; default short")
        terminal.answer("level> ", "medium\n")
        terminal.answer("none of the choices\n *level> ", "\n")
        terminal.answer("copies> ", "1.5\n")
        terminal.answer("not a whole number\n *copies> ", "12\n")
        terminal.until("yes or no; default no")
        terminal.answer("urgent> ", "perhaps\n")
        terminal.answer("not yes or no\n *urgent> ", "yes\n")
        terminal.answer("tags> ", "a,b\n")
        terminal.answer("not a list.*\n *tags> ", "[1]\n")
        # What only the daemon can tell: one at a time, and nothing but what was wrong.
        terminal.answer(r"refused: answers\.recipient .*3 characters(.*\n)+? *recipient> ", "bob\n")
        terminal.answer(r"refused: answers\.copies .*9(.*\n)+? *copies> ", "9\n")
        terminal.answer(r"refused: answers\.tags\[0\] .*(.*\n)+? *tags> ", '["ü", "b"]\n')
        assert terminal.wait() == 0
    assert outputs(asking)["answers"] == {"recipient": "bob", "level": "short", "copies": 9, "urgent": True,
                                          "tags": ["ü", "b"]}


def test_optional_fields_may_stay_empty(asking):
    with Terminal(asking.project.path, "run", "form", "--detached") as terminal:
        assert terminal.wait() == 0
    with Terminal(asking.project.path, "submit-input", waiting_run(asking)) as terminal:
        for name, text in (("recipient", '"quoted"'), ("level", "long"), ("copies", ""), ("urgent", ""),
                           ("tags", "")):
            terminal.answer(f"{name}> ", f"{text}\n")
        assert terminal.wait() == 0
    wait_until(lambda: events(asking, "run.succeeded"))
    assert outputs(asking)["answers"] == {"recipient": '"quoted"', "level": "long", "urgent": False}


@pytest.mark.parametrize("decision, code", [("--approve", 0), ("--deny", 3)])
def test_when_somebody_else_decides_the_following_says_so_and_goes_on(asking, decision, code):
    with Terminal(asking.project.path, "run", "gate") as terminal:
        terminal.answer(DECIDE, "appro")
        assert charter(asking, "resume", waiting_run(asking), decision, "--actor", "eve").returncode == 0
        assert terminal.wait() == code
        shown = terminal.shown()
    assert "settled elsewhere" in shown and re.search(r"decided: \w+ by eve", shown)
    assert shown.index("settled elsewhere") < shown.index("by eve")


def test_what_was_typed_for_a_settled_question_is_no_answer_to_the_next(project, daemon_of):
    project.workflow("two", [GATE | {"gate": {"message": "one?"}}, {"id": "again", "gate": {"message": "two?"}}])
    daemon = daemon_of(project)
    with Terminal(project.path, "run", "two") as terminal:
        terminal.answer(DECIDE, "a")
        assert charter(daemon, "resume", waiting_run(daemon), "--approve").returncode == 0
        terminal.answer(r"two\?[^?]*" + DECIDE, "\n")
        terminal.answer("please answer.*\n.*" + DECIDE, "d\n")
        terminal.answer(COMMENT, "\n")
        assert terminal.wait() == 3


def test_when_somebody_else_decides_resume_says_so(asking):
    assert charter(asking, "run", "gate", "--detached").returncode == 0
    run_id = waiting_run(asking)
    with Terminal(asking.project.path, "resume", run_id) as terminal:
        terminal.until(DECIDE)
        assert charter(asking, "resume", run_id, "--approve", "--actor", "eve").returncode == 0
        assert terminal.wait() == 7
        assert "decided elsewhere meanwhile: approve by eve" in terminal.shown()


def test_a_cancel_and_a_timeout_end_the_question(project, daemon_of):
    project.workflow("short", [{"id": "review", "gate": {"message": "quick?", "timeout_s": 4, "on_timeout": "fail"}}])
    project.workflow("long", [GATE | {"gate": {"message": "slow?"}}])
    daemon = daemon_of(project)
    with Terminal(project.path, "run", "short") as terminal:
        terminal.until(DECIDE)
        assert terminal.wait() == 1
        assert "settled elsewhere" in terminal.shown() and "timeout" in terminal.shown()
    with Terminal(project.path, "run", "long") as terminal:
        terminal.until(DECIDE)
        assert charter(daemon, "cancel", waiting_run(daemon)).returncode == 0
        assert terminal.wait() == 4


def test_a_gate_beside_other_steps_is_asked_for_when_nothing_executes(project, daemon_of):
    project.workflow("graph", [step("slow", {"wait": "go"}, {"value": 1}), {**GATE, "needs": [], "gate": {"message": "m"}},
                               step("both", value=2, needs=["slow", "review"])])
    daemon_of(project)
    with Terminal(project.path, "run", "graph") as terminal:
        terminal.until(r"slow +running(.*\n)+? *review +waiting")
        assert "approve, deny" not in terminal.shown()
        project.touch("go")
        terminal.answer(DECIDE, "y\n")
        terminal.answer(COMMENT, "\n")
        assert terminal.wait() == 0


def test_of_several_questions_one_is_asked_at_a_time_with_its_message(project, daemon_of):
    project.workflow("both", [{**GATE, "gate": {"message": "first?"}, "needs": []},
                              {"id": "again", "gate": {"message": "second?"}}])
    daemon = daemon_of(project)
    with Terminal(project.path, "run", "both") as terminal:
        terminal.answer(r"  review: first\?\n *review: " + DECIDE, "a\n")
        terminal.answer(COMMENT, "\n")
        terminal.answer("again: " + DECIDE, "a\n")
        terminal.answer(COMMENT, "\n")
        assert terminal.wait() == 0
    assert len(events(daemon, "run.resumed")) == 2


def test_ctrl_c_at_a_question_leaves_the_run(asking):
    with Terminal(asking.project.path, "run", "gate") as terminal:
        terminal.until(DECIDE)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
        assert "goes on" in terminal.shown()
    assert asking.call("run.status", {"run_id": waiting_run(asking)})["waiting_for"] == "gate"


def test_a_daemon_that_stops_at_a_question_is_code_6(asking):
    with Terminal(asking.project.path, "run", "gate") as terminal:
        terminal.until(DECIDE)
        assert charter(asking, "daemon", "stop").returncode == 0
        assert terminal.wait() == 6
        assert "went away" in terminal.shown()


def test_nobody_is_asked_without_a_terminal_or_with_json(asking):
    left = charter(asking, "run", "gate")
    assert left.returncode == 5 and "charter resume r-" in left.stdout and "leave it waiting?" not in left.stdout
    with Terminal(asking.project.path, "run", "gate", "--json") as terminal:
        assert terminal.wait() == 5
        assert [json.loads(line) for line in terminal.shown().splitlines()][-1]["type"] == "run.waiting"
    run_id = waiting_run(asking)
    for args in (["resume", run_id], ["submit-input", run_id]):
        result = charter(asking, *args)
        assert result.returncode == 2 and "at a terminal" in result.stderr
        with Terminal(asking.project.path, *args, "--json") as terminal:
            assert terminal.wait() == 2


def test_what_is_not_waited_for_is_not_asked(asking):
    assert charter(asking, "run", "gate", "--detached").returncode == 0
    run_id = waiting_run(asking)
    for args, says in ((["submit-input", run_id], f"charter resume {run_id}"),
                       (["resume", run_id, "--step", "after"], "step review"),
                       (["resume", "r-absent"], "-32005")):
        with Terminal(asking.project.path, *args) as terminal:
            assert terminal.wait() == 7
            assert says in terminal.shown().replace("\n", "")
    assert charter(asking, "resume", run_id, "--approve").returncode == 0
    wait_until(lambda: asking.call("run.status", {"run_id": run_id})["status"] == "succeeded")
    with Terminal(asking.project.path, "resume", run_id) as terminal:
        assert terminal.wait() == 7
        assert "waits for nothing: it is succeeded" in terminal.shown()
