"""Runs, contract sections 3 and 4: inputs, idempotent submission, templates, conditions, outputs, the event stream, many runs."""

import json
import os
import re

import pytest

from harness import ENDINGS, MESSAGE, PLAIN, check_run, check_stream, needs, step, wait_until

ALL_ARTIFACTS = 1 << 30
ULID = re.compile(r"r-[0-9abcdefghjkmnpqrstvwxyz]{26}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


def submit(daemon, inputs, workflow="w", **params):
    return daemon.refused("run.start", {"workflow_id": workflow, "inputs": inputs, **params})


# --- one run --------------------------------------------------------------------------------------------------------


def test_the_events_of_a_run(project, daemon_of):
    project.workflow("w", [step("one", value={"a": [1, 2]}, output="first"), step("two", value="${{ outputs.one.a[1] }}")],
                     inputs={"city": {"type": "string"}}, outputs={"result": "${{ outputs.two }}"})
    daemon = daemon_of(project)
    run = daemon.run("w", {"city": "Köln"}, labels={"team": "a"}, actor="anna")
    assert run.kinds() == ["run.created", "run.started", "step.started", "step.completed", "step.started", "step.completed",
                           "run.succeeded"]
    assert ULID.match(run.id)
    assert all(TIME.match(event["time"]) and event["run_id"] == run.id for event in run.events)
    created = run.events[0]["data"]
    assert {name: created[name] for name in ("workflow_id", "inputs", "labels", "channel", "actor", "by")} == {
        "workflow_id": "w", "inputs": {"city": "Köln"}, "labels": {"team": "a"}, "channel": "local", "actor": "anna",
        "by": f"uid:{os.getuid()}"}
    assert re.fullmatch("[0-9a-f]{64}", created["plan_sha256"])
    assert run.events[1]["data"] == {}
    assert run.events[2]["data"] == {"uses": "puppet"}
    assert [(e["step_id"], e["attempt"]) for e in run.events[2:6]] == [("one", 1), ("one", 1), ("two", 1), ("two", 1)]
    assert run.events[3]["data"] == {"value": {"a": [1, 2]}, "output": "first"}
    assert run.events[5]["data"] == {"value": 2, "output": None}
    assert run.events[6]["data"] == {"outputs": {"result": 2}}
    assert all("step_id" not in e and "attempt" not in e for e in run.events if not e["type"].startswith("step."))
    state = run.state
    assert state["status"] == "succeeded" and state["outputs"] == {"result": 2} and state["error"] is None
    assert state["waiting_for"] is None and state["labels"] == {"team": "a"} and state["workflow_id"] == "w"
    assert [(s["id"], s["status"], s["attempt"], s["error"]) for s in state["steps"]] == [
        ("one", "completed", 1, None), ("two", "completed", 1, None)]
    times = [state["created_at"], state["started_at"], state["steps"][0]["started_at"], state["steps"][1]["ended_at"], state["ended_at"]]
    assert times == sorted(times) and all(TIME.match(t) for t in times)
    # what it was accepted with is kept
    assert project.file(f".charter/runs/{run.id}/plan.json").exists()


def test_payload_stays_as_it_was_written(project, daemon_of):
    raw = '{"b":1,"a":1.10,"n":123456789012345678901234567890,"e":1E+2,"u":"\\u00e9\\ud83d\\ude00","z":-0}'
    project.workflow("w", [step("one", {"last_words": '{"jsonrpc":"2.0","id":"2","result":{"value":%s}}\n' % raw}),
                           step("two", {"record": "request.json"}, value=1, inputs={"x": "${{ outputs.one }}"})],
                     inputs={"v": {"type": "object"}}, outputs={"o": "${{ outputs.one }}", "i": "${{ inputs.v }}"})
    daemon = daemon_of(project)
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"workflow_id":"w","inputs":{"v":%s}}}\n' % raw.encode())
        run_id = client.read()["result"]["run_id"]
        client.call("run.events", {"run_id": run_id, "follow": True})
        lines = []
        while not lines or b"events.end" not in lines[-1]:
            lines.append(client.line())
    shown = [line.decode() for line in lines]

    def holds(text):
        squeezed = text.replace("\\u00e9", "é").replace("\\ud83d\\ude00", "😀")
        return raw.replace("\\u00e9", "é").replace("\\ud83d\\ude00", "😀") in squeezed
    assert holds(next(line for line in shown if "step.completed" in line and '"one"' in line))
    assert holds(next(line for line in shown if "run.succeeded" in line))
    assert holds(next(line for line in shown if "run.created" in line))


# --- inputs ---------------------------------------------------------------------------------------------------------

