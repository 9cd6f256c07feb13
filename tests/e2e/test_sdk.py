"""The SDK for C: this plays the daemon over pipes, tests/integrations/actor.c does what it is told. Contract sections 1 and 2."""

import json
import os
import select
import shutil
import subprocess
import time

import pytest

from harness import BUILD, DEADLINE, ROOT, needs, step

ACTOR = BUILD / "integrations" / "actor"
LIBRARY = BUILD / "libcharter-integration.a"
REQUEST = 16384 - 256  # of actor.c: what one request may be
CONFIG, INPUTS, OUTPUTS, NAMED = range(4)

pytestmark = pytest.mark.skipif(not ACTOR.exists(), reason="the SDK's test integrations are not built")


class Peer:
    """One integration process, and the daemon's end of its pipes."""

    def __init__(self, program=ACTOR, env=None, set_up=True):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={"PATH": os.environ["PATH"], **(env or {})})
        self.ids, self.buffer, self.notices = 0, b"", []
        if set_up:
            assert self.call("setup", {"run_id": "r-1", "integration": "actor", "config": {}}) == {"result": {"ok": True}}

    def send(self, text):
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        self.process.stdin.flush()

    def line(self, timeout=DEADLINE):
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            assert ready, "no line in time"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"stdout has ended: {self.buffer}"
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def request(self, method, params, request_id=None):
        self.ids += 1
        request_id = str(self.ids) if request_id is None else request_id
        self.send(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}, ensure_ascii=False) + "\n")
        return request_id

    def answer(self, request_id):
        """The answer without jsonrpc and id; notifications before it are kept."""
        while True:
            message = self.line()
            assert message.pop("jsonrpc") == "2.0"
            if "method" in message:
                assert "id" not in message
                self.notices.append(message)
                continue
            assert message.pop("id") == request_id and len(message) == 1, message
            return message

    def call(self, method, params):
        return self.answer(self.request(method, params))

    def params(self, *do, config=None, step=None, **context):
        return {"step": {"id": "s", "uses": "actor", "with_config": {"do": list(do), **(config or {})}, "output": None, "output_type": "json", **(step or {})},
                "context": {"run_id": "r-1", "workflow_id": "w", "attempt": 1, "idempotency_key": "r-1/s", "deadline_ms": None,
                            "artifacts_dir": "/nowhere", "inputs": {}, "outputs": {}, "named_outputs": {}, **context}}

    def do(self, *do, **more):
        """What the operations gave."""
        answer = self.call("execute", self.params(*do, **more))
        assert "result" in answer, answer
        return answer["result"]["value"]

    def error(self, *do, **more):
        return self.call("execute", self.params(*do, **more))["error"]

    def end(self):
        """Closes stdin; exit code and stderr."""
        self.process.stdin.close()
        err = self.process.stderr.read().decode()
        assert self.process.stdout.read() == b""
        return self.process.wait(DEADLINE), err


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    if peer.process.poll() is None:
        peer.process.kill()
    peer.process.wait()


# --- life ---------------------------------------------------------------------------------------------------------------


def test_setup_execute_teardown_and_the_end_in_order(peer):
    assert peer.do(["deadline"]) == [-1]
    assert peer.call("teardown", {}) == {"result": {"ok": True}}
    code, err = peer.end()
    assert code == 0 and err == "setup of actor: short\nteardown of r-1\n"


def test_teardown_also_where_the_daemon_has_gone(peer):
    code, err = peer.end()
    assert code == 0 and err.endswith("teardown of r-1\n")


def test_no_teardown_without_setup():
    peer = Peer(set_up=False)
    assert peer.call("execute", peer.params(["nothing"]))["error"]["code"] == -32011
    assert peer.call("teardown", {}) == {"result": {"ok": True}}
    assert peer.end() == (0, "")


