import copy
import gc
import pickle
import threading

import numpy as np
import pytest
from sklearn.base import clone

from atomprint.util.memo import _KEPT, memo_of
from atomprint.util.parameters import CheckedParameters


class Inner(CheckedParameters):
    def __init__(self, x=1, *, beside=None):
        self._initialise(locals())

    _unwatched = ("beside",)

    def _validate(self):
        pass


class Outer(Inner):
    pass


def is_new(owner):
    """Return whether nothing is known of an object."""
    calls = []
    memo_of(owner).once("made", lambda: calls.append(1))
    return bool(calls)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1, 2], lambda given: given.append(3)),
        ([1, 2], lambda given: given.__setitem__(0, True)),  # equal, and yet no number
        ([[1], 2], lambda given: given[0].append(3)),
        (([1], 2), lambda given: given[0].clear()),
        ({"a": 1}, lambda given: given.update(a=2)),
        ({"a": 1}, lambda given: given.update(b=1)),
        ({"a": 1, "b": 2}, lambda given: given.update(a=given.pop("a"))),  # another order
        ({"a": [1]}, lambda given: given["a"].append(1)),
        (np.zeros((2, 2)), lambda given: given.__setitem__((0, 0), 1)),
        (Inner(1), lambda given: setattr(given, "x", 2)),
        (Inner([1]), lambda given: given.x.append(2)),
        (Inner(1), lambda given: setattr(given, "learnt_", 2)),
        ([Inner(Inner(1))], lambda given: given[0].x.set_params(x=3)),
    ],
)
def test_a_change_within_a_value_is_seen(value, change):
    owner = Outer(value)
    memo = memo_of(owner)
    memo.once("made", int)
    assert memo_of(owner) is memo
    change(value)
    assert is_new(owner)
    assert not is_new(owner)


@pytest.mark.parametrize("value", [lambda: 1, object(), {1, 2}, np.array([None, "a"], dtype=object), [print]])
def test_nothing_is_kept_of_what_is_not_known(value):
    owner = Outer(value)
    memo_of(owner).once("made", int)
    assert is_new(owner)
    assert id(owner) not in _KEPT


@pytest.mark.parametrize("value", [list(range(1001)), [[0] * 1001], dict.fromkeys(range(1001)), np.zeros(2**13 + 1)])
def test_nothing_is_kept_of_what_takes_long_to_look_at(value):
    owner = Outer(value)
    memo_of(owner).once("made", int)
    assert is_new(owner)


def test_values_in_circles_are_not_kept():
    value = [1]
    value.append(value)
    owner = Outer(value)
    memo_of(owner).once("made", int)
    assert is_new(owner)


@pytest.mark.parametrize(
    "change",
    [
        lambda owner: setattr(owner, "x", 2),
        lambda owner: owner.set_params(x=2),
        lambda owner: setattr(owner, "learnt_", 1),
        lambda owner: delattr(owner, "x"),
        lambda owner: owner.__setstate__({"x": 5}),
    ],
)
def test_a_change_of_an_attribute_is_seen(change):
    owner = Outer(1)
    memo_of(owner).once("made", int)
    assert not is_new(owner)
    change(owner)
    assert is_new(owner)


def test_what_is_unwatched_may_change_within():
    owner = Outer(1, beside=[object()])
    memo_of(owner).once("made", int)
    owner.beside.append(1)
    assert not is_new(owner)


def test_neither_clones_nor_copies_nor_pickles_have_it():
    owner = Outer([1])
    state, pickled = dict(vars(owner)), pickle.dumps(owner)
    memo_of(owner).once("made", int)
    assert vars(owner) == state
    assert pickle.dumps(owner) == pickled
    for other in (clone(owner), copy.copy(owner), copy.deepcopy(owner), pickle.loads(pickled)):
        assert is_new(other)


def test_what_was_made_while_an_attribute_changed_is_not_kept():
    owner = Outer(1)

    def make():
        owner.x = 2
        return owner.x

    assert memo_of(owner).once("made", make) == 2
    owner.x = 1
    assert memo_of(owner).once("made", lambda: owner.x) == 1


def test_it_goes_with_its_owner():
    owner = Outer(1)
    memo_of(owner).once("made", int)
    key = id(owner)
    assert key in _KEPT
    del owner
    gc.collect()
    assert key not in _KEPT


def test_threads_see_what_there_is():
    owners, wrong = [Outer([k]) for k in range(4)], []

    def work(seed):
        for k in range(300):
            owner = owners[(k + seed) % 4]
            if k % 7 == 0:
                owner.x = [owner.x[0] + 4]
            x = list(owner.x)
            made = memo_of(owner).once("made", lambda x=x: x)
            if made[0] % 4 != x[0] % 4:
                wrong.append((made, x))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_error_of_what_makes_it_is_no_error_of_another():
    owner = Inner()
    with pytest.raises(ZeroDivisionError) as caught:
        memo_of(owner).once("made", lambda: 1 // 0)
    assert caught.value.__context__ is None
