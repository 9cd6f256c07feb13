#!/usr/bin/python3 -IS
"""An integration that does what its config says: `do` of a step (with_config), `setup` and `teardown` of the
integration's config are lists of actions, each an object with one member. Speaks the protocol of contract §2.
"""

import json
import os
import signal
import subprocess
import sys
import time

IN, OUT = sys.stdin.buffer.raw, 1
pending = bytearray()


def write(data, fd=OUT):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def say(message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def read_line():
    while b"\n" not in pending:
        data = IN.read(1 << 16)
        if not data:
            return None
        pending.extend(data)
    end = pending.index(b"\n")
    line = bytes(pending[:end])
    del pending[:end + 1]
    return line


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def put(path, value):
    """Whole or not at all."""
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.rename(path + ".new", path)


def surroundings():
    return {"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0),
            "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
            "ignored": next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn")),
            "blocked": next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigBlk"))}


def spawn(how):
    """A grandchild that holds all our pipes; `session`: in a session of its own; `stubborn`: ignores what can be."""
    script = "trap '' TERM INT HUP; " if how.get("stubborn") else ""
    child = subprocess.Popen(["/bin/sh", "-c", script + "while :; do sleep 1; done"], close_fds=False,
                             start_new_session=bool(how.get("session")))
    put(how["pid"], child.pid)


def act(action, request):
    """True: the request is answered."""
    (name, what), = action.items()
    if name == "value":
        say({"id": request["id"], "result": {"value": what}})
    elif name == "result":
        say({"id": request["id"], "result": what})
    elif name == "error":
        say({"id": request["id"], "error": what})
    elif name == "answer":
        say(what)
    elif name == "raw":
        write(what.encode())
        return False
    elif name == "bytes":
        write(bytes.fromhex(what))
        return False
    elif name == "last_words":  # raw, and it counts as the answer
        write(what.encode())
    elif name == "big":
        write(b'{"jsonrpc":"2.0","id":"%s","result":{"value":"' % request["id"].encode())
        for _ in range(what // 65536):
            write(b"x" * 65536)
        write(b"x" * (what % 65536) + b'"}}\n')
    elif name == "endless":
        for _ in range(what // 65536):
            write(b"x" * 65536)
    elif name == "slowly":
        for byte in json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"value": what}}).encode() + b"\n":
            write(bytes([byte]))
            time.sleep(0.001)
    elif name == "value_of":  # what stands at this path of the request
        value = request["params"]
        for member in what:
            value = value[member]
        say({"id": request["id"], "result": {"value": value}})
    elif name == "file":
        place = os.path.join(request["params"]["context"]["artifacts_dir"], what["path"])
        with open(place, "wb") as file:
            file.write(what["text"].encode() * what.get("times", 1))
        return False
    elif name == "once":  # the first time through only
        if os.path.exists(what["file"]):
            return False
        open(what["file"], "w").close()
        return perform(what["do"], request)
    else:
        ACTIONS[name](what, request)
        return False
    return True


def notify(method):
    return lambda what, request: say({"method": method, "params": what})


def fail(what, request):
    os._exit(what)


def kill_self(what, request):
    os.kill(os.getpid(), what)


def ignore(what, request):
    for number in what:
        signal.signal(number, signal.SIG_IGN)


def stderr(what, request):
    for _ in range(what.get("times", 1)):
        write(what["text"].encode(), 2)


def pieces(what, request):
    """Text in pieces with a pause, so that a reader gets them apart."""
    for piece in what["pieces"]:
        write(piece.encode(), what.get("fd", 2))
        time.sleep(0.05)


def await_cancel(what, request):
    line = read_line()
    put(what, json.loads(line) if line else None)


def count(what, request):
    """One more line in a file: how often something happened."""
    with open(what, "a") as file:
        file.write(f"{request['method']} {os.getpid()} {request['params'].get('context', {}).get('attempt')}\n")


ACTIONS = {
    "log": notify("log"), "progress": notify("progress"), "note": lambda what, request: say(what),
    "logs": lambda what, request: [say({"method": "log", "params": {"level": "info", "message": f"{i} {what['text']}"}})
                                   for i in range(what["times"])],
    "exit": fail, "signal": kill_self, "ignore": ignore, "stderr": stderr, "pieces": pieces,
    "close": lambda what, request: os.close(what), "sleep": lambda what, request: time.sleep(what),
    "hang": lambda what, request: [time.sleep(3600) for _ in iter(int, 1)],
    "record": lambda what, request: put(what, request), "surroundings": lambda what, request: put(what, surroundings()),
    "touch": lambda what, request: open(what, "w").close(), "wait": lambda what, request: wait_for(what),
    "spawn": lambda what, request: spawn(what), "await_cancel": await_cancel, "count": count,
    "pid": lambda what, request: put(what, os.getpid()),
}


def perform(actions, request):
    answered = False
    for action in actions:
        answered = act(action, request) or answered
    return answered


def main():
    config = {}
    while (line := read_line()) is not None:
        request = json.loads(line)
        if "id" not in request:
            continue
        method = request["method"]
        if method == "setup":
            config = request["params"]["config"]
            actions, standard = config.get("setup", []), {"result": {"ok": True}}
        elif method == "teardown":
            actions, standard = config.get("teardown", []), {"result": {"ok": True}}
        else:
            with_config = request["params"]["step"]["with_config"]
            actions, standard = with_config.get("do", []), {"value": None}
        if not perform(actions, request):
            act(standard, request)
        if method == "teardown" and not config.get("stay"):
            return


if __name__ == "__main__":
    main()
