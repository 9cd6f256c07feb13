#!/usr/bin/python3 -IS
"""recorder.py LOG COMMAND...: runs an integration and stands between it and the daemon. Every line that passes is appended to LOG as
{"to": "integration"|"daemon", "message": …} before it is passed on, so that the order in LOG is the order of the conversation.
"""

import json
import os
import subprocess
import sys
import threading

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def forward(source, to_fd, to, close):
    for line in iter(source.readline, b""):
        try:
            message = json.loads(line)
        except ValueError:
            message = {"not json": line.decode("utf-8", "replace")}
        os.write(log, json.dumps({"to": to, "message": message}).encode() + b"\n")
        try:
            while line:
                line = line[os.write(to_fd, line):]
        except OSError:
            break
    if close:
        os.close(to_fd)


inward = threading.Thread(target=forward, args=(sys.stdin.buffer, child.stdin.fileno(), "integration", True), daemon=True)
inward.start()
forward(child.stdout, 1, "daemon", False)
code = child.wait()
os._exit(code if code >= 0 else 128 - code)
