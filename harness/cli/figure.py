"""``harness figure``: a command a kind, built from the kind's spec."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import SuggestingGroup
from harness.cli.options import (
    SHARED,
    json_option,
    option,
    plugin_option,
    roots_options,
    wide_option,
    words,
)
from harness.cli.render import emit_json, emit_table, examples, records_of
from harness.errors import DataFormatError, DataMissingError
from harness.plugins import Registry, load
from harness.specs import FigureKind, FigureOption

if TYPE_CHECKING:
    from harness.figures.request import TrainedRun
    from harness.records.committed import CommittedRecords
    from harness.records.record import RunRecord
    from harness.records.store import RunStore

_MODELS: dict[str, dict[str, Any]] = {
    "optional": {"nargs": 1, "required": False, "metavar": "[MODEL]"},
    "one": {"nargs": 1, "required": True, "metavar": "MODEL"},
    "any": {"nargs": -1, "required": False, "metavar": "[MODEL]..."},
    "some": {"nargs": -1, "required": True, "metavar": "MODEL..."},
}


class FigureGroup(SuggestingGroup):
    """The kinds of all plugins; those of ``--plugin`` files where such files are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the kinds."""
        return list(_registry(ctx).figures)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a kind."""
        entry = _registry(ctx).figures.get(cmd_name)
        return None if entry is None else _command(entry.spec)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the kind, which a file that is named after it may define."""
        files = [value for flag, value in itertools.pairwise(args) if flag == "--plugin"]
        ctx.obj = (*files, *(a.partition("=")[2] for a in args if a.startswith("--plugin=")))
        return super().resolve_command(ctx, args)


@click.group(
    cls=FigureGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "harness figure training ramer carat --dataset mosi",
        "harness figure robustness ramer carat --dataset mosei-aligned-twin",
        "harness figure labels ramer --dataset mosi --records leaderboards/records",
        "harness figure labels ramer carat --dataset mosi --plain --width column --font serif:8 "
        "--label ramer=RAMer --formats pdf",
        "harness figure training --help",
    ),
)
def command() -> None:
    """Draw a figure of the field's kinds as SVG and PNG, its numbers as CSV beside it.

    Drawing needs matplotlib: pip install 'emotion-harness[plots]'.
    """


def _registry(ctx: click.Context) -> Registry:
    return load(ctx.obj if isinstance(ctx.obj, tuple) else ())


# How options that other verbs share read here.
_COMMON: dict[str, dict[str, Any]] = {
    "dataset": {"required": True},
    "dropout": {"multiple": False, "default": "full@1", "help": "Dropout protocol scored."},
    "train_dropout": {"help": "Protocol trained under, or a track (default: full@1)."},
    "mask": {"help": "Mask option of the runs, where there are several."},
    "split": {"help": "Split that the trained model is shown."},
}


# How a figure is to look in a paper; every kind that draws has these.
_PAPER: dict[str, dict[str, Any]] = {
    "plain": {"is_flag": True, "help": "Draw no title and no caption; the caption is printed."},
    "width": {"metavar": "MM", "help": "Of the whole figure, in mm; or column (85), page (178)."},
    "font": {"metavar": "NAME[:POINTS]", "help": "A font and its size, such as 'serif:8'."},
    "label": SHARED["label"][1],
}  # fmt: skip


def _command(kind: FigureKind) -> click.Command:
    """Return a kind's command: its own options, then those that all kinds have."""
    body: Callable[..., Any] = functools.partial(_draw, kind)
    functools.update_wrapper(body, _draw)
    body = roots_options(wide_option(json_option(plugin_option(body))))
    own = [_option(o) for o in kind.options]
    if kind.formats:
        help_ = "Any of svg, png and pdf."
        own.append(
            click.option(
                "--formats", callback=_formats, default="svg,png", show_default=True, help=help_
            )
        )
        taken = {o.name for o in kind.options}
        own += [
            click.option(f"--{name}", f"paper_{name}", **facts)
            for name, facts in _PAPER.items()
            if name not in taken
        ]
    common = [*kind.common, *(["protocol"] if "dropout" in kind.common else [])]
    files = [option("out", default=Path("figures")), option("records")]
    for add in reversed([*(option(n, **_COMMON.get(n, {})) for n in common), *own, *files]):
        body = add(body)
    if kind.models != "none":
        body = click.argument("models", **_MODELS[kind.models])(body)
    text = f"{kind.summary}\n\n{kind.description}".strip()
    return click.command(
        kind.name, help=text, short_help=kind.summary, epilog=examples(*kind.examples)
    )(body)


