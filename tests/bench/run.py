#!/usr/bin/python3
"""What the daemon costs, beside what the same cannot cost less than: every row is measured here and now, and so is the floor beside it.

    run.py BUILD WIDE [SECTION...]        sections: events wear handoff startup spawn steps neighbour memory text idle link (default: all)

BUILD holds charter-daemon and bench/; WIDE holds a charter-daemon with 64 runs in flight and 64 steps executing.  Works in a temporary directory
($TMPDIR: it should be on the disk that matters) and takes about three minutes on a quiet machine.  Times of the processor are the daemon's alone, from
/proc/PID/schedstat; its children's are not in them.  Every number is a median, of at least five rounds in which the daemon and its floors take turns;
where a machine is busy, believe the processor's time and not the clock on the wall."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import link

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
WIDE = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else BUILD / "wide").resolve()
DAEMON = str(BUILD / "charter-daemon")
CHATTY = str(BUILD / "bench" / "chatty")
ROUNDS = 5
JOURNAL_KIB = 1048576  # for more events than the default holds
SPAWN_STEPS = 40
rows = []


def tool(name, *arguments):
    """The numbers that a measuring program prints."""
    done = subprocess.run([str(BUILD / "bench" / name), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"bench: {name} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def numbers(text):
    return [float(word) for word in text.split()]


def row(what, ours, unit, floor=None, floor_is="", more_is_better=False):
    """A line of the table; the ratio says how many times the floor's cost ours is."""
    ratio = None if not floor or not ours else floor / ours if more_is_better else ours / floor
    rows.append((what, ours, unit, floor, ratio, floor_is))


def heading(what, *meaning):
    """`meaning` says what is measured and what the floor beside it does."""
    rows.append((what, meaning))
    print(f"bench: {what}", file=sys.stderr, flush=True)


def configured(name, default=None):
    """A choice of the build that is measured."""
    found = re.search(rf"#define CONFIG_{name} (\d+)", (BUILD / "include" / "autoconf.h").read_text())
    return int(found.group(1)) if found else default


class Project:
    """A project whose workflows use the integration `chatty` with one argument each."""

    def __init__(self, base, name):
        self.path = base / name
        self.path.mkdir()
        self.socket = self.path / ".charter" / "daemon.sock"
        self.integrations = {}
        self.configure()

    def configure(self):
        (self.path / "charter.yml").write_text(json.dumps({"project": "bench", "integrations": self.integrations}))

    def workflow(self, name, arguments, steps=1, own_process=False):
        """Steps share one integration, or have one each, so that every step is a process of its own."""
        for i in range(steps if own_process else 1):
            self.integrations[f"{name}{i}"] = {"command": [CHATTY, *map(str, arguments)]}
        self.configure()
        folder = self.path / "workflows" / name
        folder.mkdir(parents=True)
        (folder / "manifest.yml").write_text(json.dumps({"id": name, "name": name}))
        plan = [{"id": f"s{i}", "uses": f"{name}{i if own_process else 0}"} for i in range(steps)]
        (folder / "plan.yml").write_text(json.dumps({"steps": plan}))

    def command(self, build=BUILD):
        return [str(build / "charter-daemon"), "start", "--project-path", str(self.path), "--journal-kib", str(JOURNAL_KIB)]


