"""Folds: disjoint, covering, groups whole, of no order; sizes within one group."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.folds import folds_of
from harness.errors import UsageError

GROUPS = st.lists(st.text(min_size=1, max_size=4), min_size=3, max_size=40, unique=True)


@settings(deadline=None, max_examples=60)
@given(GROUPS, st.integers(0, 7), st.randoms(use_true_random=False), st.text(max_size=5))
def test_each_group_is_tested_once_and_never_in_two_splits(
    names: list[str], count: int, random: object, salt: str
) -> None:
    if count == 1 or count > len(names):
        with pytest.raises(UsageError):
            folds_of(salt, names, count)
        return
    samples = [name for name in names for _ in range(1 + len(name))]
    folds = folds_of(salt, samples, count)
    assert len(folds) == (count or len(names))
    tested = [group for fold in folds for group in fold.test]
    assert sorted(tested) == sorted(names)
    for fold in folds:
        assert fold.train and fold.valid and fold.test
        parts = [*fold.train, *fold.valid, *fold.test]
        assert sorted(parts) == sorted(names)
        assert {fold.split_of(g) for g in fold.valid} == {"valid"}
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    # Neither the order of samples nor their number changes a fold.
    shuffled = [*names]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert folds_of(salt, shuffled, count) == folds


def test_folds_are_what_they_were() -> None:
    names = [f"video-{i}" for i in range(10)]
    assert [sorted(f.test) for f in folds_of("mosi@2/folds@1", names, 5)] == KNOWN
    assert folds_of("mosi@2/folds@1", names, 5) != folds_of("mosi@3/folds@1", names, 5)
    alone = folds_of("x", names)
    assert [sorted(f.test) for f in alone] == [[n] for n in sorted(names)]


KNOWN = [
    ["video-4", "video-5"], ["video-6", "video-7"], ["video-0", "video-9"],
    ["video-3", "video-8"], ["video-1", "video-2"],
]  # fmt: skip
