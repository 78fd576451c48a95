"""Which speaker or class a recording belongs to, by its name."""

from pathlib import Path

import pytest

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.conditions import conditioned, expression, names_of, numbered
from tts_diffvoc.training.corpus import Recording

SPEAKER = r"(?:^|/)\d_([^/]+)_\d+$"


def recording(name: str, condition: str | None = None) -> Recording:
    return Recording(Path(f"{name}.wav"), name, 8000, 8000, 1, None, condition)


@pytest.mark.parametrize(
    "name, rule, condition",
    [
        ("ann/one", "folder", "ann"),
        ("ann/session/one", "folder", "ann"),
        ("one", "folder", None),
        ("3_theo_7", SPEAKER, "theo"),
        ("recordings/3_de_la_cruz_17", SPEAKER, "de_la_cruz"),
        ("recordings/noise", SPEAKER, None),
        ("zero/0a7c2a8d_nohash_0", r"^[^/]+/([^/]+)_nohash_\d+$", "0a7c2a8d"),
        ("p225/p225_001", r"p(\d+)_", "225"),
        ("a_", "^a_(.*)$", None),
        ("b", "^(a)?b", None),
    ],
)
def test_conditions_of_names(name, rule, condition):
    assert conditioned([recording(name)], rule)[0].condition == condition


@pytest.mark.parametrize("rule, says", [("(", "no regular expression"), ("a+", "0 groups"), ("(a)_(b)", "2 groups")])
def test_rules_that_are_none(rule, says):
    with pytest.raises(DiffvocError, match=says):
        expression(rule)


def test_what_has_a_condition_keeps_it():
    clips = [recording("ann/one"), recording("ann/two", "bob")]
    assert [r.condition for r in conditioned(clips, "folder")] == ["ann", "bob"]
    assert [r.condition for r in conditioned(clips, "")] == [None, "bob"]


def test_numbers_follow_the_alphabet():
    clips = conditioned([recording(f"{who}/{i}") for i, who in enumerate(("cy", "ann", "bob", "ann"))], "folder")
    names = names_of(clips)
    assert names == ("ann", "bob", "cy") and numbered(clips, names) == [2, 0, 1, 0]
    assert numbered(clips, ("cy", "ann", "bob")) == [0, 1, 2, 1]


def test_clips_without_a_condition_or_of_another():
    clips = conditioned([recording("ann/1"), recording("2"), recording("3")], "folder")
    with pytest.raises(DiffvocError, match="in the names of 2 clips, such as 2;"):
        numbered(clips, ("ann",))
    with pytest.raises(DiffvocError, match="ann/1 belongs to 'ann', which is not among what is trained on: bob, cy"):
        numbered(clips[:1], ("bob", "cy"))
