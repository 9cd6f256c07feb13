"""The journal's chain of hashes, and `charter-daemon verify`: whoever edits what happened is found, by the chain where the
editor did not make it anew, and by the head that the gateway keeps where he did. All hashes and checksums here are made by this file.
"""

import hashlib
import json
import random
import re
import shutil
import subprocess
import threading

import pytest

from harness import BUILD, DAEMON, command, step, wait_until
from peers.gateway import Gateway
from test_streams import Real

HELP = subprocess.run([DAEMON, "--help"], capture_output=True, text=True, check=False).stdout if DAEMON.exists() else ""
pytestmark = pytest.mark.skipif("verify" not in HELP, reason="this build has no chain")

ZEROS = "0" * 64


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


class Journal:
    """The lines of all segments, to look at and to tamper with."""

    def __init__(self, project):
        self.project = project
        self.segments = {path: self.lines_of(path.read_bytes()) for path in project.segments()}

    @staticmethod
    def lines_of(data):
        return [line + b"\n" for line in data.rstrip(b"\0").split(b"\n")[:-1]]

    @property
    def lines(self):
        return [line for lines in self.segments.values() for line in lines]

    def at(self, seq):
        """Segment and index of the record that holds the event."""
        for path, lines in self.segments.items():
            for index, line in enumerate(lines):
                if json.loads(line[9:]).get("event", {}).get("seq") == seq:
                    return path, index
        raise KeyError(seq)

    def offset(self, path, index):
        return sum(map(len, self.segments[path][:index]))

    def store(self):
        for path, lines in self.segments.items():
            path.write_bytes(b"".join(lines))

    def head(self, seq):
        path, index = self.at(seq)
        return f"{seq}:{sha256(self.segments[path][index])}"

    def last_seq(self):
        return max(json.loads(line[9:]).get("event", {}).get("seq", 0) for line in self.lines)


def sha256(line):
    return hashlib.sha256(line[9:]).hexdigest()


def sealed(text):
    """A line whose checksum holds."""
    return b"%08x " % crc32c(text) + text + b"\n"


def resealed(line, old, new):
    assert old in line and len(old) == len(new)
    return sealed(line[9:-1].replace(old, new, 1))


def chained_anew(journal):
    """All offsets, checksums and hashes made anew: what a careful editor does."""
    before, event = ZEROS, None
    for lines in journal.segments.values():
        offset, begun = 0, {}
        for index, line in enumerate(lines):
            batch = json.loads(line[9:])["batch"]
            text = re.sub(rb'"synced":[0-9]+', b'"synced":%d' % begun.setdefault(batch, offset), line[9:-1], count=1)
            text = re.sub(rb'"prev":"[0-9a-f]{64}"', b'"prev":"%s"' % before.encode(), text, count=1)
            if b'"head_sha256"' in text[:400] and event:
                text = re.sub(rb'"head_sha256":"[0-9a-f]{64}"', b'"head_sha256":"%s"' % event.encode(), text, count=1)
            lines[index] = sealed(text)
            before = sha256(lines[index])
            offset += len(lines[index])
            if b'"event":{"seq":' in text:
                event = before


def verify(project, *args):
    """Exit code and report; also the words, which must come to the same."""
    args = ("verify", "--project-path", project.path, *args)
    plain, result = command(*args), command(*args, "--json")
    assert plain.returncode == result.returncode, (plain, result)
    assert result.stdout, result.stderr
    report = json.loads(result.stdout)
    assert report["holds"] == (result.returncode == 0)
    report["words"] = plain.stdout
    return result.returncode, report


@pytest.fixture
def history(project, daemon_of):
    """A journal with some runs in it, and no daemon."""
    project.workflow("w", [step("one", value="first"), step("two", value=2)])
    daemon = daemon_of(project)
    for _ in range(3):
        assert daemon.run("w").status == "succeeded"
    assert daemon.stop() == 0
    return Journal(project)


@pytest.fixture
def long_history(project, daemon_of):
    """A journal of at least three segments."""
    project.workflow("w", [step("one", {"logs": {"times": 200, "text": "x" * 3900}}, value=1)])
    daemon = daemon_of(project)
    wait_until(lambda: daemon.run("w").status == "succeeded" and len(project.segments()) >= 3)
    assert daemon.stop() == 0
    return Journal(project)


