"""One conversation, whoever holds it: the wire of an integration on the C SDK, of one in plain sh, and of one behind the Python bridge is recorded between
daemon and program, and must be the same but for the values.

Another way of writing integrations is one more entry in WAYS: a function that puts its program into the project and answers the members of charter.yml's
integration that start it. What it must do stands in tests/integrations/twin.c.
"""

import json
import os
import shutil
import subprocess

import pytest

from harness import BUILD, HERE, ROOT, step, wait_until

RECORDER = str(HERE / "integrations" / "recorder.py")


# --- the ways ---------------------------------------------------------------------------------------------------------


def in_c(project):
    program = BUILD / "integrations" / "twin"
    if not program.exists():
        pytest.skip("the SDK's test integrations are not built")
    return [str(program)]


SHELL = """#!/bin/sh
execute() {
    text=$(input text)
    progress 1 2 reading
    log info "the text is $text"
    [ "$text" != fail ] || fail "told to fail"
    progress 2 2 "done"
    succeed "{\\"text\\":$(json_string "$text"),\\"greeting\\":$(json_string "$(config greeting)")}"
}
. ./integrations/lib.sh
serve
"""


def in_shell(project):
    place = project.file("integrations")
    place.mkdir(exist_ok=True)
    shutil.copy(ROOT / "port" / "demo" / "project" / "integrations" / "lib.sh", place)
    (place / "twin").write_text(SHELL)
    (place / "twin").chmod(0o755)
    return ["./integrations/twin"]


PYTHON = """class Twin:
    config: dict

    async def execute(self, step, context):
        text = context.inputs["text"]
        context.progress(1, 2, "reading")
        print("the text is", text.replace(chr(10), " "))
        if text == "fail":
            context.fail("told to fail")
        context.progress(2, 2, "done")
        return {"text": text, "greeting": self.config["greeting"]}
"""


def in_python(project):
    """The command is what the daemon writes into plan.json for `python: ./twin.py:Twin`."""
    if "CONFIG_PYTHON_BRIDGE 1" not in (BUILD / "include" / "autoconf.h").read_text():
        pytest.skip("this build has no bridge for Python")
    project.file("twin.py").write_text(PYTHON)
    project.file(".charter").mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(project.file(".charter/.venv"))], check=True, capture_output=True)
    return ["./.charter/.venv/bin/python", ".charter/bridge.py", "./twin.py:Twin"]


WAYS = {"c": in_c, "sh": in_shell, "python": in_python}


# --- the recording ------------------------------------------------------------------------------------------------------


def shape(value):
    """The form of a value: names and order of members stay, every scalar becomes the name of its type."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def record(project, daemon, way, workflow, inputs):
    """Runs the workflow; what was said, in order: who to, what, and its form. The values that the contract fixes stay."""
    log = project.file("wire")
    log.unlink(missing_ok=True)
    run = daemon.run(workflow, inputs)
    wait_until(lambda: not project.processes(), "the integration has gone")
    said = []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        message, to = entry["message"], entry["to"]
        assert "not json" not in message, message
        fixed = {name: message[name] for name in ("jsonrpc", "id", "method") if name in message}
        if message.get("method") == "log":
            fixed["level"] = message["params"]["level"]
        if message.get("method") == "progress":
            fixed["current"], fixed["total"] = message["params"]["current"], message["params"]["total"]
        if "error" in message:
            fixed["code"] = message["error"]["code"]
        said.append((to, json.dumps(fixed), json.dumps(shape(message))))
    return run, said


def conversations(places, daemon_of, ways):
    from harness import Project
    said = {}
    for name, way in ways.items():
        project = Project(os.path.join(places(), "p"))
        command = way(project)
        project.integration("twin", command=[RECORDER, "./wire", *command], config={"greeting": "hello"})
        project.workflow("w", [
            step("first", uses="twin", inputs={"text": "${{ inputs.text }}"}, output="one", output_type="object", timeout_s=60),
            step("second", uses="twin", inputs={"text": "${{ named_outputs.one.greeting }}"}),
        ], inputs={"text": {"type": "string"}})
        daemon = daemon_of(project)
        for text, status in (("some text", "succeeded"), ("fail", "failed"), ("line\nfeed \"é\" \\", "succeeded")):
            run, heard = record(project, daemon, name, "w", {"text": text})
            assert run.status == status, (name, text, run.error)
            if status == "succeeded":
                assert run.value("first") == {"text": text, "greeting": "hello"}
                assert run.value("second") == {"text": "hello", "greeting": "hello"}
            else:
                assert run.failure()["kind"] == "integration_error" and run.failure()["message"] == "told to fail"
            said.setdefault(text, {})[name] = heard
    return said


def test_the_conversation_is_the_same_in_every_language(places, daemon_of):
    said = conversations(places, daemon_of, WAYS)
    for text, by_way in said.items():
        first = next(iter(by_way.values()))
        # It is a conversation: setup, two steps (or one that fails), teardown, each answered.
        methods = [json.loads(fixed).get("method", "answer") for _, fixed, _ in first]
        if text == "fail":
            assert methods == ["setup", "answer", "execute", "progress", "log", "answer", "teardown", "answer"]
        else:
            one = ["execute", "progress", "log", "progress", "answer"]
            assert methods == ["setup", "answer", *one, *one, "teardown", "answer"]
        for name, heard in by_way.items():
            assert heard == first, f"{name} talks otherwise about {text!r}"


def test_the_recorder_hears_a_difference(places, daemon_of):
    """A twin that leaves something out is found: the comparison can fail."""
    def quiet(project):
        command = in_shell(project)
        program = project.file("integrations") / "twin"
        program.write_text(program.read_text().replace('    progress 2 2 "done"\n', ""))
        return command
    said = conversations(places, daemon_of, {"sh": in_shell, "quiet": quiet})
    assert said["some text"]["sh"] != said["some text"]["quiet"]
    assert said["fail"]["sh"] == said["fail"]["quiet"]
