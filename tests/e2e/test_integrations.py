"""Integrations as programs, contract section 2: the protocol over pipes, what a program may do wrong, how it is put to an end."""

import hashlib
import json
import os
import pathlib
import signal

import pytest

from harness import GRACE, MESSAGE, PLAIN, needs, step, wait_until

INLINE = MESSAGE // 4
LOG_LINE = MESSAGE // 16


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- life and requests ----------------------------------------------------------------------------------------------


def test_the_requests_are_those_of_the_contract(project, daemon_of):
    project.integration("tool", config={"setup": [{"record": "setup.json"}], "teardown": [{"record": "teardown.json"}], "n": 1})
    project.workflow("w", [
        step("first", value={"a": 1}, output="named"),
        step("second", {"record": "execute.json"}, value=2, uses="tool", with_={"x": "${{ inputs.s }}"}, inputs={"i": "${{ outputs.first.a }}"},
             output="out", output_type="number", timeout_s=50),
    ], inputs={"s": {"type": "string"}})
    daemon = daemon_of(project)
    run = daemon.run("w", {"s": "é\"\\\n"})
    assert run.status == "succeeded"
    setup, execute = project.read("setup.json"), project.read("execute.json")
    assert setup == {"jsonrpc": "2.0", "id": "1", "method": "setup",
                     "params": {"run_id": run.id, "integration": "tool", "config": project.config["integrations"]["tool"]["config"]}}
    assert execute["id"] == "2" and execute["method"] == "execute" and set(execute["params"]) == {"step", "context"}
    resolved, context = execute["params"]["step"], execute["params"]["context"]
    assert resolved["with_config"].pop("do")
    assert resolved == {"id": "second", "uses": "tool", "output": "out", "output_type": "number",
                        "with_config": {"setup": [{"record": "setup.json"}], "teardown": [{"record": "teardown.json"}], "n": 1, "x": "é\"\\\n"}}
    artifacts = context.pop("artifacts_dir")
    deadline = context.pop("deadline_ms")
    assert 0 < deadline <= 50000
    assert context == {"run_id": run.id, "workflow_id": "w", "attempt": 1, "idempotency_key": f"{run.id}/second",
                       "inputs": {"i": 1}, "outputs": {"first": {"a": 1}}, "named_outputs": {"named": {"a": 1}}}
    assert os.path.isdir(os.path.join(project.path, artifacts))
    wait_until(lambda: project.file("teardown.json").exists(), "teardown")
    assert project.read("teardown.json") == {"jsonrpc": "2.0", "id": "3", "method": "teardown", "params": {}}
    assert not project.processes()


def test_without_inputs_and_timeout(project, daemon_of):
    project.workflow("w", [step("one", {"record": "execute.json"}, value=1)])
    assert daemon_of(project).run("w").status == "succeeded"
    params = project.read("execute.json")["params"]
    assert params["context"]["deadline_ms"] is None and params["context"]["inputs"] == {}
    assert params["context"]["outputs"] == {} and params["context"]["named_outputs"] == {}
    assert params["step"]["output"] is None and params["step"]["output_type"] == "json"


def test_one_process_for_the_steps_of_an_integration(project, daemon_of):
    project.integration("a", config={"setup": [{"count": "a"}], "teardown": [{"count": "a"}]})
    project.integration("b", config={"setup": [{"count": "b"}], "teardown": [{"count": "b"}]})
    project.workflow("w", [step("s1", {"count": "a"}, value=1, uses="a"), step("s2", {"count": "b"}, value=2, uses="b"),
                           step("s3", {"count": "a"}, value=3, uses="a"), step("s4", {"wait": "a-gone"}, value=4, uses="b")])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    # torn down after the last step that may need it, not at the end of the run
    wait_until(lambda: "teardown" in (project.file("a").read_text() if project.file("a").exists() else ""), "a is torn down")
    project.touch("a-gone")
    assert daemon.end_of(run_id).status == "succeeded"
    for name, executions in (("a", 2), ("b", 1)):
        lines = [line.split() for line in project.file(name).read_text().splitlines()]
        assert [line[0] for line in lines] == ["setup"] + ["execute"] * executions + ["teardown"]
        assert len({line[1] for line in lines}) == 1
    # another run has processes of its own
    assert daemon.run("w").status == "succeeded"
    assert len({line.split()[1] for line in project.file("a").read_text().splitlines()}) == 2


