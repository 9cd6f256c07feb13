"""Integrations in Python behind the bridge: real virtual environments, real packages, no network."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import textwrap
import time
import zipfile

import pytest

from harness import BUILD, DAEMON, PLAIN, ROOT, Project, RpcError, command, wait_until

SYSTEM = "/usr/bin/python3"
BRIDGE = ROOT / "port" / "python" / "bridge.py"


def has_bridge():
    config = BUILD / "include" / "autoconf.h"
    return not config.exists() or "CONFIG_PYTHON_BRIDGE 1" in config.read_text()


pytestmark = pytest.mark.skipif(not has_bridge(), reason="this build has no bridge for Python")


def make_venv(path, *options, python=SYSTEM):
    subprocess.run([python, "-m", "venv", *options, str(path)], check=True, capture_output=True, timeout=120)


def python_with_pydantic(major):
    """A Python of this machine that has pydantic of that version."""
    names = [SYSTEM] + [os.path.join(folder, "python3") for folder in os.environ.get("PATH", "").split(os.pathsep)]
    for name in dict.fromkeys(names):
        if os.access(name, os.X_OK):
            said = subprocess.run([name, "-c", "import pydantic; print(pydantic.VERSION)"], capture_output=True, text=True, check=False)
            if said.stdout.startswith(f"{major}."):
                return name
    return None


class PythonProject(Project):
    """A project with an environment, whose workflow `w` has its steps in workflows/w/steps.py."""

    def venv(self, *options, python=SYSTEM):
        (self.path / ".charter").mkdir(mode=0o700, exist_ok=True)
        make_venv(self.path / ".charter" / ".venv", *(options or ("--without-pip",)), python=python)
        return self

    def code(self, text, steps=None, name="tool", target="./workflows/w/steps.py:Tool", config=None, **entry):
        self.config["integrations"][name] = {"python": target, **({"config": config} if config else {}), **entry}
        self.write_config()
        self.workflow("w", steps or [{"id": "one", "uses": name}])
        (self.path / "workflows" / "w" / "steps.py").write_text(textwrap.dedent(text))


@pytest.fixture
def project(places):
    if not DAEMON.exists():
        pytest.skip("charter-daemon is not built")
    return PythonProject(os.path.join(places(), "p")).venv()


def logs(run, step_id=None, stream=None):
    return [e["data"]["message"] for e in run.of("step.log", step_id) if stream in (None, e["data"]["stream"])]


# --- what authors see -----------------------------------------------------------------------------------


def test_a_class_of_the_project(project, daemon_of):
    project.code("""
        import asyncio, dataclasses, os
        from helper import shout

        @dataclasses.dataclass
        class Config:
            greeting: str
            times: int = 2

        class Tool:
            config: Config
            async def setup(self):
                self.calls = 0
                self.loop = asyncio.get_running_loop()
            async def execute(self, step, context):
                await asyncio.sleep(0)
                assert asyncio.get_running_loop() is self.loop
                self.calls += 1
                return {"text": shout(self.config.greeting) * self.config.times, "with": step.with_config["x"], "id": step.id,
                        "uses": step.uses, "inputs": context.inputs, "outputs": context.outputs, "named": context.named_outputs,
                        "run": context.run_id, "workflow": context.workflow_id, "attempt": context.attempt, "key": context.idempotency_key,
                        "left": context.time_left(), "calls": self.calls, "pid": os.getpid(), "output": step.output, "type": step.output_type}
            async def teardown(self):
                open("torn-down", "w").close()
        """, [{"id": "one", "uses": "tool", "with": {"x": 1}, "output": "first", "timeout_s": 50},
              {"id": "two", "uses": "tool", "with": {"x": [2]}, "inputs": {"it": "${{ outputs.one.calls }}"}}], config={"greeting": "hi"})
    (project.path / "workflows" / "w" / "helper.py").write_text("def shout(text): return text.upper()\n")
    run = daemon_of(project).run()
    assert run.status == "succeeded", run.events
    one, two = run.value("one"), run.value("two")
    assert one["text"] == "HIHI" and one["with"] == 1 and (one["id"], one["uses"]) == ("one", "tool")
    assert (one["run"], one["workflow"], one["attempt"], one["key"]) == (run.id, "w", 1, f"{run.id}/one")
    assert 0 < one["left"] <= 50 and (one["output"], one["type"]) == ("first", "json")
    assert two["calls"] == 2 and two["pid"] == one["pid"] and two["inputs"] == {"it": 1} and two["left"] is None
    assert two["outputs"]["one"]["text"] == "HIHI" and two["named"]["first"]["calls"] == 1
    assert project.wait_file("torn-down")


def test_plain_functions_and_no_annotation(project, daemon_of):
    project.code("""
        import asyncio
        class Tool:
            def setup(self, context): self.seen = [context.run_id, context.integration, context.config]
            def execute(self, step, context):
                async def inner(): return 7
                return self.seen + [self.config, asyncio.run(inner())]
        """, config={"a": {"b": 1}})
    run = daemon_of(project).run()
    assert run.value("one") == [run.id, "tool", {"a": {"b": 1}}, {"a": {"b": 1}}, 7]


def test_stdout_is_for_the_protocol(project, daemon_of):
    project.code("""
        import ctypes, os, subprocess, sys
        print("at import")
        class Tool:
            def execute(self, step, context):
                print("printed", 1); print("no line feed", end="")
                sys.stdout.buffer.write(b" from below\\n")
                os.write(1, b"raw bytes\\n")
                subprocess.run(["echo", "from a child"])
                libc = ctypes.CDLL(None); libc.puts(b"from C"); libc.fflush(None)
                print("x" * 100000)
                print("\\udcff surrogate")
                import logging; logging.getLogger("lib").warning("by logging")
                context.log("by context", level="error"); context.progress(1, 2, "half")
                assert sys.stdin.read() == ""
                print("last words", end="")
                return "value"
        """)
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("one") == "value", run.events
    told, raw = logs(run, stream="log"), logs(run, stream="stderr")
    assert told[:3] == ["at import", "printed 1", "no line feed from below"] and told[-1] == "last words"
    assert [line for line in told if line.startswith("xxx")] and "\\udcff surrogate" in told
    assert raw[:3] == ["raw bytes", "from a child", "from C"]
    levels = {e["data"]["message"]: e["data"]["level"] for e in run.of("step.log")}
    assert levels["by context"] == "error" and levels["printed 1"] == "info"
    assert run.of("step.progress")[0]["data"] == {"current": 1, "total": 2, "message": "half"}


def test_logging_has_levels(project, daemon_of):
    project.code("""
        import logging
        log = logging.getLogger(__name__)
        class Tool:
            async def execute(self, step, context):
                log.debug("hidden"); log.info("%s", "told"); log.warning("careful"); log.critical("bad")
        """)
    run = daemon_of(project).run()
    assert [(e["data"]["level"], e["data"]["message"]) for e in run.of("step.log")] == [
        ("info", "told"), ("warning", "careful"), ("error", "bad")]


def test_values_of_other_types(project, daemon_of):
    project.code("""
        import dataclasses, datetime, enum, pathlib
        class Color(enum.Enum): RED = "red"
        @dataclasses.dataclass
        class Point: x: int; color: Color
        class Tool:
            def execute(self, step, context):
                return step.with_config["big"] and {"points": [Point(1, Color.RED)], "at": datetime.date(2026, 1, 2), "path": pathlib.Path("a/b"), "n": 12345678901234567890123}
        """, [{"id": "one", "uses": "tool", "with": {"big": True}}])
    assert daemon_of(project).run().value("one") == {
        "points": [{"x": 1, "color": "red"}], "at": "2026-01-02", "path": "a/b", "n": 12345678901234567890123}


@pytest.mark.parametrize("value, words", [("{1, 2}", "set is no JSON"), ("float('nan')", "JSON"), ("b'x'", "bytes"), ("'\\ud800'", "surrogates"),
                                          ("object()", "object is no JSON"), ("(lambda a: a.append(a) or a)([])", "Circular")])
def test_values_that_are_no_json(project, daemon_of, value, words):
    project.code(f"class Tool:\n    def execute(self, step, context): return {value}\n")
    error = daemon_of(project).run().failure()
    assert error["kind"] == "integration_error" and words in error["message"], error


def test_artifacts_and_large_values(project, daemon_of):
    project.code("""
        import os
        class Tool:
            def execute(self, step, context):
                if step.id == "file":
                    with open(os.path.join(context.artifacts_dir, "out.txt"), "w") as file: file.write("abc" * 10)
                    return context.artifact(os.path.join(context.artifacts_dir, "out.txt"), "text/plain")
                if step.id == "big": return "y" * 3000000
                return [len(context.inputs["big"]), context.inputs["file"]]
        """, [{"id": "file", "uses": "tool"}, {"id": "big", "uses": "tool"},
              {"id": "use", "uses": "tool", "inputs": {"big": "${{ outputs.big }}", "file": "${{ outputs.file }}"}}])
    run = daemon_of(project).run()
    assert run.status == "succeeded", run.events
    assert run.of("step.completed", "file")[0]["data"]["artifact"]["$artifact"]["media_type"] == "text/plain"
    assert run.value("use") == [3000000, "abc" * 10]


# --- errors -----------------------------------------------------------------------------------------------


def test_exceptions_become_errors_with_their_traceback(project, daemon_of):
    project.code("""
        import asyncio
        class Tool:
            async def execute(self, step, context):
                try: raise KeyError("inner")
                except KeyError as error: raise ValueError("outer é") from error
        """)
    error = daemon_of(project).run().failure()
    assert error["kind"] == "integration_error" and error["message"] == "ValueError: outer é"
    text = "\n".join(error["stderr"])
    assert "KeyError: 'inner'" in text and 'steps.py", line' in text and "bridge.py" not in text and "asyncio" not in text


def test_the_process_serves_on_after_an_exception(project, daemon_of):
    project.code("""
        import os
        class Known(Exception): code = 77
        class Final(Exception): retry = False
        class Tool:
            count = 0
            def execute(self, step, context):
                self.count += 1
                if step.id == "once" and context.attempt == 1: raise Known("again")
                if step.id == "final": raise Final("never again")
                return [self.count, os.getpid()]
            def teardown(self): open("torn-down", "w").close()
        """, [{"id": "once", "uses": "tool", "retry": {"max_attempts": 3, "initial_ms": 1}},
              {"id": "final", "uses": "tool", "retry": {"max_attempts": 3, "initial_ms": 1}}])
    run = daemon_of(project).run()
    assert run.of("step.retrying", "once")[0]["data"]["error"]["code"] == 77
    assert run.value("once")[0] == 2
    assert not run.of("step.retrying", "final") and run.failure()["message"] == "Final: never again"
    assert project.wait_file("torn-down")


def test_context_fail_says_what_the_author_says(project, daemon_of):
    project.code("""
        class Tool:
            def execute(self, step, context):
                try: context.fail("no such city", code=404, retry=False)
                finally: open("finally", "a").write("x")
        """, [{"id": "one", "uses": "tool", "retry": {"max_attempts": 3, "initial_ms": 1}}])
    run = daemon_of(project).run()
    error = run.failure()
    assert (error["message"], error["code"], error["stderr"]) == ("no such city", 404, []) and project.file("finally").read_text() == "x"


@pytest.mark.parametrize("body, words", [("sys.exit(0)", "sys.exit(0)"), ("raise KeyboardInterrupt", "KeyboardInterrupt"),
                                         ("raise asyncio.CancelledError", "cancelled from inside"), ("f = lambda: f(); f()", "RecursionError"),
                                         ("raise Unprintable", "cannot be shown"), ("raise ValueError('x' * 300000)", "ValueError: xxx")])
def test_odd_exceptions(project, daemon_of, body, words):
    project.code(f"""
        import asyncio, sys
        class Unprintable(Exception):
            def __str__(self): raise RuntimeError
        class Tool:
            async def execute(self, step, context):
                {body}
        """)
    error = daemon_of(project).run().failure()
    assert error["kind"] == "integration_error" and words in error["message"], error


def test_a_crash_of_the_interpreter_is_told_as_what_it_is(project, daemon_of):
    project.code("""
        import os, signal
        class Tool:
            def execute(self, step, context):
                os.kill(os.getpid(), signal.SIGSEGV) if step.id == "one" else os._exit(3)
        """, [{"id": "one", "uses": "tool", "continue_on_error": True}, {"id": "two", "uses": "tool"}])
    run = daemon_of(project).run()
    kinds = {e["step_id"]: e["data"]["error"] for e in run.of("step.failed")}
    assert kinds["one"]["kind"] == "exited" and kinds["one"]["signal"] == "SIGSEGV"
    assert kinds["two"]["kind"] == "exited" and kinds["two"]["exit_code"] == 3


@pytest.mark.parametrize("code, words", [
    ("import no_such_module", "No module named 'no_such_module'"), ("x = ", "SyntaxError"), ("class Other: pass", "has no Tool"),
    ("class Tool: pass", "has no method execute"), ("import sys; sys.exit('stop')", "stop"),
    ("class Tool:\n    def setup(self): raise OSError('no door')\n    def execute(self, step, context): pass", "OSError: no door"),
    ("class Tool:\n    def __init__(self, needed): pass\n    def execute(self, step, context): pass", "needed"),
    ("class Tool:\n    config: 'Nowhere'\n    def execute(self, step, context): pass", "Nowhere")])
def test_what_cannot_be_set_up(project, daemon_of, code, words):
    project.code("")
    (project.path / "workflows" / "w" / "steps.py").write_text(code + "\n")
    error = daemon_of(project).run().failure()
    assert error["kind"] == "setup_failed" and words in error["message"], error


def is_taken(daemon):
    try:
        return daemon.start_run()
    except RpcError:
        return False


def test_what_can_be_seen_without_python_is_refused_at_once(project, daemon_of):
    """Of the run that needs it, never of the daemon."""
    daemon = daemon_of(project)

    def refused():
        error = daemon.refused("run.start", {"workflow_id": "w"})
        assert error.code == -32008 and error.data["name"] == "tool", error.error
        return error.message
    project.code("class Tool:\n    def execute(self, step, context): return 1\n", target="./nowhere.py:Tool")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "nowhere.py" in refused())
    project.code("class Tool:\n    def execute(self, step, context): return 1\n", target="no_such_name")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "no package" in refused())
    project.code("class Tool:\n    def execute(self, step, context): return 1\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: is_taken(daemon), "charter.yml is read again")
    os.rename(project.file(".charter/.venv"), project.file(".charter/moved"))
    wait_until(lambda: "python3 -m venv" in refused())
    project.file(".charter/.venv/bin").mkdir(parents=True)
    assert "bin/python" in refused()
    shutil.rmtree(project.file(".charter/.venv"))
    os.rename(project.file(".charter/moved"), project.file(".charter/.venv"))
    assert daemon.run().status == "succeeded"


def test_an_environment_that_breaks_later_fails_the_step(project, daemon_of):
    project.code("class Tool:\n    def execute(self, step, context): return 1\n",
                 [{"id": "gate", "gate": {"message": "?"}}, {"id": "one", "uses": "tool"}])
    daemon = daemon_of(project)
    run = daemon.start_run()
    wait_until(lambda: daemon.status(run)["status"] == "waiting")
    shutil.rmtree(project.file(".charter/.venv"))
    daemon.call("run.resume", {"run_id": run, "decision": "approve"})
    error = daemon.end_of(run).failure()
    assert error["kind"] == "spawn_failed" and ".venv/bin/python" in error["message"]


def test_the_bridge_comes_back(project, daemon_of):
    project.code("class Tool:\n    def execute(self, step, context): return 1\n")
    daemon = daemon_of(project)
    bridge = project.file(".charter/bridge.py")
    assert bridge.read_bytes() == BRIDGE.read_bytes()
    bridge.write_text("raise SystemExit(1)")
    assert daemon.run().status == "succeeded" and bridge.read_bytes() == BRIDGE.read_bytes()
    daemon.stop()
    bridge.unlink()
    daemon_of(project)
    assert bridge.read_bytes() == BRIDGE.read_bytes()
    assert not [name for name in os.listdir(project.file(".charter")) if name.startswith("bridge.py.")]


# --- cancel, deadlines -------------------------------------------------------------------------------------

WAITS = {
    "a coroutine": ("async def execute(self, step, context):", "await asyncio.sleep(3600)", "asyncio.CancelledError"),
    "a sleep": ("def execute(self, step, context):", "time.sleep(3600)", "BaseException"),
    "a subprocess": ("def execute(self, step, context):", "subprocess.run(['sleep', '3600'])", "BaseException"),
    "a loop": ("def execute(self, step, context):", "while True: pass", "BaseException"),
    "a printer": ("def execute(self, step, context):", "while True: print('x' * 500)", "BaseException"),
}


@pytest.mark.parametrize("what", WAITS)
def test_cancel_is_heard(project, daemon_of, what):
    """Well before the daemon would send a signal, and the instance is torn down."""
    head, wait, error = WAITS[what]
    project.code(f"""
        import asyncio, subprocess, time
        class Tool:
            {head}
                try:
                    open("on", "w").close()
                    {wait}
                except {error}:
                    open("cleaned", "w").write(str(context.cancelled))
                    raise
            def teardown(self): open("torn-down", "w").close()
        """)
    daemon = daemon_of(project)
    run = daemon.start_run()
    project.wait_file("on")
    begun = time.monotonic()
    daemon.call("run.cancel", {"run_id": run})
    assert daemon.end_of(run).status == "cancelled"
    project.wait_file("torn-down")
    assert time.monotonic() - begun < (4.5 if PLAIN else 60)
    assert project.file("cleaned").read_text() == "True"
    wait_until(lambda: not project.processes(), "no process is left")


def test_a_timeout(project, daemon_of):
    project.code("""
        import asyncio
        class Tool:
            async def execute(self, step, context):
                try: await asyncio.sleep(3600)
                except asyncio.CancelledError: print("asked to stop"); raise
        """, [{"id": "one", "uses": "tool", "timeout_s": 1}])
    error = daemon_of(project).run().failure()
    assert error["kind"] == "timeout"


def test_who_does_not_listen_is_stopped(project, daemon_of):
    """A coroutine that blocks its loop hears SIGTERM, and may still tidy up."""
    project.code("""
        import time
        class Tool:
            async def execute(self, step, context):
                open("on", "w").close()
                try: time.sleep(3600)
                finally: open("tidied", "w").close()
        """)
    daemon = daemon_of(project)
    run = daemon.start_run()
    project.wait_file("on")
    daemon.call("run.cancel", {"run_id": run})
    assert daemon.end_of(run).status == "cancelled"
    project.wait_file("tidied")
    wait_until(lambda: not project.processes(), "no process is left")


def test_tasks_left_in_the_loop_go_on_between_steps_and_end_with_it(project, daemon_of):
    project.code("""
        import asyncio
        class Tool:
            async def setup(self):
                self.beats = 0
                self.task = asyncio.ensure_future(self.beat())
            async def beat(self):
                try:
                    while True:
                        await asyncio.sleep(0.01); self.beats += 1
                finally:
                    open("ended", "w").close()
            async def execute(self, step, context): return self.beats
        """, [{"id": "one", "uses": "tool"}, {"id": "pause", "uses": "puppet", "with": {"do": [{"sleep": 0.5}, {"value": 1}]}},
              {"id": "two", "uses": "tool"}])
    run = daemon_of(project).run()
    assert run.value("two") >= run.value("one") + 5
    project.wait_file("ended")


def test_a_fork_does_not_talk_into_the_conversation(project, daemon_of):
    project.code("""
        import os
        class Tool:
            def execute(self, step, context):
                pid = os.fork()
                if pid == 0:
                    print("from the fork"); os._exit(0)
                os.waitpid(pid, 0)
                return 1
        """)
    run = daemon_of(project).run()
    assert run.status == "succeeded" and logs(run, stream="stderr") == ["from the fork"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
@pytest.mark.parametrize("describes", [False, True])
def test_python_as_another_user(project, daemon_of, describes):
    project.code("""
        import os
        class Tool:
            def execute(self, step, context):
                with open(os.path.join(context.artifacts_dir, "f"), "w") as file: file.write("mine")
                return [os.getuid(), os.getgroups()]
        """, user="nobody", describe=describes)
    for path in (project.path.parent, project.path, project.path / "workflows", project.path / "workflows" / "w"):
        path.chmod(0o755)
    uid, groups = daemon_of(project).run().value("one")
    assert uid == 65534 and 0 not in groups


# --- config --------------------------------------------------------------------------------------------------

DATACLASS = """
    import dataclasses, enum
    from typing import Dict, List, Optional, Union
    class Level(enum.Enum):
        LOW = "low"; HIGH = "high"
    @dataclasses.dataclass
    class Inner:
        n: int
    @dataclasses.dataclass
    class Config:
        name: str
        ratio: float = 0.5
        level: Level = Level.LOW
        inner: Optional[Inner] = None
        many: List[Inner] = dataclasses.field(default_factory=list)
        by_name: Dict[str, int] = dataclasses.field(default_factory=dict)
        either: Union[int, str] = 0
        def __post_init__(self):
            if self.name == "forbidden": raise ValueError("this name is taken")
    class Tool:
        config: Config
        def execute(self, step, context): return self.config
