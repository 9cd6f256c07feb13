"""The power goes while a daemon works. From what it wrote and synced, states are made that POSIX allows the disk to be in: writes since the last
sync of a file there or not, block by block, names since the last sync of their directory likewise. On each of them a daemon starts, has
everything that anybody was told, and brings it to its end.

    CHARTER_POWER_STATES=1000 CHARTER_POWER_SEED=7 make e2e PYTEST_ARGS=tests/e2e/test_fault_power.py
"""

import hashlib
import json
import os
import random
import re
import shutil
import time

import pytest

from faults import PROGRAM, QUICK, Faults, ended
from harness import PLAIN, Daemon, Project, RpcError, check_run, check_stream, step
from workflows import approve, gate, question, submit

SEED = int(os.environ.get("CHARTER_POWER_SEED", time.time_ns() % 1000000))
STATES = int(os.environ.get("CHARTER_POWER_STATES", 300 if PLAIN else 8))
EVENT = re.compile(rb'"method":"event","params":\{"event":')
STARTED = re.compile(rb'"result":\{"run_id":"([^"]+)"')

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="charter-daemon-fault is not built")


class File:
    def __init__(self, durable=b""):
        self.durable, self.changes = durable, []  # (offset, bytes), or (size, None): cut or lengthened

    def after(self, count):
        data = bytearray(self.durable)
        for offset, new in self.changes[:count]:
            if new is None:
                del data[offset:]
                data.extend(bytes(offset - len(data)))
            else:
                data.extend(bytes(max(0, offset - len(data))))
                data[offset:offset + len(new)] = new
        return data

    def sync(self):
        self.durable, self.changes = bytes(self.after(len(self.changes))), []

    def state(self, dice):
        """One that may be found."""
        count, block = len(self.changes), dice.choice((512, 512, 4096, 64))
        mood = dice.randrange(4)
        if count == 0 or mood == 0:
            return self.durable
        if mood == 1:
            return bytes(self.after(dice.randint(0, count)))
        data = bytearray(len(self.after(dice.randint(0, count) if dice.random() < 0.3 else count)))
        versions = [self.after(n) for n in range(count + 1)]
        for at in range(0, len(data), block):
            there = dice.choice(versions)[at:at + block][:len(data) - at]
            data[at:at + len(there)] = there
        return bytes(data)


class Folder:
    def __init__(self):
        self.now, self.durable, self.pending = {}, {}, []  # names; in `pending` (name, what or None), or a list of such: a rename

    def change(self, *names):
        for name, what in names:
            self.now[name] = what
        self.pending.append(names)

    def sync(self):
        for names in self.pending:
            self.durable.update(names)
        self.pending = []


class Disk:
    """Below one folder; what nobody has told of is what was there before."""

    def __init__(self, root):
        self.root, self.folders, self.by_inode = root, {"": Folder()}, {}

    def place(self, path):
        path = os.path.relpath(path, self.root)
        folder, name = os.path.split("" if path == "." else path)
        return folder, name, "" if path == "." else path

    def apply(self, call):
        if call.kind in ("OUT", "WAIT", "FORK", "READ", "CLOSE", "STAT", "LIST") or call.result < 0:
            return
        above, name, path = self.place(call.path)
        if path and path.split("/")[0] != ".charter":
            return
        folder = self.folders.get(above)
        if call.kind == "OPEN":
            if path in self.folders:
                return
            found = folder.now.get(name)
            if found is None and call.offset & os.O_CREAT:
                found = File()
                folder.change((name, found))
            if found is not None:
                self.by_inode[call.inode] = found
                if call.offset & os.O_TRUNC:
                    found.changes.append((0, None))
        elif call.kind == "WRITE" and call.inode in self.by_inode:
            self.by_inode[call.inode].changes.append((call.offset, call.data))
        elif call.kind == "TRUNCATE":
            self.by_inode[call.inode].changes.append((call.offset, None))
        elif call.kind == "SYNC":
            self.by_inode[call.inode].sync()
        elif call.kind == "SYNC_NAMES":
            self.folders[path].sync()
        elif call.kind == "MAKE_DIRECTORY":
            self.folders[path] = Folder()
            folder.change((name, self.folders[path]))
        elif call.kind in ("UNLINK", "REMOVE_DIRECTORY"):
            if folder.now.get(name) is not None:
                folder.change((name, None))
        elif call.kind == "RENAME":
            to_above, to_name, _ = self.place(call.to)
            assert to_above == above
            folder.change((name, None), (to_name, folder.now[name]))

    def make(self, place, dice, folder=None):
        folder = folder or self.folders[""]
        names, mood = dict(folder.durable), dice.randrange(3)
        for change in folder.pending:
            if mood == 0 or (mood == 1 and dice.random() < 0.5):
                names.update(change)
        for name, what in names.items():
            if isinstance(what, Folder):
                os.makedirs(os.path.join(place, name), mode=0o700, exist_ok=True)
                self.make(os.path.join(place, name), dice, what)
            elif what is not None:
                with open(os.path.join(place, name), "wb") as file:
                    file.write(what.state(dice))