def test_the_environment_is_exactly_what_was_promised(project, daemon_of):
    project.integration("tool", env={"MINE": "v-${{ run.id }}", "TOKEN": "${{ secrets.KEY }}", "LANG": "C.UTF-8"})
    project.config["secrets"] = {"KEY": {"env": "THE_KEY"}}
    project.write_config()
    project.workflow("w", [step("one", {"surroundings": "s.json"}, value=1, uses="tool")])
    daemon = daemon_of(project, env={"THE_KEY": "hidden-value", "TZ": "Europe/Vienna", "LEAK": "no", "LD_DEBUG": "", "LANG": "en_GB.UTF-8",
                                     "CHARTER_LOG_LEVEL": "debug", "PYTHONPATH": "/nowhere"})
    run = daemon.run("w")
    seen = project.read("s.json")
    env = seen["env"]
    assert env == {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LANG": "C.UTF-8", "TZ": "Europe/Vienna",
                   "CHARTER_RUN_ID": run.id, "CHARTER_STEP_ID": "one", "CHARTER_DAEMON_ID": daemon.call("daemon.status")["daemon_id"],
                   "CHARTER_PROJECT": str(project.path), "MINE": f"v-{run.id}", "TOKEN": "hidden-value"}
    assert seen["cwd"] == str(project.path) and seen["pgid"] == seen["pid"] and seen["pgid"] != os.getpgid(daemon.pid)
    assert seen["fds"] == [0, 1, 2]


def test_signals_are_as_a_program_expects_them(project, daemon_of):
    """No handler and no mask of the daemon's is inherited; /bin/sh, because Python changes some itself."""
    script = project.file("tool.sh")
    script.write_text('''#!/bin/sh
grep -E "^Sig(Ign|Blk):" /proc/self/status > signals.new && mv signals.new signals
while read -r line; do
    id=${line#*\\"id\\":\\"}; id=${id%%\\"*}
    case $line in *'"method":"execute"'*) echo "{\\"jsonrpc\\":\\"2.0\\",\\"id\\":\\"$id\\",\\"result\\":{\\"value\\":\\"sh\\"}}";;
    *) echo "{\\"jsonrpc\\":\\"2.0\\",\\"id\\":\\"$id\\",\\"result\\":{\\"ok\\":true}}";; esac
done
''')
    script.chmod(0o755)
    project.config["integrations"]["shell"] = {"command": ["./tool.sh"]}
    project.write_config()
    project.workflow("w", [step("one", uses="shell")])
    run = daemon_of(project).run("w")
    assert run.status == "succeeded" and run.value("one") == "sh"
    masks = dict(line.split() for line in project.file("signals").read_text().splitlines())
    assert int(masks["SigBlk:"], 16) == 0
    # what this test's own starter ignores stays so; the daemon adds nothing
    inherited = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn")), 16)
    python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert int(masks["SigIgn:"], 16) & ~inherited & ~python == 0
    assert int(masks["SigIgn:"], 16) & (1 << signal.SIGPIPE - 1) == 0


def test_integrations_are_looked_for_in_order(project, daemon_of):
    found = project.file(".charter/integrations")
    found.mkdir(parents=True)
    (found / "dropped").write_text(pathlib.Path(project.config["integrations"]["puppet"]["command"][0]).read_text())
    (found / "dropped").chmod(0o755)
    (found / "plain").write_text("no program")
    project.workflow("w", [step("one", value=1, uses="dropped")])
    project.workflow("v", [step("one", value=1, uses="plain")])
    daemon = daemon_of(project)
    assert daemon.run("w").value("one") == 1
    assert daemon.refused("run.start", {"workflow_id": "v", "inputs": {}}).code == -32008


@pytest.mark.parametrize("command, words", [(["./missing"], "missing"), (["/dev/null"], "null"), (["./folder"], "folder")])
def test_what_cannot_be_started(project, daemon_of, command, words):
    project.file("folder").mkdir()
    project.config["integrations"]["bad"] = {"command": command}
    project.write_config()
    project.workflow("w", [step("one", uses="bad")])
    run = daemon_of(project).run("w")
    assert run.status == "failed" and run.failure()["kind"] == "spawn_failed" and words in run.failure()["message"], run.failure()


# --- answers --------------------------------------------------------------------------------------------------------

