#!/usr/bin/python3
"""What the daemon costs, each number beside the floor under it that was measured in the same run, in turns with it.

    run.py BUILD [SECTION...]        sections: events handoff startup spawn steps memory text idle (default: all)

BUILD holds charter-daemon and bench/.  Works in a temporary directory ($TMPDIR: it should be on the disk that matters) and
takes less than two minutes on a quiet machine.  Times of the processor are the daemon's alone, from /proc/PID/schedstat; children are not in
them.  Every number is a median; where a machine is busy, believe the processor's time and not the clock on the wall."""

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

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
DAEMON = str(BUILD / "charter-daemon")
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


def heading(what):
    rows.append((what,))
    print(f"bench: {what}", file=sys.stderr, flush=True)


def limit(name, default):
    """A size of the build that is measured."""
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
            self.integrations[f"{name}{i}"] = {"command": [str(BUILD / "bench" / "chatty"), *map(str, arguments)]}
        self.configure()
        folder = self.path / "workflows" / name
        folder.mkdir(parents=True)
        (folder / "manifest.yml").write_text(json.dumps({"id": name, "name": name}))
        plan = [{"id": f"s{i}", "uses": f"{name}{i if own_process else 0}"} for i in range(steps)]
        (folder / "plan.yml").write_text(json.dumps({"steps": plan}))

    def command(self):
        return [DAEMON, "start", "--project-path", str(self.path)]


class Daemon:
    def __init__(self, project):
        self.project = project
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}
        self.log = open(project.path / "daemon.log", "a")
        self.process = subprocess.Popen(project.command(), stdout=self.log, stderr=self.log, env=environment)
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

    def follow(self, workflow, runs):
        """wall_us, events, bytes and the processor's time of that many runs."""
        before = self.cpu_us()
        wall, events, size = numbers(tool("follow", self.project.socket, workflow, runs))
        return wall, events, size, self.cpu_us() - before


def median_of(samples):
    return [statistics.median(column) for column in zip(*samples)]


# --- what is measured --------------------------------------------------------------------------------------------------


