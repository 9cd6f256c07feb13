"""The program charter-daemon: its commands, flags, variables, messages and exit codes; what it costs when nothing happens."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import DAEMON, DEADLINE, LOG_LEVEL, PLAIN, Client, Daemon, built, clean_environment, command, needs, step, wait_until


def check(project, **env):
    return command("check", "--project-path", project.path, env=env)


def has_yaml(project):
    project.write_config("project: p\n")
    yaml = check(project).returncode == 0
    project.write_config()
    return yaml


# --- commands and exit codes ----------------------------------------------------------------------------------------


def test_version_and_help():
    version = command("--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)
    shown = command("--help")
    assert shown.returncode == 0
    if not built("HELP"):
        assert "charter-daemon(8)" in shown.stdout
        return
    for word in ("start", "check", "limits", "--project-path", "--gateway", "--token-file", "--background", "--log-level", "--log-format"):
        assert word in shown.stdout


@needs("LIMITS")
def test_limits_prints_what_is_reserved():
    shown = command("limits")
    assert shown.returncode == 0 and len(shown.stdout.splitlines()) > 5
    assert re.search(r"\d", shown.stdout)


@pytest.mark.parametrize("args", [
    [], ["begin"], ["start", "--colour"], ["start", "--project-path"], ["start", "--log-level", "loud"], ["start", "--log-format", "xml"],
    ["start", "--gateway", "ftp://x"], ["start", "--gateway", "http://"], ["start", "--gateway", "not a url"], ["start", "surplus"],
    ["check", "--gateway", "http://x"], ["start", "--project-path", "/nonexistent/project"], ["start", "--background=yes"],
], ids=range(13))
def test_wrong_usage_is_exit_2(project, args):
    ended = command(*args, cwd=str(project.path))
    assert ended.returncode == 2, ended
    assert ended.stderr.strip() and not ended.stdout


@pytest.mark.parametrize("text", ["{", "[]", '{"project": 7}', '{"unknown": 1}', '{"integrations": {"x": {"command": 7}}}', '{"project": "a", "project": "b"}',
                                  '{"secrets": {"K": {"env": 1}}}', '{"gateway": {"url": 7}}', "\x00", '{"integrations": {"x": {"command": []}}}'], ids=range(10))
def test_an_invalid_project_is_exit_3(project, text):
    project.write_config(text)
    for ended in (command("start", "--project-path", project.path), *([check(project)] if built("CHECK") else [])):
        assert ended.returncode == 3, ended
        assert "charter.yml" in ended.stderr


def test_a_folder_without_a_project_is_exit_3(places):
    place = places()
    ended = command("start", "--project-path", place)
    assert ended.returncode == 3 and "charter.yml" in ended.stderr
    assert os.listdir(place) == []


# --- check ----------------------------------------------------------------------------------------------------------


@needs("CHECK")
def test_check_is_silent_about_what_is_right(project):
    project.workflow("w", [step("one", value=1)])
    ended = check(project)
    assert ended.returncode == 0, ended.stderr
    assert not project.file(".charter").exists(), "a check writes nothing"


def test_check_names_file_line_and_column(project):
    if not has_yaml(project):
        pytest.skip("built without YAML")
    place = project.file("workflows/w")
    place.mkdir(parents=True)
    (place / "manifest.yml").write_text("id: w\nname: W\ninputs:\n  days:\n    type: integer\n    minimum: many\n")
    (place / "plan.yml").write_text("steps:\n  - id: one\n    uses: puppet\n    with:\n      x: ${{ inputs.nothing }}\n")
    ended = check(project)
    assert ended.returncode == 3
    assert re.search(r"workflows/w/manifest\.yml:6:\d+: ", ended.stderr), ended.stderr
    (place / "manifest.yml").write_text("id: w\nname: W\ninputs:\n  days:\n    type: integer\n")
    ended = check(project)
    assert ended.returncode == 3
    assert re.search(r"workflows/w/plan\.yml:5:\d+: ", ended.stderr) and "nothing" in ended.stderr, ended.stderr
    (place / "plan.yml").write_text("steps:\n  - id: one\n   uses: puppet\n")
    assert re.search(r"workflows/w/plan\.yml:\d+:\d+: ", check(project).stderr)
    (place / "plan.yml").write_text("steps:\n  - id: one\n    uses: puppet\n    uses: puppet\n")
    assert re.search(r"workflows/w/plan\.yml:4:5: ", check(project).stderr)
    # the same words come over the socket
    (place / "plan.yml").write_text("steps:\n  - id: one\n    uses: puppet\n    output_type: date\n")
    project.workflow("other", [step("one", value=1)])
    daemon = Daemon(project)
    try:
        error = daemon.refused("run.start", {"workflow_id": "w", "inputs": {}})
        assert error.code == -32007 and error.data["file"].endswith("workflows/w/plan.yml") and error.data["line"] == 4 and error.data["column"] >= 5
        assert error.data["path"] and error.data["reason"]
        assert daemon.run("other").status == "succeeded", "one bad workflow is no matter of the others"
    finally:
        assert daemon.stop() == 0


def test_a_whole_project_in_yaml(project, daemon_of):
    if not has_yaml(project):
        pytest.skip("built without YAML")
    project.write_config(f"""# a comment