def _option(own: FigureOption) -> Callable[[Any], Any]:
    value: Any = click.Choice(own.choices) if own.choices else own.type
    if own.minimum is not None:
        value = click.IntRange(min=own.minimum)
    return click.option(
        f"--{own.name.replace('_', '-')}", own.name, type=value, default=own.default,
        multiple=own.multiple, required=own.required, metavar=own.metavar,
        help=own.help, show_default=own.default is not None,
    )  # fmt: skip


def _formats(ctx: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    chosen = words(value, "--formats")
    for name in chosen:
        if name not in ("svg", "png", "pdf"):
            raise click.BadParameter(f"{name!r} is not one of svg, png, pdf.")
    return tuple(chosen)


def _draw(
    kind: FigureKind,
    *,
    out: Path,
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
    models: str | tuple[str, ...] | None = (),
    formats: Sequence[str] = (),
    protocol: str | None = None,
    paper_plain: bool = False,
    paper_width: str | None = None,
    paper_font: str | None = None,
    paper_label: Sequence[str] = (),
    **options: Any,
) -> None:
    from harness.boards.selecting import board_meant
    from harness.figures.paper import Paper, font_of, labels_of, presented, width_of
    from harness.figures.request import FigureRequest

    family, points = font_of(paper_font) if paper_font else ("", None)
    width = None if paper_width is None else width_of(paper_width)
    paper = Paper(paper_plain, width, family, points, labels_of(paper_label))
    registry = load(plugin)
    if options.get("dataset") is not None:
        options["dataset"] = registry.dataset_name(options["dataset"], protocol)
    store, found = _read_records(records, kind)
    if options.get("dataset") is not None:
        options["dataset"], told = board_meant(found, options["dataset"])
        if told:
            _notify(told)
    names = (models,) if isinstance(models, str) else models or ()
    asked = FigureRequest(
        tuple(dict.fromkeys(names)), options, store, found, registry,
        _opener(store, registry), _notify,
    )  # fmt: skip
    shown = kind.compute(asked)
    with presented(paper):
        written = [str(p) for p in kind.draw(shown, out / kind.stem(asked, shown), formats)]
    if paper.asked and not paper.captions:
        _notify("This kind draws by itself: --plain, --width, --font and --label change nothing.")
    captions = paper.captions if paper.plain else []
    report = None if kind.report is None else kind.report(shown)
    if as_json:
        beside = {"captions": captions} if captions else {}
        emit_json({"written": written, **beside, **(report.facts if report else {})})
        return
    if report and report.rows:
        if report.title:
            click.echo(report.title)
        emit_table(report.heads, report.rows)
        click.echo()
    for name in written:
        click.echo(name)
    for caption in captions:
        click.echo(f"\nCaption: {caption}")


def _read_records(
    folder: Path | None, kind: FigureKind
) -> tuple[RunStore | CommittedRecords, list[RunRecord]]:
    """Return the store of a folder (None: HOME/runs) and its records; broken ones are named."""
    from harness.records.store import RunStore

    store, found = records_of(folder)
    if kind.trained and not isinstance(store, RunStore):
        raise DataMissingError(
            f"{store.root} holds exported records without checkpoints; this figure asks the "
            "trained models. Leave out --records, or train them again: 'harness run'."
        )
    return store, found


def _opener(store: Any, registry: Registry) -> Callable[[RunRecord, str, str], TrainedRun]:
    """Return what loads trained models; each data set, or twin of it, is opened once."""

    @functools.cache
    def data_of(name: str, twin_seed: int | None) -> Any:
        from harness.data.locate import find_store

        data = find_store(registry.dataset(name), twin_seed=twin_seed)
        if data.notice:
            _notify(data.notice)
        return data

    def open_run(record: RunRecord, split: str, device: str) -> TrainedRun:
        from harness.api.arrays import Split
        from harness.api.trained import open_model
        from harness.figures.request import TrainedRun

        twin = record.dataset.get("twin") or {}
        data = data_of(str(record.dataset["name"]), twin.get("seed"))
        if record.dataset["content_hash"] != data.content_hash:
            raise DataFormatError(
                f"{record.id} was trained on other content of {data.spec.name} than is prepared "
                "now; train it again, or give the --home it was trained in."
            )
        model = open_model(store.folder(record.id), record, registry, device)
        return TrainedRun(record, data, Split(data.split(split), data.spec), model)

    return open_run


def _notify(text: str) -> None:
    click.echo(text, err=True)
