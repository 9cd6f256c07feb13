"""build/yaml-to-json over the YAML test suite.

The suite is looked for beside the checkout (../shared/data/yaml-test-suite) or under CHARTER_SHARED; where it is
absent its part is skipped by name. tests/conformance/yaml.md lists what is refused although YAML 1.2 allows it: the
tests hold the program to that table.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
SHARED = pathlib.Path(os.environ.get("CHARTER_SHARED", ROOT.parent / "shared"))
SUITE = SHARED / "data" / "yaml-test-suite"
TABLE = ROOT / "tests" / "conformance" / "yaml.md"
PLACE = re.compile(r"\d+:\d+: .+\n")


@pytest.fixture(scope="module")
def yaml_to_json():
    program = BUILD / "yaml-to-json"
    if not program.exists():
        pytest.skip(f"{program} is not built (make test-programs)")
    config = BUILD / "include" / "autoconf.h"
    if config.exists() and "#define CONFIG_YAML 1" not in config.read_text():
        pytest.skip("this build reads project files as JSON only")

    def run(data):
        return subprocess.run([program], input=data, capture_output=True, timeout=30)

    return run


def cases(*kinds):
    index = SUITE / "index.tsv"
    if not index.exists():
        pytest.skip(f"the YAML test suite is not at {SUITE}")
    for line in index.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, kind, _tags, title = line.split("\t")
            if kind in kinds:
                yield name, title, (SUITE / "data" / f"{name}.yaml").read_bytes()


def expected(name):
    return json.loads((SUITE / "data" / f"{name}.json").read_text(encoding="utf-8"))


def same(a, b):
    """Equal as JSON: true is not 1, the order of members does not matter."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def test_whatever_is_accepted_has_the_right_value(yaml_to_json):
    wrong, accepted = [], 0
    for name, title, data in cases("json1"):
        answer = yaml_to_json(data)
        if answer.returncode == 0:
            accepted += 1
            if not same(json.loads(answer.stdout), expected(name)):
                wrong.append(f"{name} ({title}): {answer.stdout.decode()}")
    assert wrong == []
    assert accepted > 200


def test_exactly_what_is_documented_is_refused(yaml_to_json):
    rows = re.findall(r"^\| ([0-9A-Z][0-9A-Z -]+) \|", TABLE.read_text(encoding="utf-8"), re.M)
    documented = sorted(name for row in rows for name in row.split())
    refused = sorted(name for name, _title, data in cases("json1") if yaml_to_json(data).returncode == 1)
    assert refused == documented


def test_what_yaml_does_not_allow_is_refused(yaml_to_json):
    accepted = [name for name, _title, data in cases("error") if yaml_to_json(data).returncode != 1]
    assert accepted == []


def test_streams_that_are_not_one_document_are_refused(yaml_to_json):
    accepted = [name for name, _title, data in cases("jsonN", "json0") if yaml_to_json(data).returncode != 1]
    assert accepted == []


def test_refusals_name_line_and_column_and_nothing_crashes(yaml_to_json):
    odd = []
    for name, _title, data in cases("json1", "jsonN", "json0", "error", "nojson"):
        answer = yaml_to_json(data)
        if answer.returncode == 0:
            json.loads(answer.stdout)
        whole = answer.returncode == 0 and not answer.stderr
        told = answer.returncode == 1 and not answer.stdout and PLACE.fullmatch(answer.stderr.decode())
        if not whole and not told:
            odd.append(f"{name}: exit {answer.returncode}, {answer.stderr!r}")
    assert odd == []


@pytest.mark.parametrize("cut", [1, 3])
def test_documents_cut_anywhere_and_with_bytes_flipped_do_not_crash(yaml_to_json, cut):
    for name, _title, data in list(cases("json1", "error"))[::5]:
        for damaged in (data[: len(data) * cut // 4], data.replace(b" ", b"\t", cut), data.replace(b"\n", b"\xff", cut)):
            answer = yaml_to_json(damaged)
            assert answer.returncode in (0, 1), (name, damaged, answer.stderr)
            if answer.returncode == 0:
                json.loads(answer.stdout)


def test_documents_written_as_json_stay_what_they_are(yaml_to_json):
    for name, _title, data in cases("json1"):
        text = json.dumps(expected(name), indent=2).encode()
        answer = yaml_to_json(text)
        assert answer.returncode == 0, (name, answer.stderr)
        assert same(json.loads(answer.stdout), expected(name)), name


def test_the_bomb_of_aliases_is_refused(yaml_to_json):
    bomb = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    answer = yaml_to_json(bomb.encode())
    assert answer.returncode == 1
    assert PLACE.fullmatch(answer.stderr.decode())
