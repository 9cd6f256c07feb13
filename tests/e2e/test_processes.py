"""What an integration's process starts with, and what it may do: user, nice, umask, scores, Landlock."""

import json
import os
import pathlib
import signal
import stat

import pytest

from harness import Project, command, needs, step, wait_until

LOOK = r"""#!/bin/sh
# Answers with what `with.run`, a line of sh, prints; its exit code is in `code`.
while read -r line; do
    id=${line#*\"id\":\"}; id=${id%%\"*}
    case $line in
    *'"method":"execute"'*)
        run=${line#*\"run\":\"}; run=${run%%\"*}
        said=$(sh -c "$run" 2>&1); code=$?
        said=$(printf '%s' "$said" | tr '\n\t"\\' '| __')
        printf '{"jsonrpc":"2.0","id":"%s","result":{"value":{"said":"%s","code":%s}}}\n' "$id" "$said" "$code" ;;
    *) printf '{"jsonrpc":"2.0","id":"%s","result":{"ok":true}}\n' "$id" ;;
    esac
done
"""


THE_DAEMON = ("$(p=$PPID; while [ $(cat /proc/$p/comm) != charter-daemon ]; do p=$(awk '/^PPid/ {print $2}' /proc/$p/status); done; echo $p)")


@pytest.fixture
def look(project, daemon_of):
    """Runs lines of sh, each as a step, in an integration with these members; what each said."""
    program = project.file("look")
    program.write_text(LOOK)
    program.chmod(0o755)
    started = []

    def run(*lines, **members):
        project.config["integrations"]["look"] = {"command": ["./look"], **members}
        project.write_config()
        project.workflow("w", [{"id": f"s{i}", "uses": "look", "with": {"run": line}} for i, line in enumerate(lines)])
        while started:
            started.pop().stop()
        started.append(daemon_of(project))
        run = started[0].run()
        assert run.status == "succeeded", json.dumps(run.events[-4:])
        return [run.value(f"s{i}") for i in range(len(lines))]
    run.daemon = lambda: started[0]
    return run


def has_landlock(daemon):
    return daemon.call("daemon.status")["sandbox"] == "landlock"


def test_status_says_whether_integrations_are_confined(project, daemon_of):
    daemon = daemon_of(project)
    assert daemon.call("daemon.status")["sandbox"] in ("landlock", "none")
    built_in = "CONFIG_LANDLOCK 1" in (pathlib.Path(os.environ.get("BUILD", "build")) / "include" / "autoconf.h").read_text()
    assert ("no Landlock" in daemon.log) == (built_in and not has_landlock(daemon))


def test_writing_ends_at_the_project(look, places, project):
    elsewhere = pathlib.Path("/var/lib") / f"charter-test-{os.getpid()}"
    try:
        elsewhere.mkdir()
    except OSError:
        pytest.skip("nothing outside of the temporary directories is writable here anyway")
    try:
        (elsewhere / "there").write_text("seen")
        lines = [f"cat {elsewhere}/there", f"echo x > {elsewhere}/new", f"echo x >> {elsewhere}/there", f"rm {elsewhere}/there",
                 f"mkdir {elsewhere}/folder", "echo x > inside && mkdir folder && mv inside folder/ && cat folder/inside", "echo x > /dev/null",
                 "f=$(mktemp /tmp/charter-test-XXXXXX) && echo x > $f && rm $f", "grep NoNewPrivs /proc/self/status", "ls / > /dev/null"]
        values = look(*lines)
        if not has_landlock(look.daemon()):
            pytest.skip("no Landlock here")
        assert [value["code"] == 0 for value in values] == [True, False, False, False, False, True, True, True, True, True], values
        assert values[0]["said"] == "seen" and values[8]["said"].split() == ["NoNewPrivs:", "1"]
        # widened, and open
        assert look(f"echo x > {elsewhere}/new && rm {elsewhere}/new", sandbox={"write": [str(elsewhere)]})[0]["code"] == 0
        assert look(f"echo x > {elsewhere}/new && rm {elsewhere}/new", "grep NoNewPrivs /proc/self/status", sandbox=False)[1]["said"][-1] == "0"
    finally:
        for path in elsewhere.iterdir():
            path.unlink() if path.is_file() else path.rmdir()
        elsewhere.rmdir()