# Every limit once from each side.
DECLARED = {
    "s": {"type": "string", "min_length": 2, "max_length": 4}, "i": {"type": "integer", "minimum": -5, "maximum": 5},
    "n": {"type": "number", "minimum": 0.5, "maximum": 1e3}, "b": {"type": "boolean"}, "a": {"type": "array", "items": "integer"},
    "o": {"type": "object"}, "p": {"type": "string", "pattern": "^[a-z]+-[0-9]{2}$"}, "q": {"type": "string", "pattern": "b+"},
    "e": {"type": "string", "enum": ["x", "y"]}, "en": {"type": "integer", "enum": [1, 2]},
}

WRONG = [
    ("s", 1), ("s", None), ("s", ["ab"]), ("s", "a"), ("s", "abcde"), ("i", "1"), ("i", 1.5), ("i", -6), ("i", 6), ("i", True), ("i", 10**30),
    ("n", "1"), ("n", 0.4), ("n", 1001), ("n", None), ("b", 0), ("b", "true"), ("a", {}), ("a", [1, "2"]), ("a", [1.5]), ("a", "1"),
    ("o", []), ("o", "x"), ("o", None), ("p", "abc"), ("p", "ABC-12"), ("p", "abc-123"), ("q", "aaa"), ("e", "z"), ("e", 1), ("en", 3), ("en", "1"),
]
RIGHT = [("s", "ab"), ("s", "äöüß"), ("i", -5), ("i", 5), ("n", 0.5), ("n", 1000), ("n", 7), ("b", False), ("a", []), ("a", [1, 2]),
         ("o", {}), ("o", {"deep": [1]}), ("p", "abc-12"), ("q", "aabbcc"), ("e", "x"), ("en", 2)]


@needs("PATTERN")
def test_inputs_against_their_declaration(project, daemon_of):
    project.workflow("w", [step("one", value=1)], inputs=DECLARED)
    daemon = daemon_of(project)
    for name, value in WRONG:
        error = submit(daemon, {name: value})
        assert error.code == -32006, (name, value, error.error)
        assert name in re.split(r"[.\[\]]", error.data["path"]) and error.data["reason"], (name, value, error.error)
    for name, value in RIGHT:
        run = daemon.run("w", {name: value})
        assert run.events[0]["data"]["inputs"] == {name: value}, (name, value)
    # integers have neither fraction nor exponent, whatever their value
    for text in ("1.0", "1e0", "9223372036854775808"):
        with daemon.client() as client:
            client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"workflow_id":"w","inputs":{"i":%s}}}\n' % text.encode())
            assert client.read()["error"]["code"] == -32006, text
    assert daemon.call("runs.list", {"limit": 100})["runs"][-1]["status"] == "succeeded"


def test_items_are_named_by_their_place(project, daemon_of):
    project.workflow("w", [step("one", value=1)], inputs={"list": {"type": "array", "items": "string"}})
    error = submit(daemon_of(project), {"list": ["a", "b", 3]})
    assert error.code == -32006 and "list" in error.data["path"] and "2" in error.data["path"]


def test_required_defaults_and_unknown_inputs(project, daemon_of):
    project.workflow("w", [step("one", value="${{ inputs.days }}"), step("two", value="${{ inputs.level }}")],
                     inputs={"city": {"type": "string", "required": True}, "days": {"type": "integer", "default": 7},
                             "level": {"type": "string", "enum": ["short", "long"], "default": "short"}})
    daemon = daemon_of(project)
    error = submit(daemon, {})
    assert error.code == -32006 and "city" in error.data["path"]
    error = submit(daemon, {"city": "a", "town": "b"})
    assert error.code == -32006 and "town" in error.data["path"]
    run = daemon.run("w", {"city": "a"})
    assert run.value("one") == 7 and run.value("two") == "short"
    run = daemon.run("w", {"city": "a", "days": 9, "level": "long"})
    assert run.value("one") == 9 and run.value("two") == "long"


def test_an_input_given_twice(project, daemon_of):
    project.workflow("w", [step("one", value=1)], inputs={"city": {"type": "string"}})
    with daemon_of(project).client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"workflow_id":"w","inputs":{"city":"a","city":"b"}}}\n')
        error = client.read()["error"]
        assert error["code"] in (-32600, -32006) and "city" in json.dumps(error)