class Daemon:
    def __init__(self, project, build=BUILD):
        self.project = project
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}
        self.log = open(project.path / "daemon.log", "w")
        self.process = subprocess.Popen(project.command(build), stdout=self.log, stderr=self.log, env=environment)
        end = time.monotonic() + 20
        while "is ready" not in (project.path / "daemon.log").read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit("bench: the daemon does not start:\n" + (project.path / "daemon.log").read_text())
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(30) != 0:
            sys.exit("bench: the daemon did not end well:\n" + (self.project.path / "daemon.log").read_text())
        self.log.close()

    def cpu_us(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e3

    def private_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return float(re.search(r"Private_Dirty:\s+(\d+)", text).group(1))

    def status(self):
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.connect(str(self.project.socket))
            lines.write(b'{"jsonrpc":"2.0","id":1,"method":"daemon.status"}\n')
            lines.flush()
            return json.loads(lines.readline())["result"]

    def cancel_all(self):
        """Ends what does not end by itself, and waits for that."""
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.connect(str(self.project.socket))

            def call(method, **params):
                lines.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
                lines.flush()
                return json.loads(lines.readline())["result"]
            for run in call("runs.list", limit=100)["runs"]:
                if run["ended_at"] is None:
                    call("run.cancel", run_id=run["run_id"])
            while any(run["ended_at"] is None for run in call("runs.list", limit=100)["runs"]):
                time.sleep(0.02)

    def follow(self, workflow, runs, *gate):
        """wall_us, events, bytes and the processor's time of that many runs."""
        before = self.cpu_us()
        wall, events, size = numbers(tool("follow", self.project.socket, workflow, runs, *gate))
        return wall, events, size, self.cpu_us() - before


def median_of(samples):
    return [statistics.median(column) for column in zip(*samples)]


# --- what is measured --------------------------------------------------------------------------------------------------


def bench_events(base):
    project = Project(base, "events")
    cases = [(1, 40000), (64, 6000)]
    for runs, logs in cases:
        project.workflow(f"talk{runs}", [logs, base / "gate"])
    os.mkfifo(base / "gate")
    chained = configured("JOURNAL_CHAIN") is not None
    like_ours = "chain" if chained else "events"
    floors = [(like_ours, 1000), (like_ours, 0), ("events", 1000), ("bytes", 1000), ("bytes", 0)]
    with Daemon(project, WIDE) as daemon:
        for runs, logs in cases:
            heading(f"durable events from pipe to subscriber, {runs} {'runs' if runs > 1 else 'run'} of {logs:,} lines",
                    "Integrations write log lines of 160 bytes as fast as they can, from the moment when all have been started; a subscriber on a Unix socket gets each event after its sync.",
                    "Floor: one small process that reads as many pipes of the same writers, checks that each line is JSON by a table, gives it a",
                    "number and a time, appends it with a CRC32C" + (" and the SHA-256 of the record before" if chained else "") +
                    " to one file, syncs, and sends it (tests/bench/floor.c).")
            ours, theirs = [], {floor: [] for floor in floors}
            daemon.follow(f"talk{runs}", runs, base / "gate")  # its pages are mapped then
            for _ in range(ROUNDS):
                ours.append(daemon.follow(f"talk{runs}", runs, base / "gate"))
                for mode, wait_ms in floors:
                    theirs[mode, wait_ms].append(numbers(tool("floor", mode, runs, logs, CHATTY, base / "floor.log", wait_ms, base / "gate")))
            wall, events, size, cpu = median_of(ours)

            def rate(floor):
                floor_wall, _, lines, _, _ = median_of(theirs[floor])
                return lines * 1e6 / floor_wall

            def cost(floor):
                _, floor_cpu, lines, _, _ = median_of(theirs[floor])
                return floor_cpu / lines

            rate_is = "lines wait for company up to 1 s, as the daemon's logs may"
            row("events a second", events * 1e6 / wall, "/s", rate((like_ours, 1000)), rate_is, True)
            row("", events * 1e6 / wall, "/s", rate((like_ours, 0)), f"a sync each turn: {median_of(theirs[like_ours, 0])[3]:.0f}", True)
            row("", events * 1e6 / wall, "/s", rate(("bytes", 1000)), "bytes from pipe to file to socket that nobody looks at", True)
            row("", events * 1e6 / wall, "/s", rate(("bytes", 0)), f"the same, a sync each turn: {median_of(theirs['bytes', 0])[3]:.0f}", True)
            row("processor an event", cpu / events, "us", cost((like_ours, 1000)), "checked, summed" + (" and chained" if chained else ""))
            if chained:
                row("", cpu / events, "us", cost(("events", 1000)), "checked and summed, not chained")
            row("", cpu / events, "us", cost(("bytes", 1000)), "bytes that nobody looks at")
            row("bytes an event to the subscriber", size / events, "B")


def traced(daemon, trace, options, work):
    """What strace says of the daemon during the work; None where it may not look."""
    if shutil.which("strace") is None:
        return None
    tracer = subprocess.Popen(["strace", *options, "-o", str(trace), "-p", str(daemon.process.pid)], stderr=subprocess.PIPE)
    if b"attached" not in tracer.stderr.readline():
        tracer.wait()
        return None
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    return trace.read_text(errors="replace").splitlines()


def whole(lines):
    """The lines of strace -f with calls in one piece that another process came between."""
    begun = {}
    for line in lines:
        process = line.split(" ", 1)[0]
        if line.endswith(" <unfinished ...>"):
            begun[process] = line.removesuffix(" <unfinished ...>")
        elif " resumed>" in line:
            yield begun.pop(process, process) + line.partition(" resumed>")[2]
        else:
            yield line


def bench_wear(base):
    project = Project(base, "wear")
    project.workflow("noop", [])
    project.workflow("three", [], 3)
    project.workflow("talk", [1000])
    heading("what reaches the disk",
            "Bytes that the daemon and its helpers write into files, and their syncs of files and folders, counted by strace; floor: the bytes of",
            "the events themselves, one sync for all.")
    write = re.compile(r"^\d+ +(?:write|pwrite64|writev)\(\d+<([^>]*)>.* = (\d+)$")
    with Daemon(project) as daemon:
        time.sleep(2)
        before = daemon.status().get("disk")
        if before is not None:  # the daemon's own count, its helpers' included
            idle_s = 10
            time.sleep(idle_s)
            after = daemon.status()["disk"]
            row("an hour of idling: bytes", (after["bytes_written"] - before["bytes_written"]) * 3600 / idle_s, "B")
            row("    syncs", (after["syncs"] - before["syncs"]) * 3600 / idle_s, "")
        daemon.follow("noop", 1)
        for name, what in (("noop", "a run of one step"), ("three", "a run of three steps"), ("talk", "a run that logs 1,000 lines")):
            samples = []
            for _ in range(ROUNDS):
                followed = []
                disk = daemon.status().get("disk", {"bytes_written": 0, "syncs": 0})
                lines = traced(daemon, base / "trace", ["-f", "-y", "-s0", "-e", "trace=write,pwrite64,writev,fsync,fdatasync"],
                               lambda: followed.append(daemon.follow(name, 1)))
                if lines is None:
                    return
                lines = list(whole(lines))
                found = [write.match(line) for line in lines]
                size = sum(int(match.group(2)) for match in found if match and str(project.path) in match.group(1))
                syncs = sum(1 for line in lines if re.match(r"^\d+ +f(data)?sync\(", line))
                _, events, told, _ = followed[0]
                counted = daemon.status().get("disk", {"bytes_written": 0, "syncs": 0})
                samples.append((size, syncs, events, told, counted["bytes_written"] - disk["bytes_written"], counted["syncs"] - disk["syncs"]))
            size, syncs, events, told, counted, counted_syncs = median_of(samples)
            row(f"{what}: bytes", size, "B", told, f"{events:.0f} events as the subscriber gets them")
            row("    syncs", syncs, "", 1.0, "one")
            row("    bytes an event", size / events, "B")
            row("    as daemon.status counts: bytes", counted, "B")
            row("    syncs", counted_syncs, "")


def bench_handoff(base):
    memory = pathlib.Path("/dev/shm")
    places = [(base, "on this disk")]
    if memory.is_dir() and os.access(memory, os.W_OK):
        places.append((pathlib.Path(tempfile.mkdtemp(prefix="charter-bench-", dir=memory)), "in memory, where a sync is free"))
    try:
        for place, where in places:
            handoff_in(place, where)
    finally:
        for place, _ in places[1:]:
            shutil.rmtree(place, ignore_errors=True)


def handoff_in(base, where):
    project = Project(base, "handoff")
    project.workflow("noop", [])
    with Daemon(project):
        heading(f"hand-over, one at a time, {where}",
                "From a request on the control socket to its answer.  run.start is answered when plan and event are durable.  Floors: as many bytes",
                "there and back over a Unix socket; as many bytes appended to a file, and fdatasync; fork() and the child's end, as a helper reads the plan.")
        text = tool("handoff", project.socket, "noop", 150, base)
        of = {line.split()[0]: numbers(line.split(" ", 1)[1]) for line in text.splitlines()}
        row("daemon.status, median", of["status"][0], "us", of["pingpong"][0], "ping-pong on a Unix socket")
        row("daemon.status, p99", of["status"][1], "us", of["pingpong"][1], "its p99")
        floor = [a + b + c for a, b, c in zip(of["pingpong"], of["append"], of["fork"])]
        row("run.start, median", of["start"][0], "us", floor[0], "ping-pong, append + fdatasync, fork")
        row("run.start, p99", of["start"][1], "us", floor[1], "their p99")
        row("append + fdatasync alone", of["append"][0], "us")


def bench_startup(base):
    project = Project(base, "startup")
    project.workflow("talk", [5000])
    project.workflow("wide", [15700])

    def start(build=BUILD):
        return median_of([numbers(line) for line in tool("startup", 9, project.socket, *project.command(build)).splitlines()])

    heading("start, from exec to the control socket's answer",
            "A daemon that was stopped is started again; its floor is starting the program for --version, and, for a journal that holds something,",
            "the start with an empty one.")
    floor = float(tool("spawn", 50, DAEMON, "--version")) / 50
    empty, cpu = start()
    row("empty journal", empty / 1e3, "ms", floor / 1e3, "vfork, exec, --version, wait")
    row("empty journal, processor", cpu / 1e3, "ms")
    journal = project.path / ".charter" / "journal"
    for name, build, runs, most in (("talk", BUILD, 4, 25e6), ("wide", WIDE, 64, 1e9)):
        if name == "wide" and shutil.disk_usage(base).free < 3e9:
            continue  # they take half a gigabyte
        events = 0
        with Daemon(project, build) as daemon:
            while sum(file.stat().st_size for file in journal.iterdir()) < most and events < 1e6:
                events += daemon.follow(name, runs)[1]
        held = sum(len(file.read_bytes().rstrip(b"\0")) for file in journal.iterdir()) / 1e6
        wall, cpu = start(build)
        row(f"after {events:,.0f} events, {held:,.0f} MB held", wall / 1e3, "ms", empty / 1e3, "the empty journal's start")
        row("    processor", cpu / 1e3, "ms")


def bench_spawn(base):
    heading("a program that ends at once, started by a process of 16 MB", "As the daemon starts integrations; the floor is vfork, exec and wait.")
    ours, confined, floors, program = [], [], [], [BUILD / "charter-daemon", "--version"]
    for _ in range(7):
        floors.append(numbers(tool("spawn", 100, *program)))
        ours.append(numbers(tool("spawned", 100, "free", *program)))
        confined.append(numbers(tool("spawned", 100, "confined", *program)))
    floor = median_of(floors)[0] / 100
    row("spawn to reaped", median_of(ours)[0] / 100, "us", floor, "vfork, exec, wait")
    row("the same, confined by Landlock", median_of(confined)[0] / 100, "us", floor, "the same")


def bench_steps(base):
    project = Project(base, "steps")
    project.workflow("each", [], SPAWN_STEPS, own_process=True)
    project.workflow("shared", [], SPAWN_STEPS)
    heading("steps that do nothing, one after the other")
    each, shared, floors = [], [], []
    with Daemon(project) as daemon:
        for _ in range(ROUNDS + 2):
            each.append(daemon.follow("each", 1))
            shared.append(daemon.follow("shared", 1))
            floors.append(numbers(tool("spawn", SPAWN_STEPS, BUILD / "bench" / "chatty")))
    floor = SPAWN_STEPS * 1e6 / median_of(floors)[0]
    wall, _, _, cpu = median_of(each)
    row("spawn, setup, execute, teardown, reap", SPAWN_STEPS * 1e6 / wall, "/s", floor, "vfork, exec, wait", True)
    row("processor a step of the daemon", cpu / SPAWN_STEPS, "us")
    wall, _, _, cpu = median_of(shared)
    row("steps of one process", SPAWN_STEPS * 1e6 / wall, "/s")
    row("processor a step of the daemon", cpu / SPAWN_STEPS, "us")


def bench_neighbour(base):
    """One integration writes logs as fast as it can, all the time; what others notice of it."""
    project = Project(base, "neighbour")
    project.workflow("shared", [], SPAWN_STEPS)
    project.workflow("flood", [2_000_000_000])
    heading("one flooding neighbour", "A run of 40 steps that do nothing, alone and beside an integration that writes logs without an end.",
            "The flood takes one of the two processors itself; the floor is the run alone.")
    alone, beside, flooded = [], [], []
    with Daemon(project) as daemon:
        for _ in range(ROUNDS):
            alone.append(daemon.follow("shared", 1))
            flood = subprocess.Popen([str(BUILD / "bench" / "follow"), str(project.socket), "flood", "1"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            before, begun = daemon.status()["journal"]["last_seq"], time.monotonic()
            while daemon.status()["journal"]["last_seq"] < before + 1000:
                time.sleep(0.01)
            beside.append(daemon.follow("shared", 1))
            flooded.append((daemon.status()["journal"]["last_seq"] - before) / (time.monotonic() - begun))
            flood.kill()
            flood.wait()
            daemon.cancel_all()
    floor = median_of(alone)[0] / SPAWN_STEPS
    row("a step beside the flood", median_of(beside)[0] / SPAWN_STEPS, "us", floor, "a step alone")
    row("events of the flood meanwhile", statistics.median(flooded), "/s")


def bench_memory(base):
    project = Project(base, "memory")
    project.workflow("noop", [])
    project.workflow("hold", ["--hold"])
    in_flight = configured("RUNS_IN_FLIGHT", 32)
    heading("memory of the daemon, private and written to")
    with Daemon(project) as daemon:
        time.sleep(1)
        row("idle after start", daemon.private_kib(), "KiB")
        for _ in range(10):
            daemon.follow("noop", 10)
        time.sleep(2)
        row("idle after 100 runs", daemon.private_kib(), "KiB")
        holder = subprocess.Popen([str(BUILD / "bench" / "follow"), str(project.socket), "hold", str(in_flight)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while daemon.status()["runs"]["active"] < in_flight and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)
        row(f"{daemon.status()['runs']['active']} runs in flight", daemon.private_kib(), "KiB")
        holder.kill()
        holder.wait()
        daemon.process.send_signal(signal.SIGTERM)  # twice: without grace for those that hold


def bench_text(_):
    heading("bytes through the processor: lines of a talkative integration")
    speed = {line.split()[0]: float(line.split()[1]) for line in tool("text_speed", 20).splitlines()}
    for name, what in (("check", "JSON check"), ("scan", "JSON check with extents"), ("envelope", "envelope: check and members"),
                       ("crc32c", "checksum"), ("mask_0", "mask, no secrets"), ("mask_1", "mask, one secret"), ("mask_8", "mask, eight secrets")):
        row(what, speed[name], "MB/s", speed["copy"], "memcpy", True)


def bench_idle(base):
    project = Project(base, "idle")
    project.workflow("talk", [500])
    heading("system calls of the daemon",
            "Counted by strace, which slows the daemon down: more comes together in a turn of its loop than otherwise.")
    with Daemon(project, WIDE) as daemon:
        def calls_of(work):
            """The calls that begin during the work; the one in which strace finds the daemon waiting is none of them."""
            lines = traced(daemon, base / "trace", [], work)
            return None if lines is None else [line for line in lines if "(" in line and "resumed" not in line]

        time.sleep(1.5)
        daemon.follow("talk", 1)
        time.sleep(2)
        calls = calls_of(lambda: time.sleep(5))
        if calls is None:
            return
        row("in 5 s of idling", float(max(0, len(calls) - 1)), "")
        followed = []
        calls = calls_of(lambda: followed.append(daemon.follow("talk", 64)))
        events = followed[0][1]
        turns, syncs, most, total, reads, read_bytes = 0, 0, 0, 0, 0, 0
        for line in calls:
            name = line.split("(")[0]
            if name in ("select", "pselect6", "_newselect"):
                turns, syncs = turns + 1, 0
            elif name == "fdatasync":
                syncs, total = syncs + 1, total + 1
                most = max(most, syncs)
            elif name == "read" and line.rsplit("= ", 1)[-1].isdigit():
                reads, read_bytes = reads + 1, read_bytes + int(line.rsplit("= ", 1)[-1])
        row("64 runs of 500 lines: turns", float(turns), "")
        row("    fdatasync in any turn, at most", float(most), "", 1.0, "one for all runs")
        row("    fdatasync a turn, on average", total / max(1, turns), "")
        row("    calls a turn", len(calls) / max(1, turns), "")
        row("    calls an event", len(calls) / max(1, events), "")
        row("    bytes a read", read_bytes / max(1, reads), "B")


def bench_link(base):
    """Beside other clients, not beside a floor: a ratio below 1 says how much less ours costs."""
    link.measure(BUILD, base, ROUNDS, heading, row)


# --- the table -----------------------------------------------------------------------------------------------------------


def shown(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def print_table():
    print()
    print(f"{'':<42} {'measured':>12}      {'floor':>12} {'ratio':>8}")
    for line in rows:
        if len(line) == 2:
            print(f"\n{line[0]}")
            for words in line[1]:
                print(f"    {words}")
            continue
        what, ours, unit, floor, ratio, floor_is = line
        print(f"  {what:<40} {shown(ours):>12} {unit:<4} {shown(floor):>12} {shown(ratio):>8}  {floor_is}".rstrip())


def main():
    sections = {"events": bench_events, "wear": bench_wear, "handoff": bench_handoff, "startup": bench_startup, "spawn": bench_spawn, "steps": bench_steps, "neighbour": bench_neighbour,
                "memory": bench_memory, "text": bench_text, "idle": bench_idle, "link": bench_link}
    chosen = sys.argv[3:] or list(sections)
    if any(name not in sections for name in chosen):
        sys.exit(__doc__)
    # Pages of a program that has just been linked are dirty in the page cache, and would count as the daemon's own.
    os.sync()
    began = time.monotonic()
    base = pathlib.Path(tempfile.mkdtemp(prefix="charter-bench-"))
    try:
        for name in chosen:
            sections[name](base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print_table()
    print(f"\nmedians; a ratio is how many times the floor's cost, or how many times faster the floor is; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