def test_an_integration_cannot_signal_the_daemon(look):
    """Since version 6 of Landlock; a process of its own family it can."""
    (first,) = look("echo $PPID")
    daemon = look.daemon()
    if not has_landlock(daemon) or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 12):
        pytest.skip("this kernel does not keep signals in")
    killed, own = look(f"kill -0 {THE_DAEMON}", "sleep 100 & kill $! && wait $!; echo $?")
    assert killed["code"] != 0 and "ermitted" in killed["said"]
    assert own["said"].endswith(str(128 + signal.SIGTERM))
    assert first["code"] == 0


@pytest.mark.needs("oom_score")
def test_nice_umask_and_score(look):
    nice, umask, score = look("cut -d' ' -f19 /proc/self/stat", "umask", "cat /proc/self/oom_score_adj")
    own = pathlib.Path("/proc/self/oom_score_adj").read_text().strip()
    assert nice["said"] == str(os.nice(0)) and int(umask["said"], 8) & 0o022 == 0o022
    assert int(score["said"]) == min(1000, int(own) + 200)
    nice, score = look("cut -d' ' -f19 /proc/self/stat", "cat /proc/self/oom_score_adj", limits={"nice": 7, "oom_score": 350})
    assert nice["said"] == str(min(19, os.nice(0) + 7)) and int(score["said"]) == min(1000, int(own) + 350)


def test_a_tighter_umask_stays(project, daemon_of):
    program = project.file("look")
    program.write_text(LOOK)
    program.chmod(0o755)
    project.config["integrations"]["look"] = {"command": ["./look"]}
    project.write_config()
    project.workflow("w", [{"id": "one", "uses": "look", "with": {"run": "umask"}}])
    before = os.umask(0o077)
    try:
        daemon = daemon_of(project)
    finally:
        os.umask(before)
    assert int(daemon.run().value("one")["said"], 8) == 0o077


@needs("USER_NAMES")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
@pytest.mark.parametrize("user", ["nobody", 65534, "12345"])
def test_another_user(look, project, user):
    project.path.parent.chmod(0o755)
    project.path.chmod(0o755)
    uid = 65534 if user != "12345" else 12345
    values = look("id -u", "id -G", "ls .charter/runs", f"kill -0 {THE_DAEMON}", "cat .charter/journal/0000000001.log",
                  "echo x > in-project", user=user, limits={"open_files": 64})
    assert values[0]["said"] == str(uid) and len(values[1]["said"].split()) == 1 and values[1]["said"] != "0"
    assert [value["code"] == 0 for value in values[2:]] == [False] * 4, values


@needs("USER_NAMES")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_another_user_writes_its_artifacts(project, daemon_of):
    project.path.parent.chmod(0o755)
    project.path.chmod(0o755)
    program = project.file("puppet.py")
    program.write_text(pathlib.Path(project.config["integrations"]["puppet"]["command"][0]).read_text())
    program.chmod(0o755)
    project.integration("tool", command=["./puppet.py"], user="nobody")
    project.workflow("w", [step("one", {"file": {"path": "a.txt", "text": "hello"}}, {"result": {"artifact": {"path": "a.txt", "media_type": "text/plain"}}}, uses="tool"),
                           step("two", {"value_of": ["context", "inputs", "it"]}, inputs={"it": "${{ outputs.one }}"})])
    run = daemon_of(project).run()
    assert run.status == "succeeded" and run.value("two") == "hello", run.events
    (one,) = project.path.glob(".charter/runs/*/files/one")
    assert one.stat().st_uid == 65534 and stat.S_IMODE((project.path / ".charter" / "journal").stat().st_mode) == 0o700


