#!/usr/bin/python3 -IS
"""Integrations that hurt: `hostile.py CASE` behaves until its moment has come. What each does to whom stands in test_hostile_integrations.py."""

import json
import os
import signal
import sys
import time

CASES = {}
pending = bytearray()


def case(function):
    CASES[function.__name__] = function
    return function


def write(data, fd=1):
    view = memoryview(data if isinstance(data, bytes) else data.encode())
    while view:
        view = view[os.write(fd, view[:1 << 20]):]


def line():
    while b"\n" not in pending:
        data = os.read(0, 1 << 16)
        if not data:
            sys.exit(0)
        pending.extend(data)
    end = pending.index(b"\n")
    found = bytes(pending[:end])
    del pending[:end + 1]
    return found


def request(method=None):
    while True:
        message = json.loads(line())
        if "id" in message:
            assert method in (None, message["method"]), message
            return message


def text(message, **members):
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], **members})


def value(message, it="fine"):
    return text(message, result={"value": it}) + "\n"


def ok(message):
    write(text(message, result={"ok": True}) + "\n")


def execute():
    """Up to the question of the step."""
    ok(request("setup"))
    return request("execute")


def end(message=None):
    """The rest of a life in order."""
    if message is not None:
        write(value(message))
    ok(request("teardown"))


def sleep():
    while True:
        time.sleep(3600)


def note(flag="", method="log", params=None):
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {"level": "info", "message": flag}}) + "\n"


def grandchild(session=False, clean=False, stubborn=False, away=False):
    """A process whose parent has gone; it holds all pipes."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    if session:
        os.setsid()
    if os.fork():
        os._exit(0)
    if stubborn:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if away:
        os.chdir("/")
    mark = "hostile-grandchild-" + os.environ["CHARTER_RUN_ID"]
    os.execve("/bin/sh", ["sh", "-c", f": {mark}; while :; do sleep 1; done"], {"PATH": "/usr/bin:/bin"} if clean else os.environ)


# --- setup -------------------------------------------------------------------------------------------------


@case
def crash_in_setup():
    request("setup")
    os.kill(os.getpid(), signal.SIGSEGV)


@case
def exit_in_setup():
    request("setup")
    os._exit(9)


@case
def exit_at_once():
    os._exit(0)


@case
def hang_in_setup():
    request("setup")
    sleep()


@case
def refuse_setup():
    write(text(request("setup"), error={"code": 7, "message": "not today"}) + "\n")
    sleep()


@case
def not_ok_in_setup():
    write(text(request("setup"), result={"ok": False}) + "\n")
    sleep()


@case
def garbage_before_everything():
    write("Starting up, please wait...\n")
    end(execute())


@case
def setup_answer_too_large():
    write(text(request("setup"), result={"ok": True, "pad": "x" * 100000}) + "\n")
    sleep()


@case
def answer_before_the_question():
    setup = request("setup")
    write(text(setup, result={"ok": True}) + "\n" + json.dumps({"jsonrpc": "2.0", "id": "2", "result": {"value": "early"}}) + "\n")
    sleep()


# --- ends in the middle ---------------------------------------------------------------------------------------


@case
def crash_in_execute():
    execute()
    os.kill(os.getpid(), signal.SIGSEGV)


@case
def abort_with_half_an_answer():
    message = execute()
    write(value(message)[:20])
    os.kill(os.getpid(), signal.SIGABRT)


@case
def exit_0_without_an_answer():
    execute()
    os._exit(0)


@case
def exit_code():
    execute()
    write("the reason\n", 2)
    os._exit(42)


@case
def half_a_line_then_exit():
    message = execute()
    write(value(message)[:-5])
    os._exit(0)


@case
def kill_own_group():
    execute()
    os.killpg(0, signal.SIGKILL)


@case
def hang():
    execute()
    sleep()


@case
def ignore_sigterm():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    execute()
    sleep()


@case
def stop_signal():
    execute()
    os.kill(os.getpid(), signal.SIGSTOP)
    sleep()


@case
def stopped_whole_group():
    execute()
    os.killpg(0, signal.SIGSTOP)
    sleep()


@case
def answer_after_cancel():
    message = execute()
    while json.loads(line()).get("method") != "cancel":
        pass
    write(value(message, "too late"))
    end()


@case
def closes_stdin():
    message = execute()
    os.close(0)
    time.sleep(0.2)
    write(value(message))


@case
def closes_stdin_and_hangs():
    ok(request("setup"))
    request("execute")
    os.close(0)
    sleep()


@case
def closes_stdout_and_lives():
    execute()
    os.close(1)
    sleep()


@case
def closes_everything_and_lives():
    execute()
    os.closerange(0, 3)
    sleep()


@case
def never_reads():
    setup = b'{"jsonrpc":"2.0","id":"1","result":{"ok":true}}\n'
    write(setup)
    sleep()


@case
def never_reads_and_answers():
    """A request of more than a pipe's room is still being written when the answer comes."""
    ok(request("setup"))
    os.read(0, 1)
    write(b'{"jsonrpc":"2.0","id":"2","result":{"value":"fine"}}\n')
    sleep()


