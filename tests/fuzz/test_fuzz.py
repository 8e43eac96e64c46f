"""A small part of what ``python tests/fuzz/run.py --seconds 3600`` tries: always the same inputs."""

import os

import pytest

from fuzz.run import try_many
from fuzz.targets import TARGETS, WrongError, check_words


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", TARGETS)
def test_spoilt_inputs_are_read_or_refused_in_words(name):
    n = max(10, 150 // TARGETS[name].cost)
    assert [(number, what) for number, what, _ in try_many(name, 20261129, range(n))] == []


def test_what_a_message_must_not_hold():
    check_words("row 3 (x): 'abc' is no number")
    for text in ("", "KeyError: 'a'", "could not convert string to float: 'x'", "<Atoms object at 0x7f>"):
        with pytest.raises(WrongError):
            check_words(text)