def test_a_setup_that_fails_is_an_error_and_may_come_again():
    peer = Peer(set_up=False)
    failing = {"run_id": "r-1", "integration": "a", "config": {"object": {"setup": [["fail", 7, "no such host"]]}}}
    assert peer.call("setup", failing) == {"error": {"code": 7, "message": "no such host"}}
    assert peer.call("setup", {"run_id": "r-1", "integration": "a", "config": {"word": "wrong"}})["error"] == {
        "code": -32006, "message": 'config.word must be one of ["short","long","caf\\u00e9"]', "data": {"path": "config.word", "retry": False}}
    assert peer.call("setup", {"run_id": "r-1", "integration": "a", "config": {"word": "café"}}) == {"result": {"ok": True}}
    assert peer.call("setup", {"run_id": "r-1", "integration": "a", "config": {}})["error"]["code"] == -32011
    code, err = peer.end()
    assert code == 0 and "setup of a: café\n" in err and err.count("teardown") == 1


def test_required_config_may_come_with_the_step():
    peer = Peer(env={"ACTOR_REQUIRES": "1"})
    assert peer.error(["state"]) == {"code": -32006, "message": "config.path is required", "data": {"path": "config.path", "retry": False}}
    assert peer.do(["get", "value", CONFIG, "path"], config={"path": [1]}) == [[1]]
    peer.end()


# --- what a step is given -----------------------------------------------------------------------------------------------


def test_step_and_context_as_they_came(peer):
    (state,) = peer.do(["state"], step={"id": "the-step", "uses": "tool", "output": "out", "output_type": "list"}, run_id="r-2", workflow_id="flow", attempt=3,
                       idempotency_key="r-2/the-step", deadline_ms=1234, artifacts_dir=".charter/runs/r-2/files/é",
                       config={"word": "long", "number": -3, "ratio": 2.5, "flag": False, "object": {"b": [1, 2.50]}}, inputs={"city": "Köln", "days": 2, "more": 1})
    assert state == {"id": "the-step", "uses": "tool", "output": "out", "output_type": "list", "run_id": "r-2", "workflow_id": "flow", "attempt": 3,
                     "idempotency_key": "r-2/the-step", "deadline_ms": 1234, "artifacts_dir": ".charter/runs/r-2/files/é", "name": "tool", "run": "r-2", "user": "mine",
                     "word": "long", "number": -3, "ratio": 2.5, "flag": False, "object": {"b": [1, 2.5]}, "city": "Köln", "days": 2}
    (state,) = peer.do(["state"])
    assert (state["output"], state["deadline_ms"], state["word"], state["number"], state["ratio"], state["flag"], state["object"], state["city"], state["days"]) == (
        "", -1, "short", 5, 0, True, None, "Rome", 0), "defaults, nothing left of the step before"


VIEW = {"text": "a\"\\/\b\f\n\r\té😀", "list": [{"x": [1, 2]}, "s"], "number": -1.5e-7, "big": 123456789012345678901234567890, "i": -9223372036854775808,
        "yes": True, "none": None, "object": {"a.b": 1, "a": {"b": 2}}, "empty": ""}


def test_access_by_path(peer):
    given = {"inputs": VIEW, "outputs": {"fetch": VIEW}, "named_outputs": {"w": VIEW}, "config": {"object": VIEW}}
    for root, above in ((INPUTS, ""), (OUTPUTS, "fetch."), (NAMED, "w."), (CONFIG, "object.")):
        def get(kind, path, *otherwise):
            return ["get", kind, root, above + path, *otherwise]
        assert peer.do(get("string", "text"), get("string", "text"), get("string", "empty"), get("string", "list[1]"), get("value", "list[0].x"), get("integer", "list[0].x[1]"),
                       get("number", "number"), get("integer", "i"), get("boolean", "yes"), get("value", "none"), get("value", "big"), get("integer", "object.a.b"), **given) == [
            VIEW["text"], VIEW["text"], "", "s", [1, 2], 2, -1.5e-7, VIEW["i"], True, None, VIEW["big"], 2]
        assert peer.do(get("string", "x", "d"), get("string", "none", "d"), get("string", "text", "d"), get("integer", "list[9]", 4), get("integer", "list[x]", 4), get("integer", "text.x", 4),
                       get("number", "x", 0), get("boolean", "yes.x", 0), get("has", "none"), get("has", "yes"), get("has", "x"), get("has", "list[0].x[2]"), **given) == [
            "d", "d", VIEW["text"], 4, 4, 4, 0.5, True, False, True, False, False]