@needs("USER_NAMES")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a daemon of another user")
def test_only_root_changes_users(places, daemon_of):
    project = Project(os.path.join(places(), "p"))
    project.integration("tool", user="daemon")
    project.workflow("w", [step("one", uses="tool", value=1)])
    os.chmod(project.path.parent, 0o755)
    for path in [project.path, *project.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    log = project.path.parent / "p.log"
    log.touch()

    import subprocess
    from harness import DAEMON, Daemon, clean_environment
    daemon = Daemon.__new__(Daemon)
    daemon.project, daemon.log_path = project, log
    if not os.access(DAEMON, os.X_OK) or subprocess.run([DAEMON, "--version"], user=65534, capture_output=True, check=False).returncode != 0:
        pytest.skip("the build cannot be reached by another user")
    with open(log, "ab") as out:
        daemon.process = subprocess.Popen([DAEMON, "start", "--project-path", str(project.path)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          cwd="/", env=clean_environment(), user=65534, group=65534, extra_groups=[])
    daemon.pid = daemon.process.pid
    try:
        daemon.wait_ready()
        error = daemon.run().failure()
        assert error["kind"] == "spawn_failed" and "user and group" in error["message"]
    finally:
        daemon.stop()


@needs("CHECK", "USER_NAMES")
@pytest.mark.parametrize("members, words", [
    ({"user": "no-such-user-here"}, "no such user"), ({"user": "root", "group": "no-such-group-here"}, "no such group"), ({"group": "root"}, "no 'user'"),
    ({"user": -1}, "user"), ({"user": ""}, "user"), ({"limits": {"nice": -5}}, "nice"), ({"limits": {"oom_score": 1001}}, "oom_score"),
    ({"sandbox": "no"}, "sandbox"), ({"sandbox": {"read": []}}, "read"), ({"sandbox": {"write": [1]}}, "write"), ({"sandbox": {"write": [""]}}, "path")])
def test_what_is_refused_when_it_is_read(project, members, words):
    project.integration("tool", **members)
    project.workflow("w", [step("one", uses="tool", value=1)])
    done = command("check", "--project-path", project.path)
    assert done.returncode == 3 and words in done.stderr, done


@needs("USER_NAMES")
def test_plan_json_keeps_the_numbers(project, daemon_of):
    project.integration("tool", user="root", group=0, sandbox={"write": ["/srv"]})
    project.workflow("w", [step("one", uses="tool", value=1)])
    daemon = daemon_of(project)
    run = daemon.start_run()
    plan = json.loads((project.path / ".charter" / "runs" / run / "plan.json").read_text())
    assert (plan["integrations"]["tool"]["uid"], plan["integrations"]["tool"]["gid"]) == (0, 0)
    assert plan["integrations"]["tool"]["sandbox"] == {"write": ["/srv"]}
    wait_until(lambda: daemon.status(run)["status"] in ("succeeded", "failed"))
    assert daemon.status(run)["status"] == ("succeeded" if os.geteuid() == 0 else "failed")


@needs("DESCRIBE")
@pytest.mark.parametrize("members, code", [({}, 1), ({"sandbox": False}, 0)])
def test_a_description_is_asked_for_inside_the_same_walls(project, daemon_of, members, code):
    """What runs before a run is accepted has no more rights than what runs in it."""
    elsewhere = pathlib.Path("/var/lib") / f"charter-test-{os.getpid()}-describe"
    program = project.file("describes")
    program.write_text(f"#!/bin/sh\n(echo x > {elsewhere}) 2>/dev/null\necho $? $(id -u) > said\necho '{{\"config_schema\":{{}}}}'\n")
    program.chmod(0o755)
    project.path.chmod(0o777)
    project.path.parent.chmod(0o755)
    project.integration("look", command=["./describes"], describe=True, **members)
    project.workflow("w", [{"id": "gate", "gate": {"message": "?"}}, step("one", uses="look")])
    daemon = daemon_of(project)
    if not has_landlock(daemon):
        pytest.skip("no Landlock here")
    try:
        daemon.start_run()
        said, uid = project.file("said").read_text().split()
        assert (int(said) != 0) == bool(code) and int(uid) == os.geteuid()
        assert elsewhere.exists() == (not code)
        if os.geteuid() == 0:
            project.file("said").unlink()
            project.integration("look", command=["./describes"], describe=True, user="nobody")
            command("check", "--project-path", project.path)
            assert project.file("said").read_text().split()[1] == "65534"
    finally:
        elsewhere.unlink(missing_ok=True)
