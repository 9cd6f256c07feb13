"""Artifacts, contract section 2 and 4: large values go through the daemon and not into it, files are kept by their hash."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from harness import DAEMON, needs, step, wait_until

CHARTER = DAEMON.parent / "charter"
MIB = 1024 * 1024
LARGE = 64 * MIB

#: Counts and hashes what comes as `inputs.value` without keeping it, and answers with both.
EATER = f"""#!{sys.executable} -IS
import hashlib, json, sys
stdin, pending = sys.stdin.buffer, b""
def lines():
    for line in iter(stdin.readline, b""):
        yield line
for line in lines():
    request = json.loads(line)
    if request["method"] == "execute":
        value = request["params"]["context"]["inputs"]["value"]
        data = value.encode()
        result = {{"value": {{"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "line": len(line)}}}}
    else:
        result = {{"ok": True}}
    sys.stdout.write(json.dumps({{"jsonrpc": "2.0", "id": request["id"], "result": result}}) + "\\n")
    sys.stdout.flush()
"""


def eater(project):
    path = project.file("eater")
    path.write_text(EATER)
    path.chmod(0o755)
    project.config["integrations"]["eater"] = {"command": ["./eater"]}
    project.write_config()


def charter(project, *args, text=True, **options):
    return subprocess.run([CHARTER, *args, "--project-path", project.path], capture_output=True, text=text, timeout=60,
                          stdin=subprocess.DEVNULL, **options)


def reference(run, step_id):
    (completed,) = run.of("step.completed", step_id)
    return completed["data"]["artifact"]["$artifact"]


def passes(project, size):
    eater(project)
    project.workflow("w", [
        step("make", {"big": size}, output="big"),
        {"id": "eat", "uses": "eater", "inputs": {"value": "${{ outputs.make }}"}}])


def check_passed(run, size):
    assert run.status == "succeeded", run.state
    assert run.value("eat")["bytes"] == size
    assert run.value("eat")["sha256"] == hashlib.sha256(b"x" * size).hexdigest()
    assert reference(run, "make")["bytes"] == size + 2


@needs(ARTIFACT_MIB=64)
@pytest.mark.parametrize("runs", [1, 4])
def test_64_mib_out_and_in_again_in_bounded_memory(project, daemon_of, runs):
    """The daemon's peak does not grow by even one of the 64 MiB; measured by the kernel."""
    passes(project, LARGE)
    project.workflow("warm", [step("make", {"big": 100000}), {"id": "eat", "uses": "eater", "inputs": {"value": "${{ outputs.make }}"}}])
    daemon = daemon_of(project)
    for _ in range(2):
        assert daemon.run("warm").status == "succeeded"
    before = daemon.memory("VmHWM")
    ids = [daemon.start_run("w") for _ in range(runs)]
    for run_id in ids:
        check_passed(daemon.end_of(run_id), LARGE)
    after = daemon.memory("VmHWM")
    if os.environ.get("TEST_VARIANT", "plain") == "plain":
        assert after - before < 1024, f"{before} KiB before, {after} KiB after"
    # Nothing is left but the artifacts.
    for run_id in ids:
        left = [path for path in project.file(f".charter/runs/{run_id}").rglob("*") if path.is_file()]
        assert sorted(path.name for path in left if path.parent.name != "artifacts") == ["plan.json"], left
        assert all(path.name == hashlib.sha256(path.read_bytes()).hexdigest() for path in left if path.parent.name == "artifacts")


@needs(ARTIFACT_MIB=64)
def test_a_64_mib_file_is_taken_over(project, daemon_of):
    project.workflow("w", [step("make", {"file": {"path": "report.bin", "text": "0123456789abcdef", "times": LARGE // 16}},
                                {"result": {"artifact": {"path": "report.bin", "media_type": "application/octet-stream"}}}, output="report")])
    daemon = daemon_of(project)
    before = daemon.memory("VmHWM")
    run = daemon.run("w")
    assert run.status == "succeeded", run.state
    assert reference(run, "make")["sha256"] == hashlib.sha256(b"0123456789abcdef" * (LARGE // 16)).hexdigest()
    if os.environ.get("TEST_VARIANT", "plain") == "plain":
        assert daemon.memory("VmHWM") - before < 1024


@needs(PROJECT_FILE_BYTES=65536)
def test_the_same_content_is_stored_once(project, daemon_of):
    project.workflow("w", [step("one", value="x" * 20000), step("two", value="x" * 20000), step("three", value="y" * 20000)])
    run = daemon_of(project).run("w")
    assert reference(run, "one") == reference(run, "two") != reference(run, "three")
    assert len(list(project.file(f".charter/runs/{run.id}/artifacts").iterdir())) == 2


@pytest.mark.parametrize("path", ["../../../../charter.yml", "/etc/hostname", "link", "folder/../../../plan.json", "up/plan.json", "", "missing", "."])
def test_a_path_does_not_leave_its_directory(project, daemon_of, path):
    daemon = daemon_of(project)
    folder = project.file(".charter/runs/r-mine/files/make")

    project.workflow("w", [step("make", {"wait": "go"}, {"result": {"artifact": {"path": path, "media_type": "text/plain"}}})])
    run_id = daemon.start_run("w", run_id="r-mine")
    daemon.wait_event("step.started", run_id)
    wait_until(folder.exists, "the artifacts_dir")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "up").symlink_to("../..")
    (folder / "folder").mkdir()
    project.touch("go")
    run = daemon.end_of(run_id)
    assert run.status == "failed" and run.failure()["kind"] == "protocol", run.failure()
    assert not project.file(".charter/runs/r-mine/artifacts").exists() or not list(project.file(".charter/runs/r-mine/artifacts").iterdir())


# --- at the command line --------------------------------------------------------------------------------------------


@pytest.fixture
def some(project, daemon_of):
    if not CHARTER.exists():
        pytest.skip("charter is not built (CONFIG_CLI)")
    project.workflow("w", [
        step("text", value="ü" * 5000, output="prose", output_type="artifact"),
        step("binary", {"file": {"path": "b", "text": "\x01\x02\xff", "times": 50000}},
             {"result": {"artifact": {"path": "b", "media_type": "application/octet-stream"}}}),
        step("small", value=1)])
    return daemon_of(project).run("w")


@needs(PROJECT_FILE_BYTES=65536)
def test_artifacts_are_listed(some, project):
    listed = charter(project, "artifacts", some.id)
    assert listed.returncode == 0 and listed.stderr == ""
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert [row[0] for row in rows] == ["prose", "binary"]
    assert rows[0][1] == "30002" and rows[1][3] == "application/octet-stream"
    raw = json.loads(charter(project, "artifacts", some.id, "--json").stdout)
    assert [row["sha256"][:12] for row in raw["artifacts"]] == [row[2] for row in rows]
    assert charter(project, "artifacts", "r-nobody").returncode == 7


@needs(PROJECT_FILE_BYTES=65536)
@pytest.mark.parametrize("name", ["prose", "text", "hash"])
def test_an_artifact_is_read_by_its_names(some, project, name):
    if name == "hash":
        name = reference(some, "text")["sha256"][:16]
    got = charter(project, "artifact", "get", some.id, name, text=False)
    assert got.returncode == 0, got.stderr
    assert json.loads(got.stdout) == "ü" * 5000


@needs(PROJECT_FILE_BYTES=65536)
def test_an_artifact_that_was_changed_is_told(some, project):
    path = project.file(reference(some, "binary")["path"])
    data = path.read_bytes()
    assert charter(project, "artifact", "get", some.id, "binary", text=False).stdout == data
    path.chmod(0o600)
    path.write_bytes(data[:-1] + b"!")
    got = charter(project, "artifact", "get", some.id, "binary", text=False)
    assert got.returncode == 1 and b"not what was stored" in got.stderr
    path.unlink()
    got = charter(project, "artifact", "get", some.id, "binary", text=False)
    assert got.returncode == 1 and b"cannot be opened" in got.stderr
    got = charter(project, "artifact", "get", some.id, "nothing", text=False)
    assert got.returncode == 1 and b"has no artifact" in got.stderr


@needs(PROJECT_FILE_BYTES=65536)
def test_a_reader_that_goes_away_is_no_success(some, project):
    process = subprocess.Popen([CHARTER, "artifact", "get", some.id, "binary", "--project-path", project.path],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(30) != 0
    process.stderr.close()


@needs(PROJECT_FILE_BYTES=65536)
def test_artifacts_of_a_run_that_goes_on(project, daemon_of):
    if not CHARTER.exists():
        pytest.skip("charter is not built (CONFIG_CLI)")
    project.workflow("w", [step("one", value="x" * 20000), step("two", {"wait": "go"}, value=1)])
    daemon = daemon_of(project)
    run_id = daemon.start_run("w")
    daemon.wait_event("step.started", run_id, "two")
    assert len(charter(project, "artifact", "get", run_id, "one").stdout) == 20002
    project.touch("go")
    assert daemon.end_of(run_id).status == "succeeded"