# --- what is as it was ---------------------------------------------------------------------------------------------


def test_each_record_names_the_one_before(long_history):
    before, event = ZEROS, None
    for lines in long_history.segments.values():
        head = json.loads(lines[0][9:])["segment"]
        assert head.get("head_sha256") == event
        for line in lines:
            record = json.loads(line[9:])
            assert int(line[:8], 16) == crc32c(line[9:-1])
            assert record["prev"] == before and list(record)[2] == "prev"
            before = sha256(line)
            if "event" in record:
                event = before


def test_a_journal_that_nobody_touched_holds(project, history):
    code, report = verify(project)
    assert code == 0
    assert report["from_the_beginning"] and report["broken"] is None and report["unchained"] == 0 and report["tail_bytes"] == 0
    assert report["records"] == len(history.lines) and report["bytes"] == sum(map(len, history.lines))
    assert report["first_seq"] == 1 and report["last_seq"] == history.last_seq()
    head = f"{report['head']['seq']}:{report['head']['sha256']}"
    assert head == history.head(history.last_seq())
    assert f"head      {head}\n" in report["words"] and "from the first record on" in report["words"]
    for seq in range(1, history.last_seq() + 1):
        code, report = verify(project, "--head", history.head(seq))
        assert code == 0 and report["asked"]["found"] == "held" and report["asked"]["from"]["seq"] == 1
    code, report = verify(project, "--head", history.head(5).upper())
    assert code == 0


