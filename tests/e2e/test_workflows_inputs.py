"""Input steps, contract sections 3 to 5: fields with types and constraints, answers checked by path, one submitter wins."""

import json
import os
import threading

import pytest

from harness import MESSAGE, RpcError, needs, step
from workflows import cancel, gate, one, question, seconds, start_waiting, submit, types

BY = f"uid:{os.getuid()}"
FIELDS = {"recipient": {"type": "string", "required": True, "description": "An address"}, "urgent": {"type": "boolean", "default": False},
          "note": {"type": "string"}}


def asking(project, fields=None, *after, **members):
    project.workflow("w", [question("details", FIELDS if fields is None else fields, **members), *after])


def refused(daemon, run_id, answers, **params):
    return daemon.refused("run.submit_input", {"run_id": run_id, "answers": answers, **params})


def test_an_input_step_from_beginning_to_end(project, daemon_of):
    project.workflow("w", [
        step("one", value="Köln"),
        question("details", FIELDS, "Who gets ${{ outputs.one }}?", timeout_s=600, step_={"output": "told"}),
        step("two", value=["${{ outputs.details }}", "${{ named_outputs.told.urgent }}"], **{"if": "${{ outputs.details.urgent }} == false"})])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    state = daemon.status(run_id)
    assert (state["status"], state["waiting_for"]) == ("waiting", "input")
    waiting = daemon.wait_event("run.waiting", run_id)
    assert waiting["data"] == {"for": "input", "message": "Who gets Köln?", "fields": FIELDS, "deadline": waiting["data"]["deadline"]}
    assert state["waiting"] == {"step_id": "details", "message": "Who gets Köln?", "fields": FIELDS, "deadline": waiting["data"]["deadline"]}
    assert seconds(waiting, waiting["data"]["deadline"]) == pytest.approx(600, abs=0.01)
    submit(daemon, run_id, {"recipient": "a@example.org"}, actor="anna")
    run = daemon.end_of(run_id)
    answers = {"recipient": "a@example.org", "urgent": False}
    assert types(run.events)[4:9] == [("step.started", "details"), ("run.waiting", "details"), ("run.input_submitted", "details"),
                                      ("step.completed", "details"), ("step.started", "two")]
    assert one(run.events, "step.started", "details")["data"] == {"uses": "input"}
    assert one(run.events, "run.input_submitted")["data"] == {"answers": answers, "channel": "local", "actor": "anna", "by": BY}
    assert one(run.events, "step.completed", "details")["data"] == {"value": answers, "output": "told"}
    assert run.value("two") == [answers, False]


@needs("PATTERN")
@pytest.mark.parametrize("declared,good,bad", [
    ({"type": "string"}, ["", "x", "ü\u0000\n"], [1, None, True, [], {}]),
    ({"type": "integer"}, [0, -3, 9223372036854775807], [1.5, "1", 9223372036854775808, None]),
    ({"type": "number"}, [0, 1.5, 1e300, -2], ["1", True, None]),
    ({"type": "boolean"}, [True, False], [0, 1, "true", None]),
    ({"type": "array"}, [[], [1, "a", None]], [{}, "[]", 1]),
    ({"type": "object"}, [{}, {"a": {"b": []}}], [[], "{}"]),
    ({"type": "array", "items": "integer"}, [[], [1, 2]], [["a"], [1, 1.5]]),
    ({"type": "string", "enum": ["a", "b"]}, ["a", "b"], ["A", "c", ""]),
    ({"type": "integer", "minimum": 2, "maximum": 4}, [2, 4], [1, 5]),
    ({"type": "number", "minimum": 0.5}, [0.5, 0.50, 7], [0.49]),
    ({"type": "string", "min_length": 2, "max_length": 3}, ["ab", "äöü", "😀😀"], ["a", "abcd", "ä"]),
    ({"type": "string", "pattern": "^[a-z]+(-[0-9]{2})?$"}, ["abc", "abc-12"], ["abc-1", "Abc", ""]),
    ({"type": "string", "pattern": "b+"}, ["abba"], ["aa"]),
])
def test_types_and_constraints(project, daemon_of, declared, good, bad):
    asking(project, {"x": declared}, timeout_s=600)
    daemon = daemon_of(project)
    for value in good:
        run_id = start_waiting(daemon, "details")
        for wrong in bad:
            error = refused(daemon, run_id, {"x": wrong})
            assert error.code == -32006 and error.data["path"].split("[")[0] == "answers.x" and error.data["reason"], (wrong, error)
        assert daemon.status(run_id)["status"] == "waiting"
        submit(daemon, run_id, {"x": value})
        run = daemon.end_of(run_id)
        assert run.status == "succeeded" and run.value("details") == {"x": value}
        assert run.kinds().count("run.input_submitted") == 1  # what was refused has left no trace
        bad = bad[:1]