ANSWER = '{"jsonrpc":"2.0","id":"2","result":{"value":1}}'
BAD = {
    "garbage": [{"raw": "this is no JSON\n"}, {"wait": "never"}],
    "json-then-garbage": [{"raw": '{"jsonrpc":"2.0","id":"2","result":{"value":[1,2,x'}, {"wait": "never"}],
    "binary": [{"bytes": "00ff80c0feed0a"}, {"wait": "never"}],
    "wrong-id": [{"last_words": ANSWER.replace('"2"', '"3"') + "\n"}, {"wait": "never"}],
    "number-id": [{"last_words": ANSWER.replace('"2"', "2", 2).replace("2.0", '"2.0"') + "\n"}, {"wait": "never"}],
    "null-id": [{"last_words": ANSWER.replace('"id":"2"', '"id":null') + "\n"}, {"wait": "never"}],
    "no-result": [{"last_words": '{"jsonrpc":"2.0","id":"2"}\n'}, {"wait": "never"}],
    "both": [{"last_words": '{"jsonrpc":"2.0","id":"2","result":{"value":1},"error":{"code":1,"message":"m"}}\n'}, {"wait": "never"}],
    "neither": [{"result": {}}, {"wait": "never"}],
    "value-and-artifact": [{"file": {"path": "a", "text": "a"}}, {"result": {"value": 1, "artifact": {"path": "a", "media_type": "text/plain"}}}, {"wait": "never"}],
    "result-no-object": [{"result": 7}, {"wait": "never"}],
    "batch": [{"last_words": "[" + ANSWER + "]\n"}, {"wait": "never"}],
    "request": [{"last_words": '{"jsonrpc":"2.0","id":"2","method":"please"}\n'}, {"wait": "never"}],
    "twice-the-value": [{"last_words": '{"jsonrpc":"2.0","id":"2","result":{"value":1,"value":2}}\n'}, {"wait": "never"}],
    "deep": [{"last_words": '{"jsonrpc":"2.0","id":"2","result":{"value":' + "[" * 40 + "]" * 40 + "}}\n"}, {"wait": "never"}],
    "invalid-utf8": [{"bytes": b'{"jsonrpc":"2.0","id":"2","result":{"value":"\xff"}}\n'.hex()}, {"wait": "never"}],
    "artifact-outside": [{"result": {"artifact": {"path": "../../../../charter.yml", "media_type": "text/plain"}}}, {"wait": "never"}],
    "artifact-absolute": [{"result": {"artifact": {"path": "/etc/passwd", "media_type": "text/plain"}}}, {"wait": "never"}],
    "artifact-missing": [{"result": {"artifact": {"path": "none", "media_type": "text/plain"}}}, {"wait": "never"}],
    "notification-too-long": [{"log": {"level": "info", "message": "x" * 100}}, {"raw": '{"jsonrpc":"2.0","method":"log","params":{"level":"info","message":"' + "x" * 70 + "\n"}, {"wait": "never"}],
}
EXITS = {
    "half-a-line": ([{"raw": ANSWER[:20]}, {"exit": 0}], {"exit_code": 0}), "exit-0": ([{"exit": 0}], {"exit_code": 0}),
    "exit-3": ([{"stderr": {"text": "one\ntwo\n"}}, {"exit": 3}], {"exit_code": 3}), "sigkill": ([{"signal": 9}], {"signal": 9}),
    "sigsegv": ([{"signal": 11}], {"signal": 11}), "stdout-closed": ([{"close": 1}, {"wait": "never"}], None),
    "all-closed": ([{"close": 1}, {"close": 2}, {"close": 0}, {"wait": "never"}], None),
}


@needs(RETAIN_RUNS=100)
def test_answers_against_the_protocol(project, daemon_of):
    """Each in a run of its own, all at once; each process is put to an end though it goes on waiting."""
    for name, actions in BAD.items():
        project.workflow(name, [step("one", *actions, timeout_s=60), step("two", {"touch": "two"}, value=2)])
    daemon = daemon_of(project)
    before = daemon.fds()
    ids = {name: daemon.start_run(name) for name in BAD}
    for name, run_id in ids.items():
        run = daemon.end_of(run_id)
        assert run.status == "failed", name
        assert run.failure()["kind"] == "protocol", (name, run.failure())
        assert run.failure()["message"], name
    assert not project.file("two").exists()
    wait_until(lambda: not project.processes() and daemon.fds() <= before, "nothing is left", 20)


