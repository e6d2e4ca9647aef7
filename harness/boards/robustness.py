"""What a model keeps when modalities fail: the patterns of ``core@1`` and their aggregates.

Everything is aggregated per seed first, then averaged over seeds: a deviation over rates or
patterns would be no uncertainty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.boards.aggregate import SORT_BY, Row, Statistic, aggregate, statistic
from harness.boards.collect import Group, GroupKey, collect
from harness.protocols.metrics import nauilc
from harness.records.record import RunRecord

FULL = "full"
RATES = tuple(f"random-0.{tenth}" for tenth in range(1, 8))
SUITES: Mapping[str, re.Pattern[str]] = {
    "temporal": re.compile(r"(frames|burst)(-sync)?-[0-9.]+"),
    "party": re.compile(r"nonspeaker(-[0-9.]+)?|party-silent|drop-p|random-seg-[0-9.]+"),
    "noise": re.compile(r"noise(-snr)?-[0-9.]+"),
}
_PATTERN = re.compile(r"(only|drop)-(?!p$)\w+")
AGGREGATES = (
    "avg_incomplete", "avg_patterns", "worst", "avg_rand", "avg_rand0", "nauilc", "retention",
    "drop", "retention_worst",
)  # fmt: skip


@dataclass(frozen=True)
class RobustRow:
    """A model under one configuration: a figure per protocol and the aggregates of ``core@1``.

    ``of_ceiling`` is each protocol's mean over the ceiling's under the same protocol (twins).
    """

    label: str
    role: str
    setting: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Statistic]
    aggregates: Mapping[str, Statistic]
    of_ceiling: Mapping[str, float]


@dataclass(frozen=True)
class RobustTable:
    """Rows of one data content, mask option and track under one suite, best first.

    ``track`` is the protocol of training: ``full@1`` (clean-trained) or ``train-mix@1``.
    ``rates`` is the realised missing rate of each protocol on the test split, ``digests`` the hash
    of its masks: the same for every row.
    """

    dataset: str
    content_hash: str
    mask: str
    track: str
    suite: str
    metric: str
    protocols: tuple[str, ...]
    rates: Mapping[str, float | None]
    digests: Mapping[str, str]
    rows: tuple[RobustRow, ...]


def robustness(records: Iterable[RunRecord], metric: str = SORT_BY) -> list[RobustTable]:
    """Return the tables of one data set's records: ``core`` where it is whole, other suites as is.

    Args:
        records: measured runs of one board.
        metric: a metric of the records, at the declared threshold.
    """
    known = [r for r in records if r.compat is None]
    by_id = {r.id: r for r in known}
    groups: dict[tuple[str, str, str], list[Group]] = {}
    for group in collect(known):
        if "#" not in group.key.dropout and group.records:
            key = group.key
            groups.setdefault((key.content_hash, key.mask, key.train_dropout), []).append(group)
    tables = []
    for (content, mask, track), members in sorted(groups.items()):
        by_protocol = _one_digest_each(members)
        for suite in ("core", *SUITES):
            names = _members(suite, by_protocol)
            chosen = {name: by_protocol[name] for name in names}
            if len(names) < 2 or (suite == "core" and not _whole(names)):
                continue
            rows = _rows(chosen, by_id, metric, suite == "core")
            if any(row.role == "model" for row in rows):
                keys = {name: group.key for name, group in chosen.items()}
                tables.append(
                    RobustTable(
                        dataset=members[0].key.dataset,
                        content_hash=content,
                        mask=mask,
                        track=track,
                        suite=f"{suite}@1",
                        metric=metric,
                        protocols=tuple(names),
                        rates={n: _rate(chosen[n], k) for n, k in keys.items()},
                        digests={n: k.digest for n, k in keys.items()},
                        rows=tuple(rows),
                    )
                )
    return tables


def aggregates_of(scores: Mapping[str, float], rates: Mapping[str, float]) -> dict[str, float]:
    """Return one seed's aggregates of ``core@1`` (names of `AGGREGATES`).

    ``avg_incomplete`` (avg6 with three modalities) is the mean over the incomplete patterns,
    ``avg_patterns`` (avg7) with complete data, ``worst`` their minimum; ``avg_rand`` the mean over
    the seven rates, ``avg_rand0`` with rate 0; ``nauilc`` over realised rates; ``retention`` and
    ``drop`` are ``avg_incomplete`` over, and below, the score on complete data. A weak model has a
    high retention for free: read both. ``retention`` is left out where that score is 0.

    Args:
        scores: protocol name (without version) to score: full, every pattern, every rate.
        rates: realised missing rate of full and the rates of `RATES`.
    """
    full = scores[FULL]
    patterns = [scores[name] for name in scores if _PATTERN.fullmatch(name)]
    curve = [(rates[name], scores[name]) for name in (FULL, *RATES)]
    incomplete = sum(patterns) / len(patterns)
    random = [scores[name] for name in RATES]
    found = {
        "avg_incomplete": incomplete,
        "avg_patterns": (sum(patterns) + full) / (len(patterns) + 1),
        "worst": min(patterns),
        "avg_rand": sum(random) / len(random),
        "avg_rand0": (sum(random) + full) / (len(random) + 1),
        "nauilc": nauilc([x for x, _ in curve], [y for _, y in curve]),
        "drop": full - incomplete,
    }
    if full > 0:
        found |= {"retention": incomplete / full, "retention_worst": min(patterns) / full}
    return found


def _one_digest_each(groups: Sequence[Group]) -> dict[str, Group]:
    """Return the group of each protocol; of unequal masks of one name the newest group's."""
    found: dict[str, Group] = {}
    for group in sorted(groups, key=lambda g: (g.newest, g.key)):
        name, _, version = group.key.dropout.partition("@")
        if version == "1":
            found[name] = group
    return found


