"""What a build for another machine must show on this one (`make check TARGET=`), and a native build shows too: programs of the
right kind; real integrations, one of them built on the SDK for the target and started by its emulator's name; a link through TLS
that a program of the distribution ends; kill -9 and what comes after it; and each thing that an emulator may lack, which the daemon finds out
by itself. A test of what is lacking is skipped with that name."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import struct
import urllib.request

import pytest

from harness import BUILD, POSIX, built, check_stream, needs, step, wait_until
import test_interop_tls
from test_interop_tls import environment, link_of
from test_recorder import in_shell
from test_tls import has_tls

front_of, our_gateway = test_interop_tls.front_of, test_interop_tls.our_gateway  # fixtures
EMULATOR = shlex.split(os.environ.get("EMULATOR", ""))
PROGRAMS = pathlib.Path(os.environ.get("CHECK_PROGRAMS", BUILD))  # themselves, not scripts that start them
TARGET = os.environ.get("CHECK_TARGET", "")
# bits, byte order, machine of ELF
KINDS = {"x86_64": (64, "little", 62), "armhf": (32, "little", 40), "arm64": (64, "little", 183), "i386": (32, "little", 3),
         "mipsel": (32, "little", 8), "mips": (32, "big", 8), "powerpc": (32, "big", 20), "riscv64": (64, "little", 243),
         "s390x": (64, "big", 22)}
INTERPRETER, SYMBOLS = 3, 2  # PT_INTERP, SHT_SYMTAB


class Elf:
    def __init__(self, path):
        data = path.read_bytes()
        assert data[:4] == b"\x7fELF", path
        self.bits, self.order = {1: 32, 2: 64}[data[4]], {1: "little", 2: "big"}[data[5]]
        wide, sign = self.bits == 64, "<" if self.order == "little" else ">"
        _, self.machine, _, _, heads, sections, _, _, head_size, heads_n, section_size, sections_n, _ = struct.unpack_from(
            sign + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
        self.segments = {struct.unpack_from(sign + "I", data, heads + i * head_size)[0] for i in range(heads_n)}
        self.sections = {struct.unpack_from(sign + "I", data, sections + i * section_size + 4)[0] for i in range(sections_n)}


@pytest.mark.skipif(TARGET not in KINDS, reason="only for a target of `make check`")
@pytest.mark.parametrize("name", ["charter-daemon", "charter", "charter-gateway", "integrations/probe"])
def test_programs_are_of_the_target_static_and_stripped(name):
    if not (PROGRAMS / name).exists():
        pytest.skip(f"{name} is not built")
    elf = Elf(PROGRAMS / name)
    assert (elf.bits, elf.order, elf.machine) == KINDS[TARGET]
    assert INTERPRETER not in elf.segments, "it is static"
    assert SYMBOLS not in elf.sections, "it is stripped"


# --- integrations -------------------------------------------------------------------------------------------------------


def mixed(project, name="mixed"):
    """A workflow through a shell, Python, and programs on the SDK; what one gives the next takes."""
    for program in ("probe", "actor"):
        if not (PROGRAMS / "integrations" / program).exists():
            pytest.skip("the SDK's integrations are not built")
        project.config["integrations"][program] = {"command": [*EMULATOR, str(PROGRAMS / "integrations" / program)]}
    project.config["integrations"]["shell"] = {"command": in_shell(project), "config": {"greeting": "hello"}}
    project.write_config()
    project.workflow(name, [
        step("sh", uses="shell", inputs={"text": "${{ inputs.text }}"}),
        step("python", value={"of": "${{ outputs.sh.text }}", "big": "z" * 20000}),
        step("numbers", uses="actor", with_={"do": [["return json", '{"of":9223372036854775807,"and":-9223372036854775808}']]}),
        step("facts", uses="probe", inputs={"mount": "/"}),
        step("last", value=["${{ outputs.python.of }}", "${{ outputs.numbers }}", "${{ outputs.facts.mount }}"]),
    ], inputs={"text": {"type": "string", "default": "grüß Gott"}}, outputs={"said": "${{ outputs.last }}"})


SAID = {"said": ["grüß Gott", {"of": 2**63 - 1, "and": -2**63}, "/"]}


@needs("DESCRIBE")
def test_integrations_in_shell_python_and_on_the_sdk(project, daemon_of):
    mixed(project)
    run = daemon_of(project).run("mixed")
    assert run.status == "succeeded" and run.outputs == SAID, run.events[-3:]
    facts = run.value("facts")
    assert facts["cpus"] >= 1 and facts["memory_mib"] > 0 and facts["disk_mib"] > 0
    levels = [e["data"]["message"] for e in run.of("step.log", "facts")]
    assert any(os.uname().nodename in message for message in levels)


def test_a_program_on_the_sdk_that_fails_is_told(project, daemon_of):
    mixed(project)
    project.workflow("wrong", [step("facts", uses="probe", inputs={"mount": "/nowhere"})])
    project.workflow("ends", [step("one", uses="actor", with_={"do": [["exit", 7]]})])
    daemon = daemon_of(project)
    failed = daemon.run("wrong").failure()
    assert failed["kind"] == "integration_error" and "no file system at /nowhere" in failed["message"]
    failed = daemon.run("ends").failure()
    assert failed["kind"] == "exited" and failed["exit_code"] == 7


# --- the link, and kill -9 ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_tls(), reason="TLS is not built in")
@pytest.mark.parametrize("program, certificate, versions", [("haproxy", "heavy", ("TLSv1.3",)), ("nginx", "ec-good", ("TLSv1.2",)),
                                                            ("stunnel", "heavy", ("TLSv1.2", "TLSv1.3"))])
def test_kill_9_and_resume_over_tls(project, daemon_of, zoo, front_of, our_gateway, program, certificate, versions):
    """Everything at once: the stream of a daemon that is killed in the middle of a run arrives whole at a gateway behind TLS."""
    front = front_of(program, our_gateway, certificate=certificate, versions=versions)
    mixed(project)
    project.workflow("held", [step("one", {"touch": "begun"}, {"wait": "go"}, value=1), step("facts", uses="probe", inputs={"mount": "/"}),
                              {"id": "ask", "gate": {"message": "On?"}}, step("two", value="${{ outputs.one }}")],
                     outputs={"two": "${{ outputs.two }}"})
    flags = ("--gateway", f"https://localhost:{front.port}", "--tls-ca", zoo.path("ec-root.pem" if certificate == "ec-good" else "root.pem"),
             "--reconnect-ms", "50,200")

    def start():
        daemon = daemon_of(project, *flags, env=environment())
        wait_until(lambda: link_of(daemon)["state"] == "connected", lambda: f"{link_of(daemon)} {front.said()}")
        return daemon

    def stored():
        with urllib.request.urlopen(f"http://127.0.0.1:{our_gateway}/v1/runs", timeout=30) as answer:
            return {run["run_id"]: run["status"] for run in json.loads(answer.read())["runs"]}
    daemon = start()
    assert daemon.run("mixed").outputs == SAID
    held = daemon.start_run("held")
    project.wait_file("begun")
    before = daemon.events()
    daemon.kill()
    project.touch("go")
    daemon = start()
    daemon.wait_event("run.waiting", held)
    daemon.kill()
    daemon = start()
    assert daemon.events()[:len(before)] == before
    daemon.call("run.resume", {"run_id": held, "step_id": "ask", "decision": "approve"})
    run = daemon.end_of(held)
    assert run.status == "succeeded" and run.outputs == {"two": 1} and len(run.of("step.interrupted")) == 1
    events = daemon.events()
    check_stream(events)
    assert [e["data"]["reason"] for e in events if e["type"] == "daemon.started"] == ["start", "crash", "crash"]
    wait_until(lambda: link_of(daemon)["acked_seq"] >= events[-1]["seq"], lambda: f"{link_of(daemon)} {front.said()}")
    assert stored()[held] == "succeeded" and len(stored()) == 2


# --- what a system may lack -----------------------------------------------------------------------------------------------


def test_what_is_lacking_is_said_once_in_the_log(project, daemon_of):
    daemon = daemon_of(project)
    found = daemon.call("daemon.status")["lacks"]
    assert built("LANDLOCK") or "landlock" not in found
    assert set(found) <= {"landlock", "subreaper", "memory_limit", "memory_figures", "peer_credentials"}
    for name, words in {"landlock": "no Landlock", "subreaper": "no subreaper", "memory_limit": "no limits of memory",
                        "memory_figures": "no figures of memory", "peer_credentials": "no credentials of peers"}.items():
        assert daemon.log.count(f"this system has {words}") == int(name in found), name
    if not POSIX and not EMULATOR:
        assert not {"subreaper", "memory_limit", "memory_figures", "peer_credentials"} & set(found), "Linux has these"


@pytest.mark.needs("landlock")
def test_landlock_confines(project, daemon_of, places):
    elsewhere = pathlib.Path("/var/lib") / f"charter-target-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        try:
            elsewhere.mkdir()
        except OSError:
            pytest.skip("nothing outside of the temporary directories is writable here anyway")
        stack.callback(shutil.rmtree, elsewhere)
        project.config["integrations"]["free"] = {**project.config["integrations"]["puppet"], "sandbox": False}
        project.write_config()
        for name in ("puppet", "free"):
            project.workflow(name, [step("one", {"touch": str(elsewhere / name)}, uses=name, value=1)])
        daemon = daemon_of(project)
        assert daemon.run("puppet").status == "failed" and not (elsewhere / "puppet").exists()
        assert daemon.run("free").status == "succeeded" and (elsewhere / "free").exists()


@pytest.mark.needs("subreaper")
def test_a_subreaper_ends_what_an_integration_leaves_behind(project, daemon_of):
    project.workflow("w", [step("one", {"spawn": {"pid": "left.pid", "session": True, "stubborn": True}}, value=1)])
    daemon = daemon_of(project)
    assert daemon.run("w").status == "succeeded"
    left = project.read("left.pid")
    wait_until(lambda: not os.path.exists(f"/proc/{left}"), "the process that was left behind has gone")


@pytest.mark.needs("memory_limit")
def test_a_memory_limit_binds(project, daemon_of):
    hog = project.file("hog")
    hog.write_text("#!/usr/bin/python3 -IS\nimport json, sys\nfor line in sys.stdin:\n    request = json.loads(line)\n"
                   "    if request['method'] == 'execute':\n        held = bytearray(400 << 20)\n"
                   "    print(json.dumps({'jsonrpc': '2.0', 'id': request['id'], 'result': {'ok': True, 'value': 1}}), flush=True)\n")
    hog.chmod(0o755)
    for name, limits in (("free", {}), ("bound", {"memory_mb": 200})):
        project.config["integrations"][name] = {"command": ["./hog"], "limits": limits}
        project.workflow(name, [{"id": "one", "uses": name}])
    project.write_config()
    daemon = daemon_of(project)
    assert daemon.run("free").status == "succeeded"
    failed = daemon.run("bound").failure()
    assert failed["kind"] == "exited" and "MemoryError" in "".join(failed["stderr"])


@pytest.mark.needs("memory_figures")
@needs("METRICS")
def test_the_daemon_knows_its_memory(project, daemon_of):
    daemon = daemon_of(project)
    told = daemon.call("daemon.status")["memory_private_bytes"]
    text = pathlib.Path(f"/proc/{daemon.pid}/smaps_rollup").read_text()
    assert abs(told // 1024 - int(re.search(r"Private_Dirty: +(\d+)", text).group(1))) < 512