def test_inputs_are_at_most_half_a_message(project, daemon_of):
    project.workflow("w", [step("one", value=1)], inputs={"text": {"type": "string"}})
    daemon = daemon_of(project)
    assert daemon.run("w", {"text": "x" * (MESSAGE // 2 - 100)}).status == "succeeded"
    error = submit(daemon, {"text": "x" * (MESSAGE // 2 + 100)})
    assert error.code in (-32006, -32602, -32001), error.error


def test_labels_have_limits(project, daemon_of):
    project.workflow("w", [step("one", value=1)])
    daemon = daemon_of(project)
    full = {f"{number:02}" + "k" * 62: "v" * 256 for number in range(16)}
    assert daemon.run("w", labels=full).state["labels"] == full
    for wrong in ({f"{number}": "" for number in range(17)}, {"k" * 65: ""}, {"k": "v" * 257}, {"k": 1}, {"k": None}):
        error = submit(daemon, {}, labels=wrong)
        assert error.code == -32602 and "labels" in error.data["path"], error.error


# --- the client's own run id ----------------------------------------------------------------------------------------


def test_the_same_id_and_inputs_are_the_same_run(project, daemon_of):
    project.workflow("w", [step("one", value=1)], inputs={"a": {"type": "object"}, "b": {"type": "number"}, "c": {"type": "integer", "default": 3}})
    project.workflow("v", [step("one", value=1)])
    daemon = daemon_of(project)

    def start(inputs, run_id="mine", workflow="w", more=""):
        with daemon.client() as client:
            client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"run_id":"%s","workflow_id":"%s","inputs":%s%s}}\n'
                            % (run_id.encode(), workflow.encode(), inputs.encode(), more.encode()))
            message = client.read()
            return message.get("error", {}).get("code") or message["result"]["run_id"]
    assert start('{"a":{"x":1,"y":[1,{"p":2,"q":3}]},"b":1.0}') == "mine"
    daemon.end_of("mine")
    assert start('{ "b" : 1.0 , "a" : { "y" : [ 1 , { "q":3, "p":2 } ] , "x" : 1 } }') == "mine"
    assert start('{"a":{"x":1,"y":[1,{"p":2,"q":3}]},"b":1.0}', more=',"labels":{"l":"1"},"actor":"other"') == "mine"
    assert start('{"b":1.0,"a":{"\\u0078":1,"y":[1,{"p":2,"q":3}]}}') == "mine"
    # numbers by their text, inputs as they were given, before defaults
    assert start('{"a":{"x":1,"y":[1,{"p":2,"q":3}]},"b":1}') == -32010
    assert start('{"a":{"x":1,"y":[1,{"p":2,"q":3}]},"b":1.0,"c":3}') == -32010
    assert start('{"a":{"x":1,"y":[{"p":2,"q":3},1]},"b":1.0}') == -32010
    assert start('{}') == -32010
    assert start('{}', workflow="v") == -32010
    assert len(daemon.call("runs.list")["runs"]) == 1
    error = submit(daemon, {}, run_id="mine")
    assert error.code == -32010 and error.data["run_id"] == "mine"
    # after a restart as well
    daemon.kill()
    daemon = daemon_of(project)
    with daemon.client() as client:
        run = client.call("run.start", {"run_id": "mine", "workflow_id": "w", "inputs": {"a": {"x": 1, "y": [1, {"p": 2, "q": 3}]}, "b": 1.0}})
        assert run["run_id"] == "mine" and run["status"] == "succeeded"
    assert submit(daemon, {}, run_id="mine").code == -32010


@needs(CLIENTS=32)
def test_the_same_id_many_times_at_once_is_one_run(project, daemon_of):
    project.workflow("w", [step("one", {"count": "count"}, value=1)])
    daemon = daemon_of(project)
    clients = [daemon.client() for _ in range(12)]
    for client in clients:
        client.request("run.start", {"workflow_id": "w", "inputs": {}, "run_id": "once"}, 1)
    assert [client.answer(1)["run_id"] for client in clients] == ["once"] * 12
    for client in clients:
        client.close()
    daemon.end_of("once")
    assert len(project.file("count").read_text().splitlines()) == 1
    assert [e["type"] for e in daemon.events()].count("run.created") == 1


# --- templates ------------------------------------------------------------------------------------------------------


def test_templates_of_all_roots(project, daemon_of):
    project.workflow("w", [
        step("make", value={"list": [10, {"deep": "x"}], "null": None, "text": "a\"b\\c\nd", "num": 1.50, "yes": True}, output="made"),
        step("use", {"record": "use.json"}, value=None, inputs={
            "whole": "${{ outputs.make }}", "named": "${{ named_outputs.made.list[1].deep }}", "input": "${{ inputs.text }}",
            "number": "${{ outputs.make.num }}", "bool": "${{ outputs.make.yes }}", "null": "${{ outputs.make.null }}",
            "text": "<${{ outputs.make.text }}|${{ outputs.make.num }}|${{ outputs.make.null }}|${{ outputs.make.yes }}|${{ outputs.make.list }}>",
            "twice": "${{ inputs.text }}${{ inputs.text }}", "run": "${{ run.id }} ${{ run.workflow_id }}", "time": "${{ run.started_at }}",
            "no space": "${{inputs.text}}", "plain": "$ {{ x }} $${ {", "nested": {"a": ["${{ inputs.text }}", 1, None, True]},
            "${{ inputs.text }}": "keys stay", "once": "${{ inputs.tricky }}"}),
    ], inputs={"text": {"type": "string"}, "tricky": {"type": "string"}}, outputs={"all": "${{ named_outputs.made.list }}", "s": "n=${{ outputs.make.num }}"})
    daemon = daemon_of(project)
    run = daemon.run("w", {"text": "héllo", "tricky": "${{ inputs.text }}"})
    assert run.status == "succeeded", run.events[-1]
    inputs = project.read("use.json")["params"]["context"]["inputs"]
    made = run.value("make")
    assert inputs == {
        "whole": made, "named": "x", "input": "héllo", "number": 1.5, "bool": True, "null": None,
        "text": '<a"b\\c\nd|1.5||true|[10,{"deep":"x"}]>', "twice": "héllohéllo", "run": f"{run.id} w", "time": run.state["started_at"],
        "no space": "héllo", "plain": "$ {{ x }} $${ {", "nested": {"a": ["héllo", 1, None, True]},
        "${{ inputs.text }}": "keys stay", "once": "${{ inputs.text }}"}
    assert run.outputs == {"all": [10, {"deep": "x"}], "s": "n=1.5"}


def test_a_missing_path_fails_the_step_and_names_it(project, daemon_of):
    project.workflow("w", [step("one", value={"a": [1]}), step("two", {"touch": "ran"}, value=1, inputs={"x": "${{ outputs.one.a[1] }}"})])
    project.workflow("v", [step("one", value={"a": 1})], outputs={"o": "${{ outputs.one.b }}"})
    daemon = daemon_of(project)
    run = daemon.run("w")
    assert run.status == "failed" and run.failure()["kind"] == "template" and "outputs.one.a[1]" in run.failure()["message"]
    assert not project.file("ran").exists()
    assert run.events[-1]["data"]["step_id"] == "two" and run.events[-1]["data"]["error"]["kind"] == "template"
    run = daemon.run("v")
    assert run.status == "failed" and "outputs.one.b" in run.error["message"] and run.error["kind"] == "template"


@pytest.mark.parametrize("members, path", [
    ({"with_": {"x": "${{ outputs.two }}"}}, "outputs.two"), ({"with_": {"x": "${{ outputs.one }}"}}, "outputs.one"),
    ({"inputs": {"x": "${{ outputs.none }}"}}, "none"), ({"inputs": {"x": "${{ named_outputs.none }}"}}, "none"),
    ({"with_": {"x": "${{ nothing.at.all }}"}}, "nothing"), ({"with_": {"x": "${{ secrets.KEY }}"}}, "secrets"),
    ({"with_": {"x": "${{ inputs.none }}"}}, "none"), ({"with_": {"x": "${{ }}"}}, ""), ({"with_": {"x": "${{ inputs.a"}}, ""),
    ({"if_": "${{ inputs.a }} == ${{ inputs.a }} == 1"}, ""), ({"if_": "${{ inputs.a }} and true"}, ""),
    ({"uses": 7}, "uses"), ({"timeout_s": -1}, "timeout_s"), ({"output_type": "date"}, "output_type"), ({"colour": "red"}, "colour"),
    ({"on_interrupt": "perhaps"}, "on_interrupt"), ({"when": "never"}, "when"),
])
def test_plans_that_cannot_be_are_refused(project, daemon_of, members, path):
    project.workflow("w", [step("one", value=1, **members), step("two", value=2)], inputs={"a": {"type": "string"}})
    daemon = daemon_of(project)
    error = submit(daemon, {})
    assert error.code == -32007, error.error
    assert error.data["path"] and error.data["reason"], error.error
    assert path in error.message + json.dumps(error.data)
    assert daemon.call("runs.list")["runs"] == []


def test_steps_with_the_same_id_and_unknown_integrations(project, daemon_of):
    project.workflow("same", [step("one", value=1), step("one", value=1)])
    project.workflow("unknown", [step("one", value=1, uses="nobody")])
    project.workflow("none", [])
    project.workflow("both", [{"id": "one", "uses": "puppet", "gate": {"message": "m"}}])
    daemon = daemon_of(project)
    assert submit(daemon, {}, "same").code == -32007
    error = submit(daemon, {}, "unknown")
    assert error.code == -32008 and error.data["name"] == "nobody"
    assert submit(daemon, {}, "both").code == -32007
    assert submit(daemon, {}, "none").code == -32007


# --- if -------------------------------------------------------------------------------------------------------------

CONDITIONS = [
    (True, True), (False, False), ("true", True), ("false", False), ("null", False), ("0", False), ("1", True), ("''", False), ("'x'", True), ('""', False),
    ("${{ inputs.s }} == 'short'", True), ("${{ inputs.s }} != 'short'", False), ("${{ inputs.s }} == \"short\"", True),
    ("${{ inputs.n }} == 1.50", True), ("${{ inputs.n }} == 15e-1", True), ("${{ inputs.n }} == 1.51", False), ("${{ inputs.n }} == '1.5'", False),
    ("'1' == 1", False), ("'a' != 'b'", True), ("${{ inputs.b }} == true", True), ("${{ inputs.b }}", True), ("${{ inputs.empty }}", False),
    ("${{ outputs.make.null }} == null", True), ("${{ outputs.make.list }}", True), ("${{ outputs.make.none }}", False), ("${{ outputs.make.object }}", False),
    ("${{ outputs.make.zero }}", False), ("0.0", False), ("-0", False), ("1 == 1.0", True), ("100 == 1e2", True), ("'it''s' != 'x'", None),
]


def test_conditions(project, daemon_of):
    steps = [step("make", value={"null": None, "list": [0], "none": [], "object": {}, "zero": 0.0})]
    conditions = [pair for pair in CONDITIONS if pair[1] is not None]
    for number, (condition, _) in enumerate(conditions):
        steps.append(step(f"s{number}", value=number, if_=condition))
    project.workflow("w", steps, inputs={"s": {"type": "string"}, "n": {"type": "number"}, "b": {"type": "boolean"}, "empty": {"type": "string"}})
    daemon = daemon_of(project)
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"workflow_id":"w","inputs":{"s":"short","n":1.5,"b":true,"empty":""}}}\n')
        run_id = client.read()["result"]["run_id"]
    run = daemon.end_of(run_id)
    assert run.status == "succeeded", run.events[-1]
    for number, (condition, wanted) in enumerate(conditions):
        ran = bool(run.of("step.completed", f"s{number}"))
        assert ran == wanted, (condition, ran)
        if not ran:
            (skipped,) = run.of("step.skipped", f"s{number}")
            assert skipped["data"]["reason"] and not run.of("step.started", f"s{number}")
            assert run.step(f"s{number}")["status"] == "skipped"


def test_containers_are_not_compared(project, daemon_of):
    project.workflow("w", [step("make", value=[1]), step("two", value=1, if_="${{ outputs.make }} == 1")])
    run = daemon_of(project).run("w")
    assert run.status == "failed" and run.failure()["kind"] == "template"


def test_what_was_skipped_is_null_all_the_way_down(project, daemon_of):
    project.workflow("w", [step("one", value={"a": 1}, if_=False, output="name"),
                           step("two", {"value_of": ["context", "inputs"]}, inputs={
                               "a": "${{ outputs.one }}", "b": "${{ outputs.one.a.b[3] }}", "c": "x${{ named_outputs.name.z }}y"}),
                           step("three", value=3, if_="${{ outputs.one.a }}")])
    run = daemon_of(project).run("w")
    assert run.status == "succeeded" and run.value("two") == {"a": None, "b": None, "c": "xy"}
    assert run.of("step.skipped", "three")


# --- config, outputs, types -----------------------------------------------------------------------------------------


def test_config_is_overlaid_member_by_member(project, daemon_of):
    project.integration("layers", config={"a": "project", "b": "project", "c": "project", "deep": {"x": 1, "y": 2}, "id": "${{ run.id }}"})
    project.workflow("w", [step("one", {"value_of": ["step", "with_config"]}, uses="layers", with_={"c": "step", "d": "${{ inputs.s }}"})],
                     inputs={"s": {"type": "string"}}, integrations={"layers": {"config": {"b": "plan", "c": "plan", "deep": {"z": 3}}}})
    daemon = daemon_of(project)
    run = daemon.run("w", {"s": "given"})
    assert run.status == "succeeded", run.events[-1]
    config = run.value("one")
    del config["do"]
    assert config == {"a": "project", "b": "plan", "c": "step", "deep": {"z": 3}, "id": run.id, "d": "given"}


TYPES = {"text": ["a", ""], "number": [1, 1.5, -2e3], "boolean": [True, False], "list": [[], [1]], "object": [{}, {"a": 1}],
         "json": [None, 1, "a", [1], {"a": 1}, False]}


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_output_types(project, daemon_of, kind):
    good = TYPES[kind]
    bad = [] if kind == "json" else [value for other, values in TYPES.items() if other not in ("json", kind) for value in values[:1]] + [None]
    project.workflow("good", [step(f"s{number}", value=value, output_type=kind) for number, value in enumerate(good)])
    for number, value in enumerate(bad):
        project.workflow(f"bad{number}", [step("one", value=value, output_type=kind)])
    daemon = daemon_of(project)
    run = daemon.run("good")
    assert run.status == "succeeded" and [run.value(f"s{number}") for number in range(len(good))] == good
    ids = [daemon.start_run(f"bad{number}") for number in range(len(bad))]
    for run_id in ids:
        run = daemon.end_of(run_id)
        assert run.status == "failed" and run.failure()["kind"] == "output_type" and kind in run.failure()["message"], run.events


def artifact_folder(project, run):
    (completed,) = run.of("step.completed", "one")
    return project.file(completed["data"]["artifact"]["$artifact"]["path"]).parent


def hole(path, size):
    """Only its size is there."""
    with open(path, "wb") as large:
        large.truncate(size)


@needs(PROJECT_FILE_BYTES=65536)
def test_all_artifacts_together_are_bounded(project, daemon_of):
    """What runs hold that have not ended is not given away: new artifacts fail, with the sizes."""
    project.workflow("w", [step("one", value="x" * 20000)])
    project.workflow("holds", [step("one", value="x" * 20000), step("two", {"wait": "go"}, value=2)])
    daemon = daemon_of(project)
    holder = daemon.start_run("holds")
    daemon.wait_event("step.started", holder, "two")
    folder = project.file(f".charter/runs/{holder}/artifacts")
    hole(folder / "large", ALL_ARTIFACTS)
    second = daemon.run("w")
    assert second.status == "failed" and second.failure()["kind"] == "too_large"
    assert "20002 bytes" in second.failure()["message"] and str(ALL_ARTIFACTS) in second.failure()["message"]
    (folder / "large").unlink()
    assert daemon.run("w").status == "succeeded"
    project.touch("go")
    assert daemon.end_of(holder).status == "succeeded"


@needs(PROJECT_FILE_BYTES=65536)
def test_the_oldest_ended_runs_give_way_to_new_artifacts(project, daemon_of):
    """As many as are needed and no more; those that hold none stay."""
    project.workflow("w", [step("one", value="x" * 20000)])
    project.workflow("small", [step("one", value=1)])
    daemon = daemon_of(project)
    runs = [daemon.run("small")] + [daemon.run("w") for _ in range(3)]
    for run in runs[1:]:
        hole(artifact_folder(project, run) / "large", ALL_ARTIFACTS // 3 - 22000)
    last = daemon.run("w")
    assert last.status == "succeeded", last.state
    assert daemon.refused("run.status", {"run_id": runs[1].id}).code == -32005
    assert not project.file(f".charter/runs/{runs[1].id}").exists()
    for run in (runs[0], runs[2], runs[3], last):
        assert daemon.status(run.id)["status"] == "succeeded"
    # Several at once, each in its turn.
    hole(artifact_folder(project, last) / "large", ALL_ARTIFACTS)
    ids = [daemon.start_run("w") for _ in range(6)]
    assert [daemon.end_of(run_id).status for run_id in ids] == ["succeeded"] * 6
    assert daemon.refused("run.status", {"run_id": last.id}).code == -32005
    # And for the outputs of a run.
    hole(artifact_folder(project, daemon.run("w")) / "large", ALL_ARTIFACTS)
    project.workflow("outputs", [step(f"s{number}", value="x" * 12000) for number in range(3)],
                     outputs={f"o{number}": "${{ outputs.s%d }}" % number for number in range(3)})
    assert daemon.run("outputs").status == "succeeded"


@needs(PROJECT_FILE_BYTES=65536)
def test_large_outputs_of_a_run_become_one_artifact(project, daemon_of):
    project.workflow("w", [step(f"s{number}", value="x" * 12000) for number in range(3)],
                     outputs={f"o{number}": "${{ outputs.s%d }}" % number for number in range(3)})
    daemon = daemon_of(project)
    run = daemon.run("w")
    assert run.status == "succeeded"
    reference = run.events[-1]["data"]["outputs"]
    assert set(reference) == {"$artifact"}
    stored = json.loads(project.file(reference["$artifact"]["path"]).read_text())
    assert stored == {f"o{number}": "x" * 12000 for number in range(3)}


@needs(PROJECT_FILE_BYTES=65536, RUNS_IN_FLIGHT=2)
def test_large_outputs_are_stored_beside_a_neighbour_that_never_is_silent(project, daemon_of):
    """They are read from the disk, and something is always not there yet: only what is theirs must be."""
    project.workflow("w", [step(f"s{number}", value="x" * 12000) for number in range(3)],
                     outputs={f"o{number}": "${{ outputs.s%d }}" % number for number in range(3)})
    project.workflow("noise", [step("one", {"touch": "on"}, {"logs": {"times": 100000000, "text": "x"}}, value=1)])
    daemon = daemon_of(project)
    noise = daemon.start_run("noise")
    project.wait_file("on")
    run_id = daemon.start_run("w")
    run = wait_until(lambda: (run := daemon.status(run_id))["ended_at"] and run, "its end")
    assert run["status"] == "succeeded" and set(run["outputs"]) == {"$artifact"}
    assert daemon.status(noise)["status"] == "running"
    for _ in range(2):
        daemon.call("run.cancel", {"run_id": noise})
    wait_until(lambda: daemon.status(noise)["ended_at"], "the end of the noise")


# --- failures end a run ---------------------------------------------------------------------------------------------


def test_the_first_failure_ends_the_run(project, daemon_of):
    project.workflow("w", [step("one", value=1), step("two", {"error": {"code": -1, "message": "no luck", "data": {"retry": False, "why": "x"}}}),
                           step("three", {"touch": "three"}, value=3)])
    run = daemon_of(project).run("w")
    assert run.kinds()[-3:] == ["step.started", "step.failed", "run.failed"]
    error = run.failure()
    assert error["kind"] == "integration_error" and "no luck" in error["message"]
    assert run.events[-1]["data"] == {"error": error, "step_id": "two"}
    assert run.error["kind"] == "integration_error" and run.step("two")["status"] == "failed" and run.step("two")["error"]["kind"] == "integration_error"
    assert run.step("three")["status"] in ("pending", "skipped") and not project.file("three").exists()


def test_edits_concern_later_runs(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun"}, {"wait": "go"}, value="old"), step("two", value="old")])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    project.workflow("w", [step("one", value="new")])
    assert daemon.run("w").value("one") == "new"
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.value("one") == "old" and run.value("two") == "old"


# --- many -----------------------------------------------------------------------------------------------------------


@needs(RUNS_IN_FLIGHT=32, RUNS_WAITING=64)
def test_32_runs_at_once_the_33rd_waits_and_the_97th_is_refused(project, daemon_of):
    place = step("one", {"touch": "begun-${{ run.id }}"}, {"wait": "go-${{ inputs.n }}"}, value="${{ inputs.n }}")
    project.workflow("w", [place, step("two", value="${{ outputs.one }}"), step("three", value="${{ outputs.two }}")],
                     inputs={"n": {"type": "integer"}}, outputs={"n": "${{ outputs.three }}"})
    project.workflow("v", [step("one", value=1)])
    daemon = daemon_of(project)
    before = daemon.fds()
    ids = [daemon.start_run("w", {"n": number}) for number in range(32)]
    wait_until(lambda: daemon.call("daemon.status")["runs"]["active"] == 32, "32 are active")
    # 16 steps execute in the daemon; the other runs are running and have their turn when one ends
    wait_until(lambda: len(list(project.path.glob("begun-*"))) == 16, "16 steps execute")
    late = daemon.start_run("w", {"n": 32})
    assert daemon.status(late)["status"] == "queued"
    assert [daemon.status(run_id)["status"] for run_id in ids] == ["running"] * 32
    queued = [late] + [daemon.start_run("w", {"n": number}) for number in range(33, 96)]
    status = daemon.call("daemon.status")["runs"]
    assert status["active"] == 32 and status["queued"] == 64
    error = submit(daemon, {}, "v")
    assert error.code == -32009 and error.data["retry_after_ms"] > 0
    # the rest of the daemon works as ever
    assert daemon.call("workflows.list")["workflows"] and len(daemon.call("runs.list", {"limit": 100})["runs"]) == 96
    # one ends: the 33rd starts, and there is room for one more
    first = next(number for number in range(32) if project.file(f"begun-{ids[number]}").exists())
    project.touch(f"go-{first}")
    daemon.end_of(ids[first])
    wait_until(lambda: daemon.status(late)["status"] == "running", "the 33rd runs")
    extra = daemon.start_run("v")
    assert daemon.status(extra)["status"] == "queued"
    for number in range(96):
        project.touch(f"go-{number}")
    for number, run_id in enumerate(ids + queued):
        run = daemon.end_of(run_id)
        assert run.status == "succeeded" and run.outputs == {"n": number}
    assert daemon.end_of(extra).status == "succeeded"
    events = daemon.events()
    check_stream(events)
    order = [e["run_id"] for e in events if e["type"] == "run.started"]
    assert order == ids + queued + [extra]
    wait_until(lambda: daemon.fds() <= before and not daemon.children(), "nothing is left")


@needs(RETAIN_RUNS=100)
def test_the_stream_of_many_runs_is_whole(project, daemon_of):
    project.workflow("w", [step("one", {"logs": {"times": 30, "text": "line"}}, value=1), step("two", {"progress": {"current": 1, "total": 2, "message": "m"}}, value=2)])
    project.workflow("bad", [step("one", {"stderr": {"text": "oh\n", "times": 5}}, {"exit": 3})])
    daemon = daemon_of(project)
    ids = [daemon.start_run("bad" if number % 4 == 3 else "w") for number in range(24)]
    with daemon.client() as client:
        client.call("run.events", {"follow": True})
        live, ended = [], 0
        while ended < 24:
            live.append(client.next_event())
            ended += live[-1]["type"] in ENDINGS
    check_stream(live)
    events = daemon.events()
    assert events[:len(live)] == live
    for run_id in ids:
        mine = [e for e in events if e.get("run_id") == run_id]
        check_run(mine)
        assert mine[0]["type"] == "run.created" and mine[1]["type"] == "run.started"
        assert len([e for e in mine if e["type"] == "step.log"]) in (30, 5)
    # the same after a restart, from the journal
    daemon.kill()
    daemon = daemon_of(project)
    assert daemon.events()[:len(events)] == events
    assert daemon.status(ids[3])["status"] == "failed" and daemon.status(ids[0])["status"] == "succeeded"


# --- cancelling -----------------------------------------------------------------------------------------------------


def test_cancel_while_executing(project, daemon_of):
    project.workflow("w", [step("one", {"spawn": {"pid": "grandchild"}}, {"touch": "begun"}, {"await_cancel": "cancel"}, value=1), step("two", {"touch": "two"}, value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("begun")
    state = daemon.call("run.cancel", {"run_id": run_id, "reason": "enough", "actor": "anna"})
    assert state["run_id"] == run_id
    assert daemon.call("run.cancel", {"run_id": run_id, "reason": "again"})["run_id"] == run_id  # idempotent
    run = daemon.end_of(run_id)
    assert run.status == "cancelled"
    assert project.read("cancel") == {"jsonrpc": "2.0", "method": "cancel", "params": {"id": "2"}}
    requested = run.of("run.cancel_requested")
    assert requested[0]["data"]["reason"] == "enough" and requested[0]["data"]["actor"] == "anna"
    assert requested[0]["data"]["by"] == f"uid:{os.getuid()}" and requested[0]["data"]["channel"] == "local"
    assert run.events[-1]["data"]["reason"] == "enough"
    assert not project.file("two").exists()
    wait_until(lambda: not project.processes(), "the grandchild is gone as well")
    # after the end it changes nothing
    assert daemon.call("run.cancel", {"run_id": run_id})["status"] == "cancelled"
    assert daemon.end_of(run_id).events == run.events


@needs(RUNS_IN_FLIGHT=32, RUNS_WAITING=64)
def test_cancel_while_queued_and_after_the_end(project, daemon_of):
    project.workflow("w", [step("one", {"wait": "go"}, value=1)])
    daemon = daemon_of(project)
    ids = [daemon.start_run("w") for _ in range(33)]
    assert daemon.call("run.cancel", {"run_id": ids[32]})["run_id"] == ids[32]
    run = daemon.end_of(ids[32])
    assert run.status == "cancelled" and "run.started" not in run.kinds()
    assert run.state["started_at"] is None
    project.touch("go")
    assert {daemon.end_of(run_id).status for run_id in ids[:32]} == {"succeeded"}
    assert daemon.call("run.cancel", {"run_id": ids[0]})["status"] == "succeeded"
    assert daemon.end_of(ids[0]).kinds()[-1] == "run.succeeded"


def test_cancel_in_setup(project, daemon_of):
    project.integration("slow", config={"setup": [{"touch": "in-setup"}, {"wait": "never"}]})
    project.workflow("w", [step("one", {"touch": "executed"}, value=1, uses="slow")])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("in-setup")
    daemon.call("run.cancel", {"run_id": run_id})
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and not project.file("executed").exists()
    assert not project.processes()


def test_cancel_in_teardown(project, daemon_of):
    project.integration("slow", config={"teardown": [{"touch": "in-teardown"}, {"wait": "go"}]})
    project.workflow("w", [step("one", value=1, uses="slow"), step("two", {"touch": "two"}, {"sleep": 0.3}, value=2)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    project.wait_file("in-teardown")
    daemon.call("run.cancel", {"run_id": run_id})
    project.touch("go")
    run = daemon.end_of(run_id)
    # the step may have been quicker than the request
    assert run.status in ("cancelled", "succeeded")
    wait_until(lambda: not project.processes(), "no process is left")


# --- what is kept ---------------------------------------------------------------------------------------------------


@needs(RETAIN_RUNS=100)
def test_the_last_100_ended_runs_are_kept(project, daemon_of):
    project.workflow("w", [step("one", value="${{ inputs.text }}")], inputs={"text": {"type": "string"}})
    daemon = daemon_of(project)
    ids = []
    for _ in range(4):
        batch = [daemon.start_run("w", {"text": "x"}) for _ in range(32)]
        for run_id in batch:
            daemon.end_of(run_id)
        ids += batch
    page, seen = daemon.call("runs.list", {"limit": 100}), []
    seen = [run["run_id"] for run in page["runs"]]
    while page["next_cursor"]:
        page = daemon.call("runs.list", {"limit": 100, "cursor": page["next_cursor"]})
        seen += [run["run_id"] for run in page["runs"]]
    assert len(seen) == 100 and set(seen) <= set(ids)
    assert daemon.status(ids[-1])["status"] == "succeeded"
    assert daemon.refused("run.status", {"run_id": ids[0]}).code == -32005
    wait_until(lambda: len(os.listdir(project.file(".charter/runs"))) == 100, "the files of the others are removed")
    # what is kept is whole, also after a restart
    daemon.kill()
    daemon = daemon_of(project)
    for run_id in seen[:3] + seen[-3:]:
        run = daemon.end_of(run_id)
        assert run.status == "succeeded" and run.value("one") == "x"
    assert daemon.refused("run.status", {"run_id": ids[0]}).code == -32005
    assert daemon.run("w", {"text": "more"}).status == "succeeded"


def test_half_a_line_and_silence_is_closed_after_30_s_and_nobody_notices(half_a_line):
    """Of the control socket; here, because it was begun by test_control.py half a minute ago."""
    seen = half_a_line.wait()
    assert seen.fault is None and seen.answers > 10
    assert 29 < seen.held_s < (35 if PLAIN else 60) and seen.rest == b""
    assert seen.idle.call("daemon.status")["pid"] == seen.daemon.pid, "silence between lines is allowed"