def bench_events(base):
    """Integrations that talk as fast as they can; a follower of the control socket gets every event after its sync."""
    executing = limit("STEPS_EXECUTING", 16)
    in_flight = limit("RUNS_IN_FLIGHT", 32)
    project = Project(base, "events")
    cases = [(1, 20000), (executing, 40000 // executing), (in_flight, 40000 // in_flight)]
    for runs, logs in cases:
        project.workflow(f"talk{runs}", [logs])
    with Daemon(project) as daemon:
        for runs, logs in cases:
            heading(f"durable events from pipe to follower, {runs} {'runs' if runs > 1 else 'run'}")
            ours, lazy, eager = [], [], []
            for _ in range(5):
                ours.append(daemon.follow(f"talk{runs}", runs))
                for sync_ms, floors in ((1000, lazy), (0, eager)):
                    floors.append(numbers(tool("floor", runs, logs, BUILD / "bench" / "chatty", base / "floor.log", sync_ms)))
            wall, events, size, cpu = median_of(ours)
            wall_lazy, cpu_lazy, lines, _ = median_of(lazy)
            wall_eager, cpu_eager, _, syncs = median_of(eager)
            row("events a second", events * 1e6 / wall, "/s", lines * 1e6 / wall_lazy, "pipe, append, socket; synced at the end", True)
            row("", events * 1e6 / wall, "/s", lines * 1e6 / wall_eager, f"the same, {syncs:.0f} syncs", True)
            row("processor an event", cpu / events, "us", cpu_lazy / lines, "of the floor with one sync")
            row("bytes an event to the follower", size / events, "B")


def bench_handoff(base):
    project = Project(base, "handoff")
    project.workflow("noop", [])
    with Daemon(project) as daemon:
        heading("hand-over, one at a time")
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

    def start():
        return median_of([numbers(line) for line in tool("startup", 9, project.socket, *project.command()).splitlines()])

    heading("start, from exec to the control socket's answer")
    floor = float(tool("spawn", 50, DAEMON, "--version")) / 50
    wall, cpu = start()
    row("empty journal", wall / 1e3, "ms", floor / 1e3, "vfork, exec, --version, wait")
    row("empty journal, processor", cpu / 1e3, "ms")
    with Daemon(project) as daemon:
        size = 0
        while size < 20e6:
            daemon.follow("talk", 4)
            size = sum(file.stat().st_blocks * 512 for file in (project.path / ".charter" / "journal").iterdir())
    journal = b"".join(file.read_bytes() for file in sorted((project.path / ".charter" / "journal").iterdir()))
    size = len(journal.rstrip(b"\0")) / 1e6
    copy = base / "copy"
    copy.write_bytes(journal)
    begin = time.perf_counter()
    copy.read_bytes().count(b"\n")
    read_ms = (time.perf_counter() - begin) * 1e3
    wall, cpu = start()
    row(f"journal of {size:.0f} MB", wall / 1e3, "ms", read_ms, "reading it and counting its lines")
    row(f"journal of {size:.0f} MB, processor", cpu / 1e3, "ms")


def bench_spawn(base):
    heading("a program that ends at once, started by a process of 16 MB")
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
        for _ in range(7):
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


def bench_memory(base):
    project = Project(base, "memory")
    project.workflow("noop", [])
    project.workflow("hold", ["--hold"])
    in_flight = limit("RUNS_IN_FLIGHT", 32)
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
    """What strace sees: nothing of a daemon that has nothing to do, and one sync a turn at most."""
    if shutil.which("strace") is None:
        return
    project = Project(base, "idle")
    project.workflow("talk", [500])
    heading("system calls of the daemon")
    with Daemon(project) as daemon:
        def traced(work):
            """The calls that begin during the work; the one in which strace finds the daemon waiting is none of them."""
            trace = base / "trace"
            tracer = subprocess.Popen(["strace", "-o", str(trace), "-p", str(daemon.process.pid)], stderr=subprocess.PIPE)
            if b"attached" not in tracer.stderr.readline():
                tracer.wait()
                return None  # not allowed here
            work()
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            return [line.split("(")[0] for line in trace.read_text().splitlines() if "(" in line and "resumed" not in line]

        time.sleep(1.5)
        daemon.follow("talk", 1)
        time.sleep(2)
        calls = traced(lambda: time.sleep(5))
        if calls is None:
            return
        row("in 5 s of idling", float(max(0, len(calls) - 1)), "")
        calls = traced(lambda: daemon.follow("talk", 16))
        turns, syncs, most, total = 0, 0, 0, 0
        for name in calls:
            if name in ("select", "pselect6", "_newselect"):
                turns, syncs = turns + 1, 0
            elif name == "fdatasync":
                syncs, total = syncs + 1, total + 1
                most = max(most, syncs)
        row("fdatasync in any turn, at most", float(most), "")
        row("fdatasync a turn, on average", total / max(1, turns), "")
        row("calls a turn, 16 runs of 500 lines", len(calls) / max(1, turns), "")


# --- the table -----------------------------------------------------------------------------------------------------------


def shown(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def print_table():
    print()
    print(f"{'':<42} {'measured':>12}      {'floor':>12} {'ratio':>8}")
    for line in rows:
        if len(line) == 1:
            print(f"\n{line[0]}")
            continue
        what, ours, unit, floor, ratio, floor_is = line
        print(f"  {what:<40} {shown(ours):>12} {unit:<4} {shown(floor):>12} {shown(ratio):>8}  {floor_is}".rstrip())


def main():
    sections = {"events": bench_events, "handoff": bench_handoff, "startup": bench_startup, "spawn": bench_spawn,
                "steps": bench_steps,
                "memory": bench_memory, "text": bench_text, "idle": bench_idle}
    chosen = sys.argv[2:] or list(sections)
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
    print(f"\nmedians; a ratio is how many times the floor's cost; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