def test_standard_tools_print_the_same(project, history):
    """The line of the README."""
    seq = history.last_seq() - 1
    printed = subprocess.run(f"grep -ah '\"event\":{{\"seq\":{seq},' .charter/journal/*.log | cut -c10- | sha256sum", shell=True,
                             cwd=project.path, capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == history.head(seq).split(":")[1]


def test_restarts_and_crashes_do_not_break_it(project, daemon_of):
    project.workflow("w", [step("one", {"touch": "begun-${{ run.id }}"}, {"wait": "never"})])
    for _ in range(4):
        daemon = daemon_of(project)
        project.wait_file(f"begun-{daemon.start_run('w')}")
        daemon.kill()
    with open(project.segments()[-1], "r+b") as segment:
        length = sum(map(len, Journal.lines_of(segment.read())))
        segment.seek(length)
        segment.write(b"deadbeef {\"batch\":9")
    code, report = verify(project)
    assert code == 0 and report["tail_bytes"] > 0 and "torn" in report["words"]
    head = f"{report['head']['seq']}:{report['head']['sha256']}"
    daemon = daemon_of(project)
    for run in daemon.call("runs.list")["runs"]:
        daemon.call("run.cancel", {"run_id": run["run_id"]})
    assert daemon.stop() == 0
    code, report = verify(project, "--head", head)
    assert code == 0 and report["from_the_beginning"] and report["asked"]["found"] == "held" and report["tail_bytes"] == 0


def test_it_can_be_checked_while_the_daemon_works(project, daemon_of):
    project.workflow("w", [step("one", {"logs": {"times": 300, "text": "x" * 2000}}, value=1)])
    daemon = daemon_of(project)
    stop, outcomes = threading.Event(), []

    def check():
        while not stop.is_set():
            outcomes.append(verify(project))
    thread = threading.Thread(target=check)
    thread.start()
    try:
        while len(project.segments()) < 4 or len(outcomes) < 20:
            assert daemon.run("w").status == "succeeded"
    finally:
        stop.set()
        thread.join()
    assert all(code == 0 for code, _ in outcomes), [report for code, report in outcomes if code]
    seen = [report["last_seq"] for _, report in outcomes]
    assert seen == sorted(seen) and seen[0] < seen[-1]
    # A lock is not taken, and nothing is written: the daemon goes on, and a copy of the journal can be checked elsewhere.
    assert daemon.run("w").status == "succeeded"


def test_it_can_be_checked_while_old_segments_go(project, daemon_of):
    project.workflow("w", [step("one", {"logs": {"times": 300, "text": "x" * 3000}}, value=1)])
    daemon = daemon_of(project, "--journal-kib", "2048")
    stop, outcomes = threading.Event(), []

    def check():
        while not stop.is_set():
            outcomes.append(verify(project))
    threads = [threading.Thread(target=check) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: daemon.run("w").status == "succeeded" and int(project.segments()[0].stem) > 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(code == 0 for code, _ in outcomes), [report for code, report in outcomes if code]
    assert len({report["segments"]["first"] for _, report in outcomes}) > 5


# --- what was edited -------------------------------------------------------------------------------------------------


def broken_at(journal, path, index):
    segment = int(path.stem)
    return {"segment": segment, "offset": journal.offset(path, index)}


def test_a_changed_byte_is_found_by_the_record_behind_it(project, history):
    path, index = history.at(6)
    lines = history.segments[path]
    before = sha256(lines[index])
    lines[index] = resealed(lines[index], b'"step_id":"', b'"step_ie":"')
    history.store()
    code, report = verify(project)
    assert code == 1
    wanted = broken_at(history, path, index + 1)
    assert {**report["broken"], **wanted} == report["broken"]
    assert report["broken"]["seq"] == 7 and report["broken"]["breaks"] == 1
    assert report["broken"]["expected"] == sha256(lines[index]) and report["broken"]["found"] == before
    assert f"offset {wanted['offset']}, event 7" in report["words"] and before in report["words"]
    # The head is what it was, and proves what stands behind the break; it does not make the chain hold.
    code, report = verify(project, "--head", history.head(history.last_seq()))
    assert code == 1 and report["asked"]["found"] == "held" and report["asked"]["from"]["seq"] == 7


def test_a_change_without_a_new_checksum_is_damage(project, history):
    path, index = history.at(6)
    lines = history.segments[path]
    lines[index] = lines[index].replace(b'"step_id":"', b'"step_ie":"')
    history.store()
    code, report = verify(project, "--head", history.head(history.last_seq()))
    assert code == 1
    assert {**report["broken"], **broken_at(history, path, index)} == report["broken"] and report["asked"]["found"] == "not_reached"
    assert "chain     broken; up to the break it holds from event 1 on" in report["words"]


def test_a_removed_record_is_found(project, history):
    path, index = history.at(6)
    del history.segments[path][index]
    history.store()
    code, report = verify(project)
    assert code == 1 and {**report["broken"], **broken_at(history, path, index)} == report["broken"]


def test_two_records_that_changed_places_are_found(project, history):
    path, index = history.at(6)
    lines = history.segments[path]
    lines[index], lines[index + 1] = lines[index + 1], lines[index]
    history.store()
    code, report = verify(project)
    assert code == 1 and {**report["broken"], **broken_at(history, path, index)} == report["broken"]


def test_an_inserted_record_is_found(project, history):
    path, index = history.at(6)
    lines = history.segments[path]
    record = json.loads(lines[index][9:])
    lines.insert(index, sealed(b'{"batch":%d,"synced":%d,"prev":"%s","memo":{}}' % (record["batch"], record["synced"], sha256(lines[index - 1]).encode())))
    history.store()
    code, report = verify(project)
    assert code == 1 and {**report["broken"], **broken_at(history, path, index + 1)} == report["broken"]


def test_a_segment_missing_in_the_middle_is_found(project, long_history):
    first, second, third = list(long_history.segments)[:3]
    second.unlink()
    code, report = verify(project)
    assert code == 1 and report["broken"]["segment"] == int(third.stem) and second.name in report["words"]
    second.write_bytes(b"".join(long_history.segments[second]))
    assert verify(project)[0] == 0


def test_a_record_taken_from_the_end_of_a_segment_is_found(project, long_history):
    first, second = list(long_history.segments)[:2]
    del long_history.segments[first][-1]
    long_history.store()
    code, report = verify(project)
    assert code == 1 and report["broken"]["segment"] == int(second.stem) and report["broken"]["offset"] == 0


def test_the_head_finds_who_made_the_chain_anew(project, long_history):
    last = long_history.last_seq()
    head, early = long_history.head(last), long_history.head(3)
    path, index = long_history.at(9)
    lines = long_history.segments[path]
    lines[index] = resealed(lines[index], b'"type":"', b'"typo":"')
    chained_anew(long_history)
    long_history.store()
    code, report = verify(project)
    assert code == 0 and report["from_the_beginning"], "the chain alone cannot tell"
    code, report = verify(project, "--head", head)
    assert code == 1 and report["asked"]["found"] == "differs"
    assert report["asked"]["found_sha256"] == long_history.head(last).split(":")[1] and "edited" in report["words"]
    code, report = verify(project, "--head", early)
    assert code == 0 and report["asked"]["found"] == "held", "what stands before the edit is as it was"


def test_the_head_finds_a_journal_that_was_cut(project, history):
    last = history.last_seq()
    head = history.head(last)
    path, index = history.at(last)
    del history.segments[path][index:]
    history.store()
    assert verify(project)[0] == 0
    code, report = verify(project, "--head", head)
    assert code == 1 and report["asked"]["found"] == "ahead" and f"ends at event {last - 1}" in report["words"]


@pytest.mark.parametrize("seed", range(6))
def test_no_edit_of_one_line_goes_unseen(project, history, seed):
    """Whatever is put in the place of a record that has others behind it."""
    chance = random.Random(seed)
    head = history.head(history.last_seq())
    path = next(iter(history.segments))
    lines = history.segments[path]
    kept = list(lines)
    for _ in range(20):
        lines[:] = kept
        index = chance.randrange(1, len(lines) - 1)
        text = bytearray(lines[index][9:-1])
        at = chance.randrange(len(text))
        text[at] = chance.choice([b for b in b"0123456789abcxyz" if b != text[at]])
        lines[index] = sealed(bytes(text))
        history.store()
        code, report = verify(project, "--head", head)
        assert code == 1, (index, at, report)
    lines[:] = kept
    history.store()
    assert verify(project, "--head", head)[0] == 0


def test_after_a_salvage_it_holds_again(project, daemon_of, history):
    last = history.last_seq()
    head = history.head(last)
    path, index = history.at(last - 3)
    history.segments[path][index] = history.segments[path][index].replace(b'"event":{', b'"evnet":{')
    history.store()
    assert verify(project, "--head", head)[0] == 1
    daemon = daemon_of(project, "--salvage")
    assert daemon.run("w").status == "succeeded"
    code, report = verify(project, "--head", head)
    assert code == 0 and report["chain"]["seq"] == last + 1 and report["asked"]["found"] == "held"


# --- the part that is held --------------------------------------------------------------------------------------------


def test_it_holds_from_the_oldest_segment_that_is_left(project, long_history):
    paths = list(long_history.segments)
    last_of_first = max(json.loads(line[9:]).get("event", {}).get("seq", 0) for line in long_history.segments[paths[0]])
    paths[0].unlink()
    code, report = verify(project)
    assert code == 0 and not report["from_the_beginning"] and report["chain"]["seq"] == last_of_first + 1
    assert "held no longer" in report["words"]
    # The head of the last event that has gone stands in the segment behind it.
    code, report = verify(project, "--head", long_history.head(last_of_first))
    assert code == 0 and report["asked"]["found"] == "held"
    code, report = verify(project, "--head", f"{last_of_first}:{'ab' * 32}")
    assert code == 1 and report["asked"]["found"] == "differs"
    code, report = verify(project, "--head", long_history.head(last_of_first - 1))
    assert code == 1 and report["asked"]["found"] == "gone" and "held no longer" in report["words"]


def test_records_without_a_chain_are_told(project, history):
    """As a build without the chain would have written them."""
    path, index = history.at(6)
    lines = history.segments[path]
    for i in range(index, index + 3):
        lines[i] = sealed(re.sub(rb'"prev":"[0-9a-f]{64}",', b"", lines[i][9:-1]))
    chained_anew(history)
    history.store()
    code, report = verify(project)
    assert code == 0 and report["unchained"] == 3 and report["chain"]["seq"] == 8 and "from event 8 on" in report["words"]
    code, report = verify(project, "--head", history.head(history.last_seq()))
    assert code == 0 and report["asked"]["from"]["seq"] == 8
    for i in range(len(lines)):
        lines[i] = sealed(re.sub(rb'"prev":"[0-9a-f]{64}",', b"", lines[i][9:-1]))
    chained_anew(history)
    history.store()
    code, report = verify(project)
    assert code == 1 and report["broken"] is None and report["chain"] is None and "none" in report["words"]


# --- the command ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--head", "5"], ["--head", "5:abc"], ["--head", "0:" + ZEROS], ["--head", "x:" + ZEROS], ["--head", ZEROS],
                                  ["--head", "-1:" + ZEROS], ["--head"], ["--background"], ["--gateway", "http://127.0.0.1:1"], ["there"]])