@pytest.mark.parametrize("kind, path, message", [
    ("string", "x", "inputs.x is missing"), ("string", "i", "inputs.i must be a string, it is a number"),
    ("integer", "number", "inputs.number must be an integer of 64 bits, it is a number"), ("integer", "big", "inputs.big must be an integer of 64 bits, it is a number"),
    ("number", "text", "inputs.text must be a number in the range of a double, it is a string"), ("boolean", "none", "inputs.none must be true or false, it is null"),
    ("value", "list[7].y", "inputs.list[7].y is missing"), ("string", "nul", "inputs.nul must be a string without U+0000 that fits the request buffer, it is a string")])
def test_what_is_missing_or_of_another_type_fails_the_step(peer, kind, path, message):
    error = peer.error(["get", kind, INPUTS, path], ["failed"], ["fail", 3, "never told"], inputs={**VIEW, "nul": "a\0b"})
    assert error == {"code": -32006, "message": message, "data": {"path": f"inputs.{path}", "retry": False}}
    if message.endswith("missing") is False:
        assert peer.error(["get", kind, INPUTS, path, 1], inputs={**VIEW, "nul": "a\0b", "none": 1})["message"].startswith(f"inputs.{path} must be")


def test_strings_are_decoded_once_however_often_they_are_asked_for(peer):
    text = "x" * 1500
    assert set(peer.do(*[["get", "has", INPUTS, "text"]] * 10, inputs={"text": text})) == {True}
    got = peer.do(*[["get", "string", INPUTS, "text"]] * 3, inputs={"text": text})
    assert got == [text] * 3
    # Many that are different fill the buffer, and that is said.
    many = {f"k{n}": "y" * 300 for n in range(40)}
    error = peer.error(*[["get", "string", INPUTS, f"k{n}"] for n in range(40)], inputs=many)
    assert "fits the request buffer" in error["message"]
    assert peer.do(["get", "string", INPUTS, "k39"], inputs=many) == ["y" * 300]


def test_numbers_whatever_the_locale(peer):
    wanted = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    comma = next((name for name in wanted if name.startswith(("de_DE", "fr_FR"))), "C")
    numbers = [0.1, -0.0, 1e300, 5e-324, 1 / 3, 123456789.125, 2.0 ** 60]
    for value in numbers:
        got = peer.do(["locale", comma], ["get", "number", INPUTS, "n"], inputs={"n": value})
        assert repr(got[1]) == repr(float(value)) or got[1] == value
    assert "in the range of a double" in peer.error(["get", "number", INPUTS, "n"], inputs={"n": 10 ** 400})["message"]


@pytest.mark.parametrize("config, message", [
    ({"word": 1}, "config.word must be a string, it is a number"), ({"word": "longer than it may be"}, "config.word must have no U+0000, and at most this many bytes: 7"),
    ({"number": 10}, "config.number must be at most 9"), ({"number": -4}, "config.number must be at least -3"), ({"number": 1.0}, "config.number must be an integer of 64 bits, it is a number"),
    ({"ratio": -0.1}, "config.ratio must be at least 0"), ({"flag": None}, "config.flag must be true or false, it is null"), ({"object": []}, "config.object must be an object, it is a list"),
    ({"do": {}}, "config.do must be a list, it is an object"), ({"colour": 1}, "config.colour is not known")])
def test_config_that_does_not_fit_is_refused_by_path(peer, config, message):
    path = message.split()[0]
    assert peer.error(["state"], config=config) == {"code": -32006, "message": message, "data": {"path": path, "retry": False}}
    assert peer.do(["failed"]) == [False]


