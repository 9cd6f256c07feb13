"""The example's integrations in sh (port/demo/project) against the protocol of contract §2, in every shell that is here."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
PROJECT = ROOT / "port" / "demo" / "project"
SHELLS = [shell for shell in (["dash"], ["bash"], ["busybox", "sh"], ["mksh"], ["sh"]) if shutil.which(shell[0])]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request):
    return request.param


def line(message):
    """As the daemon writes it: compact, on one line, UTF-8 as it is."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False) + "\n"


def execute(number, inputs, config=None):
    return line({"jsonrpc": "2.0", "id": str(number), "method": "execute", "params": {
        "step": {"id": "s", "uses": "x", "with_config": config or {}, "output": None, "output_type": "json"},
        "context": {"run_id": "r-1", "inputs": inputs, "outputs": {}, "named_outputs": {}}}})


def talk(shell, program, requests):
    result = subprocess.run([*shell, program], cwd=PROJECT, input=requests.encode("utf-8", "surrogatepass"),
                            capture_output=True, timeout=60, env={"PATH": os.environ["PATH"]})
    assert result.returncode == 0, result.stderr
    return [json.loads(one) for one in result.stdout.splitlines()]


def value(replies, number=2):
    return next(reply["result"]["value"] for reply in replies if reply.get("id") == str(number))


def program(tmp_path, body):
    path = tmp_path / "program"
    path.write_text(f"execute() {{\n{body}\n}}\n. ./integrations/lib.sh\nserve\n")
    return path


TEXTS = ["", "plain", 'a "quoted" \\ back\\\\slash', "line\nfeed\n\nand more", "tab\tand / slash", "gr\u00fc\u00df \u65e5\u672c \U0001F600",
         "$(id) `id` $HOME * ? [a] ~ ; & | < > ' % %s \\n \\u0041", "-n", "-e x", "{\"a\":[1,{\"b\":\"}]\"}]}", "x" * 5000]


def test_texts_come_through_unchanged(shell, tmp_path):
    echo = program(tmp_path, 'succeed "$(json_string "$(input text)")"')
    requests = "".join(execute(number, {"before": "\\\"}", "text": text}) for number, text in enumerate(TEXTS))
    replies = talk(shell, echo, requests)
    # A shell takes the line feeds at the end of a text away.
    assert [value(replies, number) for number in range(len(TEXTS))] == [text.rstrip("\n") for text in TEXTS]


def test_escapes_are_decoded_and_controls_left_out(shell, tmp_path):
    echo = program(tmp_path, 'succeed "$(json_string "$(input text)")"')
    request = execute(2, {"text": "?"}).replace('"?"', r'"\u0041\u00e9\u20ac\ud83d\ude00\b\f\r\u0000\u001b\"\\\/\t"')
    assert value(talk(shell, echo, request)) == "A\u00e9\u20ac\U0001F600\"\\/\t"


def test_paths_find_what_they_name_and_nothing_else(shell, tmp_path):
    wanted = program(tmp_path, """
    found=
    for path in number list.1.name list.0 object empty none flag missing list.7 number.deeper ""; do
        found="$found${found:+,}$(json_string "$(value "params.context.inputs.$path" || echo nothing)")"
    done
    succeed "[$found,$(json_string "$(input missing "the default")"),$(json_string "$(config c)")]"
    """)
    inputs = {"nested": {"number": 1}, "number": -1.5e-7, "list": [[], {"name": "x"}], "object": {"a": [1, 2]},
              "empty": {}, "none": None, "flag": False}
    request = execute(2, inputs, {"c": "of the config"}).replace('"number":-1.5e-07', '"number" : -1.50e-7 ')
    assert value(talk(shell, wanted, request)) == [
        "-1.50e-7", "x", "[]", '{"a":[1,2]}', "{}", "null", "false", "nothing", "nothing", "nothing", "nothing",
        "the default", "of the config"]


