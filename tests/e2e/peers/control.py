"""A control socket (contract §5) whose answers a test writes: what the `charter` command is tested against. Written from
the contract alone; shares no code with the programs.

    with ControlServer(project, {"run.status": lambda call: call.answer({...})}) as server:
        ...
        assert server.calls("run.status") == [{"run_id": "r-1"}]

A handler gets a Call for every request of its method and says what comes back: answer(), error(), notify(), raw(),
close(); it may go on talking later, as long as the connection is open. Methods without a handler get -32601.
"""

import json
import os
import socket
import threading


class Call:
    def __init__(self, connection, message):
        self.connection = connection
        self.message = message
        self.params = message.get("params", {})

    def raw(self, data):
        """Bytes as they are; a peer that has gone is no failure of the test."""
        try:
            self.connection.sendall(data)
        except OSError:
            pass

    def send(self, message):
        self.raw(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def answer(self, result):
        self.send({"jsonrpc": "2.0", "id": self.message["id"], "result": result})

    def error(self, code, message, data=None):
        error = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        self.send({"jsonrpc": "2.0", "id": self.message["id"], "error": error})

    def notify(self, method, params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def event(self, event):
        self.notify("event", {"event": event})

    def close(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class ControlServer:
    def __init__(self, project, handlers, path=None):
        self.handlers = handlers
        self.received = []
        self.raw_lines = []
        self.path = path or os.path.join(project, ".charter", "daemon.sock")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.threads = []
        self.connections = []
        self.condition = threading.Condition()

    def __enter__(self):
        # From its own directory, because the path in an address is short.
        here = os.getcwd()
        os.chdir(os.path.dirname(self.path))
        try:
            self.listener.bind(os.path.basename(self.path))
        finally:
            os.chdir(here)
        self.listener.listen(8)
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(10)
        os.unlink(self.path)

    def calls(self, method):
        """The params of all requests of a method, in order."""
        with self.condition:
            return [message.get("params") for message in self.received if message["method"] == method]

    def wait_for(self, method, count=1, timeout=10):
        with self.condition:
            arrived = self.condition.wait_for(
                lambda: sum(message["method"] == method for message in self.received) >= count, timeout)
        assert arrived, f"{method} did not come within {timeout} s"

    def _spawn(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self._request(connection, line)
            except OSError:
                pass

    def _request(self, connection, line):
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0" and isinstance(message["id"], (str, int)), line
        with self.condition:
            self.raw_lines.append(line)
            self.received.append(message)
            self.condition.notify_all()
        call = Call(connection, message)
        handler = self.handlers.get(message["method"])
        if handler is None:
            call.error(-32601, f"no method {message['method']}")
        else:
            handler(call)


def event(seq, kind, step_id=None, run_id="r-1", time="2026-01-31T12:00:00.000Z", attempt=None, **data):
    """An event as contract §4 has it."""
    made = {"seq": seq, "run_id": run_id, "n": seq, "time": time, "type": kind}
    if step_id is not None:
        made["step_id"] = step_id
        made["attempt"] = attempt or 1
    made["data"] = data
    return made
