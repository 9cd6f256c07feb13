"""What the programs' own --help says is what the man pages and the completions know, no more and no less."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
BASH = ROOT / "port" / "completion" / "charter.bash"
ZSH = ROOT / "port" / "completion" / "_charter"
PAGES = {"charter": "charter.1", "charter-daemon": "charter-daemon.8", "charter-gateway": "charter-gateway.8"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
EVERYWHERE = {"--project-path", "--json", "--help", "--version"}


def help_of(program, *words):
    path = BUILD / program
    if not path.exists():
        pytest.skip(f"{program} is not in this build")
    return subprocess.run([path, *words, "--help"], capture_output=True, check=True, text=True, timeout=30).stdout


def options_of(text):
    """The options that a help text has a line for: others are only spoken of."""
    return {option for line in text.splitlines() if re.match(r" {2,}--", line)
            for option in OPTION.findall(re.split(r" {2,}", line.strip())[0])}


def commands():
    listed = help_of("charter").split("\ncommands\n")[1].split("\n\n")[0]
    return [tuple(word for word in re.split(r" {2,}", line.strip())[0].split() if re.fullmatch(r"[a-z-]+", word))
            for line in listed.splitlines()]


def daemon_options(command):
    text = help_of("charter-daemon")
    every = options_of(text) - {"--version", "--help"}
    log = {"--log-level", "--log-format"}
    # What check and verify take stands in their lines.
    synopsis = {line.split()[1]: set(OPTION.findall(line)) for line in text.splitlines()
                if re.match(r"  charter-daemon [a-z]", line)}
    return every if command == "start" else synopsis[command] | log


def bash(*words):
    """What completing the last word offers."""
    function = {"charter": "_charter", "charter-daemon": "_charter_daemon", "charter-gateway": "_charter_gateway"}[words[0]]
    script = f'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    run = subprocess.run(["bash", "--norc", "-c", script, BASH, *words], capture_output=True, text=True, timeout=30,
                         env={"PATH": f"{BUILD}:{os.environ['PATH']}"})
    assert run.stderr == ""
    return set(run.stdout.split())


def zsh(call, service="charter"):
    """The specifications that the completion gives to _arguments."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    script = (f'_arguments() {{ print -rl -- "$@" }}; service=other; words=(charter); CURRENT=1\n'
              f'functions[load]="$(<{ZSH})"; load >/dev/null 2>&1; service={service}; {call}')
    run = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, timeout=30)
    assert run.stderr == ""
    return {option for line in run.stdout.splitlines() for option in OPTION.findall(line.split("[")[0].split(")")[-1])}


def test_bash_offers_the_options_of_every_command():
    for command in commands():
        expected = options_of(help_of("charter", *command))
        assert bash("charter", *command, "--") == expected, command
        for option in expected:
            assert bash("charter", *command, option) >= {option}


def test_bash_offers_the_commands():
    names = commands()
    assert bash("charter", "") == {command[0] for command in names}
    for first in {command[0] for command in names if len(command) == 2}:
        assert bash("charter", first, "") == {command[1] for command in names if command[0] == first and len(command) == 2}


def test_bash_takes_no_value_for_a_word():
    assert bash("charter", "--project-path", "runs", "workflows", "") == {"list", "show"}
    assert bash("charter", "runs", "list", "--status", "w") == {"waiting"}
    assert bash("charter", "runs", "list", "--status", "=", "w") == {"waiting"}
    assert bash("charter", "cancel", "x", "--reason", "") == set()


@needs("HELP", "CHECK", "LIMITS", "SALVAGE", "PROXY", "TLS_1_2", "TLS_CRL", "TLS_CLIENT_CERT")
def test_bash_completes_the_daemon_and_the_gateway():
    text = help_of("charter-daemon")
    listed = set(re.findall(r"^  charter-daemon ([a-z]+)", text, re.M))
    assert bash("charter-daemon", "") - EVERYWHERE == listed | ({"verify"} - listed)
    for command in sorted(listed - {"limits"}):
        assert bash("charter-daemon", command, "--") == daemon_options(command), command
    assert bash("charter-daemon", "start", "--log-level", "w") == {"warning"}
    assert bash("charter-gateway", "--") == set(OPTION.findall(help_of("charter-gateway").split("\nEach option")[0]))


def test_bash_offers_workflows_and_runs(tmp_path):
    """With a `charter` that answers as the daemon does."""
    charter = tmp_path / "charter"
    charter.write_text('#!/bin/sh\ncase "$*" in\n'
                       '*"workflows list"*) echo \'{"workflows":[{"id":"hello","name":"x"},{"id":"other"}]}\' ;;\n'
                       '*"/p runs list"*) echo \'{"runs":[{"run_id":"r-1"},{"run_id":"r-2"}]}\' ;;\nesac\n')
    charter.chmod(0o755)
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _charter; echo "${COMPREPLY[@]}"'

    def offered(*words):
        return subprocess.run(["bash", "--norc", "-c", script, BASH, *words], capture_output=True, text=True, check=True,
                              env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}).stdout.split()

    assert offered("charter", "run", "") == ["hello", "other"]
    assert offered("charter", "--project-path", "/p", "status", "r-") == ["r-1", "r-2"]
    assert offered("charter", "status", "r-1", "") == []


@needs("HELP", "CHECK", "LIMITS", "SALVAGE", "PROXY", "TLS_1_2", "TLS_CRL", "TLS_CLIENT_CERT")
def test_zsh_offers_the_options():
    for command in commands():
        assert zsh(f"_charter_command {' '.join(command)!r}") == options_of(help_of("charter", *command)), command
    for command in ("start", "check"):
        assert zsh(f"_charter_daemon_options {command}") == daemon_options(command)
    assert zsh("_charter_gateway_program") == set(OPTION.findall(help_of("charter-gateway").split("\nEach option")[0]))


def test_zsh_offers_the_commands():
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    text = ZSH.read_text()
    listed = re.search(r"_charter_commands=\((.*?)\n\)", text, re.S)[1]
    names = commands()
    assert set(re.findall(r"'([a-z-]+):", listed)) == {command[0] for command in names}
    second = dict(re.findall(r"^    (\w+) '([a-z ]+)'$", text, re.M))
    for first in {command[0] for command in names if len(command) == 2}:
        assert set(second[first].split()) == {command[1] for command in names if command[0] == first and len(command) == 2}


@needs("HELP", "CHECK", "LIMITS", "SALVAGE", "PROXY", "TLS_1_2", "TLS_CRL", "TLS_CLIENT_CERT")
@pytest.mark.parametrize("program", PAGES)
def test_the_man_page_names_every_option(program):
    source = (ROOT / "port" / "man" / PAGES[program]).read_text()
    named = {f"-{option}" for option in re.findall(r"(?:Fl|\|) (-[a-z][a-z-]*)", source)}
    text = help_of(program)
    expected = set(OPTION.findall(text)) - {"--tls-"}
    if program == "charter":
        for command in commands():
            expected |= options_of(help_of("charter", *command))
            assert re.search(rf"^\.It Cm {' '.join(command)}\b", source, re.M), command
    if program == "charter-daemon" and "verify" not in text:
        expected |= {"--head"}
    assert named - expected == set() and expected - named == set()
    for variable in re.findall(r"CHARTER_[A-Z_]+[A-Z]", text):
        assert variable in source, variable
