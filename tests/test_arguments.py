"""Types of command-line arguments, and what a program says when it ends."""

import math
import subprocess
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_diffvoc.arguments import MOST_SEED, Parser, file_path, number, seed, spoken, whole
from tts_diffvoc.errors import DiffvocError, Failure


def parse(kind, text):
    parser = Parser("program")
    parser.add_argument("--it", type=kind)
    return parser.parse_args([f"--it={text}"]).it


@given(st.integers(-(2**70), 2**70))
def test_a_seed_is_within_its_range_or_refused(value):
    if 0 <= value <= MOST_SEED:
        assert parse(seed, str(value)) == value
    else:
        with pytest.raises(DiffvocError, match="^argument --it: '-?[0-9]+' is not a whole number from 0 to"):
            parse(seed, str(value))


@given(st.one_of(st.floats(), st.text(max_size=30)))
def test_a_number_is_within_its_range_or_refused(value):
    text = str(value)
    try:
        made = parse(number(0, 60), text)
    except DiffvocError as error:
        assert "\n" not in str(error) and "is not a number above 0 and up to 60" in str(error)
    else:
        assert 0 < made <= 60 and math.isfinite(made)


@pytest.mark.parametrize("text", ["a" * 300, "a\0b", "~nosuchuser/a", __file__ + "/a"])
def test_what_no_file_can_be_called(text):
    with pytest.raises(DiffvocError, match="is no path that can be used"):
        parse(file_path, text)


def test_flags_are_not_guessed_and_errors_are_one_line():
    with pytest.raises(DiffvocError, match="unrecognized arguments: --i=3; `program --help`"):
        parser = Parser("program")
        parser.add_argument("--it", type=whole(1, 3))
        parser.parse_args(["--i=3"])


@pytest.mark.parametrize(
    "error, status, says",
    [
        (DiffvocError("bad use."), 2, "error: bad use.\n"),
        (Failure("a full disk."), 1, "error: a full disk.\n"),
        (MemoryError(), 1, "error: the memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "error: the memory does not suffice"),
        (KeyboardInterrupt(), 130, "stopped.\n"),
    ],
)
def test_how_a_program_ends(error, status, says, capsys):
    with pytest.raises(SystemExit) as end, spoken():
        warnings.warn("loud", stacklevel=1)
        raise error
    assert end.value.code == status
    printed = capsys.readouterr().err
    assert printed.startswith("warning: loud\n" + says) and printed.count("\n") == 2


def test_a_reader_that_has_gone_is_no_error():
    program = subprocess.run(
        f"{sys.executable} -c 'from tts_diffvoc.cli import main; raise SystemExit(main([\"list\"]))' | true",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert program.stderr == ""
