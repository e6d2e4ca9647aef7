"""`harness.leaderboard` and `harness.compare`: boards and tests between entrants as data frames."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.collection import Runs, records_of
from harness.api.given import Files, registry_of, words
from harness.boards.entrants import entrant, reader, sums_reader, with_standings
from harness.boards.frame import on_board
from harness.boards.reported import reported_by_plugins
from harness.boards.rows import full_models, on_boards, tables
from harness.boards.selecting import Wanted, board_meant, check_protocols, select
from harness.boards.views.columns import keys
from harness.errors import DataMissingError
from harness.paths import using_home
from harness.records.record import COMPLETE
from harness.statistics.compare import Options
from harness.statistics.compare import compare as compared
from harness.statistics.ranks import rank_text

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.committed import CommittedRecords
    from harness.records.record import RunRecord
    from harness.records.store import RunStore

log = logging.getLogger("harness")


def leaderboard(
    dataset: str,
    *,
    dropout: str = COMPLETE,
    train_dropout: str = COMPLETE,
    mask: str | None = None,
    split: str = "test",
    records: str | Path | Runs | None = None,
    home: str | Path | None = None,
) -> pd.DataFrame:
    """Return the leaderboard of a data set, a row an entrant, the best first.

    Rows stand and are tested by micro-F1 at the threshold tuned on validation (column
    ``tuned_micro_f1``), with one label a sample, or where a trained row has none, by ``micro_f1``.

    Args:
        dataset: data set (``<name>-twin``: its twin; ``<name>-compat``: authors' evaluations).
        dropout: dropout protocol that is scored.
        train_dropout: dropout protocol that models were trained under.
        mask: mask option; None: every one.
        split: what is scored, ``test`` or ``valid``.
        records: runs (as `harness.run` returns them), or a folder of runs or of exported records;
            None: the runs under the home.
        home: folder of runs for this call; None: ``HARNESS_HOME``.

    Returns:
        A frame with model, setting, role, seeds, data (content hash), mask, per metric its mean
        over seeds and ``<metric>_std`` (ddof 1), and on complete data rank letters (rows that share
        one are not told apart) and the 95 % intervals of what rows are ordered by, micro-F1 at the
        tuned threshold where there is one, over seeds and over samples.

    Raises:
        UnknownNameError: no runs of the data set, or no such protocol; suggests the nearest.
        DataMissingError: none of them was scored or trained so.

    Example:
        >>> harness.leaderboard("mosi")[["model", "tuned_micro_f1", "tuned_micro_f1_std", "rank"]]
    """
    import pandas as pd

    with using_home(home):
        store, known = _whole(records)
    found = on_board(known, dataset)
    rows: list[dict[str, Any]] = []
    made = tables(filter(full_models, filter(on_boards, found)), split=split)
    for table in made:
        key = table.place
        if (key.dropout, key.train_dropout) != (dropout, train_dropout):
            continue
        if mask not in (None, key.mask):
            continue
        for row in with_standings(table, sums_reader(reader(store))).rows:
            about: dict[str, Any] = {"model": row.label, "setting": row.setting, "role": row.role}
            about |= {"seeds": row.seeds, "data": key.content, "mask": key.mask}
            for name in keys(table.label_kind):
                figure = row.figures.get(name)
                if figure is not None:
                    about |= {name.name: figure.mean, f"{name.name}_std": figure.std}
            ranks = {"rank": rank_text(row.rank), "seeds_interval": row.t_interval}
            rows.append(about | ranks | {"samples_interval": row.sample_interval})
    check_protocols(made, (dropout, train_dropout))
    if not rows:
        raise DataMissingError(
            f"no runs of {dataset!r} scored under {dropout} on {split}, trained under "
            f"{train_dropout}, mask {mask or 'any'}; harness.runs(dataset={dataset!r}) has what "
            "there is."
        )
    return pd.DataFrame(rows)


def compare(
    models: str | Iterable[str],
    dataset: str,
    *,
    reference: str | None = None,
    metric: str = "micro_f1",
    threshold: str | None = None,
    dropout: str = COMPLETE,
    train_dropout: str | None = None,
    mask: str | None = None,
    split: str = "test",
    options: Options | None = None,
    records: str | Path | Runs | None = None,
    plugins: Files = (),
    home: str | Path | None = None,
) -> pd.DataFrame:
    """Test models against a reference on the same samples: a row a pair.

    Paired permutation over groups of samples, a t-test over seeds, Holm over the pairs, cluster
    bootstrap; the columns are the fields of `harness.statistics.compare.Block`.

    Args:
        models: names, or ``name:setting`` where a model has several rows; a comma list or several.
        dataset: data set of the runs; its twin is meant where that alone has runs, which is logged.
        reference: what the others are tested against; None: the last of ``models``.
        metric: a metric of the board.
        threshold: ``declared`` or ``tuned``; None: tuned where all have one, as boards are ordered.
        dropout: dropout protocol that is scored.
        train_dropout: dropout protocol that models were trained under; None: ``full@1``.
        mask: mask option, where there are runs of several.
        split: what is scored, ``test`` or ``valid``.
        options: resamples, permutations, seed and level; None: 2000, 10000, 0 and 0.05.
        records: runs (as `harness.run` returns them), or a folder of runs or of exported records;
            None: the runs under the home.
        plugins: plugin files to load as well.
        home: folder of runs for this call; None: ``HARNESS_HOME``.

    Raises:
        UnknownNameError: a data set or model without runs, or an unknown metric.
        UsageError: models that may not be compared; says why.
        DataMissingError: no such runs, or no predictions.

    Example:
        >>> harness.compare(["ramer", "carat"], "mosi")[["name", "delta", "p_holm", "told_apart"]]
    """
    import pandas as pd

    names = words(models)
    names = list(dict.fromkeys([*names, *([reference] if reference else [])]))
    with using_home(home):
        store, known = _whole(records)
    dataset, told = board_meant(known, dataset)
    if told:
        log.warning(told)
    wanted = Wanted(dataset, dropout, train_dropout, mask, split)
    chosen = select(known, names, wanted, reported_by_plugins(registry_of(plugins)))
    read = reader(store)
    tuned = threshold == "tuned" if threshold else all(c.row.key.tuned for c in chosen)
    entrants = [entrant(c.row, c.key, read, name=c.name, tuned=tuned) for c in chosen]
    blocks = compared(entrants, reference or names[-1], metric, options or Options())
    return pd.DataFrame([block.as_dict() for block in blocks if block.delta is not None])


def _whole(folder: str | Path | Runs | None) -> tuple[RunStore | CommittedRecords, list[RunRecord]]:
    """Return the runs whose files are what they wrote; the others are logged."""
    store, known = records_of(folder)
    found = store.whole(known)
    for broken in store.broken:
        log.warning("left out: %s", broken.reason)
    return store, found