def test_ends_without_an_answer(project, daemon_of):
    for name, (actions, _) in EXITS.items():
        project.workflow(name, [step("one", *actions, timeout_s=60)])
    daemon = daemon_of(project)
    ids = {name: daemon.start_run(name) for name in EXITS}
    for name, (_, wanted) in EXITS.items():
        run = daemon.end_of(ids[name])
        error = run.failure()
        assert run.status == "failed" and error["kind"] in (("exited",) if wanted else ("exited", "protocol")), (name, error)
        for member, value in (wanted or {}).items():
            shown = error[member]
            assert shown == value or shown in (signal.Signals(value).name, signal.Signals(value).name[3:]), (name, error)
    error = daemon.end_of(ids["exit-3"]).failure()
    assert error["stderr"] == ["one", "two"] and "signal" not in error
    logs = [e["data"] for e in daemon.end_of(ids["exit-3"]).of("step.log")]
    assert [(d["stream"], d["message"]) for d in logs] == [("stderr", "one"), ("stderr", "two")]
    wait_until(lambda: not project.processes(), "nothing is left", 20)


def test_a_second_answer_is_a_protocol_error_or_comes_too_late(project, daemon_of):
    """Two answers in one write: whether the second is seen in time or not, nothing else may come of it."""
    project.workflow("w", [step("one", {"last_words": ANSWER + "\n" + ANSWER + "\n"}), step("two", value=2)])
    daemon = daemon_of(project)
    run = daemon.run("w")
    assert run.status == "failed"
    assert run.failure()["kind"] == "protocol"
    assert daemon.call("daemon.status")["pid"] == daemon.pid


def test_an_error_answer_keeps_the_process(project, daemon_of):
    project.workflow("w", [step("one", {"count": "count"}, {"once": {"file": "first", "do": [{"error": {"code": 77, "message": "try again", "data": {"x": 1}}}]}},
                                retry={"max_attempts": 1})])
    daemon = daemon_of(project)
    run = daemon.run("w")
    error = run.failure()
    assert error["kind"] == "integration_error" and "try again" in error["message"] and error["code"] == 77


def test_setup_may_fail(project, daemon_of):
    kinds = {
        "answer": ([{"error": {"code": 1, "message": "bad config"}}], "setup_failed"),
        "exit": ([{"stderr": {"text": "no config\n"}}, {"exit": 4}], None),
        "garbage": ([{"raw": "oh\n"}, {"wait": "never"}], None),
    }
    for name, (actions, _) in kinds.items():
        project.integration(name, config={"setup": actions})
        project.workflow(name, [step("one", {"touch": "ran"}, value=1, uses=name)])
    project.integration("hang", config={"setup": [{"wait": "never"}]})
    project.workflow("hang", [step("one", {"touch": "ran"}, value=1, uses="hang", timeout_s=1)])
    daemon = daemon_of(project)
    ids = {name: daemon.start_run(name) for name in [*kinds, "hang"]}
    for name, run_id in ids.items():
        run = daemon.end_of(run_id)
        error = run.failure()
        assert run.status == "failed"
        if name == "answer":
            assert error["kind"] == "setup_failed" and "bad config" in error["message"]
        elif name == "hang":
            assert error["kind"] in ("timeout", "setup_failed")
        else:
            assert error["kind"] in ("setup_failed", "exited", "protocol"), error
    assert not project.file("ran").exists()
    wait_until(lambda: not project.processes(), "nothing is left", 20)


def test_teardown_may_fail_and_the_run_succeeds(project, daemon_of):
    for name, actions in {"answer": [{"error": {"code": 1, "message": "cannot tidy"}}], "exit": [{"exit": 1}], "garbage": [{"raw": "oh\n"}]}.items():
        project.integration(name, config={"teardown": actions})
        project.workflow(name, [step("one", value=1, uses=name)])
    daemon = daemon_of(project)
    for name in ("answer", "exit", "garbage"):
        run = daemon.run(name)
        assert run.status == "succeeded"
        assert [e for e in run.of("step.log") if e["data"]["level"] == "warning"], (name, run.events)
    wait_until(lambda: not project.processes(), "nothing is left", 20)


# --- large and slow -------------------------------------------------------------------------------------------------


def test_an_answer_byte_by_byte_is_one_answer(project, daemon_of):
    value = {"text": "ä€😀\"\\", "list": [1.5, None, True]}
    project.workflow("w", [step("one", {"slowly": value}), step("two", value="${{ outputs.one }}")])
    run = daemon_of(project).run("w")
    assert run.value("one") == value and run.value("two") == value