project: yaml
integrations:
  puppet: &tool
    command: ["{project.config['integrations']['puppet']['command'][0]}"]
    config: {{yes: on, date: 2026-01-31, octal: 007, hex: 0x1F, none: ~, "quoted": "x"}}
  other: *tool
""")
    place = project.file("workflows/w")
    place.mkdir(parents=True)
    (place / "manifest.yml").write_text("id: w\nname: W\ninputs:\n  city: {type: string, required: true}\n")
    (place / "plan.yml").write_text("""steps:
  - id: one
    uses: other
    with:
      do:
        - value_of: [step, with_config]
      text: |
        two
        lines, ${{ inputs.city }}
outputs: {all: "${{ outputs.one }}"}
""")
    daemon = daemon_of(project)
    run = daemon.run("w", {"city": "Graz"})
    assert run.status == "succeeded"
    config = run.value("one")
    del config["do"]
    assert config == {"yes": "on", "date": "2026-01-31", "octal": 7, "hex": 31, "none": None, "quoted": "x", "text": "two\nlines, Graz\n"}


@needs("CHECK")
def test_two_files_of_one_meaning_are_an_error(project):
    project.file("charter.json").write_text("{}")
    ended = check(project)
    assert ended.returncode == 3 and "charter" in ended.stderr


# --- starting -------------------------------------------------------------------------------------------------------


def test_a_wrong_variable_is_said_to_be_one(project):
    ended = command("start", "--project-path", project.path, env={"CHARTER_LOG_LEVEL": "loud"})
    assert ended.returncode == 2
    assert "loud" in ended.stderr and "this is from the environment: CHARTER_LOG_LEVEL" in ended.stderr, ended.stderr
    ended = command("start", "--project-path", project.path, "--log-level", "loud", env={"CHARTER_LOG_LEVEL": LOG_LEVEL})
    assert ended.returncode == 2
    assert "loud" in ended.stderr and "environment" not in ended.stderr, ended.stderr


@needs("LOG_INFO")
def test_variables_stand_in_for_flags_and_flags_win(project, places):
    process = subprocess.Popen([DAEMON, "start", "--log-format", "json"], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True,
                               env={**clean_environment(), "CHARTER_PROJECT_PATH": str(project.path), "CHARTER_LOG_FORMAT": "text", "CHARTER_LOG_LEVEL": LOG_LEVEL})
    try:
        line = process.stderr.readline()
        assert isinstance(json.loads(line), dict)
        wait_until(project.file(".charter/daemon.sock").exists, "the socket")
    finally:
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(DEADLINE) == 0
        process.stderr.close()
    for line in [line, *rest.splitlines()]:
        entry = json.loads(line)
        assert {"time", "level", "message"} <= set(entry), entry
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", entry["time"])


def test_log_levels(project, daemon_of):
    ended = subprocess.Popen([DAEMON, "start", "--project-path", project.path, "--log-level", "error"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(), cwd="/")
    wait_until(project.file(".charter/daemon.sock").exists, "the socket")
    ended.terminate()
    assert ended.communicate(timeout=DEADLINE)[0] == b"" and ended.returncode == 0


def test_background_returns_when_it_is_ready(project):
    project.workflow("w", [step("one", {"surroundings": "s.json"}, value=1)])
    ended = command("start", "--background", "--project-path", project.path)
    assert ended.returncode == 0, ended.stderr
    with Client(project.file(".charter/daemon.sock")) as client:  # at once: ready means that it answers
        status = client.call("daemon.status")
        pid = status["pid"]
        try:
            assert os.getsid(pid) != os.getsid(0) and os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
            run_id = client.call("run.start", {"workflow_id": "w", "inputs": {}})["run_id"]
            events, _ = client.events(run_id, follow=True)
            assert events[-1]["type"] == "run.succeeded"
            second = command("start", "--background", "--project-path", project.path)
            assert second.returncode == 4 and str(pid) in second.stderr
        finally:
            os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or not project.file(".charter/daemon.sock").exists(), "it has ended")
    project.write_config("{")
    broken = command("start", "--background", "--project-path", project.path)
    assert broken.returncode == 3 and "charter.yml" in broken.stderr


def test_a_gateway_that_is_not_there_delays_nothing(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project, "--gateway", "http://127.0.0.1:1", "--gateway", "http://name.that.is.not.invalid:1")
    begun = time.monotonic()
    assert daemon.run("w").status == "succeeded"
    if PLAIN:
        assert time.monotonic() - begun < 10, "a dial has ten seconds"
    gateway = wait_until(lambda: (lambda g: g if g["last_error"] else None)(daemon.call("daemon.status")["gateway"]), "an error is told")
    assert gateway["state"] not in ("connected", "off") and gateway["url"]


def test_the_token_never_shows(project, daemon_of):
    project.file("token").write_text("very-secret-token\n")
    project.workflow("w", [step("one", {"surroundings": "s.json"}, value=1)])
    daemon = daemon_of(project, "--gateway", "http://127.0.0.1:1", "--token-file", project.file("token"))
    daemon.run("w")
    status = wait_until(lambda: (lambda s: s if s["gateway"]["last_error"] else None)(daemon.call("daemon.status")), "a dial")
    with open(f"/proc/{daemon.pid}/cmdline", "rb") as arguments:
        shown = arguments.read().decode()
    assert "very-secret-token" not in daemon.log + json.dumps(status) + shown + json.dumps(project.read("s.json"))


def test_an_idle_daemon_rests(project, daemon_of):
    """No turn of the loop without something to do: with nobody there, and with clients, a follower, half a line and a step that works."""
    if not PLAIN:
        pytest.skip("the tools themselves work")
    project.workflow("w", [step("one", {"touch": "begun"}, {"sleep": 30}, value=1)])
    daemon = daemon_of(project)

    def used():
        with open(f"/proc/{daemon.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        with open(f"/proc/{daemon.pid}/status") as file:
            switches = sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), switches

    def rests(what):
        end = time.monotonic() + 1
        time.sleep(0.2)
        before = used()
        time.sleep(max(0, end - time.monotonic()))
        after = used()
        assert after[0] - before[0] < 0.05 and after[1] - before[1] < 30, (what, before, after)
    rests("nobody")
    with daemon.client() as idle, daemon.client() as follower, daemon.client() as half:
        idle.call("daemon.status")
        follower.call("run.events", {"follow": True})
        half.send_raw(b'{"json')
        daemon.start_run("w")
        project.wait_file("begun")
        rests("clients and a step")


def test_memory_stays_where_it_is(project, daemon_of):
    if not PLAIN:
        pytest.skip("the tools themselves take memory")
    project.workflow("w", [step("one", {"logs": {"times": 20, "text": "x" * 500}}, value="y" * 4000), step("two", value=2)])
    daemon = daemon_of(project)
    for _ in range(10):
        daemon.run("w")

    def others():
        return [name for name in daemon.open_files() if "/journal/" not in name]  # of which one may be open to be read
    before, fds = daemon.memory("VmRSS"), len(others())
    for _ in range(60):
        daemon.run("w")
    assert daemon.memory("VmRSS") - before < 1024, "KiB"
    wait_until(lambda: len(others()) <= fds and not daemon.children(), lambda: f"no descriptor is left: {daemon.open_files()}")
