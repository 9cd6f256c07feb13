"""Whose stream it is, contract section 6: a restored backup, a copied disk, a gateway that lost its store or got an old one back.
Each with the gateway that was written from the contract, and with charter-gateway.
"""

import http.client
import json
import shutil
import signal
import sqlite3
import subprocess

import pytest

from harness import BUILD, DEADLINE, Project, check_stream, clean_environment, free_port, step, wait_until
from peers.gateway import Gateway

QUICK = ["--reconnect-ms", "20,200"]


class Peer:
    """The gateway that was written from the contract."""

    def __init__(self, _folder):
        self.gateway = Gateway().__enter__()
        self.url = self.gateway.url

    def end(self):
        self.gateway.__exit__(None, None, None)

    def ids(self):
        return list(self.gateway.daemons)

    def previous_id(self, daemon_id):
        return self.gateway.daemons[daemon_id].hellos[-1]["daemon"].get("previous_id")

    def stream(self, daemon_id):
        return self.gateway.daemons[daemon_id].stream()

    def gaps(self, daemon_id):
        return [(gap["from"], gap["to"]) for gap in self.gateway.daemons[daemon_id].gaps]

    def stop(self):
        self.gateway.stop(drop=True)

    def start(self):
        self.gateway.start()

    def back_up(self):
        daemon = self.gateway.daemon
        self.kept = {name: dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
                     for name, value in vars(daemon).items()}

    def restore(self):
        vars(self.gateway.daemon).update(self.kept)

    def lose(self):
        """It knows the daemon by its name, and nothing of its events."""
        daemon = self.gateway.daemon
        daemon.events.clear(), daemon.heads.clear(), daemon.next_n.clear()
        daemon.acked = 0


