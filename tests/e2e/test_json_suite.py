"""build/json-check over JSONTestSuite, and over both sides of its undecided cases.

The suite is looked for beside the checkout (../shared/data/jsontestsuite) or under CHARTER_SHARED; where it is absent
its part is skipped by name. tests/conformance/json.md says why each i_ file is answered as it is: the table there is
what the test holds the program to.
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
SHARED = pathlib.Path(os.environ.get("CHARTER_SHARED", ROOT.parent / "shared"))
SUITE = SHARED / "data" / "jsontestsuite"
TABLE = ROOT / "tests" / "conformance" / "json.md"


@pytest.fixture(scope="module")
def json_check():
    program = BUILD / "json-check"
    if not program.exists():
        pytest.skip(f"{program} is not built (make test-programs)")

    def run(data):
        return subprocess.run([program], input=data, capture_output=True, timeout=60)

    return run


def suite_files(folder, prefix=""):
    files = sorted((SUITE / folder).glob(prefix + "*.json"))
    if not files:
        pytest.skip(f"JSONTestSuite is not at {SUITE}")
    return files


def undecided():
    rows = re.findall(r"^\| (i_\S+\.json) \| (accepted|refused) \|", TABLE.read_text(), re.M)
    return dict(rows)


def wrong_answers(json_check, files, expected):
    wrong = []
    for file in files:
        answer = json_check(file.read_bytes())
        want = expected(file.name)
        if answer.returncode != want or (want == 1) != bool(answer.stderr):
            wrong.append(f"{file.name}: exit {answer.returncode}, not {want}: {answer.stderr!r}")
    return wrong


def test_every_y_file_is_accepted(json_check):
    assert wrong_answers(json_check, suite_files("test_parsing", "y_"), lambda name: 0) == []


def test_every_n_file_is_refused(json_check):
    assert wrong_answers(json_check, suite_files("test_parsing", "n_"), lambda name: 1) == []


def test_every_i_file_is_answered_as_documented(json_check):
    files, table = suite_files("test_parsing", "i_"), undecided()
    assert sorted(table) == [file.name for file in files]
    assert wrong_answers(json_check, files, lambda name: {"accepted": 0, "refused": 1}[table[name]]) == []


def test_transform_files_are_accepted_but_for_half_surrogates_and_bytes_that_are_not_utf8(json_check):
    refused = {
        "string_1_escaped_invalid_codepoint.json",
        "string_1_invalid_codepoint.json",
        "string_2_escaped_invalid_codepoints.json",
        "string_2_invalid_codepoints.json",
        "string_3_escaped_invalid_codepoints.json",
        "string_3_invalid_codepoints.json",
    }
    files = suite_files("test_transform")
    assert wrong_answers(json_check, files, lambda name: int(name in refused)) == []


def test_reason_and_offset_are_told(json_check):
    answer = json_check(b'{"a":[1,]}')
    assert answer.returncode == 1
    assert answer.stderr == b"json-check: refused at byte 8: something else where a value must begin\n"
    assert answer.stdout == b""


def test_text_longer_than_any_buffer(json_check):
    text = b'["' + b"x" * 10_000_000 + b'",' + b"1," * 1_000_000 + b"null]"
    assert json_check(text).returncode == 0
    answer = json_check(text[:-1] + b"}")
    assert answer.returncode == 1
    assert f"byte {len(text) - 1}:" in answer.stderr.decode()


def test_multi_byte_characters_across_the_reading_buffer(json_check):
    for shift in range(4):
        assert json_check(b'"' + b"x" * shift + "𝄞".encode() * 40_000 + b'"').returncode == 0


def test_python_agrees_on_random_mutations(json_check):
    """Python's reader, made as strict as ours where it is laxer, gives the same answer."""
    import json
    import random

    def is_json(data):
        def refuse(word):
            raise ValueError(word)

        try:
            if data.startswith(b"\xef\xbb\xbf"):
                return False
            value = json.loads(data.decode("utf-8"), parse_constant=refuse)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half surrogates
            return True
        except (ValueError, RecursionError):
            return False

    generator = random.Random(8259)
    seeds = [
        b'{"a":[1,2.5e-3,true,null],"\\u00e9":"\\ud834\\udd1e","b":{"c":"x\xc3\xa9"}}',
        b'[0,-1,1E5,"\\n\\"",{},[],[[{"k":false}]]]',
        b' {"k" : "v" , "n" : -0.10e+01 } ',
    ]
    alphabet = b'{}[]",:\\ue+-.0123456789 tfnrul\x00\x1f\x7f\x80\xc3\xa9\xed\xa0d8D\n'
    for _ in range(1500):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(len(data))
            match generator.randrange(3):
                case 0:
                    data[at] = generator.choice(alphabet)
                case 1:
                    del data[at]
                case 2:
                    data.insert(at, generator.choice(alphabet))
        data = bytes(data)
        assert (json_check(data).returncode == 0) == is_json(data), data
