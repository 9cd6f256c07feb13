"""Graphs, failures, `when` steps and retries, contract sections 2 to 4 and 7."""

import pytest

from harness import PLAIN, needs, step, wait_until
from workflows import approve, cancel, gate, manifest, one, seconds, start_waiting, types

FAIL = {"error": {"code": -32050, "message": "no luck"}}


def side_by_side(project, count):
    """Integrations p0, p1, …: steps that share one take turns."""
    for i in range(count):
        project.integration(f"p{i}")


def order(run, kind="step.started"):
    return [e["step_id"] for e in run.events if e["type"] == kind]


# --- graphs ---------------------------------------------------------------------------------------------------------


def test_a_diamond(project, daemon_of):
    side_by_side(project, 2)
    project.workflow("w", [
        step("end", value="${{ outputs.left }}+${{ outputs.right }}+${{ outputs.top }}", needs=["left", "right"]),
        step("left", {"touch": "left"}, {"wait": "right"}, value="l${{ outputs.top }}", uses="p0", needs=["top"]),
        step("right", {"touch": "right"}, {"wait": "left"}, value="r${{ outputs.top }}", uses="p1", needs=["top"]),
        step("top", value="t")], outputs={"all": "${{ outputs.end }}"})
    run = daemon_of(project).run()  # left and right wait for each other: they run side by side
    assert run.status == "succeeded" and run.outputs == {"all": "lt+rt+t"}
    assert order(run)[0] == "top" and sorted(order(run)[1:3]) == ["left", "right"] and order(run)[3] == "end"
    positions = {pair: i for i, pair in enumerate(types(run.events))}
    for before, after in (("top", "left"), ("top", "right"), ("left", "end"), ("right", "end")):
        assert positions["step.completed", before] < positions["step.started", after]


def most_at_once(run):
    now = most = 0
    for event in run.events:
        now += (event["type"] == "step.started") - (event["type"] in ("step.completed", "step.failed"))
        most = max(most, now)
    return most


@pytest.mark.parametrize("limit,wanted", [(1, 1), (2, 2), (3, 3), (None, 4)])
def test_max_parallel_is_used_and_respected(project, daemon_of, limit, wanted):
    plan = {} if limit is None else {"max_parallel": limit}
    side_by_side(project, 6)
    project.workflow("w", [step(f"s{i}", {"touch": f"on{i}"}, {"wait": "go"}, value=i, uses=f"p{i}", needs=[]) for i in range(6)], **plan)
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    wait_until(lambda: sum(project.file(f"on{i}").exists() for i in range(6)) == wanted)
    assert [s["status"] for s in daemon.status(run_id)["steps"]] == ["running"] * wanted + ["pending"] * (6 - wanted)
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and most_at_once(run) == wanted
    assert order(run) == [f"s{i}" for i in range(6)]  # who could begin begins in the plan's order