# --- what it says ----------------------------------------------------------------------------------------------


def says(name, make):
    def say():
        message = execute()
        write(make(message))
        sleep()
    CASES[name] = say


says("garbage", lambda m: "Traceback (most recent call last):\n")
says("binary_garbage", lambda m: bytes(range(256)) * 40 + b"\n")
says("nul", lambda m: value(m).replace("fine", "fi\0ne"))
says("nul_alone", lambda m: b"\0")
says("invalid_utf8", lambda m: value(m).encode().replace(b"fine", b"\xc3("))
says("bom_in_the_middle", lambda m: b"\xef\xbb\xbf" + value(m).encode())
says("deep_nesting", lambda m: '{"jsonrpc":"2.0","id":"2","result":{"value":' + "[" * 100000)
says("wrong_id", lambda m: value({"id": "7"}))
says("number_for_id", lambda m: value({"id": 2}))
says("null_id", lambda m: value({"id": None}))
says("two_answers", lambda m: value(m) + value(m, "again"))
says("answer_and_error", lambda m: text(m, result={"value": 1}, error={"code": 1, "message": "x"}) + "\n")
says("member_twice", lambda m: value(m).replace('"id"', '"id":"2","id"', 1))
says("value_and_artifact", lambda m: text(m, result={"value": 1, "artifact": {"path": "x"}}) + "\n")
says("neither_value_nor_artifact", lambda m: text(m, result={}) + "\n")
says("result_is_a_text", lambda m: text(m, result="fine") + "\n")
says("a_request", lambda m: json.dumps({"jsonrpc": "2.0", "id": "9", "method": "daemon.stop", "params": {}}) + "\n")
says("a_batch", lambda m: "[" + value(m).strip() + "]\n")
says("log_too_large", lambda m: note("x" * 5000000))
says("error_without_form", lambda m: text(m, error="bad") + "\n")


def endless(name, piece, head=b"", fd=1):
    def flood():
        execute()
        write(head, fd)
        while True:  # as fast as is bearable: what comes must fit the journal until the timeout, on any machine
            write(piece, fd)
            time.sleep(0.01)
    CASES[name] = flood


endless("endless_logs", (note("spam") * 50).encode())
endless("endless_stderr", b"spam spam spam spam\n" * 200, fd=2)
endless("endless_blank_lines", b"\n" * 4096)


@case
def hundred_mb_without_a_line_feed():
    message = execute()
    write(value(message, "")[:-4])
    for _ in range(100):
        write(b"x" * (1 << 20))
    os._exit(0)


@case
def hundred_mb_of_garbage():
    execute()
    for _ in range(100):
        write(b"x" * (1 << 20))
    sleep()


@case
def stderr_flood():
    message = execute()
    for _ in range(1000):
        write(b"a line of the flood on stderr, as long as many of them are\n" * 200, 2)
    end(message)


@case
def stderr_without_a_line_feed():
    message = execute()
    for _ in range(20):
        write(b"x" * (1 << 20), 2)
    end(message)


@case
def stderr_of_bytes():
    message = execute()
    write(bytes(range(256)) * 100, 2)
    end(message)


@case
def bom_and_crlf():
    setup = request("setup")
    write(b"\xef\xbb\xbf" + text(setup, result={"ok": True}).encode() + b"\r\n\r\n\n")
    write(value(request("execute")).replace("\n", "\r\n"))
    end()


@case
def slowly():
    message = execute()
    for byte in value(message).encode():
        write(bytes([byte]))
        time.sleep(0.005)
    end()


