"""``harness check``: whether a model keeps its contract, and what is odd about a data set."""

from __future__ import annotations

from dataclasses import asdict

import click

from harness.cli.options import json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples
from harness.errors import DuplicateIdError, NotFiniteError, RunFailedError, UsageError
from harness.plugins import Registry, load


@click.command(
    name="check",
    epilog=examples(
        "harness check misa",
        "harness check my-model --plugin my-model --only seeds --only resumption",
        "harness check --dataset mosi",
        "harness check --dataset emotify --json",
    ),
)
@click.argument("model", required=False, metavar="[NAME]")
@option("dataset")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make this check of the model alone; repeatable."
)
@option("twin_seed")
@plugin_option
@roots_options
@json_option
def command(
    model: str | None,
    dataset: str | None,
    only: tuple[str, ...],
    twin_seed: int | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the contract of the model NAME, or look for what is odd about a data set.

    A model is trained for a few seconds on made data of every layout and kind of labels that its
    card claims: bounds of scores, batches of one, missing modalities, gradients and optimisers,
    what is learned, seeds, resumption, checkpoints, files and network, precision, a GPU where
    there is one. A data set is searched for values that are no
    numbers, ids that are not unique, wrong pairings and orders of rows, copies, constants, leaks: a
    ridge regression from features to labels is fitted to the stated pairing of rows and to those
    that public data sets got wrong. A message says what is demanded, what was seen and how to mend
    it. Ends with 1 if anything failed.
    """
    if (model is None) == (dataset is None):
        raise UsageError("give a model's NAME, or --dataset and the name of a data set.")
    registry = load(plugin)
    if model is not None:
        _check_model(registry, model, only, as_json)
    elif only:
        raise UsageError("--only names checks of a model; leave it out with --dataset.")
    else:
        _check_data(registry, str(dataset), twin_seed, as_json)


def _check_model(registry: Registry, model: str, only: tuple[str, ...], as_json: bool) -> None:
    from harness.checking.suite import check

    report = check(registry, model, only)
    if as_json:
        emit_json(report.as_dict())
    else:
        click.echo(str(report))
    if not report.ok:
        raise RunFailedError(f"{model} fails {', '.join(o.check for o in report.failed)}.")


def _check_data(registry: Registry, dataset: str, twin_seed: int | None, as_json: bool) -> None:
    from harness.data.locate import find_store
    from harness.data.soundness import findings, refused

    spec, told = registry.dataset(dataset), lambda text: click.echo(text, err=True)
    name, content = spec.name, None
    try:
        store = find_store(spec, twin_seed=twin_seed, announce=told)
    except (NotFiniteError, DuplicateIdError) as error:
        found = [refused(error)]
    else:
        found, name, content = findings(store), store.spec.name, store.content_hash
    if as_json:
        listed = [{**asdict(finding), **asdict(finding.advice)} for finding in found]
        emit_json({"dataset": name, "content_hash": content, "findings": listed})
    else:
        for finding in found:
            note = "" if finding.harmful else " (a note)"
            click.echo(f"{finding.check}{note}: {finding.text}")
            click.echo(f"    {finding.advice.contract} {finding.advice.remedy}")
        if not found:
            click.echo(f"{name}: nothing odd was found")
    harmful = sum(finding.harmful for finding in found)
    if harmful:
        raise RunFailedError(f"{name}: {harmful} findings put results in doubt; see above")