def test_inputs_are_filled_and_refused_alike(peer):
    assert peer.error(["state"], inputs={"city": ["x"]}) == {"code": -32006, "message": "inputs.city must be a string, it is a list",
                                                             "data": {"path": "inputs.city", "retry": False}}


def test_a_member_given_twice_is_refused(peer):
    params = json.dumps(peer.params(["state"]))
    twice = params.replace('"with_config": {', '"with_config": {"number": 1, "number": 2, ')
    peer.send('{"jsonrpc":"2.0","id":"2","method":"execute","params":%s}\n' % twice)
    assert peer.answer("2")["error"]["message"] == "config.number is given twice"
    peer.send('{"jsonrpc":"2.0","id":"3","method":"execute","params":%s}\n' % params.replace('"run_id"', '"run_id": "x", "run_id"'))
    assert peer.answer("3")["error"]["code"] == -32600


# --- results and failures ---------------------------------------------------------------------------------------------------


def test_values_of_every_type(peer):
    for op, value in ((["return", {"any": [1, "x", None]}], {"any": [1, "x", None]}), (["return string", "é\"\\\n\u0001"], "é\"\\\n\u0001"), (["return integer", -(2 ** 63)], -(2 ** 63)),
                      (["return number", 0.1], 0.1), (["return number", 3], 3), (["return boolean"], True), (["return json", " [1 , 2.50] "], [1, 2.5]), (["nothing"], None)):
        assert peer.call("execute", peer.params(op)) == {"result": {"value": value}}, op


def test_what_is_no_value_fails_the_step(peer):
    for op, words in ((["return json", "{\"a\":}"], "not JSON"), (["return json", ""], "not JSON"), (["return number", 1, "infinite"], "not finite"), (["half"], "not whole"),
                      (["return", "x" * 6001], "over 6000 bytes")):
        error = peer.error(op)
        assert error["code"] == -32603 and words in error["message"] and error["data"] == {"retry": False}
    assert peer.do(["failed"]) == [False]


def test_failures(peer):
    assert peer.error(["fail", 42, "é \"quoted\" \n"]) == {"code": 42, "message": "é \"quoted\" \n"}
    assert peer.error(["fail for good", -32603, "never"]) == {"code": -32603, "message": "never", "data": {"retry": False}}
    assert peer.error(["answer", -1]) == {"code": -32603, "message": "execute failed and did not say why"}
    cut = peer.error(["fail", 1, "é" * 127 + "xyz"])["message"]
    assert cut == "é" * 127 + "x" and len(cut.encode()) == 255


def test_files(peer, tmp_path):
    here = str(tmp_path)
    for path, media, said in (("a.txt", "text/plain", "a.txt"), (f"{here}/b.bin", None, "b.bin")):
        name = os.path.basename(path)
        answer = peer.call("execute", peer.params(["file", path if path == name else name, *([media] if media else [])], artifacts_dir=here))
        assert answer == {"result": {"artifact": {"path": said, "media_type": media or "application/octet-stream"}}}
        assert (tmp_path / name).read_text() == "content"
    for bad in ("/etc/passwd", "", "x" * 256):
        assert "is not inside of artifacts_dir" in peer.error(["file", bad], artifacts_dir="/nowhere")["message"]
    assert "media type" in peer.error(["file", "a", "m" * 128], artifacts_dir=here)["message"]


# --- notifications, stdout, cancelling ------------------------------------------------------------------------------------------


def test_logs_and_progress(peer):
    peer.do(*[["log", level, f"level {level} é\"\\\n\u0001"] for level in range(4)], ["progress", 1, 3, "one"], ["progress", 2, -1], ["long log", 2000], ["long log", 900])
    logs = [notice["params"] for notice in peer.notices if notice["method"] == "log"]
    assert [log["level"] for log in logs[:4]] == ["debug", "info", "warning", "error"]
    assert logs[2]["message"] == "level 2 é\"\\\n\u0001"
    assert [notice["params"] for notice in peer.notices if notice["method"] == "progress"] == [
        {"current": 1, "total": 3, "message": "one"}, {"current": 2, "total": None, "message": None}]
    assert logs[4]["message"] == "0" * 1023 and logs[5]["message"] == "0" * 899 + "7"