@case
def thousands_of_progress():
    message = execute()
    for i in range(100):
        write("".join(note(method="progress", params={"current": i * 50 + k, "total": 5000}) for k in range(50)))
    end(message)


@case
def malformed_notifications():
    message = execute()
    write(note(method="progress", params={"current": "x"}) + note(method="log", params={"level": 1}) + note(method="nobody.knows") * 2000)
    write('{"jsonrpc":"2.0","method":"progress"}\n')
    end(message)


@case
def number_of_a_million_digits():
    execute()
    write(b'{"jsonrpc":"2.0","id":"2","result":{"value":' + b"7" * 1000000 + b"}}\n")
    end()


# --- what it starts and takes -----------------------------------------------------------------------------------


def leaves(name, answers, **how):
    def leave():
        message = execute()
        grandchild(**how)
        if not answers:
            os._exit(1)
        end(message)
    CASES[name] = leave


leaves("grandchild_holds_the_pipes", True)
leaves("grandchild_of_a_crash", False, stubborn=True)
leaves("setsid_escapee", True, session=True)
leaves("setsid_escapee_of_a_crash", False, session=True, stubborn=True)
leaves("escapee_without_a_trace", True, session=True, clean=True, stubborn=True, away=True)


@case
def family_of_escapees():
    """A tree of sessions: each of them an orphan only when its parent has been killed."""
    message = execute()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
        os.chdir("/")
        os.execve("/bin/sh", ["sh", "-c", f": hostile-grandchild-{os.environ['CHARTER_RUN_ID']}; sleep 1000 & wait"], {"PATH": "/usr/bin:/bin"})
    time.sleep(0.3)
    end(message)


@case
def hundred_children():
    execute()
    for _ in range(100):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sleep()
    sleep()


@case
def memory_hog():
    execute()
    hog = []
    while True:
        hog.append(b"x" * (1 << 20))


@case
def cpu_hog():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    execute()
    while True:
        pass


@case
def file_hog():
    message = execute()
    files = []
    try:
        while True:
            files.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        write(value(message, [len(files), error.errno]))
    end()


@case
def kills_the_daemon():
    message = execute()
    said = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
        try:
            os.kill(os.getppid(), number)
            said.append("killed")
        except PermissionError:
            said.append("refused")
    write(value(message, said))
    end()


def artifact(name, make):
    def give():
        message = execute()
        folder = message["params"]["context"]["artifacts_dir"]
        path = make(folder)
        write(text(message, result={"artifact": {"path": path, "media_type": "text/plain"}}) + "\n")
        end()
    CASES[name] = give


def linked(target):
    def make(folder):
        os.symlink(target, os.path.join(folder, "link"))
        return "link"
    return make


def fifo(folder):
    os.mkfifo(os.path.join(folder, "pipe"))
    return "pipe"


def directory(folder):
    os.mkdir(os.path.join(folder, "folder"))
    return "folder"


def linked_folder(folder):
    os.symlink("/etc", os.path.join(folder, "etc"))
    return "etc/hostname"


artifact("artifact_outside", lambda folder: "../../../../../charter.yml")
artifact("artifact_absolute", lambda folder: "/etc/hostname")
artifact("artifact_behind_a_link", linked("/etc/hostname"))
artifact("artifact_behind_a_linked_folder", linked_folder)
artifact("artifact_is_a_device", linked("/dev/zero"))
artifact("artifact_is_a_fifo", fifo)
artifact("artifact_is_a_folder", directory)
artifact("artifact_is_missing", lambda folder: "nothing")
artifact("artifact_with_a_nul", lambda folder: "a\0b")


@case
def removes_its_folder():
    message = execute()
    os.rmdir(message["params"]["context"]["artifacts_dir"])
    write(text(message, result={"artifact": {"path": "x"}}) + "\n")
    end()


# --- teardown ------------------------------------------------------------------------------------------------------


@case
def hang_in_teardown():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write(value(execute()))
    request("teardown")
    sleep()


@case
def crash_in_teardown():
    write(value(execute()))
    request("teardown")
    os.kill(os.getpid(), signal.SIGSEGV)


@case
def lives_after_teardown():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end(execute())
    sleep()


@case
def talks_after_teardown():
    end(execute())
    while True:
        write(note("still here"))


if __name__ == "__main__":
    CASES[sys.argv[1]]()