def test_every_request_has_one_answer_whatever_execute_does(shell, tmp_path):
    odd = program(tmp_path, """
    case $(input what) in
    nothing) return 3 ;;
    ends) exit 4 ;;
    twice) succeed 1; succeed 2 ;;
    fails) fail "it is broken" ;;
    reads) cat; succeed '"read"' ;;
    esac
    """)
    setup = line({"jsonrpc": "2.0", "id": "s", "method": "setup", "params": {}})
    other = line({"jsonrpc": "2.0", "id": "o", "method": "other", "params": {}})
    note = line({"jsonrpc": "2.0", "method": "cancel", "params": {"id": "1"}})
    requests = setup + "".join(execute(number, {"what": what}) for number, what in
                               enumerate(["nothing", "ends", "twice", "fails", "reads"])) + note + "\n" + other
    replies = talk(shell, odd, requests)
    assert [reply["id"] for reply in replies] == ["s", "0", "1", "2", "3", "4", "o"]
    by_id = {reply["id"]: reply for reply in replies}
    assert by_id["s"]["result"] == {"ok": True}
    assert "status 3" in by_id["0"]["error"]["message"] and "status 4" in by_id["1"]["error"]["message"]
    assert by_id["2"]["result"] == {"value": 1}
    assert by_id["3"]["error"]["message"] == "it is broken"
    assert by_id["4"]["result"] == {"value": "read"}
    assert by_id["o"]["error"]["code"] == -32601


def test_the_example_judges_and_reports(shell):
    facts = {"kernel": "Linux 6", "up_s": 7200, "cpus": 2, "load": 0.5, "memory_mib": 512, "memory_percent": 10, "mount": "/",
             "disk_mib": 1000, "disk_free_mib": 900, "disk_percent": 10}
    measured = {"disk_percent": 50, "memory_percent": 96, "load": 1.25}
    limits = {"disk_percent_max": 50, "memory_percent_max": 95, "load_max": 1.5e0}
    replies = talk(shell, "integrations/judge", execute(2, {**measured, **limits}))
    verdict = value(replies)
    assert verdict == {"healthy": False, "findings": [
        {"name": "disk_percent", "measured": 50, "limit": 50, "ok": True},
        {"name": "memory_percent", "measured": 96, "limit": 95, "ok": False},
        {"name": "load", "measured": 1.25, "limit": 1.5, "ok": True}]}
    assert [reply["params"]["level"] for reply in replies if reply.get("method") == "log"] == ["warning"]

    report = value(talk(shell, "integrations/report",
                        execute(2, {"facts": facts, "verdict": verdict}, {"title": "Report on this"})))
    assert report.startswith("Report on this\n\n") and facts["kernel"] in report
    assert "memory_percent is 96, limit 95: OVER ITS LIMIT" in report
    assert report.endswith("attention.")


def test_headroom_is_the_same_in_sh_and_in_python(shell):
    verdict = {"findings": [{"name": "load", "measured": 4.5, "limit": 8}, {"name": "disk_percent", "measured": 120, "limit": 50},
                            {"name": "none", "measured": 1, "limit": 0}]}
    request = execute(2, {"verdict": verdict})
    setup = line({"jsonrpc": "2.0", "id": "1", "method": "setup", "params": {"config": {}}})
    said = subprocess.run(["/usr/bin/python3", ROOT / "port" / "python" / "bridge.py", "integrations/headroom.py:Headroom"], cwd=PROJECT,
                          input=(setup + request).encode(), capture_output=True, timeout=60, check=True, env={"PYTHONDONTWRITEBYTECODE": "1"})
    in_python = value([json.loads(one) for one in said.stdout.splitlines()])
    assert value(talk(shell, "integrations/headroom", request)) == in_python == {"load": 43, "disk_percent": -140, "none": 0}