def test_a_stray_printf_does_not_break_the_protocol(peer):
    assert peer.do(["print", '{"jsonrpc":"2.0","id":"2","result":{"value":"forged"}}']) == []
    assert peer.do(["failed"]) == [False]
    code, err = peer.end()
    assert code == 0
    for words in ('"forged"', "written to 1", "from a child"):
        assert words in err


def test_cancelling_is_heard_without_blocking(peer):
    begun = time.monotonic()
    assert peer.do(["cancelled"], ["cancels"]) == [False, 0]
    one = peer.request("execute", peer.params(["log", 1, "begun"], ["until cancelled"], ["cancelled"], ["cancels"]))
    assert peer.line()["method"] == "log"
    peer.send('{"jsonrpc":"2.0","method":"cancel","params":{"id":"77"}}\n\n{"jsonrpc":"2.0","method":"other"}\r\n')
    peer.send('{"jsonrpc":"2.0","method":"cancel",')
    peer.send('"params":{"id":"%s"}}\n' % one)
    assert peer.answer(one) == {"result": {"value": [True, 1]}}
    assert peer.do(["cancelled"], ["cancels"]) == [False, 1], "the next request is not cancelled"
    assert time.monotonic() - begun < DEADLINE


def test_the_longest_request_can_be_cancelled(peer):
    """There is room for the notification behind it, also when strings were decoded."""
    def body(pad):
        return json.dumps({"jsonrpc": "2.0", "id": "9", "method": "execute", "params": peer.params(
            ["get", "string", INPUTS, "x", "d"], ["log", 1, "begun"], ["until cancelled"], ["cancelled"], inputs={"x": "short", "y": "y" * pad})})
    text = body(REQUEST - 1 - len(body(0)))
    assert len(text) == REQUEST - 1
    peer.send(text + "\n")
    assert peer.line()["method"] == "log"
    peer.send('{"jsonrpc":"2.0","method":"cancel","params":{"id":"9"}}\n')
    # No room is left for what is decoded: that is said, and the step still hears its end.
    assert "fits the request buffer" in peer.answer("9")["error"]["message"]
    assert peer.do(["cancelled"]) == [False]


def test_a_wait_ends_with_the_cancel_its_time_or_the_deadline(peer):
    one = peer.request("execute", peer.params(["log", 1, "begun"], ["wait", 60000, -1], ["answer", -1]))
    peer.line()
    peer.send('{"jsonrpc":"2.0","method":"cancel","params":{"id":"%s"}}\n' % one)
    assert peer.answer(one) == {"error": {"code": -32015, "message": "cancelled"}}
    assert peer.do(["wait", 20, -1], ["wait", 0, -1]) == [1, 1]
    waited, left = peer.do(["wait", 60000, -1], ["deadline"], deadline_ms=60)
    assert (waited, left) == (1, 0)
    (left,) = peer.do(["deadline"], deadline_ms=60000)
    assert 0 < left <= 60000


def test_a_request_behind_the_present_one_waits_its_turn(peer):
    first = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "execute", "params": peer.params(["cancelled"], ["wait", 30, -1], ["cancelled"])})
    second = json.dumps({"jsonrpc": "2.0", "id": "two", "method": "execute", "params": peer.params(["get", "string", INPUTS, "t"], inputs={"t": "z" * 3000})})
    peer.send(first + "\n" + second + "\n" + '{"jsonrpc":"2.0","id":3,"method":"teardown"}\n')
    assert peer.answer(1) == {"result": {"value": [False, 1, False]}}
    assert peer.answer("two") == {"result": {"value": ["z" * 3000]}}
    assert peer.answer(3) == {"result": {"ok": True}}


