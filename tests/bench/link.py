"""The link's own code beside other clients: each sends the same text messages, each message a frame of its own, to a sink that only counts
bytes.  What counts is the processor's time of the client, from the first message to the end of the connection.  Clients that are
not here (libwebsockets-dev, node-ws, python3-aiohttp: `port/debian/install-deps bench`) are left out by name."""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys

OTHERS = pathlib.Path(__file__).resolve().parent / "others"
sys.path.insert(0, str(OTHERS))
from link_sink import Sink  # noqa: E402


def median_of(samples):
    return [statistics.median(column) for column in zip(*samples)]


def clients_here(build, base):
    """Programs that send the same stream: name, and the command for a count, a size, a sink and its certificate."""
    clients = {"ours": lambda n, size, sink, ca: [
        build / "bench" / "link_stream", n, size, f"{'wss' if ca else 'ws'}://127.0.0.1:{sink.port}/", *(["--tls-ca", ca] if ca else [])]}
    lws = base / "lws_stream"
    compiler = os.environ.get("CC", "cc").split()
    built = subprocess.run([*compiler, "-O2", "-o", lws, OTHERS / "lws_stream.c", "-lwebsockets"], capture_output=True)
    if built.returncode == 0:
        clients["libwebsockets"] = lambda n, size, sink, ca: [
            lws, n, size, "wss" if ca else "ws", "localhost" if ca else "127.0.0.1", sink.port, *([ca] if ca else [])]
    node = shutil.which("node")
    if node and subprocess.run([node, "-e", "require('ws')"], capture_output=True, env=node_environment()).returncode == 0:
        clients["Node's ws"] = lambda n, size, sink, ca: [
            node, OTHERS / "ws_stream.js", n, size, f"{'wss' if ca else 'ws'}://127.0.0.1:{sink.port}/", *([ca] if ca else [])]
    if subprocess.run([sys.executable, "-c", "import aiohttp"], capture_output=True).returncode == 0:
        clients["aiohttp"] = lambda n, size, sink, ca: [
            sys.executable, OTHERS / "aiohttp_stream.py", n, size, f"{'wss' if ca else 'ws'}://127.0.0.1:{sink.port}/", *([ca] if ca else [])]
    for name in ("libwebsockets", "Node's ws", "aiohttp"):
        if name not in clients:
            print(f"bench: {name} is not here and is left out", file=sys.stderr)
    return clients


def node_environment():
    return {**os.environ, "NODE_PATH": "/usr/share/nodejs:" + os.environ.get("NODE_PATH", "")}


def measure(build, base, rounds, heading, row):
    """The link's own code, without runs and journal, beside other clients: the same messages, each a frame, to the same sink."""
    clients = clients_here(build, base)
    certificate, key = base / "sink.pem", base / "sink.key"
    tls = "CONFIG_TLS 1" in (build / "include" / "autoconf.h").read_text() and shutil.which("openssl") and subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj",
         "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], capture_output=True).returncode == 0
    sinks = [(Sink(), None)] + ([(Sink(certificate, key), certificate)] if tls else [])
    for sink, ca in sinks:
        for size, count in ((200, 100000), (2000, 20000)):
            heading(f"the link alone, {'TLS' if ca else 'plain'}, {size} bytes a message")
            samples = {name: [] for name in clients}
            for _ in range(rounds):
                for name, command in clients.items():
                    sink.expect(count, size)
                    done = subprocess.run([str(word) for word in command(count, size, sink, ca)], capture_output=True, text=True,
                                          timeout=120, env=node_environment())
                    if done.returncode != 0:
                        sys.exit(f"bench: {name} ended with {done.returncode}: {done.stderr.strip()}")
                    sink.check()
                    samples[name].append([float(word) for word in done.stdout.split()])
            cpu, wall = median_of(samples.pop("ours"))
            for name, others in samples.items():
                theirs = median_of(others)
                row("processor a message", cpu * 1e3 / count, "ns", theirs[0] * 1e3 / count, name)
                row("messages a second", count * 1e6 / wall, "/s", count * 1e6 / theirs[1], name, True)
            if not samples:
                row("processor a message", cpu * 1e3 / count, "ns")
                row("messages a second", count * 1e6 / wall, "/s")