@needs(PROJECT_FILE_BYTES=65536)
def test_values_become_artifacts_beyond_the_inline_limit(project, daemon_of):
    project.workflow("w", [
        step("small", value="x" * (INLINE - 2)), step("large", value="y" * (INLINE - 1), output="big"),
        step("kept", value={"a": 1}, output_type="artifact"), step("text", value="plain", output_type="artifact"),
        step("file", {"file": {"path": "out.csv", "text": "a;b\n", "times": 3}}, {"result": {"artifact": {"path": "out.csv", "media_type": "text/csv"}}}),
        step("view", {"value_of": ["context", "outputs"]}),
        step("hydrated", {"value_of": ["context", "inputs"]}, inputs={"kept": "${{ outputs.kept }}", "file": "${{ outputs.file }}", "deep": "${{ outputs.kept.a }}"}),
    ])
    daemon = daemon_of(project)
    run = daemon.run("w")
    assert run.status == "succeeded", run.events[-1]
    assert run.value("small") == "x" * (INLINE - 2)
    artifacts = daemon.call("artifacts.list", {"run_id": run.id})["artifacts"]
    assert [(a["step_id"], a["output"]) for a in artifacts if a["step_id"] not in ("view", "hydrated")] == [
        ("large", "big"), ("kept", None), ("text", None), ("file", None)]
    for artifact in artifacts:
        content = project.file(artifact["path"]).read_bytes()
        assert len(content) == artifact["bytes"] and hashlib.sha256(content).hexdigest() == artifact["sha256"]
        (event,) = run.of("step.completed", artifact["step_id"])
        assert event["data"]["artifact"] == {"$artifact": {n: artifact[n] for n in ("sha256", "bytes", "path", "media_type")}}
        assert "value" not in event["data"]
    by_step = {a["step_id"]: a for a in artifacts}
    assert json.loads(project.file(by_step["large"]["path"]).read_text()) == "y" * (INLINE - 1)
    assert by_step["large"]["media_type"] == "application/json" and by_step["file"]["media_type"] == "text/csv"
    assert project.file(by_step["file"]["path"]).read_text() == "a;b\n" * 3
    # the views: references, unless the step names them in its inputs
    (view,) = run.of("step.completed", "view")
    content = view["data"].get("value") or json.loads(project.file(by_step["view"]["path"]).read_text())
    assert content["kept"]["$artifact"]["sha256"] == by_step["kept"]["sha256"] and content["small"] == "x" * (INLINE - 2)
    assert run.value("hydrated") == {"kept": {"a": 1}, "file": "a;b\n" * 3, "deep": 1}


def test_a_value_that_looks_like_a_reference_is_a_value(project, daemon_of):
    fake = {"$artifact": {"sha256": "0" * 64, "bytes": 3, "path": "charter.yml", "media_type": "text/plain"}}
    project.workflow("w", [step("one", value=fake), step("two", {"value_of": ["context"]}, inputs={"x": "${{ outputs.one }}"})])
    run = daemon_of(project).run("w")
    assert run.value("one") == fake
    assert run.value("two")["inputs"] == {"x": fake} and run.value("two")["outputs"] == {"one": fake}


@needs(PROJECT_FILE_BYTES=65536)
def test_inline_values_of_a_run_are_one_message_together(project, daemon_of):
    project.workflow("w", [step(f"s{n}", {"big": 15000}) for n in range(6)])
    run = daemon_of(project).run("w")
    kinds = ["value" in e["data"] for e in run.of("step.completed")]
    assert kinds == [True] * 4 + [False] * 2


@needs(ARTIFACT_MIB=64)
def test_20_mb_of_result_in_little_memory(project, daemon_of):
    project.workflow("w", [step("one", {"big": 20_000_000}), step("two", {"value_of": ["context", "outputs"]}, inputs={})])
    daemon = daemon_of(project)
    before = daemon.memory()
    run = daemon.run("w")
    assert run.status == "succeeded", run.events[-1]
    reference = run.of("step.completed", "one")[0]["data"]["artifact"]["$artifact"]
    content = project.file(reference["path"]).read_bytes()
    assert json.loads(content) == "x" * 20_000_000 and reference["bytes"] == len(content)
    assert hashlib.sha256(content).hexdigest() == reference["sha256"]
    if PLAIN:
        assert daemon.memory() - before < 4096, "KiB"


