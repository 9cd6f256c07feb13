"""What a stream is measured against: opens a WebSocket, then only counts bytes, whoever sends them.

    sink = Sink(trust=None)          # or a certificate and its key: TLS
    sink.expect(messages, size)      # of the next connection: each message is one frame
    ...run a client against sink.port...
    sink.check()
"""

import base64
import hashlib
import re
import socket
import ssl
import threading


class Sink:
    def __init__(self, certificate=None, key=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
        self.wanted, self.fault, self.cipher, self.done = 0, None, "", threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def expect(self, messages, size):
        self.wanted = messages * (size + 4 + (2 if size < 126 else 4 if size < 65536 else 10))
        self.fault = "nobody came"
        self.done.clear()

    def check(self):
        self.done.wait(10)
        if self.fault:
            raise SystemExit(f"bench: the sink: {self.fault}")

    def _run(self):
        while True:
            connection, _ = self.listener.accept()
            try:
                self._serve(connection)
            except OSError as fault:
                self.fault = str(fault)
            self.done.set()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True)
            self.cipher = connection.cipher()[0]
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head).group(1)
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        protocol = "Sec-WebSocket-Protocol: charter.v1\r\n" if b"charter.v1" in head else ""
        connection.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n").encode())
        buffer, got = bytearray(1 << 20), len(rest)
        while got < self.wanted + 6:  # and a close frame of 6 to 8 bytes
            n = connection.recv_into(buffer)
            if n == 0:
                break
            got += n
        connection.sendall(b"\x88\x02\x03\xe8")
        connection.close()
        self.fault = None if self.wanted + 6 <= got <= self.wanted + 131 else f"{got} bytes came, {self.wanted} and a close frame were due"