def test_usage(project, args):
    result = command("verify", "--project-path", project.path, *args)
    assert result.returncode == 2 and result.stderr.startswith("charter-daemon: ") and not result.stdout


def test_flags_of_verify_belong_to_it(project):
    assert command("check", "--project-path", project.path, "--json").returncode == 2


def test_where_no_journal_is(project, places):
    for path in (project.path, places()):
        result = command("verify", "--project-path", path)
        assert result.returncode == 6 and "journal" in result.stderr and not result.stdout


def test_a_newer_format(project, history):
    path, lines = next(iter(history.segments.items()))
    lines[0] = sealed(lines[0][9:-1].replace(b'"format":1', b'"format":9'))
    history.store()
    result = command("verify", "--project-path", project.path)
    assert result.returncode == 5 and "format 9" in result.stderr


def test_a_copy_needs_no_project(history, places):
    place = places()
    shutil.copytree(history.project.file(".charter/journal"), f"{place}/.charter/journal")
    result = command("verify", "--project-path", place)
    assert result.returncode == 0 and history.head(history.last_seq()) in result.stdout


# --- with a gateway -------------------------------------------------------------------------------------------------------


def test_heads_that_the_gateway_got_are_in_the_journal(project, daemon_of):
    project.workflow("w", [step("one", {"logs": {"times": 40, "text": "x" * 3000}}, value="x" * 12000)])
    with Gateway() as gateway:
        daemon = daemon_of(project, "--gateway", gateway.url)
        first = gateway.wait_connected()
        gateway.hold_acks()  # so that much is sent twice, in other batches
        for _ in range(12):
            daemon.run("w")
        wait_until(lambda: len(project.segments()) >= 2)
        gateway.drop()
        gateway.release_acks()
        gateway.wait_connected(after=first.number)
        last = daemon.events()[-1]["seq"]
        gateway.wait(lambda: gateway.daemon.acked >= last)
        heads = dict(gateway.daemon.heads)
        assert len(heads) > 5 and max(heads) >= last
        assert daemon.stop() == 0
        journal = Journal(project)
        for seq, sha in heads.items():
            assert journal.head(seq) == f"{seq}:{sha}"
        for seq in random.Random(1).sample(sorted(heads), 3):
            assert verify(project, "--head", f"{seq}:{heads[seq]}")[0] == 0