def _members(suite: str, known: Iterable[str]) -> list[str]:
    names = set(known)
    if suite == "core":
        single = sorted(n for n in names if _PATTERN.fullmatch(n))
        ordered = [n for n in single if n.startswith("only")] + [
            n for n in single if n.startswith("drop")
        ]
        return [n for n in (FULL, *ordered, *RATES) if n in names]
    mine = sorted((n for n in names if SUITES[suite].fullmatch(n)), key=_natural)
    return [FULL, *mine] if mine and FULL in names else []


def _natural(name: str) -> tuple[str, float]:
    found = re.fullmatch(r"(.*?)-?([0-9.]+)?", name)
    return (found[1], float(found[2] or 0)) if found else (name, 0.0)


def _whole(names: Sequence[str]) -> bool:
    only = {n.removeprefix("only-") for n in names if n.startswith("only-")}
    drop = {n.removeprefix("drop-") for n in names if n.startswith("drop-")}
    return len(only) > 1 and only == drop and {FULL, *RATES} <= set(names)


def _rate(group: Group, key: GroupKey) -> float | None:
    for record in group.records:
        about = record.protocols["dropout"].get(key.dropout, {}).get(key.split, {})
        if about.get("eta_hat") is not None:
            return float(about["eta_hat"])
    return None


def _rows(
    groups: Mapping[str, Group], by_id: Mapping[str, RunRecord], metric: str, whole: bool
) -> list[RobustRow]:
    """Return the rows that were scored under every protocol, over the seeds that were."""
    rates = {name: _rate(group, group.key) or 0.0 for name, group in groups.items()}
    full = aggregate(groups[FULL])
    allowed = [{r.id for r in group.records} for group in groups.values()]
    usable = set.intersection(*allowed)
    rows = []
    for row in full.rows:
        runs = [run for run in row.runs if run in usable]
        each = [_scores(by_id[run], groups, metric) for run in runs]
        each = [scores for scores in each if len(scores) == len(groups)]
        if each:
            rows.append(_row(row, runs, each, rates, by_id, whole))
    ceiling = next((r for r in rows if r.role == "ceiling"), None)
    if ceiling is not None:
        rows = [_beside(row, ceiling) for row in rows]
    order = {"ceiling": 0, "model": 1}
    by = "avg_incomplete" if whole else ""
    return sorted(
        rows,
        key=lambda r: (order.get(r.role, 2), -(r.aggregates[by].mean if by else 0.0), r.label,
                       r.setting),
    )  # fmt: skip


def _scores(record: RunRecord, groups: Mapping[str, Group], metric: str) -> dict[str, float]:
    found = {}
    for name, group in groups.items():
        value = record.metrics[group.key.dropout][group.key.split]["declared"].get(metric)
        if value is not None:
            found[name] = float(value)
    return found


def _row(
    row: Row,
    runs: Sequence[str],
    each: Sequence[Mapping[str, float]],
    rates: Mapping[str, float],
    by_id: Mapping[str, RunRecord],
    whole: bool,
) -> RobustRow:
    per_seed = [aggregates_of(scores, rates) for scores in each] if whole else []
    shared = [n for n in AGGREGATES if per_seed and all(n in a for a in per_seed)]
    return RobustRow(
        label=row.label,
        role=row.role,
        setting=row.setting,
        seeds=tuple(by_id[run].seed for run in runs),
        scores={name: statistic(s[name] for s in each) for name in each[0]},
        aggregates={name: statistic(a[name] for a in per_seed) for name in shared},
        of_ceiling={},
    )


def _beside(row: RobustRow, ceiling: RobustRow) -> RobustRow:
    share = {
        name: value.mean / ceiling.scores[name].mean
        for name, value in row.scores.items()
        if ceiling.scores[name].mean > 0
    }
    return RobustRow(row.label, row.role, row.setting, row.seeds, row.scores, row.aggregates, share)