class Told:
    """What has left the daemon up to some call."""

    def __init__(self):
        self.events, self.runs, self.text = {}, set(), b""

    def hear(self, data):
        self.text += data
        for found in EVENT.finditer(self.text):
            try:
                event, _ = json.JSONDecoder().raw_decode(self.text[found.end():].decode())
            except ValueError:
                continue  # the rest comes later
            self.events[event["seq"]] = event
        self.runs.update(run.decode() for run in STARTED.findall(self.text))
        self.text = self.text[-70000:]


def prepare(project):
    project.config["integrations"] = {"quick": {"command": [QUICK]}}
    project.write_config()
    project.workflow("line", [step("one", uses="quick", with_={"logs": 2}), gate("g"), step("two", uses="quick", output_type="artifact"),
                              step("three", uses="quick", inputs={"two": "${{ outputs.two }}"})])
    project.workflow("ask", [step("one", uses="quick", with_={"fail": 1}, retry={"max_attempts": 2, "initial_ms": 10, "max_ms": 10}),
                             question("q", {"n": {"type": "integer"}}), step("two", uses="quick", with_={"big": 30000})])
    return project


def record(place):
    """Two daemons one after the other, the first killed, and all that they do."""
    project = prepare(Project(os.path.join(place, "recorded")))
    fault = Faults(project, "")
    fault.place.joinpath("trace").touch()
    for life in range(2):
        with ended(fault.start(trace=True)) as daemon:
            for number in range(3):
                bring_on(daemon, daemon.start_run(("line", "ask")[number % 2], run_id=f"r{life}{number}"))
            daemon.start_run("line", run_id=f"r{life}-left")
    return project, fault.trace()


def bring_on(daemon, run_id):
    """Whatever it waits for."""
    with daemon.client() as client:
        client.call("run.events", {"run_id": run_id, "follow": True})
        events = []
        while not events or events[-1]["type"] not in ("run.succeeded", "run.failed", "run.cancelled", "run.denied"):
            events.append(client.next_event())
            if events[-1]["type"] == "run.waiting":
                try:
                    if events[-1]["data"]["for"] == "gate":
                        approve(daemon, run_id)
                    else:
                        submit(daemon, run_id, {"n": 1})
                except RpcError as error:
                    assert error.code == -32011, error  # before the power went
    check_run(events)
    assert events[-1]["type"] == "run.succeeded", events[-1]


def check(project, told):
    with ended(Daemon(project)) as daemon:
        events = daemon.events()
        check_stream(events)
        found = {event["seq"]: event for event in events}
        for seq, event in told.events.items():
            assert found.get(seq) == event, f"event {seq} was told"
        for event in events:
            if "artifact" in event["data"]:
                reference = event["data"]["artifact"]["$artifact"]
                assert hashlib.sha256(project.file(reference["path"]).read_bytes()).hexdigest() == reference["sha256"], event
        epochs = [e["data"]["epoch"] for e in events if e["type"] == "daemon.started"]
        assert epochs == sorted(set(epochs)), "an epoch is used once"
        runs = {event["run_id"] for event in events if "run_id" in event}
        assert runs >= told.runs, "runs that were answered for are there"
        for run in sorted(runs):
            bring_on(daemon, run)
        check_stream(daemon.events())


def test_nothing_that_was_told_is_lost_with_the_power(places):
    print(f"CHARTER_POWER_SEED={SEED} CHARTER_POWER_STATES={STATES}")
    dice, place = random.Random(SEED), places()
    recorded, calls = record(place)
    changes = [at for at, call in enumerate(calls) if call.kind in ("WRITE", "SYNC", "SYNC_NAMES", "RENAME", "OPEN", "TRUNCATE", "OUT")]
    cuts = sorted(dice.choice(changes) + dice.randint(0, 1) for _ in range(STATES))
    disk, told, done = Disk(str(recorded.path)), Told(), 0
    for number, cut in enumerate(cuts):
        for call in calls[done:cut]:
            if call.kind == "OUT" and not call.in_helper:
                told.hear(call.data)
            disk.apply(call)
        done = max(done, cut)
        project = prepare(Project(os.path.join(place, f"p{number}")))
        disk.make(project.path, dice)
        try:
            check(project, told)
        except AssertionError:
            print(f"state {number}, cut at call {cut} of {len(calls)}: {calls[max(0, cut - 3):cut + 1]}")
            raise
        shutil.rmtree(project.path)
    assert len(told.runs) >= 6 and len(told.events) > 40
