"""A finished run's checkpoint as a Hugging Face model card: YAML front matter and Markdown.

All of it follows from the record, from the card of the model and from that of the data set. Figures
in the front matter are those of the record to the last digit; in the text they are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml
from tabulate import tabulate

from harness.boards.frame import Key, order_by, scores_of
from harness.boards.grid import TRAINED
from harness.boards.older import changes
from harness.boards.rows import label_of, rate_of
from harness.boards.settings import asked
from harness.boards.views.columns import heading, keys
from harness.errors import UnknownNameError, UsageError
from harness.plugins import Registry
from harness.protocols.metrics import METRICS
from harness.records.record import COMPLETE, RunRecord
from harness.records.request import to_bring
from harness.records.sums import closed
from harness.specs import NOT_STATED, DatasetSpec, ModelSpec

CHECKPOINT = "checkpoint.safetensors"
SOURCE = {"name": "emotion-harness, record of the run", "url": "record.json"}
SPLIT = "test"
TASKS = {
    "multilabel": ("multi-label-classification", "Multi-label emotion recognition"),
    "singlelabel": ("multi-class-classification", "Emotion recognition, one label a sample"),
}
"""By kind of labels the type and name of the task in ``model-index``."""
_GENERATED = (
    "> **Generated data.** This checkpoint was trained and scored on generated data, of which no "
    "sample is real. Its figures say how well the model finds what was planted; they say nothing "
    "about emotions{real}, and it is of no use on recordings of people."
)
_REAL_DATA = " and nothing about the real `{name}`"
_USE = """For research: to compare models under one protocol, to score this data set again, to look
into what the model learned. It takes the features that are named above, not recordings: their
extraction is no part of it."""
_LIMITS = """Labels are what annotators or a rule made of other people's expressions: the model does
not tell what a person feels, and must not be used to judge people (in hiring, schools, policing,
health or credit). It was not tested on other people, languages, recordings or features than those
of this data set, nor for equal errors among groups of people."""


def model_card(record: RunRecord, registry: Registry) -> str:
    """Return the model card of a run with a checkpoint.

    Args:
        record: the run.
        registry: for what the cards of its model and data set say; a run of a plugin that is not
            loaded is described by its record alone.

    Raises:
        UsageError: the run has no result on the test split, or no checkpoint.
    """
    if record.status != "ok" or CHECKPOINT not in record.artefacts:
        raise UsageError(
            f"{record.id} has no checkpoint (status {record.status}, role {record.role}): a model "
            "card describes one."
        )
    scored = [(place.dropout, values) for place, values in scores_of(record, SPLIT)]
    if COMPLETE not in dict(scored):
        raise UsageError(
            f"{record.id} was not scored on {SPLIT} (--split valid): run it without --split first."
        )
    scored.sort(key=lambda one: one[0] != COMPLETE)
    model, data = _model_spec(record, registry), _data_spec(record, registry)
    text = yaml.safe_dump(_metadata(record, scored), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {label_of(record.model)} on {record.dataset['id']}, seed {record.seed}",
        _warning(record),
        model.summary if model else "",
        _section("Model", _model(record, model)),
        _section("Data", _data(record, data)),
        _section("Training", _training(record)),
        _section("Evaluation", _evaluation(record, scored)),
        _section("Intended use", _USE),
        _section("Limits", _limits(record, data, registry)),
        _section("How to reproduce", _again(record)),
        _section("Environment", _environment(record)),
    ]
    return f"---\n{text}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _metadata(
    record: RunRecord, scored: Sequence[tuple[str, Mapping[Key, float]]]
) -> dict[str, Any]:
    """Return the front matter: under complete data every figure, under dropout what rows go by."""
    about = record.dataset
    kind, name = TASKS[about["label_kind"]]
    key = _ordered_by(record, dict(scored)[COMPLETE])
    results: list[dict[str, Any]] = []
    for dropout, values in scored:
        shown = keys(about["label_kind"]) if dropout == COMPLETE else (key,)
        metrics = [_metric(record, k, values[k]) for k in shown if k in values]
        if metrics:
            results.append({
                "task": {"type": kind, "name": name},
                "dataset": {
                    "type": about["base_name"],
                    "name": f"{about['id']} ({_source(record)})",
                    "config": dropout,
                    "split": SPLIT,
                    "revision": about["content_hash"],
                    "args": {"protocol": record.protocols["dataset"], "mask": about["mask"],
                             "dropout": dropout,
                             "train_dropout": record.protocols["train_dropout"]},
                },
                "metrics": metrics,
                "source": dict(SOURCE),
            })  # fmt: skip
    generated = about["source"] == "twin"
    return {
        "library_name": "emotion-harness",
        "tags": [
            "emotion-recognition", "multimodal", kind, record.model["name"], about["base_name"],
            *(["generated-data"] if generated else []),
        ],
        "metrics": list(dict.fromkeys(m["type"] for r in results for m in r["metrics"])),
        "model-index": [{"name": record.id, "results": results}],
    }  # fmt: skip


def _ordered_by(record: RunRecord, values: Mapping[Key, float]) -> Key:
    """Return the figure that boards order such rows by."""
    return order_by(record.dataset["label_kind"], [values] if record.role in TRAINED else [])


def _metric(record: RunRecord, key: Key, value: float) -> dict[str, Any]:
    name = heading(key, record.dataset["label_kind"])
    found = {"type": key.metric, "name": name, "value": value}
    if METRICS[key.metric].sums is None:  # average precision and the like know no threshold
        return found
    threshold = record.threshold.get(key.threshold)
    known = {} if threshold is None else {"threshold": threshold}
    return found | {"args": {"kind": key.threshold} | known}


def _source(record: RunRecord) -> str:
    return "generated" if record.dataset["source"] == "twin" else "real"


def _model_spec(record: RunRecord, registry: Registry) -> ModelSpec | None:
    entry = registry.models.get(record.model["name"])
    return None if entry is None else entry.spec


def _data_spec(record: RunRecord, registry: Registry) -> DatasetSpec | None:
    with suppress(UnknownNameError):
        return registry.dataset(record.dataset["name"], record.protocols["dataset"])
    return None


def _warning(record: RunRecord) -> str:
    if record.dataset["source"] != "twin":
        return ""
    base = record.dataset["base_name"]
    real = _REAL_DATA.format(name=base) if base != record.dataset["name"] else ""
    return _GENERATED.format(real=real)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _facts(pairs: Mapping[str, Any]) -> str:
    """Return facts as a list; what is empty is left out."""
    return "\n".join(f"- {name}: {value}" for name, value in pairs.items() if value not in ("", {}))


def _model(record: RunRecord, spec: ModelSpec | None) -> str:
    made, ablation = record.model, record.ablation
    paper = "" if spec is None or spec.paper is None else (
        f"{spec.paper.authors}: {spec.paper.title}. {spec.paper.venue}, {spec.paper.year}. "
        f"{spec.paper.url}".strip()
    )  # fmt: skip
    facts = {
        "Model": f"{made['name']} {made['version']}",
        "Variant": made["variant"],
        "Paper": paper or "none",
        "Ablated": "" if ablation is None else ", ".join(ablation["names"]),
        "Code": f"plugin `{made['plugin']}` of {made['distribution'] or 'no distribution'} "
        f"{made['distribution_version'] or ''}".strip(),
        "Digest of the code": made.get("code") or NOT_STATED,
        "Trainable parameters": f"{record.parameters:,}",
    }
    deviations = "" if spec is None else "\n".join(f"- {told}" for told in spec.deviations)
    head = "Where it is not as the paper says:" if paper else "To know about it:"
    return "\n\n".join([_facts(facts), *([f"{head}\n\n{deviations}"] if deviations else [])])


def _data(record: RunRecord, spec: DatasetSpec | None) -> str:
    about, twin = record.dataset, record.dataset.get("twin")
    generator = "" if twin is None else (
        f"recipe {twin['version']}, seed {twin['seed']}, size {twin['size']}"
    )  # fmt: skip
    facts = {
        "Trained and tested on different data": _other_data(record),
        "Protocol": f"{record.protocols['dataset']}, mask `{about['mask']}`",
        "Content hash": about["content_hash"],
        "Generated": generator,
        "Samples": ", ".join(f"{split} {n}" for split, n in about["splits"].items()),
        "Groups (unit of intervals and tests)": about["group_key"],
        "Labels": ", ".join(about["labels"]),
        "Modalities": ", ".join(about["modalities"]),
    }
    if spec is None:
        return _facts(facts)
    features = {
        f"Features of {m.name}": f"{m.extractor}; the extractor was trained on: "
        f"{m.trained_on or NOT_STATED}"
        for m in spec.modalities
        if m.extractor and m.name in about["modalities"]
    }
    rights = {"Licence": spec.licence or NOT_STATED, "Cite": spec.citation or NOT_STATED}
    return "\n\n".join([" ".join(spec.sentences()), _facts(facts | features | rights)])


def _other_data(record: RunRecord) -> str:
    """Return both data sets of a run that was tested on another one than it was trained on."""
    trained, tested = record.trained_on or {}, record.tested_on or {}
    names = trained.get("dataset", ""), tested.get("dataset", "")
    return f"trained on {names[0]}, tested on {names[1]}" if len({*names} - {""}) == 2 else ""


def _training(record: RunRecord) -> str:
    config, chosen, budget = record.config, record.selection, record.budget
    selection = "none" if chosen is None else (
        f"{chosen['metric']} {chosen['value']:.4f} on validation "
        f"in epoch {chosen['epoch']} (from 0); {chosen['rule']}"
    )  # fmt: skip
    return _facts({
        "Preset": config["preset"] or "none",
        "Set by hand": ", ".join(f"`{k}={v}`" for k, v in asked(record).items()),
        "Trained under": record.protocols["train_dropout"],
        "Seed": record.seed,
        "Device and precision": f"{record.device}, {record.precision}",
        "Selected": selection,
        "Optimiser steps": budget["steps"] or NOT_STATED,
        "Trials of its search": budget["trials"] or NOT_STATED,
        "Seconds of training": f"{record.timings.get('train_s') or 0:.0f}",
        "Settings of the model that had been scored on this test split before": (
            NOT_STATED if record.tested_before is None else record.tested_before
        ),
    })  # fmt: skip


def _evaluation(record: RunRecord, scored: Sequence[tuple[str, Mapping[Key, float]]]) -> str:
    values, kind = dict(scored)[COMPLETE], record.dataset["label_kind"]
    shown = [key for key in keys(kind) if key in values]
    known = {"declared": "fixed before training", "tuned": "chosen on validation"}
    thresholds = {
        f"Threshold `{name}`": f"{record.threshold[name]:g}, {told}"
        for name, told in known.items()
        if kind == "multilabel" and record.threshold.get(name) is not None
    }
    key = _ordered_by(record, values)
    parts = [
        f"On the {SPLIT} split, which was opened after selection. One training with one seed: no "
        "interval is given; boards compare rows over seeds and groups of samples.",
        _facts(thresholds),
        _table(["metric", "value"], [[heading(k, kind), _shown(values[k])] for k in shown]),
        _per_label(record, key),
        _under_dropout(record, scored, key),
    ]
    return "\n\n".join(part for part in parts if part)


def _per_label(record: RunRecord, key: Key) -> str:
    """Return the table of labels; ``key``: at whose threshold."""
    found = record.metrics[COMPLETE][SPLIT].get(key.threshold) or {}
    per_label = found.get("per_label") or {}
    labels = [label for label in record.dataset["labels"] if label in per_label]
    names = list(dict.fromkeys(name for label in labels for name in per_label[label]))
    if not names:
        return ""
    heads = [METRICS[n].heading if n in METRICS else n for n in names]
    rows = [[label, *(_shown(per_label[label].get(n)) for n in names)] for label in labels]
    at = f" at the {key.threshold} threshold" if record.threshold.get(key.threshold) else ""
    return f"Per label{at}:\n\n{_table(['label', *heads], rows)}"


def _under_dropout(
    record: RunRecord, scored: Sequence[tuple[str, Mapping[Key, float]]], key: Key
) -> str:
    rows = [
        [f"`{dropout}`", _shown(rate_of(record, dropout, SPLIT)), _shown(values.get(key))]
        for dropout, values in scored
        if dropout != COMPLETE
    ]
    if not rows:
        return ""
    heads = ["protocol", "missing rate", heading(key, record.dataset["label_kind"])]
    return f"With missing modalities:\n\n{_table(heads, rows)}"


def _limits(record: RunRecord, spec: DatasetSpec | None, registry: Registry) -> str:
    notes = [] if spec is None else [*spec.notes, *([spec.superseded] if spec.superseded else [])]
    older = changes(registry)(record)
    if older:
        notes.append(f"Made by older code: {'; '.join(older)}. Figures of today may differ.")
    if closed(record):
        notes.append(
            f"The terms of {record.dataset['base_name']} do not let its samples be passed on. The "
            "checkpoint was trained on them: the terms say whether and to whom it may be given."
        )
    return "\n\n".join([_LIMITS, *(["\n".join(f"- {n}" for n in notes)] if notes else [])])


def _again(record: RunRecord) -> str:
    plugins = "".join(f" --plugin {name}" for name in record.request["plugins"])
    bring = to_bring(record.request["plugins"])
    return (
        f"Train it again:\n\n```sh\n{record.command}\n```\n\n{bring}{bring and ' '}"
        f"With the folder that `harness runs export {record.id} --to FOLDER` writes, score it, or "
        "train it again and compare:\n\n```sh\n"
        f"harness predict FOLDER --split {SPLIT} --out scores.csv{plugins}\n"
        f"harness runs rerun FOLDER{plugins}\n```"
    )


def _environment(record: RunRecord) -> str:
    known = record.provenance
    packages = known.get("packages") or {}
    rows = [[name, version] for name, version in sorted(packages.items())]
    facts = {
        "Python": known.get("python", NOT_STATED),
        "Platform": known.get("platform", NOT_STATED),
        "Processor": known.get("processor", NOT_STATED),
        "Threads": known.get("threads", NOT_STATED),
        "Commit": known.get("commit") or NOT_STATED,
        "Result version": record.result_version,
        "Made": record.created,
    }
    return "\n\n".join([_facts(facts), *([_table(["package", "version"], rows)] if rows else [])])


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(lines, list(heads), tablefmt="github", disable_numparse=True)


def _shown(value: float | None) -> str:
    """Return a figure with four digits, a count as it is."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value > 1 and float(value).is_integer() else f"{value:.4f}"