def test_items_are_named_by_their_place(project, daemon_of):
    asking(project, {"x": {"type": "array", "items": "integer"}})
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    assert refused(daemon, run_id, {"x": [1, 2, "3"]}).data["path"] == "answers.x[2]"
    cancel(daemon, run_id)
    daemon.end_of(run_id)


def test_required_unknown_and_defaults(project, daemon_of):
    asking(project, {**FIELDS, "days": {"type": "integer", "default": 7}, "list": {"type": "array", "default": [1]}})
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    error = refused(daemon, run_id, {})
    assert error.code == -32006 and error.data["path"] == "answers.recipient"
    error = refused(daemon, run_id, {"recipient": "x", "recipent": "y"})
    assert error.code == -32006 and error.data["path"] == "answers.recipent"
    error = refused(daemon, run_id, {"recipient": None})
    assert error.code == -32006 and error.data["path"] == "answers.recipient"
    submit(daemon, run_id, {"days": 3, "recipient": "x"})
    run = daemon.end_of(run_id)
    assert run.value("details") == {"recipient": "x", "urgent": False, "days": 3, "list": [1]}


@pytest.mark.parametrize("params,path", [
    ({}, "answers"), ({"answers": []}, "answers"), ({"answers": "x"}, "answers"), ({"answers": None}, "answers"),
    ({"answers": {}, "step_id": 1}, "step_id"), ({"answers": {}, "actor": {}}, "actor"),
    ({"answers": {"recipient": "x" * (MESSAGE // 2 + 232)}}, "answers")])
def test_params_that_do_not_fit(project, daemon_of, params, path):
    asking(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    error = daemon.refused("run.submit_input", {"run_id": run_id, **params})
    assert error.code in (-32602, -32006) and error.data["path"] == path
    assert daemon.status(run_id)["status"] == "waiting"
    submit(daemon, run_id, {"recipient": "x" * (MESSAGE // 2 - 2768)})
    assert daemon.end_of(run_id).status == "succeeded"


def test_an_answer_given_twice_is_refused(project, daemon_of):
    asking(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.submit_input","params":{"run_id":"%s","answers":'
                        b'{"recipient":"a","recipient":"b"}}}\n' % run_id.encode())
        with pytest.raises(RpcError) as caught:
            client.answer(1)
    assert caught.value.code in (-32006, -32600)
    assert daemon.status(run_id)["status"] == "waiting"
    submit(daemon, run_id, {"recipient": "c"})
    assert daemon.end_of(run_id).value("details")["recipient"] == "c"


def test_numbers_in_answers_stay_as_they_were_written(project, daemon_of):
    asking(project, {"n": {"type": "number"}, "o": {"type": "object"}})
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.submit_input","params":{"run_id":"%s","answers":'
                        b'{"n":1.10,"o":{"b":100000000000000000000000,"a":1E+2}}}}\n' % run_id.encode())
        assert client.answer(1)["run_id"] == run_id
    daemon.end_of(run_id)
    with daemon.client() as client:
        client.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"run.events","params":{"run_id":"%s"}}\n' % run_id.encode())
        lines = [client.line() for _ in range(9)]
    (line,) = [line for line in lines if b"run.input_submitted" in line]
    assert b'"n":1.10,"o":{"b":100000000000000000000000,"a":1E+2}' in line


def test_answered_twice(project, daemon_of):
    asking(project, None, step("two", {"wait": "go"}))
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    submit(daemon, run_id, {"recipient": "a"}, actor="anna")
    submitted = daemon.wait_event("run.input_submitted", run_id)
    wanted = {"decision": None, "actor": "anna", "by": BY, "time": submitted["time"]}
    assert refused(daemon, run_id, {"recipient": "b"}).data == {"status": "running", **wanted}
    assert refused(daemon, run_id, {"recipient": "b"}, step_id="details").code == -32011
    assert refused(daemon, run_id, {"recipient": "b"}, step_id="nobody").code == -32005
    error = daemon.refused("run.resume", {"run_id": run_id, "decision": "approve"})  # there is no gate at all
    assert error.code == -32011 and error.data == {"status": "running"}
    project.touch("go")
    daemon.end_of(run_id)
    error = refused(daemon, run_id, {"recipient": "b"})
    assert error.code == -32011 and error.data == {"status": "succeeded", **wanted}


def test_of_many_at_once_one_wins(project, daemon_of):
    asking(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    outcomes = []

    def answer(name):
        try:
            submit(daemon, run_id, {"recipient": name}, actor=name)
            outcomes.append((name, None))
        except RpcError as error:
            outcomes.append((name, error))
    threads = [threading.Thread(target=answer, args=(f"u{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = daemon.end_of(run_id)
    (winner,) = [name for name, error in outcomes if error is None]
    assert run.value("details")["recipient"] == winner
    submitted = one(run.events, "run.input_submitted")
    for _, error in outcomes:
        if error is not None:
            assert error.code == -32011 and error.data["actor"] == winner and error.data["time"] == submitted["time"], error


def test_several_questions_and_a_gate_at_once(project, daemon_of):
    asking(project)
    project.workflow("w", [question("a", {}, step_={"needs": []}), question("b", {"n": {"type": "integer"}}, step_={"needs": []}), gate("c")])
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "c")
    error = refused(daemon, run_id, {})
    assert error.code == -32602 and error.data["path"] == "step_id"
    assert refused(daemon, run_id, {"n": 1}, step_id="a").data["path"] == "answers.n"
    assert refused(daemon, run_id, {"n": 1}, step_id="c").code == -32011
    submit(daemon, run_id, {"n": 1}, step_id="b")
    daemon.call("run.resume", {"run_id": run_id, "decision": "approve"})  # one gate alone
    submit(daemon, run_id, {})  # and one question alone
    run = daemon.end_of(run_id)
    assert run.status == "succeeded" and run.value("a") == {} and run.value("b") == {"n": 1}


@pytest.mark.parametrize("policy,status", [(None, "denied"), ("deny", "denied"), ("fail", "failed")])
def test_nobody_answers_in_time(project, daemon_of, policy, status):
    asking(project, None, step("tidy", value="${{ run.error.kind }}", when="always"), timeout_s=0.1,
           **({"on_timeout": policy} if policy else {}))
    run = daemon_of(project).run()
    assert run.status == status and run.value("tidy") == "timeout"
    assert run.of("run.input_submitted") == []
    data = run.events[-1]["data"]
    if status == "denied":
        assert data == {"step_id": "details", "reason": "timeout"}
    else:
        assert data["step_id"] == "details" and data["error"]["kind"] == "timeout"


@pytest.mark.parametrize("member", [
    {"input": {"message": "x", "fields": {}, "on_timeout": "approve"}}, {"input": {"message": "x", "fields": {"a": {"type": "text"}}}},
    {"input": {"message": "x", "fields": {"a b": {"type": "string"}}}}, {"input": {"fields": {"a": {"type": "string", "pattern": "("}}}},
    {"input": {"message": "x", "fields": {"a": {"type": "integer", "default": "x"}}}}, {"input": {"message": 1, "fields": {}}},
    {"gate": {"message": "x", "on_timeout": "maybe"}}, {"gate": {"message": "x", "timeout_s": 0}}, {"gate": {"message": "x", "timeout_s": -1}},
    {"gate": {"message": "x"}, "input": {"fields": {}}}, {"gate": {"message": "x"}, "uses": "puppet"}, {"gate": {"message": "${{ outputs.later }}"}},
    {"gate": {"message": "x", "approvers": []}}, {"gate": "x"}])
def test_declarations_that_cannot_be(project, daemon_of, member):
    project.workflow("w", [{"id": "s", **member}, step("later", value=1)])
    error = daemon_of(project).refused("run.start", {"workflow_id": "w", "inputs": {}})
    assert error.code == -32007 and error.data["path"].startswith("steps[0]"), error


def test_a_cancelled_question_takes_no_answer(project, daemon_of):
    asking(project)
    daemon = daemon_of(project)
    run_id = start_waiting(daemon, "details")
    cancel(daemon, run_id)
    assert daemon.end_of(run_id).status == "cancelled"
    error = refused(daemon, run_id, {"recipient": "x"})
    assert error.code == -32011 and error.data == {"status": "cancelled"}


def test_secrets_in_answers_are_masked_also_for_later_steps(project, daemon_of):
    project.config["secrets"] = {"TOKEN": {"env": "WF_TOKEN"}}
    project.integration("puppet", env={"TOKEN": "${{ secrets.TOKEN }}"})
    asking(project, None, step("two", {"record": "request"}, inputs={"x": "${{ outputs.details.recipient }}"}))
    daemon = daemon_of(project, env={"WF_TOKEN": "hush-hush-hush"})
    run_id = start_waiting(daemon, "details")
    submit(daemon, run_id, {"recipient": "hush-hush-hush!"})
    run = daemon.end_of(run_id)
    assert "hush" not in json.dumps(run.events) and run.value("details")["recipient"] == "***!"
    assert project.read("request")["params"]["context"]["inputs"] == {"x": "***!"}