def test_100_mb_without_a_line_feed(project, daemon_of):
    project.workflow("w", [step("one", {"endless": 100_000_000}, {"wait": "never"})])
    project.integration("words", config={"setup": [{"endless": 100_000_000}, {"wait": "never"}]})
    project.workflow("v", [step("one", value=1, uses="words")])
    daemon = daemon_of(project)
    before = daemon.memory()
    for name in ("w", "v"):
        run = daemon.run(name)
        assert run.status == "failed" and run.failure()["kind"] in ("protocol", "setup_failed"), run.failure()
    if PLAIN:
        assert daemon.memory() - before < 4096, "KiB"
    assert not project.processes()


@needs(PROJECT_FILE_BYTES=65536)
def test_a_request_larger_than_a_pipe(project, daemon_of):
    """To one that reads, to one that answers without reading, and to one that never reads."""
    long = [f"{n:05}" + "x" * 95 for n in range(300)]
    deaf = project.file("deaf.py")
    deaf.write_text("#!/usr/bin/python3 -IS\nimport os, time\nos.read(0, 10)\n"
                    "os.write(1, b'{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{\"ok\":true}}\\n')\ntime.sleep(100)\n")
    deaf.chmod(0o755)
    project.integration("tool", config={"a": long[:150], "b": long[150:]})
    project.config["integrations"]["deaf"] = {"command": ["./deaf.py"], "config": {"a": long[:150], "b": long[150:]}}
    project.write_config()
    project.workflow("w", [step("one", {"value_of": ["step", "with_config", "a"]}, uses="tool", with_={"c": long, "d": "${{ inputs.s }}"}),
                           step("two", {"record": "two.json"}, value=2, uses="tool", with_={"c": "${{ outputs.one }}"})], inputs={"s": {"type": "string"}})
    project.workflow("deaf", [step("one", uses="deaf", with_={"c": long}, timeout_s=1)])
    daemon = daemon_of(project)
    other = daemon.start_run("deaf")
    run = daemon.run("w", {"s": "z" * 30000})
    assert run.status == "succeeded", run.events[-1]
    assert project.read("two.json")["params"]["step"]["with_config"]["b"] == long[150:]
    run = daemon.end_of(other)
    assert run.failure()["kind"] in ("timeout", "exited", "protocol"), run.failure()
    assert not project.processes()


# --- logs -----------------------------------------------------------------------------------------------------------


def test_logs_and_progress_become_events_in_order(project, daemon_of):
    project.workflow("w", [step(
        "one", {"log": {"level": "debug", "message": "a"}}, {"log": {"level": "info", "message": "b\nc ä"}}, {"progress": {"current": 1, "total": None, "message": "p"}},
        {"log": {"level": "warning", "message": "d"}}, {"progress": {"current": 2, "total": 10, "message": "q"}}, {"log": {"level": "error", "message": "e"}},
        {"note": {"method": "unknown.thing", "params": {}}}, {"note": {"method": "unknown.thing", "params": {}}}, value=1)])
    run = daemon_of(project).run("w")
    assert run.status == "succeeded"
    seen = [(e["type"], e["data"]) for e in run.events if e["type"] in ("step.log", "step.progress")]
    warnings = [data for kind, data in seen if kind == "step.log" and "unknown.thing" in data["message"]]
    assert len(warnings) == 1 and warnings[0]["level"] == "warning"
    seen = [pair for pair in seen if pair[1] not in warnings]
    assert seen == [
        ("step.log", {"stream": "log", "level": "debug", "message": "a"}), ("step.log", {"stream": "log", "level": "info", "message": "b\nc ä"}),
        ("step.progress", {"current": 1, "total": None, "message": "p"}), ("step.log", {"stream": "log", "level": "warning", "message": "d"}),
        ("step.progress", {"current": 2, "total": 10, "message": "q"}), ("step.log", {"stream": "log", "level": "error", "message": "e"})]
    assert all(e["step_id"] == "one" and e["attempt"] == 1 for e in run.of("step.log") + run.of("step.progress"))


def test_stderr_line_by_line(project, daemon_of):
    project.workflow("w", [step("one", {"stderr": {"text": "first\r\n\nlast ä \x00\x1b[1m"}}, {"bytes": ""}, {"stderr": {"text": "\nunfinished"}}, {"exit": 1})])
    run = daemon_of(project).run("w")
    messages = [e["data"]["message"] for e in run.of("step.log") if e["data"]["stream"] == "stderr"]
    assert messages[0].rstrip("\r") == "first" and messages[-1] == "unfinished" and any("last ä" in m for m in messages)
    assert run.failure()["stderr"][-1] == "unfinished"