class Real:
    """charter-gateway."""

    def __init__(self, folder):
        self.folder, self.process, self.port = folder, None, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = folder / "store.db"
        self.start()

    def start(self):
        with open(self.folder / "gateway.log", "ab") as log:
            self.process = subprocess.Popen([BUILD / "charter-gateway", "--store", self.store, "--listen", f"127.0.0.1:{self.port}"],
                                            stdout=subprocess.PIPE, stderr=log, env=clean_environment())
        assert self.process.stdout.readline().startswith(b"listening")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0
        self.process.stdout.close()

    def end(self):
        if self.process.poll() is None:
            self.stop()

    def http(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        connection.request(method, path, body=None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def query(self, sql, *values):
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as db:
            return db.execute(sql, values).fetchall()

    def ids(self):
        return [row[0] for row in self.query("SELECT id FROM daemons ORDER BY key")]

    def previous_id(self, daemon_id):
        return self.query("SELECT previous_id FROM daemons WHERE id = ?", daemon_id)[0][0]

    def stream(self, daemon_id):
        return [json.loads(row[0]) for row in self.query(
            "SELECT event FROM events e JOIN daemons d ON d.key = e.daemon WHERE id = ? ORDER BY seq", daemon_id)]

    def gaps(self, daemon_id):
        return self.query("SELECT first, last FROM gaps g JOIN daemons d ON d.key = g.daemon WHERE id = ? ORDER BY first", daemon_id)

    def back_up(self):
        with sqlite3.connect(self.store) as db, sqlite3.connect(self.folder / "backup.db") as copy:
            db.backup(copy)

    def restore(self):
        self.lose()
        shutil.copy(self.folder / "backup.db", self.store)

    def lose(self):
        for path in self.folder.glob("store.db*"):
            path.unlink()


@pytest.fixture(params=[Peer, Real], ids=["contract", "charter-gateway"])
def gateway(request, tmp_path):
    if request.param is Real and not (BUILD / "charter-gateway").exists():
        pytest.skip("charter-gateway is not built")
    one = request.param(tmp_path)
    yield one
    one.end()


@pytest.fixture
def real(tmp_path):
    if not (BUILD / "charter-gateway").exists():
        pytest.skip("charter-gateway is not built")
    one = Real(tmp_path)
    yield one
    one.end()


@pytest.fixture
def project(project):
    project.workflow("w", [step("one", {"logs": {"times": 3, "text": "said"}}, value=1)])
    project.workflow("chatter", [step("talk", {"logs": {"times": 80, "text": "x" * 3000}}, value=1)])
    return project


def has_all(gateway, daemon, daemon_id):
    """The gateway has what the daemon has, from somewhere on; its stream of that name."""
    last = daemon.events()[-1]
    wait_until(lambda: daemon_id in gateway.ids() and (gateway.stream(daemon_id) or [None])[-1] == last,
               lambda: f"{daemon_id} arrives; {gateway.ids()}\n{daemon.tail()}")
    return gateway.stream(daemon_id)


def check_rest(events, first):
    """A stream from somewhere in the middle: every event once, in order, in its run too."""
    assert [e["seq"] for e in events] == list(range(first, first + len(events)))
    last = {}
    for event in events:
        if "run_id" in event:
            assert event["n"] == last.get(event["run_id"], event["n"] - 1) + 1, event["seq"]
            last[event["run_id"]] = event["n"]


def new_id(gateway, *old):
    return wait_until(lambda: [daemon_id for daemon_id in gateway.ids() if daemon_id not in old], "a new id")[0]


def copy_of(project, places):
    """The project with all that its daemon keeps, on another disk."""
    copy = Project(places() + "/p", "e2e")
    shutil.rmtree(copy.path)
    shutil.copytree(project.path, copy.path, ignore=lambda _folder, names: [name for name in names if name.endswith(".sock")])
    return copy


# --- a restored backup -------------------------------------------------------------------------------------------------


def test_a_restored_backup_goes_on_under_a_new_id(project, daemon_of, gateway, places):
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    first = daemon.run("w")
    assert daemon.stop() == 0
    backup = copy_of(project, places)
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    second = daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    told = has_all(gateway, daemon, old)
    assert daemon.stop() == 0
    shutil.rmtree(project.file(".charter"))
    shutil.copytree(backup.file(".charter"), project.file(".charter"))

    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    new = new_id(gateway, old)
    third = daemon.run("w")
    stream = has_all(gateway, daemon, new)
    assert gateway.previous_id(new) == old and daemon.call("daemon.status")["daemon_id"] == new
    check_stream(stream)  # all that it holds, under its new name, from the first event on
    runs = [event["run_id"] for event in stream if event["type"] == "run.created"]
    assert runs == [first.id, third.id]
    assert [event["data"]["reason"] for event in stream if event["type"] == "daemon.started"] == ["start", "start", "forked"]
    # What it had told before stays as it was told, under the old name.
    old_stream = gateway.stream(old)
    assert old_stream[:len(told)] == told and [e["run_id"] for e in old_stream if e["type"] == "run.created"] == [first.id, second.id]
    # The id is kept.
    assert daemon.stop() == 0
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    assert has_all(gateway, daemon, new) and len(gateway.ids()) == 2


def test_a_restored_backup_that_went_further_is_found_by_the_time_of_an_event(project, daemon_of, gateway, places):
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon.run("w")
    assert daemon.stop() == 0
    backup = copy_of(project, places)
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    told = has_all(gateway, daemon, old)
    assert daemon.stop() == 0
    told = wait_until(lambda: gateway.stream(old)[-1]["type"] == "daemon.stopped" and gateway.stream(old))
    shutil.rmtree(project.file(".charter"))
    shutil.copytree(backup.file(".charter"), project.file(".charter"))

    daemon = daemon_of(project)  # without the gateway, until it has more events than that
    while daemon.call("daemon.status")["journal"]["last_seq"] <= told[-1]["seq"]:
        daemon.run("w")
    assert daemon.stop() == 0
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    new = new_id(gateway, old)
    check_stream(has_all(gateway, daemon, new))
    assert gateway.previous_id(new) == old and gateway.stream(old) == told


# --- a copied disk -------------------------------------------------------------------------------------------------------


def test_a_copied_disk_gets_a_name_of_its_own(project, daemon_of, gateway, places):
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    has_all(gateway, daemon, old)
    assert daemon.stop() == 0
    copy = copy_of(project, places)
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon.run("w")
    has_all(gateway, daemon, old)
    assert daemon.stop() == 0
    # One after the other, and by turns: each goes on where it was.
    twin = daemon_of(copy, "--gateway", gateway.url, *QUICK)
    new = new_id(gateway, old)
    for _ in range(3):
        twin.run("w")
        check_stream(has_all(gateway, twin, new))
        assert twin.stop() == 0
        daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
        daemon.run("w")
        check_stream(has_all(gateway, daemon, old))
        twin = daemon_of(copy, "--gateway", gateway.url, *QUICK)
        twin.run("w")  # and side by side
        daemon.run("w")
        has_all(gateway, daemon, old), has_all(gateway, twin, new)
        assert daemon.stop() == 0
    assert len(gateway.ids()) == 2 and gateway.previous_id(new) == old
    assert {e["run_id"] for e in gateway.stream(old)[-8:] if "run_id" in e}.isdisjoint(e.get("run_id") for e in gateway.stream(new))


def test_whoever_comes_back_first_keeps_the_name(project, daemon_of, gateway, places):
    """The copy goes on before the original does: then it is the original whose stream has parted."""
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    has_all(gateway, daemon, old)
    assert daemon.stop() == 0
    copy = copy_of(project, places)
    twin = daemon_of(copy, "--gateway", gateway.url, *QUICK)
    twin.run("w")
    told = has_all(gateway, twin, old)
    assert twin.stop() == 0
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    new = new_id(gateway, old)
    daemon.run("w")
    check_stream(has_all(gateway, daemon, new))
    assert gateway.previous_id(new) == old and gateway.stream(old)[:len(told)] == told


def test_a_copied_disk_does_not_push_the_original_out(project, daemon_of, real, places):
    """It has less than is stored: charter-gateway sees that before anybody is closed for it."""
    daemon = daemon_of(project, "--gateway", real.url, *QUICK)
    daemon.run("w")
    assert daemon.stop() == 0
    copy = copy_of(project, places)
    daemon = daemon_of(project, "--gateway", real.url, *QUICK)
    daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    has_all(real, daemon, old)
    before = daemon.call("daemon.status")["gateway"]
    twin = daemon_of(copy, "--gateway", real.url, *QUICK)  # with the same epoch, and newer
    new = new_id(real, old)
    twin.run("w")
    check_stream(has_all(real, twin, new))
    daemon.run("w")
    check_stream(has_all(real, daemon, old))
    now = daemon.call("daemon.status")["gateway"]
    assert (now["state"], now["reconnects"]) == ("connected", before["reconnects"]) and len(real.ids()) == 2
    assert real.http("GET", f"/v1/daemons/{old}")[1]["epoch"] == 2


def test_commands_for_the_original_are_not_the_copys(project, daemon_of, real, places):
    """Neither where the gateway sees at once that the stream has parted, nor where the daemon sees it by an event's time."""
    daemon = daemon_of(project, "--gateway", real.url, *QUICK)
    daemon.run("w")
    assert daemon.stop() == 0
    copies = [copy_of(project, places), copy_of(project, places)]
    daemon = daemon_of(project, "--gateway", real.url, *QUICK)
    daemon.run("w")
    old = daemon.call("daemon.status")["daemon_id"]
    told = has_all(real, daemon, old)
    assert daemon.stop() == 0
    told = wait_until(lambda: real.stream(old)[-1]["type"] == "daemon.stopped" and real.stream(old))
    far = daemon_of(copies[1])
    while far.call("daemon.status")["journal"]["last_seq"] <= told[-1]["seq"]:
        far.run("w")
    assert far.stop() == 0

    wanted = [f"for-the-original-{i}" for i in range(3)]
    for run_id in wanted:
        status, answer = real.http("POST", f"/v1/daemons/{old}/rpc", {
            "jsonrpc": "2.0", "id": 1, "method": "run.start", "params": {"workflow_id": "w", "run_id": run_id}})
        assert status == 202 and answer["state"] == "waiting", (status, answer)
    names = [old]
    for copy in copies:
        twin = daemon_of(copy, "--gateway", real.url, *QUICK)
        names.append(new_id(real, *names))
        twin.run("w")
        has_all(real, twin, names[-1])
        assert twin.call("daemon.status")["gateway"]["reconnects"] == 0 and not twin.call("daemon.status")["gateway"]["last_error"]
        assert twin.stop() == 0
    daemon = daemon_of(project, "--gateway", real.url, *QUICK)
    wait_until(lambda: {run["run_id"] for run in daemon.call("runs.list")["runs"]} >= set(wanted), "the commands arrive")
    for run_id in wanted:
        assert daemon.end_of(run_id).status == "succeeded"
    has_all(real, daemon, old)
    for name in names:
        created = [e["run_id"] for e in real.stream(name) if e["type"] == "run.created" and e["run_id"] in wanted]
        assert sorted(created) == (wanted if name == old else [])


# --- a store that was lost ---------------------------------------------------------------------------------------------------


def turn_over(daemon, gateway, daemon_id):
    """Until the daemon holds nothing that it held before; what it holds first."""
    last = daemon.events()[-1]["seq"]
    for _ in range(100):
        daemon.run("chatter")
        has_all(gateway, daemon, daemon_id)
        first = daemon.call("daemon.status")["journal"]["first_seq"]
        if first > last:
            return first
    raise AssertionError("the journal does not come around")


def test_a_gateway_that_lost_its_store_gets_what_is_still_held(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url, "--journal-kib", "2048", *QUICK)
    daemon_id = daemon.call("daemon.status")["daemon_id"]
    first = turn_over(daemon, gateway, daemon_id)
    held = [e for e in gateway.stream(daemon_id) if e["seq"] >= first]
    gateway.stop()
    gateway.lose()
    while_away = daemon.run("w")
    first_now = daemon.call("daemon.status")["journal"]["first_seq"]
    gateway.start()
    stream = has_all(gateway, daemon, daemon_id)
    check_rest(stream, first_now)
    assert [e for e in held if e["seq"] >= first_now] == [e for e in stream if e["seq"] <= held[-1]["seq"]]
    assert while_away.id in {e.get("run_id") for e in stream}
    # Asked for the first event, the daemon tells which are lost; unknown to the gateway, it begins with what it has.
    assert gateway.gaps(daemon_id) == ([(1, first_now - 1)] if isinstance(gateway, Peer) else [])
    assert gateway.ids() == [daemon_id] and daemon.call("daemon.status")["daemon_id"] == daemon_id, "no other stream, hence no other name"
    # It goes on as if nothing had been.
    daemon.run("w")
    check_rest(has_all(gateway, daemon, daemon_id), first_now)


def test_a_gateway_with_an_old_store_is_told_of_the_gap(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url, "--journal-kib", "2048", *QUICK)
    daemon_id = daemon.call("daemon.status")["daemon_id"]
    daemon.run("w")
    before = has_all(gateway, daemon, daemon_id)
    gateway.back_up()
    turn_over(daemon, gateway, daemon_id)
    gateway.stop()
    gateway.restore()
    first = daemon.call("daemon.status")["journal"]["first_seq"]
    gateway.start()
    stream = has_all(gateway, daemon, daemon_id)
    assert gateway.gaps(daemon_id) == [(before[-1]["seq"] + 1, first - 1)]
    assert stream[:len(before)] == before
    check_rest(stream[len(before):], first)
    # Once is enough, after a restart of both too.
    daemon.kill()
    gateway.stop()
    gateway.start()
    daemon = daemon_of(project, "--gateway", gateway.url, "--journal-kib", "2048", *QUICK)
    daemon.run("w")
    stream = has_all(gateway, daemon, daemon_id)
    check_rest(stream[len(before):], first)
    assert len(gateway.gaps(daemon_id)) == 1


def test_an_old_store_that_misses_nothing_has_no_gap(project, daemon_of, gateway):
    daemon = daemon_of(project, "--gateway", gateway.url, *QUICK)
    daemon_id = daemon.call("daemon.status")["daemon_id"]
    daemon.run("w")
    has_all(gateway, daemon, daemon_id)
    gateway.back_up()
    for _ in range(5):
        daemon.run("w")
    whole = has_all(gateway, daemon, daemon_id)
    gateway.stop()
    gateway.restore()
    gateway.start()
    assert has_all(gateway, daemon, daemon_id) == whole and gateway.gaps(daemon_id) == []
    check_stream(whole)
