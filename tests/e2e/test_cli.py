"""The `charter` command against a control socket that these tests script (peers/control.py)."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from peers.control import ControlServer, event  # noqa: E402
from peers.terminal import CHARTER, Terminal, environment  # noqa: E402

from harness import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not CHARTER.exists(), reason="charter is not built (CONFIG_CLI)")

RUN = {"run_id": "r-1", "workflow_id": "daily", "status": "running"}
MANIFEST = {"id": "daily", "name": "Daily", "inputs": {
    "city": {"type": "string", "required": True},
    "days": {"type": "integer", "default": 7, "minimum": 1, "maximum": 31},
    "ratio": {"type": "number"},
    "loud": {"type": "boolean"},
    "tags": {"type": "array"},
    "extra": {"type": "object"},
}}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "charter.yml").write_text("{}\n")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    return tmp_path


def charter(project, *args, cwd=None, stdin="", env=None):
    return subprocess.run([CHARTER, *args], cwd=cwd or project, input=stdin.encode(), capture_output=True,
                          timeout=60, env=env or environment())


def text(data):
    return data.decode("utf-8")


def one_error_line(result):
    lines = text(result.stderr).splitlines()
    assert len(lines) == 1 and lines[0].startswith("charter: "), result.stderr
    return lines[0]


def answers(result):
    return lambda call: call.answer(result)


def show(call):
    call.answer({"manifest": MANIFEST, "plan": {"steps": [{"id": "fetch", "uses": "http_get"}]}})


def story(ending, *steps, **data):
    """A handler of run.events that tells a whole run and ends."""
    def handler(call):
        call.answer({})
        call.event(event(1, "run.created", workflow_id="daily", inputs={}))
        call.event(event(2, "run.started"))
        for number, (kind, step, more) in enumerate(steps, 3):
            call.event(event(number, kind, step, **more))
        if ending:
            last = 3 + len(steps)
            made = event(last, ending, time="2026-01-31T12:00:02.500Z", **data)
            if "of_step" in made["data"]:
                made["data"]["step_id"] = made["data"].pop("of_step")
            call.event(made)
            call.notify("events.end", {"last": last})
    return handler


# --- words and options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, says", [
    ([], "which command"),
    (["fly"], "`fly` is no command"),
    (["runs"], "which command of `charter runs`"),
    (["runs", "fly"], "`fly` is no command of `charter runs`"),
    (["run"], "wants WORKFLOW_ID"),
    (["run", "a", "b"], "one argument too many"),
    (["run", "a", "--fly"], "`--fly` is no option"),
    (["run", "a", "-x"], "`-x` is no option"),
    (["--detached", "run", "a"], "may stand before a command"),
    (["run", "a", "--input"], "wants a value"),
    (["run", "a", "--input", "novalue"], "wants NAME=VALUE"),
    (["run", "a", "--input", "=x"], "wants NAME=VALUE"),
    (["run", "a", "--detached=yes"], "takes no value"),
    (["runs", "list", "--limit", "many"], "wants a whole number"),
    (["resume", "r-1"], "either --approve or --deny"),
    (["resume", "r-1", "--approve", "--deny"], "either --approve or --deny"),
    (["submit-input", "r-1"], "wants --answers"),
    (["submit-input", "r-1", "--answers", "[1]"], "is no JSON object"),
    (["run", "a", "--inputs", "{"], "is no JSON at byte"),
    (["run", "a", "--inputs", "@absent.json"], "cannot be read"),
    (["--project-path", "absent", "runs", "list"], "project path absent"),
])
def test_what_is_not_understood_is_usage(project, args, says):
    result = charter(project, *args)
    assert result.returncode == 2
    assert says in one_error_line(result)
    assert result.stdout == b""


def test_help_and_version_need_no_project(tmp_path):
    for args in (["--help"], ["run", "--help"], ["runs", "--help"], ["-h"], ["daemon", "stop", "--help"]):
        result = charter(tmp_path, *args)
        assert result.returncode == 0 and result.stdout.startswith((b"charter", b"usage")), args
        assert result.stderr == b""
    assert re.fullmatch(rb"charter \d+\.\d+\.\d+\S*\n", charter(tmp_path, "--version").stdout)


def test_every_command_has_a_help_that_names_its_options(tmp_path):
    overall = text(charter(tmp_path, "--help").stdout)
    commands = ["run", "status", "runs list", "events", "cancel", "resume", "submit-input", "workflows list",
                "workflows show", "daemon status", "daemon stop", "init"]
    for command in commands:
        assert f"\n  {command}" in overall
        assert text(charter(tmp_path, *command.split(), "--help").stdout).startswith(f"usage: charter {command}")
    run_help = text(charter(tmp_path, "run", "--help").stdout)
    for option in ("--detached", "--input NAME=VALUE", "--inputs JSON|@FILE", "--run-id ID", "--label NAME=VALUE",
                   "--json", "--project-path DIR"):
        assert option in run_help


def test_without_a_project_the_way_to_one_is_told(tmp_path):
    result = charter(tmp_path, "runs", "list")
    assert result.returncode == 2
    assert "charter init" in one_error_line(result)


def test_without_a_daemon_the_way_to_one_is_told(project):
    result = charter(project, "daemon", "status")
    assert result.returncode == 6
    assert f"charter-daemon start --project-path {project}" in one_error_line(result)


def test_a_socket_that_a_dead_daemon_left_is_no_daemon(project):
    with ControlServer(project, {}):
        left = project / ".charter" / "left"
        os.link(project / ".charter" / "daemon.sock", left)
    left.rename(project / ".charter" / "daemon.sock")
    result = charter(project, "daemon", "status")
    assert result.returncode == 6
    assert "no daemon" in one_error_line(result)


def test_the_project_is_found_from_below_and_by_option_and_by_environment(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with ControlServer(project, {"runs.list": answers({"runs": [], "next_cursor": None})}) as server:
        assert charter(project, "runs", "list", cwd=project / "deep" / "deeper").returncode == 0
        assert charter(project, "runs", "list", "--project-path", str(project), cwd=elsewhere).returncode == 0
        assert charter(project, f"--project-path={project}", "runs", "list", cwd=elsewhere).returncode == 0
        env = dict(environment(), CHARTER_PROJECT_PATH=str(project))
        assert charter(project, "runs", "list", cwd=elsewhere, env=env).returncode == 0
        assert len(server.calls("runs.list")) == 4


def test_a_socket_too_deep_for_an_address_is_found_by_daemon_addr(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    (deep / ".charter").mkdir(parents=True)
    (deep / "charter.yml").write_text("{}\n")
    address = tmp_path / "s"
    (deep / ".charter" / "daemon.addr").write_text(f"{address}\n")
    with ControlServer(deep, {"workflows.list": answers({"workflows": []})}, path=str(address)):
        assert charter(deep, "workflows", "list").returncode == 0


# --- requests and answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, method, params", [
    (["status", "r-1"], "run.status", {"run_id": "r-1"}),
    (["runs", "list"], "runs.list", {}),
    (["runs", "list", "--limit", "5", "--cursor", "c", "--status", "failed"], "runs.list",
     {"limit": 5, "cursor": "c", "status": "failed"}),
    (["cancel", "r-1"], "run.cancel", {"run_id": "r-1"}),
    (["cancel", "r-1", "--reason", "late", "--actor", "eve"], "run.cancel",
     {"run_id": "r-1", "reason": "late", "actor": "eve"}),
    (["resume", "r-1", "--approve"], "run.resume", {"run_id": "r-1", "decision": "approve"}),
    (["resume", "r-1", "--deny", "--comment", "no", "--step", "review"], "run.resume",
     {"run_id": "r-1", "decision": "deny", "comment": "no", "step_id": "review"}),
    (["submit-input", "r-1", "--answers", '{"a": 1.50}'], "run.submit_input",
     {"run_id": "r-1", "answers": {"a": 1.5}}),
    (["workflows", "list"], "workflows.list", {}),
    (["workflows", "show", "daily"], "workflows.show", {"workflow_id": "daily"}),
    (["daemon", "status"], "daemon.status", {}),
    (["run", "daily", "--detached"], "run.start", {"workflow_id": "daily", "inputs": {}}),
    (["run", "daily", "--detached", "--run-id", "mine", "--label", "a=b=c", "--label", "d="], "run.start",
     {"workflow_id": "daily", "inputs": {}, "run_id": "mine", "labels": {"a": "b=c", "d": ""}}),
])
def test_each_command_sends_its_request_and_json_prints_the_result_on_one_line(project, args, method, params):
    result = {"run_id": "r-1", "nested": {"number": 1.50, "text": "zwölf"}}
    with ControlServer(project, {method: answers(result)}) as server:
        got = charter(project, *args, "--json")
    assert got.stderr == b"" and got.returncode == 0
    assert server.calls(method) == [params]
    assert len(got.stdout.splitlines()) == 1
    assert json.loads(got.stdout) == result


def test_json_passes_numbers_and_unknown_members_as_they_came(project):
    raw = '{"big":123456789012345678901234567890,"e":1.0e-07,"x":{"b":1,"a":2}}'
    with ControlServer(project, {"run.status": lambda call: call.raw(
            b'{"jsonrpc":"2.0","id":' + json.dumps(call.message["id"]).encode() + b',"result":' + raw.encode() +
            b"}\n")}):
        assert text(charter(project, "status", "r-1", "--json").stdout) == raw + "\n"


@pytest.mark.parametrize("code, message, data, says", [
    (-32005, "no workflow dayly", {"what": "workflow", "id": "dayly"}, "charter workflows list"),
    (-32006, "must be at most 31", {"path": "inputs.days", "reason": "must be at most 31"}, "inputs.days"),
    (-32007, "unknown step", {"path": "steps[1]", "reason": "r", "file": "plan.yml", "line": 3, "column": 5},
     "plan.yml:3:5"),
    (-32009, "the run table is full", {"retry_after_ms": 1000}, "try again"),
    (-32011, "the run has ended", {"status": "failed"}, "charter status"),
    (-32099, "something new", None, "something new"),
])
def test_a_refusal_is_one_line_and_code_7(project, code, message, data, says):
    with ControlServer(project, {"run.start": lambda call: call.error(code, message, data)}):
        result = charter(project, "run", "daily")
        as_json = charter(project, "run", "daily", "--json")
    assert result.returncode == 7
    line = one_error_line(result)
    assert message in line and says in line and str(code) in line
    assert as_json.returncode == 7
    assert json.loads(as_json.stdout)["error"]["code"] == code


@pytest.mark.parametrize("reply, says", ids=["garbage", "no-envelope", "too-long"], argvalues=[
    (b"garbage\n", "is not the protocol"),
    (b'{"jsonrpc":"2.0"}\n', "is not the protocol"),
    (b'{"jsonrpc":"2.0","id":"1","result":"' + b"x" * 2_000_000 + b'"}\n', "messages over"),
])
def test_an_answer_that_is_none_is_code_6(project, reply, says):
    with ControlServer(project, {"daemon.status": lambda call: call.raw(reply)}):
        result = charter(project, "daemon", "status")
    assert result.returncode == 6
    assert says in one_error_line(result)


def test_a_daemon_that_dies_before_the_answer_is_code_6(project):
    with ControlServer(project, {"daemon.status": lambda call: call.close()}):
        result = charter(project, "daemon", "status")
    assert result.returncode == 6
    assert "went away" in one_error_line(result)


def test_notifications_and_foreign_answers_before_the_answer_are_passed_over(project):
    def handler(call):
        call.raw(b"\r\n")
        call.notify("something.new", {})
        call.send({"jsonrpc": "2.0", "id": "another", "result": {"status": "wrong"}})
        call.answer({"status": "right"})
    with ControlServer(project, {"run.status": handler}):
        assert json.loads(charter(project, "status", "r-1", "--json").stdout) == {"status": "right"}


@needs(MESSAGE_BYTES=65536)
def test_a_message_of_the_limit_passes_and_a_longer_request_is_not_sent(project):
    with ControlServer(project, {"run.start": answers(RUN)}) as server:
        fits = charter(project, "run", "w", "--detached", "--inputs", json.dumps({"a": "x" * 60_000}))
        over = charter(project, "run", "w", "--detached", "--inputs", json.dumps({"a": "x" * 70_000}))
    assert fits.returncode == 0 and len(server.calls("run.start")[0]["inputs"]["a"]) == 60_000
    assert over.returncode == 2 and "bytes" in one_error_line(over)
    assert len(server.calls("run.start")) == 1


# --- inputs -----------------------------------------------------------------------------------------------------------


def start(project, *args, stdin=""):
    with ControlServer(project, {"workflows.show": show, "run.start": answers(RUN)}) as server:
        result = charter(project, "run", "daily", "--detached", *args, stdin=stdin)
        calls = server.calls("run.start")
    return result, calls[0]["inputs"] if calls else None, server


def test_inputs_are_converted_by_the_type_that_the_manifest_declares(project):
    result, inputs, server = start(project, "--input", "city=7", "--input", "days=7", "--input", "ratio=-1.50e3",
                                   "--input", "loud=true", "--input", 'tags=["a", 1]', "--input", 'extra={"k":null}')
    assert result.returncode == 0
    assert inputs == {"city": "7", "days": 7, "ratio": -1500.0, "loud": True, "tags": ["a", 1], "extra": {"k": None}}
    assert b'"ratio":-1.50e3' in server.raw_lines[-1]


@pytest.mark.parametrize("given, wanted", [
    ("days=1.5", "a whole number"), ("days=", "a whole number"), ("days=007", "a whole number"),
    ("days=99999999999999999999", "a whole number"), ("ratio=NaN", "a number"), ("ratio=0x10", "a number"),
    ("loud=yes", "true or false"), ("tags=a,b", "a JSON array"), ("extra=[]", "a JSON object"),
])
def test_an_input_of_another_type_is_usage_and_names_the_input(project, given, wanted):
    result, inputs, _ = start(project, "--input", given)
    assert result.returncode == 2 and inputs is None
    line = one_error_line(result)
    assert given.split("=")[0] in line and wanted in line


def test_input_wins_over_inputs_and_the_last_of_a_name_counts(project):
    result, inputs, _ = start(project, "--inputs", '{"city": "Rome", "days": 3, "other": {"a": 1.0}}',
                              "--input", "days=4", "--input", "days=5", "--input", "unknown=x=y")
    assert result.returncode == 0
    assert inputs == {"city": "Rome", "other": {"a": 1.0}, "days": 5, "unknown": "x=y"}


def test_inputs_come_from_a_file_and_from_stdin(project):
    (project / "in.json").write_text('\n{"city": "Oslo\\u00e9"}\n')
    assert start(project, "--inputs", "@in.json")[1] == {"city": "Osloé"}
    assert start(project, "--inputs", "@-", stdin='{"city":"Bonn"}')[1] == {"city": "Bonn"}


# --- following a run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending, code", [
    ("run.succeeded", 0), ("run.failed", 1), ("run.denied", 3), ("run.cancelled", 4),
])
def test_the_exit_code_says_how_the_run_ended(project, ending, code):
    data = {"run.failed": {"error": {"kind": "exited", "message": "it exited with 3"}, "of_step": "fetch"},
            "run.cancelled": {"reason": "enough"},
            "run.denied": {"of_step": "review", "actor": "eve", "comment": "no"},
            "run.succeeded": {"outputs": {"report": "all\nwell", "count": 2}}}[ending]
    with ControlServer(project, {"run.start": answers(RUN), "run.events": story(ending, **data)}) as server:
        result = charter(project, "run", "daily")
        as_json = charter(project, "run", "daily", "--json")
    assert result.returncode == code and as_json.returncode == code
    assert result.stderr == b"" and as_json.stderr == b""
    assert server.calls("run.events")[0] == {"run_id": "r-1", "after": 0, "follow": True}
    assert f"run r-1 {ending.split('.')[1]}" in text(result.stdout)
    lines = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert lines[0] == RUN
    assert [line["type"] for line in lines[1:]] == ["run.created", "run.started", ending]


def test_piped_output_is_plain_lines(project):
    steps = [("step.started", "fetch", {"uses": "http_get"}),
             ("step.progress", "fetch", {"current": 1, "total": 4, "message": "reading"}),
             ("step.log", "fetch", {"stream": "log", "level": "warning", "message": "slow today"}),
             ("step.log", "fetch", {"stream": "stderr", "level": "info", "message": "noise"}),
             ("step.log", "fetch", {"stream": "log", "level": "debug", "message": "hidden"}),
             ("step.retrying", "fetch", {"error": {"kind": "exited", "message": "code 1"}, "next_attempt": 2,
                                         "delay_ms": 500}),
             ("step.completed", "fetch", {"value": 1, "time": "2026-01-31T12:00:01.250Z"}),
             ("step.started", "publish", {}),
             ("step.failed", "publish", {"error": {"kind": "exited", "message": "code 3", "stderr": ["one", "two"]},
                                         "time": "2026-01-31T12:01:15.000Z"})]
    with ControlServer(project, {"run.start": answers(RUN),
                                 "run.events": story("run.failed", *steps, of_step="publish")}):
        result = charter(project, "run", "daily")
    out = text(result.stdout)
    assert "\x1b" not in out and "\r" not in out
    for line in ("fetch .*started", "fetch .*1/4 reading", "fetch .*warning: slow today", "fetch .*stderr: noise",
                 r"fetch .*retrying in 0\.5 s: exited: code 1", r"fetch .*completed in 1\.2 s",
                 r"publish .*failed after 1 min 15 s: exited: code 3",
                 r"run r-1 failed after 2\.5 s, step publish"):
        assert re.search(f"(?m)^ *{line}$", out), (line, out)
    # What it wrote to stderr has had its own lines already.
    assert "hidden" not in out and "two" not in out


def test_outputs_are_shown_with_their_lines_and_artifacts_by_their_place(project):
    outputs = {"report": "one\ntwo", "count": 2, "big": {"$artifact": {
        "sha256": "ab", "bytes": 70000, "path": ".charter/runs/r-1/artifacts/ab", "media_type": "text/plain"}}}
    with ControlServer(project, {"run.start": answers(RUN), "run.events": story("run.succeeded", outputs=outputs)}):
        out = text(charter(project, "run", "daily").stdout)
    assert "  report:\n    one\n    two\n" in out
    assert "  count: 2\n" in out
    assert "  big: .charter/runs/r-1/artifacts/ab (text/plain, 70000 bytes)\n" in out


def test_terminal_escapes_of_outside_text_never_reach_the_screen(project):
    evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202ebackwards\rover\x7f"
    run = {"run_id": "r-1", "workflow_id": evil, "status": evil, "labels": {evil: evil},
           "error": {"kind": evil, "message": evil}, "outputs": {evil: evil}, "waiting": {"message": evil},
           "steps": [{"id": evil, "status": evil, "error": {"kind": "x", "message": evil, "stderr": [evil]}}]}
    steps = [("step.started", "fetch", {}), ("step.log", "fetch", {"level": evil, "message": evil}),
             ("step.progress", "fetch", {"current": 1, "message": evil}),
             ("step.failed", "fetch", {"error": {"kind": evil, "message": evil, "stderr": [evil]}})]
    handlers = {
        "run.start": answers(RUN), "run.status": answers(run),
        "run.events": story("run.failed", *steps, error={"kind": evil, "message": evil}, reason=evil),
        "runs.list": answers({"runs": [run], "next_cursor": evil}),
        "workflows.list": answers({"workflows": [{"id": evil, "name": evil}]}),
        "workflows.show": answers({"manifest": {"id": evil, "inputs": {evil: {"type": evil, "enum": [evil]}}},
                                   "plan": {"steps": [{"id": evil, "uses": evil}]}}),
        "daemon.status": answers({"project": evil, "gateway": {"last_error": evil}}),
        "run.cancel": lambda call: call.error(-32005, evil, {"path": evil, "reason": evil}),
    }
    with ControlServer(project, handlers):
        for args in (["run", "daily"], ["status", "r-1"], ["runs", "list"], ["workflows", "list"],
                     ["workflows", "show", "x"], ["daemon", "status"], ["events", "r-1"], ["cancel", "r-1"]):
            for run_on in (charter_piped, charter_on_terminal):
                shown = run_on(project, *args)
                assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e\u0007]", shown), args
                # What the command itself writes on a terminal: up, and clear to the end.
                assert not re.search("\x1b(?!\\[(\\d+A|J))", shown), args
                assert "owned" in shown, args


def charter_piped(project, *args):
    result = charter(project, *args)
    return text(result.stdout) + text(result.stderr)


def charter_on_terminal(project, *args):
    with Terminal(project, *args) as terminal:
        terminal.wait()
        return terminal.shown()


def test_json_on_a_terminal_carries_no_controls_and_is_the_same_json(project):
    result = {"text": "\u009b31m\x7f plain ü \x1b[2J"}
    with ControlServer(project, {"run.status": answers(result)}):
        with Terminal(project, "status", "r-1", "--json") as terminal:
            assert terminal.wait() == 0
            shown = terminal.shown()
        piped = charter(project, "status", "r-1", "--json").stdout
    assert json.loads(shown) == result and json.loads(piped) == result
    assert not re.search("[\x1b\x7f-\x9f]", shown)


@pytest.mark.needs("terminal_width")
def test_a_terminal_has_a_live_line_for_each_step_on_its_way(project):
    calls = {}

    def events(call):
        calls["events"] = call
        call.answer({})
        call.event(event(1, "run.created", workflow_id="daily"))

    def begin(call):
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 10))
        call.event(event(2, "run.started", time=now))
        call.event(event(3, "step.started", "fetch", time=now))
        call.event(event(4, "step.started", "other", time=now))
        call.event(event(5, "step.progress", "fetch", current=2, total=5, message="m" * 100))

    with ControlServer(project, {"run.start": answers(RUN), "run.events": events}):
        with Terminal(project, "run", "daily", columns=60) as terminal:
            terminal.until("(?m)^  queued$")
            begin(calls["events"])
            terminal.until(r"fetch +running 1\d s  2/5 m+\.\.\.")
            # It moves without any event.
            shown = int(re.search(r"other +running (\d+) s", terminal.shown()).group(1))
            terminal.until(rf"other +running {shown + 1} s")
            live = terminal.screen()
            assert live[0] == "run r-1 of daily"
            assert len(live) == 4 and live[-1] == ""
            assert all(len(line) < 60 for line in live)
            call = calls["events"]
            call.event(event(6, "step.completed", "fetch", value=1))
            terminal.until("fetch +completed")
            call.event(event(7, "step.completed", "other", value=1))
            call.event(event(8, "run.succeeded", outputs={"x": 1}))
            call.notify("events.end", {"last": 8})
            assert terminal.wait() == 0
            lines = terminal.screen()
    assert not any("running" in line or "queued" in line for line in lines)
    assert [line.split()[:2] for line in lines if "completed" in line] == [["fetch", "completed"],
                                                                           ["other", "completed"]]
    assert "  x: 1" in lines


def test_ctrl_c_ends_the_following_and_not_the_run(project):
    with ControlServer(project, {"run.start": answers(RUN), "run.events": story(None)}) as server:
        for run_on_terminal in (False, True):
            if run_on_terminal:
                with Terminal(project, "run", "daily") as terminal:
                    terminal.until("run r-1 of daily")
                    terminal.process.send_signal(signal.SIGINT)
                    assert terminal.wait() == 130
                    said = terminal.shown()
            else:
                process = subprocess.Popen([CHARTER, "run", "daily"], cwd=project, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, env=environment())
                assert process.stdout.readline() == b"run r-1 of daily\n"
                process.send_signal(signal.SIGINT)
                said = text(process.communicate(timeout=20)[1])
                assert process.returncode == 130
                assert len(said.splitlines()) == 1
            assert "goes on" in said and "charter cancel r-1" in said
        assert server.calls("run.cancel") == []


def test_ctrl_c_is_noticed_while_events_never_stop(project):
    def events(call):
        story(None)(call)
        line = json.dumps({"jsonrpc": "2.0", "method": "event", "params": {
            "event": event(3, "step.log", "fetch", level="info", message="x" * 200)}}).encode() + b"\n"
        while True:  # ends when `charter` has gone
            call.connection.sendall(line * 1000)

    with ControlServer(project, {"run.start": answers(RUN), "run.events": events}):
        with open(os.devnull, "wb") as nowhere:
            process = subprocess.Popen([CHARTER, "run", "daily", "--json"], cwd=project, stdout=nowhere,
                                       stderr=subprocess.PIPE, env=environment())
        deadline = time.monotonic() + 20
        while pathlib.Path(f"/proc/{process.pid}/io").exists() and time.monotonic() < deadline:
            written = int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{process.pid}/io").read_text()).group(1))
            if written > 1_000_000:
                break
        process.send_signal(signal.SIGINT)
        assert b"goes on" in process.communicate(timeout=20)[1]
        assert process.returncode == 130


def test_a_run_that_waits_for_somebody_is_left_with_code_5(project):
    waiting = [("step.started", "review", {"uses": "gate"}),
               ("run.waiting", "review", {"for": "gate", "message": "Publish?"})]
    status = dict(RUN, status="waiting", waiting_for="gate")
    with ControlServer(project, {"run.start": answers(RUN), "run.events": story(None, *waiting),
                                 "run.status": answers(status)}):
        result = charter(project, "run", "daily")
        as_json = charter(project, "run", "daily", "--json")
    assert result.returncode == 5 and as_json.returncode == 5
    assert "charter resume r-1 --approve" in text(result.stdout)
    assert "Publish?" in text(result.stdout)


def test_a_step_that_still_runs_keeps_the_following_when_another_waits(project):
    def events(call):
        story(None, ("step.started", "slow", {}), ("step.started", "review", {}),
              ("run.waiting", "review", {"for": "gate"}))(call)
        call.event(event(7, "step.completed", "slow"))

    with ControlServer(project, {"run.start": answers(RUN), "run.events": events,
                                 "run.status": answers(dict(RUN, status="waiting", waiting_for="gate"))}) as server:
        assert charter(project, "run", "daily").returncode == 5
        assert len(server.calls("run.status")) == 1


def test_when_the_daemon_says_that_the_run_goes_on_the_following_does(project):
    calls = {}

    def events(call):
        calls["events"] = call
        story(None, ("step.started", "review", {}), ("run.waiting", "review", {"for": "gate"}))(call)

    def status(call):
        call.answer(RUN)
        calls["events"].event(event(9, "run.succeeded", outputs={}))
        calls["events"].notify("events.end", {"last": 9})

    with ControlServer(project, {"run.start": answers(RUN), "run.events": events, "run.status": status}):
        assert charter(project, "run", "daily").returncode == 0


def test_a_daemon_that_stops_while_following_is_code_6(project):
    def events(call):
        story(None)(call)
        call.close()

    with ControlServer(project, {"run.start": answers(RUN), "run.events": events}):
        result = charter(project, "run", "daily")
    assert result.returncode == 6
    assert "went away" in one_error_line(result)


def test_a_run_whose_ending_is_no_longer_held_ends_by_its_status(project):
    def events(call):
        call.answer({})
        call.notify("events.gap", {"from": 1, "to": 40, "reason": "retention"})
        call.notify("events.end", {"last": 40})

    for status, code in (("succeeded", 0), ("failed", 1), ("denied", 3), ("cancelled", 4)):
        with ControlServer(project, {"run.start": answers(RUN), "run.events": events,
                                     "run.status": answers(dict(RUN, status=status))}):
            result = charter(project, "run", "daily", "--run-id", "r-1")
        assert result.returncode == code
        assert "no longer held" in one_error_line(result)


def test_a_reader_that_goes_away_does_not_change_the_exit_code(project):
    steps = [("step.log", "fetch", {"level": "info", "message": "x" * 1000}) for _ in range(200)]
    with ControlServer(project, {"run.start": answers(RUN), "run.events": story("run.denied", *steps)}):
        process = subprocess.Popen([CHARTER, "run", "daily"], cwd=project, stdout=subprocess.PIPE, env=environment())
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) == 3


# --- events, stop ---------------------------------------------------------------------------------------------------------


def test_events_of_a_run_and_of_all(project):
    def events(call):
        call.answer({})
        call.event(event(7, "daemon.started", run_id=None, version="0.1.0"))
        call.event(event(8, "step.progress", "fetch", current=2, total=5, message="half"))
        call.event(event(9, "run.succeeded", outputs={"a": 1}))
        call.notify("events.end", {"last": 9})

    with ControlServer(project, {"run.events": events}) as server:
        of_all = charter(project, "events", "--after", "6")
        of_one = charter(project, "events", "r-1", "--follow")
        as_json = charter(project, "events", "--json")
    assert of_all.returncode == 0 and of_one.returncode == 0
    assert server.calls("run.events") == [{"after": 6, "follow": False}, {"run_id": "r-1", "after": 0, "follow": True},
                                          {"after": 0, "follow": False}]
    assert re.search(r"(?m)^ +9 2026-01-31T12:00:00.000Z r-1 +run\.succeeded", text(of_all.stdout))
    assert "step.progress fetch  2/5 half" in text(of_one.stdout)
    assert [json.loads(line)["seq"] for line in as_json.stdout.splitlines()] == [7, 8, 9]


def test_a_gap_is_told_on_stderr(project):
    def events(call):
        call.answer({})
        call.notify("events.gap", {"from": 1, "to": 6, "reason": "retention"})
        call.notify("events.end", {"last": 6})

    with ControlServer(project, {"run.events": events}):
        result = charter(project, "events", "--json")
    assert result.returncode == 0 and result.stdout == b""
    assert "1 to 6 are no longer held" in one_error_line(result)


def test_stop_returns_when_the_daemon_has_gone(project):
    def stop(call):
        call.answer({})
        call.close()

    with ControlServer(project, {"daemon.stop": stop}) as server:
        result = charter(project, "daemon", "stop", "--drain", "--timeout", "3")
    assert result.returncode == 0 and result.stdout == b"stopped\n"
    assert server.calls("daemon.stop") == [{"drain": True, "timeout_s": 3}]


# --- init -------------------------------------------------------------------------------------------------------------------


def test_init_writes_a_project_and_never_over_one(tmp_path):
    place = tmp_path / "new"
    result = charter(tmp_path, "init", "new")
    assert result.returncode == 0
    for name in ("charter.yml", "workflows/hello/manifest.yml", "workflows/hello/plan.yml", "integrations/lib.sh"):
        assert (place / name).stat().st_mode & 0o777 == 0o644
    assert os.access(place / "integrations" / "greet", os.X_OK)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    again = charter(tmp_path, "init", "new")
    assert again.returncode == 1 and "there already" in one_error_line(again)
    (place / "charter.yml").rename(place / "charter.json")
    assert charter(place, "init").returncode == 1
    (place / "charter.json").rename(place / "charter.yml")
    assert before == {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_init_writes_the_library_of_the_example(tmp_path):
    listed = json.loads(charter(tmp_path, "init", "--json").stdout)
    assert listed["path"] == str(tmp_path.resolve()) and "integrations/lib.sh" in listed["files"]
    assert (tmp_path / "integrations" / "lib.sh").read_bytes() == \
        (ROOT / "port" / "demo" / "project" / "integrations" / "lib.sh").read_bytes()


def integration(program, cwd, *requests):
    lines = "".join(json.dumps(request, separators=(",", ":")) + "\n" for request in requests)
    result = subprocess.run([program], cwd=cwd, input=lines.encode(), capture_output=True, timeout=60)
    return [json.loads(line) for line in result.stdout.splitlines()]


def request(number, method, **params):
    return {"jsonrpc": "2.0", "id": str(number), "method": method, "params": params}


def execute(number, inputs, config=None):
    return request(number, "execute", step={"id": "s", "uses": "x", "with_config": config or {}, "output": None},
                   context={"run_id": "r-1", "inputs": inputs, "outputs": {}, "named_outputs": {}})


def test_the_integration_of_init_answers_the_protocol(tmp_path):
    charter(tmp_path, "init")
    name = 'Zoë "Z" \\ back\nslash\tand \U0001F600 \x1b'
    replies = integration("./integrations/greet", tmp_path, request(1, "setup", run_id="r-1", config={}),
                          execute(2, {"name": name, "times": 2}, {"greeting": "Hi"}), request(3, "fly"),
                          {"jsonrpc": "2.0", "method": "cancel", "params": {"id": "2"}}, request(4, "teardown"))
    by_id = {reply["id"]: reply for reply in replies if "id" in reply}
    assert by_id["1"]["result"] == {"ok": True} and by_id["4"]["result"] == {"ok": True}
    greeted = f"Hi, {name}!".replace("\x1b", "")
    assert by_id["2"]["result"] == {"value": f"{greeted} {greeted}"}
    assert by_id["3"]["error"]["code"] == -32601
    assert [reply["params"]["current"] for reply in replies if reply.get("method") == "progress"] == [1, 2]
    assert len(by_id) == 4
