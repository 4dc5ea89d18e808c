"""Answers in time, failures as they were, and nobody waits for what never comes."""

import threading

import pytest

from qeu.deadline import within


def test_an_answer_comes_through_also_one_that_is_nothing():
    assert within(20, lambda: 3) == 3
    assert within(20, lambda: None) is None


def test_a_failure_is_raised_as_it_was():
    error = KeyError("gone")
    with pytest.raises(KeyError) as raised:
        within(20, lambda: (_ for _ in ()).throw(error))
    assert raised.value is error


def test_silence_is_a_time_out():
    for_ever = threading.Event()
    try:
        with pytest.raises(TimeoutError, match="no answer within 0 s"):
            within(0.02, for_ever.wait)
    finally:
        for_ever.set()