def test_probe_gathers_what_the_system_says():
    programs("integrations/probe")
    setup = line({"jsonrpc": "2.0", "id": "1", "method": "setup", "params": {"run_id": "r-1", "integration": "probe", "config": {}}})
    replies = talk([], BUILD / "integrations" / "probe", setup + execute(2, {"mount": "/"}) + execute(3, {"mount": "/absent"})
                   + execute(4, {}, {"interfaces": False}) + execute(5, {"mount": 1}) + execute(6, {}, {"colour": "red"}))
    facts, disk = value(replies), os.statvfs("/")
    assert facts["kernel"] == f"{os.uname().sysname} {os.uname().release}" and facts["host"] == os.uname().nodename
    assert facts["cpus"] == os.sysconf("SC_NPROCESSORS_ONLN") and facts["mount"] == "/"
    assert facts["disk_mib"] == disk.f_blocks * disk.f_frsize >> 20
    assert abs(facts["up_s"] - float(pathlib.Path("/proc/uptime").read_text().split()[0])) < 60
    assert sorted(one["name"] for one in facts["interfaces"]) == sorted(os.listdir("/sys/class/net"))
    for name in ("memory_mib", "memory_percent", "disk_free_mib", "disk_percent"):
        assert isinstance(facts[name], int) and facts[name] >= 0, name
    assert isinstance(facts["load"], (int, float))
    assert [reply["params"]["current"] for reply in replies if reply.get("method") == "progress"][:2] == [1, 2]
    by_id = {reply["id"]: reply for reply in replies if "id" in reply}
    assert "no file system at /absent" in by_id["3"]["error"]["message"] and by_id["3"]["error"]["data"] == {"retry": False}
    assert "interfaces" not in by_id["4"]["result"]["value"]
    assert by_id["5"]["error"] == {"code": -32006, "message": "inputs.mount must be a string, it is a number",
                                   "data": {"path": "inputs.mount", "retry": False}}
    assert by_id["6"]["error"]["message"] == "config.colour is not known"


def programs(*names):
    missing = [name for name in names if not (BUILD / name).exists()]
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")


def test_make_run_shows_the_whole_chain_and_leaves_nothing_behind(tmp_path):
    programs("charter", "charter-daemon", "charter-gateway")
    if not shutil.which("curl"):
        pytest.skip("curl is not here")
    env = dict(os.environ, BUILD=str(BUILD), TMPDIR=str(tmp_path))
    result = subprocess.run([ROOT / "port" / "demo" / "run.sh"], env=env, stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=300)
    out = result.stdout.decode()
    assert result.returncode == 0, out + result.stderr.decode()
    for run in ("from-the-command-line", r"r-[0-9a-z]{26}"):
        assert re.search(f"== The events of run {run}, read back from the gateway's store\n  1  .* run.created", out)
    assert len(re.findall(r"(?m)^ *\d+  [0-9:.]+  run\.succeeded", out)) == 2
    assert list(tmp_path.iterdir()) == []


def test_make_run_fails_where_the_workflow_does(tmp_path):
    programs("charter", "charter-daemon", "charter-gateway")
    if not shutil.which("curl"):
        pytest.skip("curl is not here")
    copy = tmp_path / "demo"
    shutil.copytree(PROJECT.parent, copy)
    (copy / "project" / "integrations" / "judge").write_text("#!/bin/sh\nexit 7\n")
    env = dict(os.environ, BUILD=str(BUILD), TMPDIR=str(tmp_path))
    result = subprocess.run([copy / "run.sh"], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert result.returncode == 1
    assert b"the run ended with exit code 1" in result.stderr
    assert list(tmp_path.iterdir()) == [copy]


@needs("CHECK")
def test_the_project_of_init_runs_at_once(tmp_path):
    programs("charter", "charter-daemon")
    env = {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}

    def charter(*args):
        return subprocess.run([BUILD / "charter", *args], cwd=tmp_path, env=env, capture_output=True, timeout=120)

    assert charter("init").returncode == 0
    # Where its own config is to be read: the form that this build writes is one that it reads.
    checked = subprocess.run([BUILD / "charter-daemon", "check"], cwd=tmp_path, env=env, capture_output=True, timeout=120)
    assert checked.returncode == 0, checked.stderr
    with open(tmp_path / "daemon.log", "wb") as log:
        started = subprocess.run([BUILD / "charter-daemon", "start", "--background"], cwd=tmp_path, env=env,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120)
    assert started.returncode == 0, (tmp_path / "daemon.log").read_text()
    try:
        run = charter("run", "hello", "--input", "name=you", "--input", "times=2")
        assert run.returncode == 0, run.stdout + run.stderr
        assert b"greeting: Hello, you! Hello, you!" in run.stdout
        assert charter("run", "hello", "--input", "times=11").returncode == 7
    finally:
        assert charter("daemon", "stop").returncode == 0