# --- what a peer may do wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, code", [
    ("{", -32700), ("[]", -32600), ("1", -32600), ('{"jsonrpc":"1.0","id":1,"method":"setup"}', -32600), ('{"jsonrpc":"2.0","id":1}', -32600), ("[" * 40, -32700),
    ('{"jsonrpc":"2.0","id":{},"method":"setup"}', -32600), ('{"jsonrpc":"2.0","id":1,"id":2,"method":"setup"}', -32600), ('{"jsonrpc":"2.0","id":1,"method":"unknown"}', -32601),
    ('{"jsonrpc":"2.0","id":1,"method":"execute"}', -32602), ('{"jsonrpc":"2.0","id":1,"method":"execute","params":[]}', -32602),
    ('{"jsonrpc":"2.0","id":1,"method":"execute","params":{"step":{},"context":{}}}', -32602), ("\x00", -32700), ('{"jsonrpc":"2.0","id":1,"method":"execute","params":{"step":1}}', -32602)])
def test_a_bad_line_is_answered_and_the_next_one_served(peer, line, code):
    peer.send(line + "\n")
    assert peer.line()["error"]["code"] == code
    assert peer.do(["failed"]) == [False]


def test_params_are_checked_by_path(peer):
    def params(**more):
        whole = peer.params(["nothing"])
        for path, value in more.items():
            where, name = path.split("__")
            whole[where][name] = value
        return whole
    for path, value, says in (("step__id", None, "step.id must be a string"), ("step__id", "x" * 65, "step.id must be at most 64 bytes long"), ("context__attempt", 0, "context.attempt must be from 1"),
                              ("context__deadline_ms", "1", "context.deadline_ms must be an integer"), ("step__output_type", "strange", 'step.output_type "strange" is not known'),
                              ("context__inputs", [], "context.inputs must be an object"), ("context__artifacts_dir", "d" * 1024, "context.artifacts_dir must be at most 1023 bytes long")):
        error = peer.call("execute", params(**{path: value}))["error"]
        assert error["code"] == -32602 and says in error["message"] and error["data"]["path"] == path.replace("__", ".")
    assert peer.call("execute", params(context__deadline_ms=0, step__output="")) == {"result": {"value": None}}


def test_a_request_that_is_too_long_is_said_and_skipped(peer):
    for size in (REQUEST - 1, REQUEST):
        body = json.dumps({"jsonrpc": "2.0", "id": "9", "method": "execute", "params": peer.params(["nothing"], inputs={"x": ""})})
        body = body.replace('"x": ""', '"x": "%s"' % ("y" * (size - len(body))))
        assert len(body) == size
        peer.send(body + "\n")
        if size < REQUEST:
            assert peer.answer("9") == {"result": {"value": None}}
        else:
            error = peer.answer(None)["error"]
            assert error["code"] == -32001 and error["data"]["limit"] == REQUEST and error["data"]["size"] >= REQUEST
    assert peer.do(["failed"]) == [False]


def test_bytes_one_by_one_with_mark_and_crlf():
    peer = Peer(set_up=False)
    text = b"\xef\xbb\xbf\r\n \n" + b'{"jsonrpc":"2.0","id":"1","method":"setup","params":{"run_id":"r-1","integration":"a","config":{}}}\r\n'
    for byte in text:
        peer.send(bytes([byte]))
    assert peer.answer("1") == {"result": {"ok": True}}
    peer.send('{"jsonrpc":"2.0","id":"2","method":"teardown"')
    code, err = peer.end()
    assert code == 0 and "teardown of r-1" in err, "half a line at the end is nobody's"


def test_a_daemon_that_no_longer_reads_ends_it():
    peer = Peer()
    peer.process.stdout.close()
    peer.request("execute", peer.params(["until cancelled"]))
    peer.send('{"jsonrpc":"2.0","method":"cancel","params":{"id":"2"}}\n')
    assert peer.process.wait(DEADLINE) in (1, -13)


# --- --describe and misuse ------------------------------------------------------------------------------------------------------