"""


def test_a_dataclass_is_filled_with_its_types(project, daemon_of):
    given = {"name": "é", "ratio": 2, "level": "high", "inner": {"n": 1}, "many": [{"n": 2}], "by_name": {"a": 3}, "either": "x"}
    project.code(DATACLASS, config=given)
    assert daemon_of(project).run().value("one") == {**given, "ratio": 2.0}


@pytest.mark.parametrize("config, words", [
    ({}, "config.name: is missing"), ({"name": 1}, "config.name: must be a string"), ({"name": "a", "nam": 1}, "config.nam: is unknown"),
    ({"name": "a", "ratio": True}, "config.ratio: must be a number"), ({"name": "a", "level": "mid"}, 'config.level: must be one of "low", "high"'),
    ({"name": "a", "many": [{"n": 1}, {"n": "2"}]}, "config.many[1].n: must be an integer"), ({"name": "a", "by_name": []}, "config.by_name"),
    ({"name": "a", "either": 1.5}, "config.either: fits none"), ({"name": "forbidden"}, "this name is taken")])
def test_a_config_that_does_not_fit_is_refused_by_path(project, daemon_of, config, words):
    project.code(DATACLASS, config=config or {"x-nothing": 1} and {})
    error = daemon_of(project).run().failure()
    assert error["kind"] == "setup_failed" and words in error["message"], error


MODEL = """
    import typing
    import pydantic
    class Inner(pydantic.BaseModel):
        n: int
    class Config(pydantic.BaseModel):
        name: str
        level: typing.Literal["low", "high"] = "low"
        inner: Inner
        days: int = pydantic.Field(7, ge=1, le=31)
        note: typing.Optional[str] = None
    class Tool:
        config: Config
        async def execute(self, step, context): return [pydantic.VERSION, self.config]
