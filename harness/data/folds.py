"""Folds of a data set by whole groups: which groups are tested, selected on and learned of.

Protocol `harness.specs.FOLDS`, never edited in place. A group's fold follows from a hash of its
name and the data set's protocol: from no generator, and from no order of samples or of files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.data.partition import partition
from harness.errors import UsageError

FEWEST = 3
"""Groups that are needed: one each to learn of, to select on and to test."""
_VALID_SHARE = 0.2


@dataclass(frozen=True)
class Fold:
    """One fold: the groups of each of its splits, no group in two of them."""

    train: frozenset[str]
    valid: frozenset[str]
    test: frozenset[str]

    def split_of(self, group: str) -> str:
        """Return the name of the split that a group is in."""
        return next(s for s in ("train", "valid", "test") if group in getattr(self, s))


def folds_of(salt: str, groups: Iterable[str], count: int = 0) -> tuple[Fold, ...]:
    """Return the folds of some groups; each group is tested in exactly one of them.

    A fifth of the groups that a fold does not test, at least one, is for validation.

    Args:
        salt: the protocol that the folds are of; another one draws others.
        groups: names, repetitions allowed.
        count: number of folds, equal in groups to one; 0: a fold a group, in order of names.

    Raises:
        UsageError: there are too few groups.
    """
    names = sorted(set(groups))
    check_count(len(names), count)
    if count == 1:
        raise UsageError("one fold leaves nothing to learn of; give at least 2.")
    if count:
        number = partition(salt, names, (1 / count,) * count)
        tested = [frozenset(g for g in names if number[g] == k) for k in range(count)]
    else:
        tested = [frozenset((name,)) for name in names]
    return tuple(_fold(salt, k, names, test) for k, test in enumerate(tested, start=1))


def check_count(groups: int, count: int) -> None:
    """Refuse more folds than there are groups; ``count`` as of `folds_of`.

    Raises:
        UsageError: there are too few groups.
    """
    least = max(FEWEST, count)
    if groups < least:
        raise UsageError(
            f"{count or 'leave-one-out'} folds need at least {least} groups, the data has {groups}."
        )


def _fold(salt: str, number: int, names: list[str], test: frozenset[str]) -> Fold:
    others = [name for name in names if name not in test]
    share = max(_VALID_SHARE, 1 / len(others))
    part = partition(f"{salt}/{number}/valid", others, (share, 1 - share))
    valid = frozenset(name for name in others if part[name] == 0)
    return Fold(frozenset(others) - valid, valid, test)
