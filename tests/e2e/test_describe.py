"""Config models, contract section 2: `describe: true` asks COMMAND --describe, and config and inputs are held against what it says before anything is started."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from harness import BUILD, PUPPET, RpcError, command, needs, step, wait_until

pytestmark = needs("DESCRIBE")

CONFIG = {"type": "object", "required": ["url"], "additionalProperties": False, "properties": {
    "url": {"type": "string"}, "tries": {"type": "integer", "minimum": 1, "maximum": 9}, "mode": {"type": "string", "enum": ["fast", "slow"]},
    "ratio": {"type": "number"}, "deep": {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "boolean"}}}},
    "do": {}, "note": {"type": ["string", "null"]}}}
INPUTS = {"type": "object", "required": ["city"], "additionalProperties": False,
          "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 31}}}

# Appends a letter to `calls` at each start: d when it is asked to describe itself, s when it is to serve.
TOOL = """#!/bin/sh
if [ "$1" = --describe ]; then
    printf d >>calls
    %s
    exit $?
fi
printf s >>calls
exec %s
"""


def tool(project, body=None, description=None, **members):
    """An integration `tool` with a description of its own; serves as the puppet does."""
    if description is None:
        description = {"name": "tool", "config_schema": CONFIG, "input_schema": INPUTS, "output_type": "json"}
    (project.path / "description.json").write_text(json.dumps(description))
    path = project.path / "tool"
    path.write_text(TOOL % (body or "cat description.json", PUPPET))
    path.chmod(0o755)
    project.config["integrations"]["tool"] = {"command": ["./tool"], "describe": True, **members}
    project.write_config()


def write_indented(project):
    """charter.yml with one member a line, so that lines tell something."""
    project.write_config(json.dumps(project.config, indent=1))


def line_of(project, text):
    return 1 + next(n for n, line in enumerate(project.file("charter.yml").read_text().splitlines(keepends=True)) if text in line)


def calls(project):
    path = project.file("calls")
    return path.read_text() if path.exists() else ""


def workflow(project, inputs=None, **with_):
    project.workflow("w", [step("one", value=1, uses="tool", with_=with_, inputs={"city": "Rome"} if inputs is None else inputs)],
                     inputs={"text": {"type": "string", "default": "x"}})


BAD = {
    "a wrong type": ({"url": "u", "tries": "3"}, "tries", "must be an integer, it is a string"),
    "a fraction": ({"url": "u", "tries": 3.5}, "tries", "must be an integer, it is a fraction"),
    "a missing field": ({"tries": 3}, "url", "is required by the integration"),
    "an unknown field": ({"url": "u", "colour": 1}, "colour", "is not a known member"),
    "a value out of range": ({"url": "u", "tries": 10}, "tries", "must be at most 9"),
    "a wrong word": ({"url": "u", "mode": "quick"}, "mode", 'must be one of ["fast","slow"]'),
    "a wrong element": ({"url": "u", "deep": {"list": [True, 1]}}, "deep.list[1]", "must be true or false, it is a number"),
    "none of two types": ({"url": "u", "note": 1}, "note", "must be a string or null, it is a number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_config_is_refused_at_its_place_before_anything_is_started(project, daemon_of, name):
    config, path, reason = BAD[name]
    tool(project, config=config)
    write_indented(project)
    workflow(project)
    daemon = daemon_of(project)
    error = daemon.refused("run.start", {"workflow_id": "w"})
    assert error.code == -32006
    assert error.data["path"] == f"integrations.tool.config.{path}" and error.data["reason"] == reason
    assert error.data["file"] == "charter.yml"
    where = {"a missing field": '"config": {', "a wrong element": "      1\n"}.get(name, f'"{path}": ')
    assert error.data["line"] == line_of(project, where)
    assert error.data["column"] > 0
    assert calls(project) == "d"
    assert daemon.call("runs.list")["runs"] == []
    checked = command("check", "--project-path", project.path)
    assert checked.returncode == 3 and f"charter.yml:{error.data['line']}:" in checked.stderr and reason in checked.stderr
    assert "s" not in calls(project)


def test_good_config_runs_and_is_asked_for_once(project, daemon_of):
    tool(project, config={"url": "u", "tries": 9, "mode": "slow", "ratio": 0.5, "deep": {"list": [True], "other": 1}, "note": None})
    workflow(project)
    daemon = daemon_of(project)
    for _ in range(3):
        assert daemon.run("w").status == "succeeded"
    assert calls(project).count("d") == 1


def test_a_changed_program_is_asked_again(project, daemon_of):
    tool(project, config={"url": "u", "late": 1})
    workflow(project)
    daemon = daemon_of(project)
    assert daemon.refused("run.start", {"workflow_id": "w"}).data["path"] == "integrations.tool.config.late"
    more = json.loads(json.dumps(CONFIG))
    more["properties"]["late"] = {"type": "integer"}
    path = project.file("tool")
    fresh = project.file("tool.new")
    fresh.write_text(path.read_text().replace("cat description.json", "cat second.json"))
    fresh.chmod(0o755)
    project.file("second.json").write_text(json.dumps({"name": "tool", "config_schema": more}))
    os.rename(fresh, path)
    assert daemon.run("w").status == "succeeded"
    assert calls(project).count("d") == 2


def test_the_step_and_the_plan_overlay_the_project(project, daemon_of):
    tool(project, config={"tries": "never read", "mode": "odd"})
    project.workflow("w", [step("one", value=1, uses="tool", with_={"url": "u"}, inputs={"city": "Rome"}),
                           step("two", value=1, uses="tool", with_={"url": "${{ inputs.text }}/x", "tries": "${{ inputs.text }}"}, inputs={"city": "${{ inputs.text }}"})],
                     inputs={"text": {"type": "string", "default": "x"}}, integrations={"tool": {"config": {"tries": 2, "mode": "fast"}}})
    daemon = daemon_of(project)
    assert daemon.run("w").status == "succeeded"
    project.workflow("w", [step("one", value=1, uses="tool", with_={"url": 7}, inputs={"city": "Rome"})],
                     integrations={"tool": {"config": {"tries": 2, "mode": "fast"}}})
    error = daemon.refused("run.start", {"workflow_id": "w"})
    assert (error.code, error.data["path"], error.data["file"]) == (-32006, "steps[0].with.url", "workflows/w/plan.yml")
    project.workflow("w", [step("one", value=1, uses="tool", with_={"url": "u", "tries": "x${{ inputs.text }}"}, inputs={"city": "Rome"})],
                     inputs={"text": {"type": "string", "default": "x"}}, integrations={"tool": {"config": {"mode": "fast"}}})
    error = daemon.refused("run.start", {"workflow_id": "w"})
    assert error.data["path"] == "steps[0].with.tries", "text with a template in it is a string, whatever comes"


def test_inputs_of_steps_are_held_against_their_schema(project, daemon_of):
    tool(project, config={"url": "u"})
    daemon = daemon_of(project)
    for inputs, path in (({"city": 1}, "steps[0].inputs.city"), ({"days": 1}, "steps[0].inputs.city"), ({"city": "x", "days": 32}, "steps[0].inputs.days"),
                         ({"city": "x", "day": 1}, "steps[0].inputs.day"), ({}, "steps[0].inputs.city")):
        workflow(project, inputs)
        error = daemon.refused("run.start", {"workflow_id": "w"})
        assert (error.code, error.data["path"], error.data["file"]) == (-32006, path, "workflows/w/plan.yml"), inputs
    workflow(project, {"city": "${{ inputs.text }}", "days": "${{ inputs.text }}"})
    assert daemon.run("w").status == "succeeded", "what a template will give is for the integration to judge"


def test_what_is_not_described_is_not_asked(project, daemon_of):
    tool(project, config={"anything": True})
    project.config["integrations"]["tool"]["describe"] = False
    project.write_config()
    workflow(project, {})
    assert daemon_of(project).run("w").status == "succeeded"
    assert calls(project) == "s"


FAULTS = {
    "exits with a code": ("echo it is broken >&2; exit 3", "ended with exit code 3: it is broken"),
    "prints nothing": (":", "did not print one JSON object"),
    "prints no object": ("echo '[1]'", "did not print one JSON object"),
    "prints two": ("echo '{} {}'", "did not print one JSON object"),
    "prints a schema that is none": ("""echo '{"config_schema":{"type":"strong"}}'""", "config_schema that is none"),
    "prints without end": ("cat /dev/zero", "printed more than"),
    "dies": ("kill -9 $$", "died of SIGKILL"),
    "hangs": ("sleep 600", "did not end within 5000 ms"),
    "leaves somebody with its pipes": ("sleep 600 & cat description.json", "did not end within 5000 ms"),
    "leaves somebody in a session of their own": ("setsid sleep 600 & cat description.json", "did not end within 5000 ms"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs("subreaper")) if "session" in name else name for name in FAULTS])
def test_a_description_that_fails_is_told(project, daemon_of, name):
    body, reason = FAULTS[name]
    tool(project, body=body, config={"url": "u"})
    workflow(project)
    daemon = daemon_of(project)
    begun = time.monotonic()
    error = daemon.refused("run.start", {"workflow_id": "w"})
    assert error.code == -32008 and error.data == {"name": "tool"}
    assert "integration 'tool'" in str(error) and reason in str(error)
    assert time.monotonic() - begun < 15
    # The daemon itself goes on, nothing is left behind (daemon_of looks), and nothing is kept of it.
    assert daemon.call("daemon.status")["runs"]["active"] == 0
    assert not project.file(".charter/describe").exists()


@pytest.mark.needs("subreaper")
def test_a_daemon_that_stops_meanwhile_leaves_nothing_behind(project, daemon_of):
    tool(project, body="sleep 600; cat description.json", config={"url": "u"})
    workflow(project)
    daemon = daemon_of(project)
    with daemon.client() as client:
        client.request("run.start", {"workflow_id": "w"})
        wait_until(lambda: "d" in calls(project), "it is asked")
        wait_until(lambda: len(project.processes()) >= 2, "it sleeps")
        assert daemon.stop() == 0
    wait_until(lambda: not project.processes(), "nothing is left", 5)


def test_a_program_that_is_not_there(project, daemon_of):
    tool(project, config={"url": "u"})
    os.unlink(project.file("tool"))
    workflow(project)
    error = daemon_of(project).refused("run.start", {"workflow_id": "w"})
    assert error.code == -32008 and "./tool: No such file or directory" in str(error)


def test_what_was_kept_is_checked_again(project, daemon_of):
    tool(project, config={"url": "u"})
    workflow(project)
    daemon = daemon_of(project)
    assert daemon.run("w").status == "succeeded"
    (kept,) = project.file(".charter/describe").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    identity = kept.read_text().split("\n", 1)[0]
    for text in ("", identity, identity + "\n", identity + "\n{", "x" * 100, identity + '\n{"config_schema":7}'):
        kept.write_text(text)
        assert daemon.run("w").status == "succeeded"
    assert calls(project).count("d") == 7


def test_secrets_do_not_reach_it(project, daemon_of):
    tool(project, body="env >seen; cat description.json", config={"url": "u"}, env={"SECRET": "${{ secrets.S }}"})
    project.config["secrets"] = {"S": {"env": "E2E_SECRET"}}
    project.write_config()
    workflow(project)
    assert daemon_of(project, env={"E2E_SECRET": "very-secret"}).run("w").status == "succeeded"
    assert "very-secret" not in project.file("seen").read_text() and "SECRET" not in project.file("seen").read_text()


def test_an_integration_on_the_sdk_describes_itself(project, daemon_of):
    program = BUILD / "integrations" / "http-get"
    if not program.exists():
        pytest.skip("the SDK's examples are not built")
    described = json.loads(subprocess.run([program, "--describe"], capture_output=True, timeout=20, check=True).stdout)
    assert described["name"] == "http-get" and described["output_type"] == "text"
    assert described["config_schema"]["required"] == ["url"]
    assert described["config_schema"]["properties"]["timeout_s"] == {
        "type": "integer", "description": "seconds without a byte after which it is given up", "default": 20, "minimum": 1, "maximum": 3600}
    project.config["integrations"]["get"] = {"command": [str(program)], "describe": True, "config": {"url": "http://127.0.0.1:1/", "timeout_s": 0}}
    project.write_config()
    project.workflow("w", [step("one", uses="get")])
    error = daemon_of(project).refused("run.start", {"workflow_id": "w"})
    assert error.data["path"] == "integrations.get.config.timeout_s" and error.data["reason"] == "must be at least 1"


def test_a_class_in_python_describes_itself(project, daemon_of):
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", project.file(".charter/.venv")], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("no venv here")
    project.file("steps.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass Config:\n    unit: str\n    width: int = 3\n\n"
        "class Count:\n    config: Config\n    def execute(self, step, context):\n        return self.config.unit * self.config.width\n")
    project.config["integrations"]["count"] = {"python": "./steps.py:Count", "describe": True, "config": {"unit": "x", "width": "wide"}}
    project.write_config()
    project.workflow("w", [step("one", uses="count")])
    checked = command("check", "--project-path", project.path)
    if "no bridge for Python" in checked.stderr:
        pytest.skip("built without the bridge")
    assert checked.returncode == 3 and "integrations.count.config.width: must be an integer, it is a string" in checked.stderr
    daemon = daemon_of(project)
    assert daemon.refused("run.start", {"workflow_id": "w"}).data["path"] == "integrations.count.config.width"
    project.config["integrations"]["count"]["config"]["width"] = 2
    project.write_config()
    daemon.signal(signal.SIGHUP)
    run = wait_until(lambda: started(daemon), "the new config is taken")
    assert daemon.end_of(run).value("one") == "xx"


def started(daemon):
    try:
        return daemon.start_run("w")
    except RpcError:
        return None
