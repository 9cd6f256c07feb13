"""`charter` on a pseudo-terminal: what it shows is read, what somebody would type is written."""

import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHARTER = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "charter"
DEADLINE = 30 if os.environ.get("TEST_VARIANT", "plain") == "plain" else 120


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("CHARTER_")}


class Terminal:
    """`charter` on a pseudo-terminal of a given width."""

    def __init__(self, project, *args, columns=80):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen([CHARTER, *args], cwd=project, stdin=theirs, stdout=theirs, stderr=theirs,
                                        env=environment(), start_new_session=True)
        os.close(theirs)
        self.data = b""
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)

    def _read(self, seconds):
        """False at the end."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.ours, 65536)
        except OSError:
            piece = b""
        self.data += piece
        return bool(piece)

    def until(self, pattern, timeout=DEADLINE):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.shown()):
            assert time.monotonic() < deadline, (pattern, self.data)
            assert self._read(0.1), (pattern, self.data)

    def answer(self, question, text, timeout=DEADLINE):
        """Waits for a question that stands behind what was answered before, and types."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(question, self.shown()[self.seen:])
            if found:
                break
            assert time.monotonic() < deadline and self._read(0.1), (question, self.shown()[self.seen:])
        self.seen += found.end()
        self.type(text)

    def type(self, text):
        os.write(self.ours, text.encode())

    def wait(self, timeout=DEADLINE):
        deadline = time.monotonic() + timeout
        while self._read(0.1):
            assert time.monotonic() < deadline, self.data
        return self.process.wait(timeout)

    def shown(self):
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n")

    def screen(self):
        """The lines that stand there after all cursor control has had its effect."""
        lines = [""]
        row = 0
        for piece in re.split("(\x1b\\[\\d+A|\x1b\\[J|\r|\n)", self.shown()):
            up = re.fullmatch("\x1b\\[(\\d+)A", piece)
            if up:
                row -= int(up.group(1))
                assert row >= 0
            elif piece == "\x1b[J":
                del lines[row + 1:]
                lines[row] = ""
            elif piece == "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            elif piece not in ("", "\r"):
                lines[row] = piece
        return lines
