"""TLS servers that are not ours, for the zoo of certificates: the openssl command, and python's ssl where a server has to
misbehave.

    zoo = Zoo(directory)                    # makes the certificates
    with zoo.server("good", "-tls1_3") as server:
        ...connect to server.port...
    server.report                           # what it printed
"""

import contextlib
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
WAIT_S = 30


class Server:
    """One `openssl s_server`."""

    def __init__(self, arguments, directory):
        self.log = open(directory / "server.log", "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", *arguments], cwd=directory,
                                        stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        end = time.monotonic() + WAIT_S
        self.port = None
        while self.port is None:
            found = re.search(r"^ACCEPT .*:(\d+)$", self.report, re.M)
            self.port = found and int(found.group(1))
            assert self.process.poll() is None and time.monotonic() < end, f"s_server: {self.report}"
            time.sleep(0.005)

    @property
    def report(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


class Zoo:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        made = subprocess.run([HERE / "certificates", self.directory], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr

    def path(self, name):
        return str(self.directory / name)

    def pin(self, name):
        return "sha256//" + (self.directory / f"{name}.pin").read_text().strip()

    @contextlib.contextmanager
    def server(self, certificate, *arguments, page=True):
        """Shows the certificate with its chain; answers every request with what it knows of the connection."""
        server = Server(["-cert", f"{certificate}.pem", "-key", f"{certificate}.key", "-cert_chain",
                         f"{certificate}.chain", *(["-www"] if page else []), *arguments], self.directory)
        try:
            yield server
        finally:
            server.close()

    def context(self, certificate):
        """For servers of python's own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(f"{certificate}.chain"), self.path(f"{certificate}.key"))
        return context


@contextlib.contextmanager
def listener(serve):
    """A TCP server: serve(socket) for each connection, in a thread. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def loop():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(WAIT_S)
                    serve(connection)
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(WAIT_S)


def reset(connection):
    """The next close() is an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def have(program):
    return any(os.access(os.path.join(path, program), os.X_OK) for path in os.environ["PATH"].split(":") + ["/usr/sbin"])