"""


@pytest.mark.parametrize("major", [1, 2])
def test_pydantic_models(places, daemon_of, major):
    python = python_with_pydantic(major)
    if python is None:
        pytest.skip(f"no Python with pydantic {major} on this machine")
    project = PythonProject(os.path.join(places(), "p")).venv("--without-pip", "--system-site-packages", python=python)
    project.code(MODEL, config={"name": "a", "inner": {"n": 1}})
    daemon = daemon_of(project)
    version, value = daemon.run().value("one")
    assert version.startswith(f"{major}.") and value == {"name": "a", "level": "low", "inner": {"n": 1}, "days": 7, "note": None}
    described = json.loads(subprocess.run([project.file(".charter/.venv/bin/python"), BRIDGE, "workflows/w/steps.py:Tool", "--describe"],
                                          cwd=project.path, check=True, capture_output=True).stdout)
    schema = described["config_schema"]
    assert schema["type"] == "object" and sorted(schema["required"]) == ["inner", "name"]
    assert {key: schema["properties"]["days"][key] for key in ("type", "minimum", "maximum", "default")} == {
        "type": "integer", "minimum": 1, "maximum": 31, "default": 7}
    assert schema["properties"]["level"]["enum"] == ["low", "high"] and schema["properties"]["inner"]["properties"]["n"] == {"type": "integer"}
    project.code(MODEL, config={"name": "secret-name", "inner": {"n": "many"}, "days": 99})
    daemon.signal(signal.SIGHUP)

    def refused():
        run = daemon.run()
        return run if run.status == "failed" else None
    error = wait_until(refused, "charter.yml is read again").failure()
    assert error["kind"] == "setup_failed" and "config.inner.n: " in error["message"] and "config.days: " in error["message"]
    assert "many" not in error["message"]


def test_describe_of_a_dataclass(project):
    project.code(DATACLASS + "        output_type = 'object'\n        name = 'the-tool'\n")
    described = json.loads(subprocess.run([project.file(".charter/.venv/bin/python"), BRIDGE, "workflows/w/steps.py:Tool", "--describe"],
                                          cwd=project.path, check=True, capture_output=True).stdout)
    assert (described["name"], described["output_type"], described["input_schema"]) == ("the-tool", "object", {"type": "object"})
    schema = described["config_schema"]
    assert schema["required"] == ["name"] and schema["additionalProperties"] is False
    assert schema["properties"]["level"] == {"enum": ["low", "high"], "default": "low"}
    assert schema["properties"]["many"]["items"]["properties"] == {"n": {"type": "integer"}}


# --- packages --------------------------------------------------------------------------------------------------


def make_wheel(folder, name, points, code):
    """A wheel as build tools make it, of one module."""
    path = pathlib.Path(folder) / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {f"{name}.py": textwrap.dedent(code), f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
             f"{info}/entry_points.txt": "[console_scripts]\nfetch = " + name + ":main\n\n[charter.integrations]\n"
             + "".join(f"{key} = {value}\n" for key, value in points.items())}
    files[f"{info}/RECORD"] = "".join(f"{entry},,\n" for entry in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in files.items():
            archive.writestr(entry, text)
    return path


PACKAGE = """
    class Fetch:
        async def execute(self, step, context): return "fetched " + step.uses
    class Outer:
        class Other:
            def execute(self, step, context): return "nested"
    def main(): pass
