"""Work on threads: its order, its errors, and how far it runs ahead."""

import threading

import numpy as np
import pytest

from atomprint.util.overlap import in_order


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_order_and_items_are_asked_for_by_the_caller(n_threads):
    asked = []

    def items():
        for i in range(20):
            assert threading.current_thread() is threading.main_thread()
            asked.append(i)
            yield i

    for i, got in enumerate(in_order(lambda i: i * i, items(), n_threads)):
        assert got == i * i
        assert len(asked) <= i + 1 + n_threads


def test_two_are_worked_on_at_once():
    both = threading.Barrier(2, timeout=30)
    assert len(list(in_order(lambda _: both.wait(), range(4), 2))) == 4


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_first_error_in_order_is_raised_and_the_rest_is_left(n_threads):
    done = []

    def work(i):
        if i in (3, 4):
            raise ValueError(f"item {i}")
        done.append(i)
        return i

    got = in_order(work, range(1000), n_threads)
    assert [next(got) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(got)
    assert len(done) < 12


def test_stopping_leaves_the_rest_undone_and_settings_are_those_of_the_caller():
    done = []
    with np.errstate(divide="raise"):
        got = in_order(lambda i: done.append((i, np.geterr()["divide"])), range(1000), 2)
        next(got)
        got.close()
    assert len(done) < 12
    assert {setting for _, setting in done} == {"raise"}


@pytest.mark.parametrize("n_threads", [1, 3])
def test_errors_of_the_items_come_when_it_is_their_turn(n_threads):
    def items():
        yield from range(3)
        raise KeyError("fourth")

    got = in_order(str, items(), n_threads)
    assert [next(got) for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(KeyError, match="fourth"):
        next(got)
