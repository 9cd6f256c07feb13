"""Servers of many makers, and one gateway behind all of them: each server is a program (relay_*.py, relay_ws.js) that only passes on
what its library sees, a JSON object a line, and does what it is told the same way.  What a gateway says stands here."""

import json
import queue
import shutil
import subprocess
import sys
import threading
import time


class Relay:
    def __init__(self, *command, env=None, port=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.lines = queue.Queue()
        self.acked, self.events, self.sizes = None, {}, []
        self.opened, self.hellos, self.answers, self.seen = [], [], {}, []
        threading.Thread(target=self._read, daemon=True).start()
        self.port = port or self.wait(lambda line: line["type"] == "listening")["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"type": "gone"})

    def tell(self, do, **what):
        self.process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self.process.stdin.flush()

    def say(self, message):
        self.tell("text", data=json.dumps(message))

    def wait(self, condition, seconds=30):
        """The first line from now on that fits; messages of the daemon are dealt with on the way."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not within {seconds} s; the last lines: {str(self.seen[-5:])[:2000]}") from None
            assert line["type"] not in ("gone", "binary"), line
            self.seen.append(line)
            if line["type"] == "open":  # may come before the line of the last one's end
                self.opened.append(line)
            if line["type"] == "text":
                self._take(line["data"])
            if condition(line):
                return line

    def until(self, condition):
        """The same for what has been seen, now or later."""
        if not condition():
            self.wait(lambda line: condition())

    def _take(self, text):
        message = json.loads(text)
        self.sizes.append(len(text.encode()))
        if message.get("method") == "daemon.hello":
            self.hellos.append(message["params"])
            if self.acked is None:
                self.acked = message["params"]["events"]["first"] - 1
            self.say({"jsonrpc": "2.0", "id": message["id"], "result": {
                "protocol": 1, "gateway": "relay", "session": "s", "limits": {"message_bytes": 65536}, "heartbeat_s": 2,
                "events": {"acked": self.acked, "acked_time": None, "limit": None}, "clock": {"time": "2026-01-31T12:00:00.000Z"}}})
        elif message.get("method") == "events.append":
            for event in message["params"]["events"]:
                seq = event["seq"]
                assert self.events.setdefault(seq, event) == event and seq <= self.acked + 1
                self.acked = max(self.acked, seq)
            self.say({"jsonrpc": "2.0", "method": "events.ack", "params": {"acked": self.acked, "limit": None}})
        elif "id" in message:
            self.answers[message["id"]] = message

    def has(self, kind, run_id):
        return any(event["type"] == kind and event.get("run_id") == run_id for event in self.events.values())


def node_ws():
    """The environment in which Node finds ws, or None."""
    if not shutil.which("node"):
        return None
    import os
    env = {**os.environ, "NODE_PATH": "/usr/share/nodejs:" + os.environ.get("NODE_PATH", "")}
    found = subprocess.run(["node", "-e", "require('ws').WebSocketServer.name"], env=env, capture_output=True)
    return env if found.returncode == 0 else None


def python_has(module):
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0