@needs(JOURNAL_KIB=65536)
def test_a_flood_of_stderr_stops_nothing(project, daemon_of):
    project.workflow("w", [step("one", {"stderr": {"text": "x" * 199 + "\n", "times": 20000}}, value=1)])
    project.workflow("long", [step("one", {"stderr": {"text": "y" * (LOG_LINE * 3) + "\nshort\n"}}, {"bytes": ""}, {"exit": 1})])
    project.workflow("binary", [step("one", {"pieces": {"pieces": ["é", "\n"], "fd": 2}}, value=1)])
    project.workflow("v", [step("one", value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    assert daemon.run("v").status == "succeeded"
    run = daemon.end_of(run_id)
    assert run.status == "succeeded"
    assert len(run.of("step.log")) + sum(e["data"].get("count", 0) for e in run.of("events.dropped")) >= 19000
    run = daemon.run("long")
    assert all(len(e["data"]["message"].encode()) <= LOG_LINE for e in run.of("step.log"))
    assert sum(map(len, run.failure()["stderr"])) <= 4096 and run.failure()["stderr"][-1] == "short"
    assert [e["data"]["message"] for e in daemon.run("binary").of("step.log")] == ["é"]


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_are_masked_in_events_and_reach_the_integration(project, daemon_of):
    odd = 'pa"ss\\w/örd\tx'
    project.file("secret").write_text("from-a-file-7\n")
    project.config["secrets"] = {"ENV": {"env": "A_SECRET"}, "FILE": {"file": str(project.file("secret"))}, "ODD": {"env": "ODD_SECRET"}}
    project.integration("tool", config={"token": "${{ secrets.ENV }}", "header": "Bearer ${{ secrets.FILE }}", "odd": "${{ secrets.ODD }}",
                                        "setup": [{"record": "setup.json"}]})
    escaped = json.dumps(odd)[1:-1]
    solid = "".join(f"\\u{ord(c):04x}" for c in "s3cr3t-value")
    project.workflow("w", [
        step("one", {"record": "execute.json"}, {"log": {"level": "info", "message": "the token is s3cr3t-value, from-a-file-7!"}},
             {"log": {"level": "info", "message": odd}}, {"progress": {"current": 1, "total": 2, "message": "s3cr3t-value"}},
             {"stderr": {"text": "Bearer from-a-file-7 s3cr3t-values\n"}}, {"pieces": {"pieces": ["cut s3cr", "3t-va", "lue here\n"], "fd": 2}},
             {"raw": '{"jsonrpc":"2.0","method":"log","params":{"level":"info","message":"esc %s"}}\n' % solid},
             value={"deep": ["s3cr3t-value", {"k": "x from-a-file-7 y"}], "odd": odd, "s3cr3t-value": 1, "fine": "s3cr3t"}, uses="tool"),
        step("two", {"value_of": ["context", "outputs", "one", "deep"]}, uses="tool"),
        step("three", {"stderr": {"text": "dying with s3cr3t-value\n"}}, {"error": {"code": 5, "message": f"denied for s3cr3t-value and {odd}"}}, uses="tool")])
    daemon = daemon_of(project, env={"A_SECRET": "s3cr3t-value", "ODD_SECRET": odd})
    run = daemon.run("w")
    assert run.status == "failed"
    # in requests they stand as they are
    assert project.read("setup.json")["params"]["config"]["token"] == "s3cr3t-value"
    config = project.read("execute.json")["params"]["step"]["with_config"]
    assert config["header"] == "Bearer from-a-file-7" and config["odd"] == odd
    # nowhere else
    journal = b"".join(path.read_bytes() for path in project.segments())
    kept = project.file(f".charter/runs/{run.id}/plan.json").read_bytes()
    for text, place in ((journal, "journal"), (json.dumps(run.events).encode(), "events"), (json.dumps(run.state).encode(), "state"), (daemon.log.encode(), "log")):
        for secret in ("s3cr3t-value", "from-a-file-7", escaped, odd, solid):
            # the plan's own text (what its steps say) is no secret's value until a process says it
            assert secret.encode() not in text, (place, secret)
    assert b"secrets.ENV" in kept
    messages = [e["data"]["message"] for e in run.of("step.log")]
    assert "the token is ***, ***!" in messages and "***" in messages and "Bearer *** ***s" in messages and "cut *** here" in messages and "esc ***" in messages
    assert run.of("step.progress")[0]["data"]["message"] == "***"
    value = run.value("one")
    assert value["deep"] == ["***", {"k": "x *** y"}] and value["odd"] == "***" and value["fine"] == "s3cr3t"
    assert run.value("two") == ["***", {"k": "x *** y"}]
    error = run.failure()
    assert "***" in error["message"] and error["stderr"][-1] == "dying with ***"


def test_a_secret_that_is_not_there(project, daemon_of):
    project.config["secrets"] = {"GONE": {"env": "NOT_SET_ANYWHERE"}, "FILE": {"file": "/nonexistent/secret"}}
    for name in ("GONE", "FILE"):
        project.integration(name.lower(), env={"X": "${{ secrets.%s }}" % name})
        project.workflow(name.lower(), [step("one", {"touch": "ran"}, value=1, uses=name.lower())])
    daemon = daemon_of(project)
    for name in ("GONE", "FILE"):
        run = daemon.run(name.lower())
        words = {"GONE": "NOT_SET_ANYWHERE", "FILE": "/nonexistent/secret"}
        assert run.status == "failed" and words[name] in run.failure()["message"], run.failure()
    assert not project.file("ran").exists()


def test_a_secret_file_is_read_when_a_process_starts(project, daemon_of):
    project.file("secret").write_text("first-value\n")
    project.config["secrets"] = {"KEY": {"file": str(project.file("secret"))}}
    project.integration("tool", env={"KEY": "${{ secrets.KEY }}"})
    project.workflow("w", [step("one", {"surroundings": "s.json"}, value=1, uses="tool")])
    daemon = daemon_of(project)
    daemon.run("w")
    assert project.read("s.json")["env"]["KEY"] == "first-value"
    project.file("secret").write_text("second-value\n")
    daemon.run("w")
    assert project.read("s.json")["env"]["KEY"] == "second-value"


# --- timeouts -------------------------------------------------------------------------------------------------------


def test_timeouts_end_whole_groups_step_by_step(project, daemon_of):
    """cancel, then SIGTERM after the grace time, then SIGKILL after another; grandchildren as well. All at once, because it takes its time."""
    project.workflow("polite", [step("one", {"spawn": {"pid": "polite.pid"}}, {"await_cancel": "polite.cancel"}, value=1, timeout_s=3)])
    project.workflow("termed", [step("one", {"spawn": {"pid": "termed.pid"}}, {"wait": "never"}, timeout_s=3)])
    project.workflow("stubborn", [step("one", {"ignore": [15, 2, 1]}, {"spawn": {"pid": "stubborn.pid", "stubborn": True}}, {"wait": "never"}, timeout_s=3)])
    project.workflow("orphan", [step("one", {"spawn": {"pid": "orphan.pid"}}, {"exit": 0}, timeout_s=60)])
    project.workflow("heir", [step("one", {"spawn": {"pid": "heir.pid"}}, value=1), step("two", value=2, uses="other")])
    project.workflow("late", [step("one", {"ignore": [15]}, {"pid": "late.pid"}, {"await_cancel": "late.cancel"}, {"last_words": ANSWER + "\n"}, {"wait": "never"}, timeout_s=3)])
    project.integration("untidy", config={"teardown": [{"pid": "untidy.pid"}, {"ignore": [15]}, {"wait": "never"}]})
    project.workflow("untidy", [step("one", value=1, uses="untidy")])
    project.integration("other")
    daemon = daemon_of(project)
    before = daemon.fds()
    ids = {name: daemon.start_run(name) for name in ("polite", "termed", "stubborn", "orphan", "heir", "late", "untidy")}
    project.wait_file("stubborn.pid")
    runs = {}
    for name in ("heir", "orphan", "polite", "termed", "late", "stubborn", "untidy"):
        runs[name] = daemon.end_of(ids[name])
    for name in ("polite", "termed", "stubborn", "late"):
        assert runs[name].status == "failed" and runs[name].failure()["kind"] == "timeout", (name, runs[name].events)
    assert runs["heir"].status == "succeeded" and runs["untidy"].status == "succeeded"
    assert runs["orphan"].failure()["kind"] == "exited"
    assert project.read("polite.cancel") == {"jsonrpc": "2.0", "method": "cancel", "params": {"id": "2"}}
    for name in ("polite", "termed", "stubborn", "orphan", "heir", "untidy"):
        pid = project.read(f"{name}.pid")
        wait_until(lambda: not alive(pid), f"{name}'s is gone", 3 * GRACE)
    assert [e for e in runs["untidy"].of("step.log") if e["data"]["level"] == "warning"]
    wait_until(lambda: not project.processes() and daemon.fds() <= before, "nothing is left", 3 * GRACE)