"""


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """An environment into which pip has installed a package with entry points."""
    place = tmp_path_factory.mktemp("venv")
    wheel = make_wheel(place, "fetchers", {"fetch": "fetchers:Fetch", "nested.one": "fetchers:Outer.Other [extra]"}, PACKAGE)
    make_venv(place / "venv")
    subprocess.run([place / "venv" / "bin" / "python", "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel],
                   check=True, capture_output=True, timeout=240)
    return place / "venv"


def test_entry_points_of_an_installed_package(places, packaged, daemon_of):
    project = PythonProject(os.path.join(places(), "p"))
    project.file(".charter").mkdir(mode=0o700)
    os.symlink(packaged, project.file(".charter/.venv"))
    project.config["integrations"]["named"] = {"python": "nested.one"}
    project.write_config()
    project.workflow("w", [{"id": "bare", "uses": "fetch"}, {"id": "named", "uses": "named"}])
    listed = command("check", "--project-path", project.path)
    assert listed.returncode == 0 and "fetch = fetchers:Fetch (fetchers-1.0.dist-info)" in listed.stdout, listed
    assert "nested.one = fetchers:Outer.Other" in listed.stdout and "console" not in listed.stdout and "main" not in listed.stdout
    run = daemon_of(project).run()
    assert run.value("bare") == "fetched fetch" and run.value("named") == "nested"
    project.workflow("other", [{"id": "one", "uses": "main"}])
    error = command("check", "--project-path", project.path)
    assert error.returncode == 3 and "no integration 'main'" in error.stderr


def test_two_packages_with_one_name_are_not_guessed_between(project, daemon_of):
    (site,) = project.file(".charter/.venv/lib").glob("python3*/site-packages")
    for name in ("first", "second"):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[charter.integrations]\nboth = {name}:Tool\n")
        (site / f"{name}.py").write_text("class Tool:\n    def execute(self, step, context): return 1\n")
    project.workflow("w", [{"id": "one", "uses": "both"}])
    error = daemon_of(project).run().failure()
    assert error["kind"] == "setup_failed" and "several times" in error["message"] and "second-1.0.dist-info" in error["message"]


def test_a_package_installed_in_place(project, daemon_of):
    """As `pip install -e` and setup.py develop leave it: a .pth file that names the sources."""
    (site,) = project.file(".charter/.venv/lib").glob("python3*/site-packages")
    sources = project.path.parent / "sources"
    (sources / "inplace.egg-info").mkdir(parents=True)
    (sources / "inplace.egg-info" / "entry_points.txt").write_text("[charter.integrations]\ninplace = inplace:Tool\n")
    (sources / "inplace.py").write_text("class Tool:\n    def execute(self, step, context): return 'in place'\n")
    (site / "inplace.pth").write_text(f"# comment\n{sources}\n")
    project.workflow("w", [{"id": "one", "uses": "inplace"}])
    assert daemon_of(project).run().value("one") == "in place"


def test_metadata_that_is_garbage_hurts_nobody(project, daemon_of):
    (site,) = project.file(".charter/.venv/lib").glob("python3*/site-packages")
    for number, data in enumerate([b"\xff\xfe\0", b"[charter.integrations\nx = y\n", b"=\n[charter.integrations]\n=\n= =\nx\n", b"[" * 20000, b""]):
        info = site / f"bad{number}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(data)
    os.mkfifo(site / "pipe.pth")
    (site / "dir-1.0.dist-info" / "entry_points.txt").mkdir(parents=True)
    (site / "self.pth").write_text(f"{site}\n/nowhere\n")
    project.code("class Tool:\n    def execute(self, step, context): return 1\n", target="good")
    info = site / "good-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[charter.integrations]\ngood = good:Tool\n")
    (site / "good.py").write_text("class Tool:\n    def execute(self, step, context): return 1\n")
    os.unlink(site / "pipe.pth")  # Python itself would wait for it
    assert daemon_of(project).run().status == "succeeded"


def test_the_bridge_compiles_for_older_pythons():
    """3.7 is what it promises; the grammar is checked, whichever Python is here."""
    import ast
    ast.parse(BRIDGE.read_text(), feature_version=(3, 7))