def test_describe_is_a_schema_of_the_tables():
    out = subprocess.run([ACTOR, "--describe"], capture_output=True, timeout=DEADLINE, check=True, env={"ACTOR_REQUIRES": "1"}).stdout
    described = json.loads(out)
    assert out.endswith(b"}\n") and out.count(b"\n") == 1
    assert (described["name"], described["output_type"]) == ("actor", "list")
    assert described["config_schema"]["properties"] == {
        "do": {"type": "array", "description": "what to do", "default": []}, "word": {"type": "string", "default": "short", "enum": ["short", "long", "café"]},
        "number": {"type": "integer", "default": 5, "minimum": -3, "maximum": 9}, "ratio": {"type": "number", "minimum": 0}, "flag": {"type": "boolean", "default": True},
        "object": {"type": "object"}, "any": {}, "path": {}}
    assert described["config_schema"]["required"] == ["path"] and described["config_schema"]["additionalProperties"] is False
    assert described["input_schema"]["additionalProperties"] is True


def test_arguments_that_it_does_not_know():
    result = subprocess.run([ACTOR, "--help"], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.returncode == 2 and "--describe" in result.stderr and result.stdout == ""


# --- with the daemon -------------------------------------------------------------------------------------------------------------


@needs("DESCRIBE")
def test_with_the_daemon(project, daemon_of):
    project.config["integrations"]["actor"] = {"command": [str(ACTOR)], "describe": True, "config": {"word": "long"}}
    project.write_config()
    project.workflow("w", [
        step("one", uses="actor", with_={"do": [["log", 2, "a warning"], ["progress", 1, 2, "half"], ["print", "stray"], ["get", "string", INPUTS, "city"]]}, inputs={"city": "Köln"}, output="first"),
        step("two", uses="actor", with_={"do": [["file", "r.txt", "text/plain"]]}),
        step("three", uses="actor", with_={"do": [["get", "value", OUTPUTS, "one[0]"], ["get", "string", NAMED, "first[0]"], ["get", "string", INPUTS, "file"]]}, inputs={"file": "${{ outputs.two }}"}),
        step("four", uses="actor", with_={"do": [["fail for good", 9, "no more"]]}, retry={"max_attempts": 3, "initial_ms": 1}, continue_on_error=True),
        step("five", uses="actor", with_={"do": [["until cancelled"], ["answer", -1]]}, timeout_s=0.5, continue_on_error=True),
    ])
    run = daemon_of(project).run("w")
    assert run.status == "succeeded", run.error
    assert run.value("one") == ["Köln"] and run.value("three") == ["Köln", "Köln", "content"]
    assert {(event["data"]["level"], event["data"]["message"]) for event in run.of("step.log", "one")} >= {("warning", "a warning"), ("info", "stray")} or "stray" in str(run.of("step.log"))
    (failed,) = run.of("step.failed", "four")
    assert failed["data"]["error"]["kind"] == "integration_error" and failed["data"]["error"]["code"] == 9 and failed["attempt"] == 1
    (late,) = run.of("step.failed", "five")
    assert late["data"]["error"]["kind"] == "timeout"


# --- the library -------------------------------------------------------------------------------------------------------------------


plain_only = pytest.mark.skipif(os.environ.get("TEST_VARIANT", "plain") != "plain", reason="says nothing in this variant")


def compilers():
    """CHECK_CC: what the library was built with, where that is not for this machine's C library."""
    own = os.environ.get("CHECK_CC")
    return [own] if own else [name for name in ("gcc", "clang") if shutil.which(name)]


def symbols(*options):
    return subprocess.run(["nm", *options, LIBRARY], capture_output=True, text=True, check=True).stdout.split("\n")


@plain_only
def test_the_library_exports_its_own_names_alone():
    names = [line.split()[-1] for line in symbols("-g", "--defined-only") if len(line.split()) == 3]
    assert "charter_integration_main" in names
    assert [name for name in names if not name.startswith("charter_")] == []
    assert not [line for line in symbols("-g", "--defined-only") if line.split()[1:2] in (["B"], ["D"], ["C"]) and "." not in line.split()[-1]], "no writable data"
    wanted = {line.split()[-1] for line in symbols("-u") if line.strip() and not line.endswith(":")}
    assert not wanted & {"malloc", "calloc", "realloc", "free", "__vasprintf_chk"}, "no heap"


@plain_only
@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("standard", ["c99", "c11", "c++17"])
def test_the_header_compiles_everywhere_without_a_word(tmp_path, compiler, standard):
    language = "c++" if "++" in standard else "c"
    if language == "c++" and not shutil.which("g++"):
        pytest.skip("no C++ here")
    source = tmp_path / f"it.{language}"
    source.write_text((ROOT / "tests" / "integrations" / "author.c").read_text())
    objects = [tmp_path / "it.o"]
    subprocess.run([compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wcast-qual", "-Werror", "-c", "-o", objects[0],
                    f"-I{ROOT / 'include'}", source], check=True)
    program = tmp_path / "it"
    subprocess.run([compiler, "-o", program, objects[0], LIBRARY], check=True)
    described = json.loads(subprocess.run([program, "--describe"], capture_output=True, check=True, timeout=DEADLINE).stdout)
    assert described["config_schema"]["properties"]["tries"] == {"type": "integer", "description": "how often", "default": 3, "minimum": 1, "maximum": 9}
    peer = Peer(program)
    assert peer.do(config={"do": 1}) == {"text": "x", "tries": 3, "clash": "mine"}
    peer.end()


ARM = "arm-linux-gnueabihf-gcc"


def arm_links():
    """A cross compiler may be there without a libc for it, as `make musl TARGET=armhf` needs none."""
    if not shutil.which(ARM):
        return False
    return subprocess.run([ARM, "-x", "c", "-o", "/dev/null", "-"], input=b"#include <stdint.h>\n#include <stdio.h>\nint main(void) { return puts(\"\"); }",
                          capture_output=True).returncode == 0


@plain_only
@pytest.mark.skipif(not arm_links(), reason="no cross compiler with a libc for arm")
def test_the_library_is_small_on_arm(tmp_path):
    """What it adds to a program: less than 24 KiB of code and constants."""
    config = BUILD / "include" / "autoconf.h"
    makefile = (ROOT / "Makefile").read_text()
    assert "SDK_SRC" in makefile
    members = subprocess.run(["make", "-s", "-C", ROOT, f"B={BUILD}", "sdk-sources"], capture_output=True, text=True, check=True).stdout.split()
    objects = []
    for source in members:
        objects.append(tmp_path / (source.replace("/", "_") + ".o"))
        subprocess.run([ARM, "-std=c99", "-Os", "-D_POSIX_C_SOURCE=200809L", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64", "-ffunction-sections", "-fdata-sections", "-include", ROOT / "src/sdk/c99.h", "-include", config,
                        *[f"-I{path}" for path in (BUILD / "include", ROOT / "src", ROOT / "port", ROOT / "include")], "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror",
                        "-c", "-o", objects[-1], ROOT / source], check=True)
    archive, program = tmp_path / "lib.a", tmp_path / "probe"
    subprocess.run(["ar", "qcs", archive, *objects], check=True)
    subprocess.run([ARM, "-std=c99", "-Os", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-ffunction-sections", f"-I{ROOT / 'include'}", "-o", program, ROOT / "port/demo/integrations/probe.c", archive,
                    "-Wl,--gc-sections", f"-Wl,-Map={tmp_path / 'map'}"], check=True)
    total, lines = 0, (tmp_path / "map").read_text().partition("Linker script and memory map")[2].replace("\n                ", " ").splitlines()
    for line in lines:
        words = line.split()
        if len(words) >= 4 and words[0].startswith((".text", ".rodata", ".ARM.ex")) and "lib.a(" in words[3] and int(words[1], 16) > 0:
            total += int(words[2], 16)
    print(f"{total} bytes of text")
    assert 8192 < total < 24 * 1024