def test_the_head_that_charter_gateway_keeps_finds_an_edit(project, daemon_of, tmp_path):
    if not (BUILD / "charter-gateway").exists():
        pytest.skip("charter-gateway is not built")
    project.workflow("w", [step("one", value="paid 10")])
    gateway = Real(tmp_path)
    try:
        daemon = daemon_of(project, "--gateway", gateway.url)
        daemon.run("w")
        daemon_id = daemon.call("daemon.status")["daemon_id"]
        last = daemon.events()[-1]["seq"]
        shown = wait_until(lambda: [d for d in [gateway.http("GET", f"/v1/daemons/{daemon_id}")[1]] if d.get("acked") == last])[0]
        assert shown["head"]["seq"] == last and shown["head_conflict"] is None
        head = f"{last}:{shown['head']['sha256']}"
        assert verify(project, "--head", head)[0] == 0
        assert daemon.stop() == 0
        journal = Journal(project)
        for lines in journal.segments.values():
            for index, line in enumerate(lines):
                if b"paid 10" in line:
                    lines[index] = resealed(line, b"paid 10", b"paid 99")
        chained_anew(journal)
        journal.store()
        daemon = daemon_of(project, "--gateway", gateway.url)  # to the daemon it is a journal as good as any
        daemon.run("w")
        assert verify(project)[0] == 0
        code, report = verify(project, "--head", head)
        assert code == 1 and report["asked"]["found"] == "differs"
    finally:
        gateway.end()
