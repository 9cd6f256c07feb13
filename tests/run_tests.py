#!/usr/bin/python3
"""Runs the test programs of one suite and counts what passed, failed and was skipped.

Every suite leaves its count in a result file; `sum` adds them up and prints the one line
that ends `make test`. A program that crashes, hangs or stops half-way counts as failed,
and so does a suite that left no result: nothing that did not run can look like success.
"""

import argparse
import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

TAP_LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:- )?(.*?)(\s*# [Ss][Kk][Ii][Pp].*)?$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)")


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_tap(text, count):
    """Counts the TAP lines in text; returns the names of failed tests and the sum of the plans."""
    failed, planned = [], 0
    for line in text.splitlines():
        plan = TAP_PLAN.match(line)
        if plan:
            planned += int(plan.group(1))
            continue
        match = TAP_LINE.match(line)
        if not match:
            continue
        if match.group(3):
            count.skipped += 1
        elif match.group(1):
            count.failed += 1
            failed.append(match.group(2))
        else:
            count.passed += 1
    return failed, planned


def ended(process):
    if process.returncode < 0:
        return "ended by " + signal.Signals(-process.returncode).name
    return f"exit status {process.returncode}"


def run(command, timeout, env=None):
    """Runs a command in a process group of its own, with its output in one string."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=env, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        return process, output.decode("utf-8", "replace"), False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return process, output.decode("utf-8", "replace"), True


def unit(args):
    count = Count()
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")

    def one(program):
        start = time.monotonic()
        return (program, *run(shlex.split(args.wrap) + [program], args.timeout, env), time.monotonic() - start)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for program, process, output, late, seconds in pool.map(one, args.programs):
            own = Count()
            failed, planned = read_tap(output, own)
            said = own.passed + own.failed + own.skipped
            if late:
                own.failed += max(1, planned - said)
                failed.append(f"no end within {args.timeout} s")
            elif planned > said:
                own.failed += planned - said
                failed.append(f"{planned - said} tests did not run: {ended(process)}")
            elif said == 0 and process.returncode == 0:
                own.passed += 1  # a program without cmocka is one test
            elif process.returncode != 0 and own.failed == 0:
                own.failed += 1
                failed.append(ended(process))
            print(f"  {os.path.basename(program):<32} {own.line()} ({seconds:.1f} s)")
            for line in output.splitlines() if own.skipped else []:
                if (match := TAP_LINE.match(line)) and match.group(3):
                    print(f"    skipped: {match.group(2) or match.group(3).split(None, 2)[2]}")
            if own.failed:
                print(output.rstrip())
                for name in failed:
                    print(f"  FAILED {os.path.basename(program)}: {name}")
            sys.stdout.flush()
            count.add(own)
    return count


def tap(args):
    """TAP lines of a command, or of our own input, shown as they come."""
    count, process, planned = Count(), None, 0
    if args.command:
        process = subprocess.Popen(args.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True, errors="replace")
    for line in process.stdout if process else sys.stdin:
        print(line, end="", flush=True)
        planned += read_tap(line, count)[1]
    if process and process.wait() != 0 and count.failed == 0:
        print(f"  FAILED {args.command[0]}: {ended(process)}")
        count.failed += 1
    missing = planned - count.passed - count.failed - count.skipped
    if missing > 0:
        print(f"  FAILED {missing} checks did not run")
        count.failed += missing
    return count


def junit(args):
    """The result of pytest, from its XML; --status is its exit status."""
    count = Count()
    try:
        for suite in xml.etree.ElementTree.parse(args.xml).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            count.failed += bad
            count.skipped += skipped
            count.passed += max(0, int(suite.get("tests", 0)) - bad - skipped)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"  FAILED pytest left no result: {error}")
        count.failed += 1
    # 5: no tests were found
    if args.status not in (0, 5) and count.failed == 0:
        print(f"  FAILED pytest: exit status {args.status}")
        count.failed += 1
    return count


def corpus_of(program):
    name = os.path.basename(program)[len("fuzz_"):]
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz", "corpus", name)


def replay(args):
    """Every file of its corpus, through each fuzz target once."""
    count = Count()
    for program in args.programs:
        corpus = corpus_of(program)
        process, output, late = run([program, corpus], args.timeout)
        if process.returncode == 0 and not late and os.path.isdir(corpus):
            count.passed += 1
            print(f"  {os.path.basename(program):<32} {len(os.listdir(corpus))} files")
        else:
            count.failed += 1
            print(output[-8000:].rstrip())
            why = "hangs" if late else ended(process) if os.path.isdir(corpus) else "has no corpus"
            print(f"  FAILED {os.path.basename(program)}: {why}")
    return count


def fuzz(args):
    """Each libFuzzer target for --seconds; new inputs are kept beside the build, not in the tree."""
    count = Count()

    def one(program):
        name = os.path.basename(program)
        grown = os.path.join(os.path.dirname(program), "grown", name)
        os.makedirs(grown, exist_ok=True)
        command = [program, f"-max_total_time={args.seconds}", "-timeout=10", "-rss_limit_mb=1024",
                   "-print_final_stats=1", f"-artifact_prefix={grown}-", grown]
        if os.path.isdir(corpus_of(program)):
            command.append(corpus_of(program))
        return (name, *run(command, args.seconds + 120))

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, process, output, late in pool.map(one, args.programs):
            runs = re.search(r"number_of_executed_units:\s*(\d+)", output)
            if process.returncode == 0 and not late:
                count.passed += 1
                print(f"  {name:<32} {runs.group(1) if runs else '?'} inputs, no finding", flush=True)
            else:
                count.failed += 1
                print(output[-8000:].rstrip())
                print(f"  FAILED {name}: {'hangs' if late else ended(process)}", flush=True)
    return count


def total(args):
    count, home = Count(), args.results[0].rsplit("/results/", 1)[0]
    for path in args.results:
        own = Count()
        tree, name = path.rsplit("/results/", 1)  # results of a variant stand in its own tree
        name = name if tree == home else f"{os.path.basename(tree)}/{name}"
        try:
            with open(path, encoding="ascii") as file:
                own.passed, own.failed, own.skipped = (int(word) for word in file.read().split())
        except (OSError, ValueError):
            own.failed = 1
            print(f"  FAILED {name}: it left no result")
        print(f"  {name:<18} {own.line()}")
        count.add(own)
    print(count.line())
    return 0 if count.failed == 0 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name, function in (("unit", unit), ("replay", replay), ("fuzz", fuzz), ("tap", tap), ("junit", junit)):
        sub = suites.add_parser(name)
        sub.add_argument("--result", required=True, help="where the count goes")
        sub.set_defaults(function=function)
        if name in ("unit", "replay", "fuzz"):
            sub.add_argument("programs", nargs="*")
            # Thousands of syncs take a second or minutes, as the disk is busy.
            sub.add_argument("--timeout", type=float, default=900 if name == "unit" else 120, help="seconds for one program")
        if name == "unit":
            sub.add_argument("--wrap", default="", help="a command to run each program under")
            sub.add_argument("--jobs", type=int, default=1, help="programs at a time")
        if name == "fuzz":
            sub.add_argument("--seconds", type=int, default=60)
            sub.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
        if name == "junit":
            sub.add_argument("xml")
            sub.add_argument("--status", type=int, default=0)
        if name == "tap":
            sub.add_argument("command", nargs="*")
    sub = suites.add_parser("sum")
    sub.add_argument("results", nargs="+")
    args = parser.parse_args()
    if args.suite == "sum":
        return total(args)
    if os.path.exists(args.result):
        os.remove(args.result)
    count = args.function(args)
    os.makedirs(os.path.dirname(os.path.abspath(args.result)), exist_ok=True)
    with open(args.result, "w", encoding="ascii") as file:
        file.write(f"{count.passed} {count.failed} {count.skipped}\n")
    print(f"{args.suite if args.suite not in ('tap', 'junit') else os.path.basename(args.result)}: {count.line()}")
    return 0 if count.failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
