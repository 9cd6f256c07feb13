"""A crowd of clients that come, go, lie and never read, while runs go on: the runs end, and everything is given back."""

import json
import os
import random
import signal
import time

from harness import PLAIN, Closed, RpcError, needs, step, wait_until

SEED = int(os.environ.get("CHARTER_CROWD_SEED", time.time_ns() % 1000000))
ROUNDS = int(os.environ.get("CHARTER_CROWD_ROUNDS", 400 if PLAIN else 100))

GARBAGE = [b"\0\n", b"{}\n", b"[]\n", b'{"jsonrpc":"2.0","id":1,"method":"x"}\n', b"\xff\xfe\n", b"{" * 40 + b"\n", b"x" * 70000 + b"\n",
           b'{"jsonrpc":"2.0","id":{},"method":"daemon.status"}\n', b'{"jsonrpc":"2.0","method":"run.start","params":{}}\n',
           b'{"jsonrpc":"2.0","id":"' + b"\\u0001" * 64 + b'","method":"daemon.status"}\n', b'{"jsonrpc":"2.0","id":1', b"\n\r\n \n"]


def request(method, params, request_id):
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"


def some_request(dice, runs):
    run = {"run_id": dice.choice(runs)}
    method, params = dice.choice([
        ("daemon.status", {}), ("runs.list", {"limit": dice.randrange(1, 101)}), ("run.status", run), ("artifacts.list", run),
        ("workflows.list", {}), ("workflows.show", {"workflow_id": "w"}), ("run.events", {**run, "follow": True}),
        ("run.events", {"follow": dice.random() < 0.5, "after": dice.randrange(50)}), ("run.cancel", {"run_id": "nobody"}),
        ("run.start", {"workflow_id": "nothing"}), ("run.resume", {**run, "decision": "approve"}),
        ("run.submit_input", {**run, "answers": {}})])
    return request(method, params, dice.randrange(1000))


def is_heard(daemon):
    try:
        return daemon.call("daemon.status")
    except (OSError, Closed, RpcError, AssertionError):  # the last: one client too many
        return None


def test_a_crowd_of_clients_changes_nothing(project, daemon_of):
    print(f"CHARTER_CROWD_SEED={SEED}")
    dice = random.Random(SEED)
    project.workflow("w", [step("one", {"logs": {"times": 50, "text": "x" * 300}}, {"sleep": 0.3}, value="v" * 2000),
                           step("two", {"stderr": {"text": "y" * 100 + "\n", "times": 50}}, {"wait": "go"}, value=2)])
    daemon = daemon_of(project)
    wait_until(lambda: daemon.fds())
    before = daemon.fds()
    runs = [daemon.start_run() for _ in range(6)]
    crowd = []
    for _ in range(ROUNDS):
        what = dice.randrange(5)
        try:
            if what <= 1 and len(crowd) < 20:
                crowd.append(daemon.client(5))
                crowd[-1].socket.setblocking(False)
            elif not crowd:
                continue
            elif what == 2:
                dice.choice(crowd).socket.send(dice.choice(GARBAGE))
            elif what == 3:
                dice.choice(crowd).socket.send(b"".join(some_request(dice, runs) for _ in range(dice.randrange(1, 6))))
            elif dice.random() < 0.5:
                dice.choice(crowd).socket.recv(dice.randrange(1, 100000))
            else:
                client = crowd.pop(dice.randrange(len(crowd)))
                if dice.random() < 0.3:
                    client.socket.shutdown(1)
                client.close()
        except (OSError, Closed):
            pass
    project.touch("go")
    for client in crowd:
        if dice.random() < 0.5:
            client.close()
    wait_until(lambda: is_heard(daemon), "the queue of connections is dealt with")
    for run in runs:
        assert daemon.end_of(run).status == "succeeded"
    for client in crowd:
        client.close()
    wait_until(lambda: daemon.fds() <= before, lambda: f"descriptors are given back: {daemon.fds()} of {before}")
    assert daemon.call("daemon.status")["runs"]["active"] == 0


def test_stopped_integrations_are_ended_with_their_time(project, daemon_of):
    """SIGSTOP in the middle of a step, of a request that does not fit the pipe, and of a teardown."""
    project.workflow("w", [step("big", {"big": 300000}),
                           step("one", {"pid": "pid"}, {"hang": 1}, inputs={"x": "${{ outputs.big }}"}, timeout_s=2)])
    daemon = daemon_of(project)
    run = daemon.start_run()
    project.wait_file("pid")
    os.kill(project.read("pid"), signal.SIGSTOP)
    ended = daemon.end_of(run)
    assert ended.status == "failed" and ended.failure()["kind"] == "timeout"
    wait_until(lambda: not project.processes(), "nothing is left", 20)


@needs(CLIENTS=32)
def test_gates_are_decided_once_by_a_crowd(project, daemon_of):
    project.workflow("w", [{"id": "g", "gate": {"message": "?"}}, step("one", value="${{ outputs.g.decision }}")])
    daemon = daemon_of(project)
    for _ in range(5):
        run = daemon.start_run()
        wait_until(lambda r=run: daemon.status(r)["status"] == "waiting")
        clients = [daemon.client() for _ in range(16)]
        for i, client in enumerate(clients):
            client.request("run.resume", {"run_id": run, "decision": "approve" if i % 2 else "deny", "actor": f"a{i}"}, 1)
        winners = []
        for i, client in enumerate(clients):
            try:
                client.answer(1)
                winners.append(f"a{i}")
            except RpcError as error:
                assert error.code == -32011, error
            client.close()
        assert len(winners) == 1
        (resumed,) = daemon.end_of(run).of("run.resumed")
        assert resumed["data"]["actor"] == winners[0]