def test_steps_that_share_an_integration_take_turns(project, daemon_of):
    side_by_side(project, 1)
    project.workflow("w", [step("a", {"count": "pids"}, {"wait": "go"}, needs=[]), step("b", {"count": "pids"}, needs=[]),
                           step("c", {"touch": "go"}, uses="p0", needs=[]), gate("open", step_={"needs": []})])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "open")  # neither the gate nor the other integration waits for the first one's turns
    approve(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "succeeded"
    positions = {pair: i for i, pair in enumerate(types(run.events))}
    assert positions["step.started", "c"] < positions["step.completed", "a"] < positions["step.started", "b"]
    lines = [line.split() for line in project.file("pids").read_text().splitlines()]
    assert len(lines) == 2 and lines[0][1] == lines[1][1]  # one process


def test_without_needs_steps_run_in_order(project, daemon_of):
    project.workflow("w", [step(f"s{i}", value=i) for i in range(5)], max_parallel=4)
    run = daemon_of(project).run()
    assert most_at_once(run) == 1 and order(run) == [f"s{i}" for i in range(5)]


def test_a_failure_stops_everything_else(project, daemon_of):
    side_by_side(project, 1)
    project.workflow("w", [
        step("bad", {"wait": "go"}, FAIL, needs=[]),
        step("busy", {"touch": "busy"}, {"await_cancel": "cancelled"}, uses="p0", needs=[]),
        gate("open", step_={"needs": []}),
        step("after-busy", value=1, needs=["busy"]),
        step("after-bad", value=1, needs=["bad"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "open")
    project.wait_file("busy")
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.events[-1]["data"]["step_id"] == "bad" and run.error["message"] == "no luck"
    assert project.read("cancelled")["params"] == {"id": "2"}
    assert order(run, "step.failed")[0] == "bad" and sorted(order(run, "step.failed")) == ["bad", "busy", "open"]
    assert {run.of("step.failed", s)[0]["data"]["error"]["kind"] for s in ("busy", "open")} == {"cancelled"}
    assert sorted(order(run)) == ["bad", "busy", "open"]
    assert {s["id"]: s["status"] for s in run.state["steps"]} == {
        "bad": "failed", "busy": "failed", "open": "failed", "after-busy": "pending", "after-bad": "pending"}


def test_what_was_skipped_counts_as_met(project, daemon_of):
    project.workflow("w", [step("a", value=1, if_="1 == 2", needs=[]), step("b", value=["${{ outputs.a }}"], needs=["a"]),
                           step("c", value=3, if_="${{ outputs.a }}", needs=["a"]), step("d", value=4, needs=["b", "c"])])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("b") == [None] and run.value("d") == 4
    assert order(run, "step.skipped") == ["a", "c"]
    assert one(run.events, "step.skipped", "a")["data"]["reason"]


@pytest.mark.parametrize("steps,at", [
    ([step("a", needs=["b"]), step("b", needs=["a"])], "steps"),
    ([step("a", needs=["c"]), step("b", needs=["a"]), step("c", needs=["b"]), step("d")], "steps"),
    ([step("a", needs=["a"])], "steps[0].needs"), ([step("a", needs=["nobody"])], "steps[0].needs"),
    ([step("a"), step("b", needs=["a", "a"])], "steps[1].needs"), ([step("a", needs="b"), step("b")], "steps[0].needs"),
    ([step("a", needs=[1])], "steps[0].needs"), ([step("a", needs=[]), step("b", value="${{ outputs.a }}")], "steps[1]"),
    ([step("a", value="${{ outputs.b }}", needs=[]), step("b", needs=["a"])], "steps[0]"),
    ([step("a"), step("b", needs=["c"]), step("c", when="always")], "steps[1]")])
def test_graphs_that_cannot_be(project, daemon_of, steps, at):
    project.workflow("w", steps)
    error = daemon_of(project).refused("run.start", {"workflow_id": "w", "inputs": {}})
    assert error.code == -32007 and error.data["path"].startswith(at) and error.data["reason"], error


def test_templates_reach_through_other_needs(project, daemon_of):
    project.workflow("w", [step("a", value=1, needs=[]), step("b", value=2, needs=["a"]), step("c", value="${{ outputs.a }}${{ outputs.b }}", needs=["b"])])
    assert daemon_of(project).run().value("c") == "12"


def test_a_graph_goes_on_beside_an_open_gate(project, daemon_of):
    project.workflow("w", [
        gate("review", step_={"needs": []}),
        step("a", {"wait": "go"}, value=1, needs=[]), step("b", value=2, needs=["a"]), step("c", value=3, needs=["review", "b"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    state = daemon.status(run_id)
    assert state["status"] == "running" and state["waiting_for"] == "gate"  # something executes
    project.touch("go")
    wait_until(lambda: daemon.status(run_id)["status"] == "waiting")
    assert [s["status"] for s in daemon.status(run_id)["steps"]] == ["waiting", "completed", "completed", "pending"]
    approve(daemon, run_id)
    assert daemon.end_of(run_id).value("c") == 3


def test_a_retry_goes_on_beside_an_open_gate(project, daemon_of):
    project.workflow("w", [
        gate("review", step_={"needs": []}),
        step("a", {"once": {"file": "tried", "do": [{"exit": 1}]}}, value=1, needs=[], retry={"max_attempts": 2, "initial_ms": 50}),
        step("c", value=3, needs=["review", "a"])])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "review")
    daemon.wait_event("step.completed", run_id, "a")
    approve(daemon, run_id)
    assert daemon.end_of(run_id).status == "succeeded"


def test_needed_steps_may_fail_where_they_may(project, daemon_of):
    project.workflow("w", [step("a", FAIL, continue_on_error=True, needs=[]), step("b", value=["${{ outputs.a }}"], needs=["a"])])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("b") == [None] and run.step("a")["status"] == "failed"
    assert run.error is None and run.step("a")["error"]["kind"] == "integration_error"


# --- when -----------------------------------------------------------------------------------------------------------


def whens():
    return [step("told", value=["${{ run.error.kind }}", "${{ run.error.step_id }}", "${{ outputs.two }}"], when="failure"),
            step("tidy", value="${{ run.error.kind }}", when="always"), step("last", value=3, when="always")]


def test_when_steps_after_success(project, daemon_of):
    project.workflow("w", [whens()[1], step("one", value=1), whens()[0], step("two", value=2), whens()[2]],
                     outputs={"a": "${{ outputs.tidy }}", "b": "${{ outputs.last }}", "c": "${{ outputs.told }}"})
    run = daemon_of(project).run()
    assert run.status == "succeeded" and order(run) == ["one", "two", "tidy", "last"]
    assert run.value("tidy") is None and run.outputs == {"a": None, "b": 3, "c": None}
    assert run.step("told")["status"] in ("pending", "skipped")


def test_when_steps_after_a_failure(project, daemon_of):
    project.workflow("w", [whens()[1], step("one", FAIL), whens()[0], step("two", value=2), whens()[2]])
    run = daemon_of(project).run()
    assert run.status == "failed" and order(run) == ["one", "tidy", "told", "last"]
    assert run.value("told") == ["integration_error", "one", None] and run.value("tidy") == "integration_error"
    assert run.events[-1]["data"]["step_id"] == "one" and run.events[-1]["data"]["error"]["kind"] == "integration_error"
    assert run.events[-1]["data"]["error"] == run.error == run.failure()


def test_when_steps_of_a_graph_come_after_all_others(project, daemon_of):
    side_by_side(project, 1)
    project.workflow("w", [step("a", {"wait": "go"}, needs=[]), step("b", uses="p0", needs=[]), step("x", when="always"), step("y", when="always"),
                           step("z", when="always", needs=["a"])])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    daemon.wait_event("step.completed", run_id, "b")
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and order(run)[2:] == ["x", "y", "z"] and types(run.events).index(("step.completed", "x")) < types(
        run.events).index(("step.started", "y"))


def test_a_failing_when_step(project, daemon_of):
    project.workflow("w", [step("one", value=1), step("x", FAIL, when="always"), step("f", value="${{ run.error.step_id }}", when="failure"),
                           step("y", value="${{ run.error.step_id }}", when="always")])
    run = daemon_of(project).run()
    assert run.status == "failed" and run.value("y") == "x" and run.value("f") == "x" and run.events[-1]["data"]["step_id"] == "x"


def test_the_first_failure_is_the_runs(project, daemon_of):
    project.workflow("w", [step("one", FAIL), step("x", {"exit": 7}, when="always"), step("y", value="${{ run.error.step_id }}", when="always")])
    run = daemon_of(project).run()
    assert run.events[-1]["data"]["step_id"] == "one" and run.value("y") == "one" and run.step("x")["error"]["kind"] == "exited"


def test_when_steps_after_a_cancel(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "on"}, {"await_cancel": "c"}), step("two", value=2), *whens()])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    cancel(daemon, run_id, reason="why not")
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and order(run) == ["one", "tidy", "last"]
    assert run.of("step.failed", "one")[0]["data"]["error"]["kind"] == "cancelled" and run.value("tidy") is None


def test_a_second_cancel_stops_them(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "on"}, {"await_cancel": "c1"}), step("tidy", {"touch": "tidying"}, {"await_cancel": "c2"}, when="always"),
                           step("last", value=1, when="always")])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    cancel(daemon, run_id, reason="first")
    project.wait_file("tidying")
    cancel(daemon, run_id, reason="second")
    cancel(daemon, run_id, reason="third")
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and run.events[-1]["data"] == {"reason": "first"} and order(run) == ["one", "tidy"]
    assert run.of("step.failed", "tidy")[0]["data"]["error"]["kind"] == "cancelled"
    assert project.read("c2")["method"] == "cancel"


def test_a_cancel_while_queued_runs_nothing(project, daemon_of):
    project.workflow("w", [step("one", {"wait": "go"}), step("tidy", value=1, when="always")])
    manifest(project, "w", concurrency=1)
    daemon = daemon_of(project)
    first, second = daemon.start_run(), daemon.start_run()
    cancel(daemon, second)
    run = daemon.end_of(second)
    assert run.status == "cancelled" and order(run) == []
    project.touch("go")
    assert daemon.end_of(first).status == "succeeded"


# --- continue_on_error ----------------------------------------------------------------------------------------------


def test_a_step_that_may_fail(project, daemon_of):
    project.workflow("w", [step("one", FAIL, continue_on_error=True, output="o"), step("two", value=["${{ outputs.one.deep[3] }}", "${{ named_outputs.o }}"]),
                           step("told", value=1, when="failure"), step("tidy", value="${{ run.error }}", when="always")])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("two") == [None, None] and run.value("tidy") is None
    assert order(run) == ["one", "two", "tidy"] and run.step("one")["error"]["message"] == "no luck"


# --- retry ----------------------------------------------------------------------------------------------------------


def test_attempts_are_counted_and_the_key_stays(project, daemon_of):
    project.workflow("w", [step("one", {"count": "log"}, {"value_of": ["params", "context", "idempotency_key"]}, uses="flaky",
                                retry={"max_attempts": 4, "initial_ms": 1})])
    flaky = project.path / "flaky.py"
    flaky.write_text("""#!/usr/bin/python3 -IS
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    c = m["params"].get("context")
    if "id" not in m: continue
    answer = {"result": {"ok": True}}
    if m["method"] == "execute":
        answer = {"result": {"value": [c["idempotency_key"], c["attempt"]]}} if c["attempt"] == 3 else {
            "error": {"code": -1, "message": c["idempotency_key"] + " %d" % c["attempt"]}}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], **answer}), flush=True)
    if m["method"] == "teardown": break
""")
    flaky.chmod(0o755)
    project.config["integrations"]["flaky"] = {"command": [str(flaky)]}
    project.write_config()
    run = daemon_of(project).run()
    key = f"{run.id}/one"
    assert run.value("one") == [key, 3] and run.step("one")["attempt"] == 3
    retrying = run.of("step.retrying")
    assert [e["attempt"] for e in retrying] == [1, 2] and [e["data"]["next_attempt"] for e in retrying] == [2, 3]
    assert [e["data"]["error"]["message"] for e in retrying] == [f"{key} 1", f"{key} 2"]
    assert all(e["data"]["error"]["kind"] == "integration_error" and e["data"]["error"]["code"] == -1 for e in retrying)
    assert [e["attempt"] for e in run.of("step.started")] == [1, 2, 3] and run.of("step.completed")[0]["attempt"] == 3


def test_attempts_end_and_delays_grow(project, daemon_of):
    project.workflow("w", [step("one", FAIL, retry={"max_attempts": 5, "initial_ms": 40, "multiplier": 2, "max_ms": 100})])
    run = daemon_of(project).run()
    assert run.status == "failed" and run.step("one")["attempt"] == 5
    retrying, started = run.of("step.retrying"), run.of("step.started")
    assert len(retrying) == 4 and len(run.of("step.failed")) == 1
    for event, again, whole in zip(retrying, started[1:], (40, 80, 100, 100)):
        assert whole / 2 <= event["data"]["delay_ms"] <= whole
        assert seconds(event, again) >= event["data"]["delay_ms"] / 1000 - 0.001


@pytest.mark.parametrize("do,kind", [
    ({"error": {"code": -1, "message": "no", "data": {"retry": False}}}, "integration_error"),
    (None, "template")])
def test_what_is_not_tried_again(project, daemon_of, do, kind):
    first = step("zero", value={})
    bad = step("one", do, retry={"max_attempts": 3, "initial_ms": 1}) if do else step(
        "one", value="${{ outputs.zero.nothing }}", retry={"max_attempts": 3, "initial_ms": 1})
    project.workflow("w", [first, bad])
    run = daemon_of(project).run()
    assert run.status == "failed" and run.failure()["kind"] == kind and run.of("step.retrying") == []


def test_a_cancelled_step_is_not_tried_again(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "on"}, {"await_cancel": "c"}, retry={"max_attempts": 3, "initial_ms": 1})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    project.wait_file("on")
    cancel(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and run.of("step.retrying") == [] and run.failure()["kind"] == "cancelled"


def test_cancel_while_a_retry_waits(project, daemon_of):
    project.workflow("w", [step("one", FAIL, retry={"max_attempts": 3, "initial_ms": 60000, "max_ms": 60000})])
    daemon = daemon_of(project)
    run_id = daemon.start_run()
    daemon.wait_event("step.retrying", run_id)
    assert daemon.status(run_id)["steps"][0]["status"] == "retrying" and daemon.status(run_id)["status"] == "running"
    cancel(daemon, run_id)
    run = daemon.end_of(run_id)
    assert run.status == "cancelled" and len(run.of("step.started")) == 1


@pytest.mark.parametrize("first,same", [
    ([FAIL], True), ([{"exit": 3}], False), ([{"raw": "what?\n"}, {"hang": 1}], False), ([{"value": "no number"}], True)])
def test_which_process_tries_again(project, daemon_of, first, same):
    project.workflow("w", [step("one", {"count": "pids"}, {"once": {"file": "tried", "do": first}}, value=1,
                                retry={"max_attempts": 2, "initial_ms": 1}, output_type="number")])
    if first == [FAIL] or "value" in first[0]:  # these answer: the rest of the list must not answer again
        project.workflow("w", [step("one", {"count": "pids"}, *first, retry={"max_attempts": 2, "initial_ms": 1}, output_type="number")])
    run = daemon_of(project).run()
    lines = [line.split() for line in project.file("pids").read_text().splitlines()]
    assert [line[2] for line in lines] == ["1", "2"]
    assert (lines[0][1] == lines[1][1]) == same
    assert run.status == ("failed" if same else "succeeded")


def test_a_timeout_is_tried_again_in_a_new_process(project, daemon_of):
    project.workflow("w", [step("one", {"count": "pids"}, {"once": {"file": "tried", "do": [{"await_cancel": "c"}, {"exit": 0}]}}, value=1,
                                timeout_s=3 if PLAIN else 5, retry={"max_attempts": 2, "initial_ms": 1})])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.of("step.retrying")[0]["data"]["error"]["kind"] == "timeout"
    lines = [line.split() for line in project.file("pids").read_text().splitlines()]
    assert len({line[1] for line in lines}) == 2 and project.read("c")["method"] == "cancel"


@pytest.mark.parametrize("retry", [{"max_attempts": 0}, {"max_attempts": "3"}, {}, {"max_attempts": 2, "multiplier": 0.5}, {"max_attempts": 2, "initial_ms": -1},
                                   {"max_attempts": 2, "initial_ms": 10, "max_ms": 5}, {"max_attempts": 2, "forever": True}])
def test_retries_that_cannot_be(project, daemon_of, retry):
    project.workflow("w", [step("one", value=1, retry=retry)])
    error = daemon_of(project).refused("run.start", {"workflow_id": "w", "inputs": {}})
    assert error.code == -32007 and error.data["path"].startswith("steps[0].retry"), error


def test_a_step_that_waits_for_its_retry_leaves_its_place_to_others(project, daemon_of):
    project.workflow("w", [step("a", {"exit": 1}, needs=[], retry={"max_attempts": 2, "initial_ms": 600, "multiplier": 1, "max_ms": 600}), step("b", value=1, needs=[])],
                     max_parallel=1)
    run = daemon_of(project).run()
    assert run.status == "failed" and order(run) == ["a", "b", "a"]


@needs(STEPS_PER_PLAN=128)
def test_as_many_gates_as_a_plan_has_steps(project, daemon_of):
    project.workflow("w", [gate(f"g{i}", step_={"needs": []}) for i in range(128)])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "g127")
    for i in reversed(range(128)):
        approve(daemon, run_id, step_id=f"g{i}")
    assert daemon.end_of(run_id).status == "succeeded"
