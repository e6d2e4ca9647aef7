"""``harness runs rerun``: train again, and say whether the same comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.options import json_option, option, plugin_option, roots_options, words
from harness.cli.render import emit_json, examples, runs_named, teller
from harness.cli.runs.chosen import located
from harness.errors import DataMissingError, HarnessError, RunFailedError
from harness.housekeeping.rerun import DIFFERENT, TOLERANCE, Repeated, rerun
from harness.plugins import load
from harness.records.archive import SUFFIX
from harness.records.committed import CommittedRecords, board_of, board_of_file
from harness.records.record import RunRecord
from harness.records.store import RECORD, RunStore

BOARDS = Path("leaderboards") / "records"

Found = tuple[list[RunRecord], RunStore | CommittedRecords, Path | None]


@click.command(
    epilog=examples(
        "harness runs rerun ramer-mosi-s0-0123456789ab",
        "harness runs rerun path/to/exported/run --json",
        "harness runs rerun leaderboards/records/mosi.records.zip --models ramer,carat --limit 2",
    )
)
@click.argument("what", metavar="RUN|RECORD|BOARD")
@click.option("--models", metavar="NAMES", default=None, help="Of a board only these models.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=None, metavar="N",
    help="Of a board at most N runs, in order of their ids.",
)  # fmt: skip
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=TOLERANCE, show_default=True,
    help="Largest difference of a figure of a whole split.",
)  # fmt: skip
@option("device", default=None, help="Where to train; default: where the run was trained.")
@plugin_option
@json_option
@roots_options
def command(
    what: str,
    models: str | None,
    limit: int | None,
    tolerance: float,
    device: str | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a run again from its request, and say what came of it.

    RUN is an id, RECORD a record.json or the folder of a run, BOARD a file of committed records or
    a board's name under leaderboards/records. The run itself stays as it is.

    Identical: every figure and stored score is equal. Within tolerance: no figure of a whole split
    differs by more. Different: anything else; exit code 1. What differs beside the results is
    said in each case: code, data, configuration, packages, processor, BLAS, threads.
    """
    registry, tell = load(plugin), teller(as_json)
    records, store, folder = _found(what, models)
    done: list[Repeated] = []
    for record in records[:limit]:
        try:
            one = rerun(
                record, store, registry,
                folder=folder, tolerance=tolerance, device=device, notify=tell,
            )  # fmt: skip
        except HarnessError as error:
            if len(records[:limit]) == 1:
                raise
            one = Repeated(record.id, DIFFERENT, reason=str(error))
        done.append(one)
        if not as_json:
            _say(one)
    if as_json:
        emit_json([one.as_dict() for one in done])
    wrong = [one.run for one in done if one.verdict == DIFFERENT]
    if wrong:
        raise RunFailedError(f"{len(wrong)} of {len(done)} runs are different: {', '.join(wrong)}.")


def _say(one: Repeated) -> None:
    click.secho(f"{one.run}: {one.verdict}", bold=True)
    if one.reason:
        click.echo(f"  {one.reason}")
    if one.largest is not None:
        at = f" ({one.where})" if one.where else ""
        click.echo(f"  {one.figures} figures, largest difference {one.largest:.6f}{at}")
    if one.figures:
        gap = "no predictions to compare" if one.scores is None else f"{one.scores:.3g}"
        click.echo(f"  largest difference of a score: {gap}")
    for cause in one.causes:
        click.echo(f"  {cause}")


def _found(what: str, models: str | None) -> Found:
    """Return the runs that are meant, their store, and their folder where it has another name."""
    path = Path(what)
    if path.name == RECORD and path.is_file():
        path = path.parent
    board = path if what.endswith(SUFFIX) else BOARDS / f"{what}{SUFFIX}"
    if board.is_file():
        return _of_board(board, models)
    if what.endswith(SUFFIX):
        raise DataMissingError(f"{what} is not there; give a file of committed records.")
    store, run, moved = located(str(path))
    if not moved:
        return runs_named(store, [run]), store, None
    record = store.find(run, moved=True)
    return ([] if record is None else [record]), store, store.folder(run)


def _of_board(path: Path, models: str | None) -> Found:
    store, board = CommittedRecords(path.parent), board_of_file(path)
    wanted: Sequence[str] | None = None if models is None else words(models, "--models")
    found = [
        r
        for r in store.all()
        if board_of(r) == board and r.status == "ok" and r.role == "model"
        if wanted is None or r.model["name"] in wanted
    ]
    if not found:
        asked = "" if models is None else f" of {models}"
        raise DataMissingError(f"{path} holds no finished runs{asked} to train again.")
    return found, store, None
