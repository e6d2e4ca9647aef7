"""Made records of boards large enough to try the page on; nothing here was measured."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.board import Board, build_boards
from harness.boards.reported import Reported, ReportedRow
from harness.boards.views.columns import keys
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.request import blank_request

LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
RATES = tuple(f"random-0.{tenth}" for tenth in range(1, 8))
CORE = ("full", *(f"{how}-{key}" for how in ("only", "drop") for key in "avt"), *RATES)
PARTY = ("nonspeaker", "party-silent", "drop-p", "random-seg-0.3", "random-seg-0.5")
SLICES = {"invisible": 10, "nonspeaker": 30, "speaker": 30, "visible": 50}
SAMPLES, GROUPS = 60, 20


def record(
    model: str, seed: int, f1: float, *, dataset: str = "fake", role: str = "model",
    track: str = "full@1", protocols: tuple[str, ...] = ("full",), labels: tuple[str, ...] = LABELS,
    single: bool = False, off: tuple[str, ...] = (),
) -> RunRecord:  # fmt: skip
    """Return a finished run with every metric at and around ``f1``.

    ``single`` makes a board of grids with one label a sample and slices; ``off`` are ablations.
    """
    digits = hashlib.sha256(repr((model, seed, dataset, track, off)).encode()).hexdigest()
    twin = dataset.endswith("-twin")
    scored: dict[str, Any] = {}
    about: dict[str, Any] = {}
    for name in protocols:
        rate = RATES.index(name) / 10 + 0.1 if name in RATES else 0.4 * (name != "full")
        value = f1 * (1 - rate / 2)
        per_label = {
            label: {"precision": value, "recall": value, "f1": value - 0.01 * i, "support": 40 + i,
                    "ap": None if i == 0 else value}
            for i, label in enumerate(labels)
        }  # fmt: skip
        one = ("accuracy", "micro_f1", "macro_f1", "weighted_f1")
        metrics = one if single else [key.metric for key in keys("multilabel") if not key.tuned]
        declared: dict[str, Any] = {m: value - 0.003 * i for i, m in enumerate(metrics)}
        if single:
            declared["micro_f1"] = declared["accuracy"]
            declared["slices"] = {
                name: {"samples": n, **{m: declared[m] - 0.01 * i for m in metrics}}
                for i, (name, n) in enumerate(SLICES.items())
            }
        scored[f"{name}@1"] = {
            "test": {
                "declared": declared | {"per_label": per_label},
                "tuned": {"micro_f1": value + 0.01},
            }
        }
        about[f"{name}@1"] = {"test": {"eta_hat": rate, "digest": f"d-{name}", "seed": 0}}
    return RunRecord(
        id=f"{model}-{dataset}-s{seed}-{digits[-12:]}", fingerprint=digits, status="ok",
        role=role,  # type: ignore[arg-type]
        model={"name": model, "version": "1", "variant": "", "reported_as": model, "plugin": "p",
               "distribution": None, "distribution_version": None},
        dataset={"name": dataset, "base_name": dataset.removesuffix("-twin"), "id": f"{dataset}@1",
                 "source": "twin" if twin else "real", "content_hash": f"{dataset}-aaa",
                 "mask": "ones", "layout": "grid" if single else "sequence",
                 "label_kind": "singlelabel" if single else "multilabel",
                 "labels": list(labels), "group_key": "video", "modalities": ["v", "a", "t"],
                 "splits": {"test": SAMPLES}},
        config={"preset": "quick", "threshold": 0.5, "training": {},
                "model": {"ablate": list(off)} if off else {}}, seed=seed,
        device="cpu", precision="fp32",
        protocols={"dataset": f"{dataset}@1", "train_dropout": track,
                   "selection_metric": "micro_f1", "dropout": about},
        parameters=12345, epochs=[], selection=None, threshold={"declared": 0.5, "tuned": 0.5},
        metrics=scored, timings={"train_s": 0.0, "predict_s_per_sample": None, "epochs": 0},
        provenance={}, facts={}, created="2026-01-01T00:00:00Z",
        command="",
        request=blank_request(
            model=model, dataset=dataset, seed=seed, threads=1,
            overrides={"model.ablate": list(off)} if off else {},
        ),
    )  # fmt: skip


def predictions(run: RunRecord, protocol: str, split: str) -> Predictions:
    """Return decisions that are right as often as the run's micro-F1 says."""
    rng = np.random.default_rng(7)
    width = len(run.dataset["labels"])
    truth = (rng.random((SAMPLES, width)) < 0.4).astype(np.int8)
    if run.dataset["label_kind"] == "singlelabel":
        truth = np.eye(width, dtype=np.int8)[rng.integers(0, width, SAMPLES)]
    right = run.metrics[protocol][split]["declared"]["micro_f1"]
    errs = np.random.default_rng(run.seed).random(truth.shape) > right
    scores: NDArray[np.float32] = np.where(errs, 1 - truth, truth).astype(np.float32)
    ids = tuple(f"s{i:03d}" for i in range(SAMPLES))
    return Predictions(split, protocol, ids, tuple(f"g{i % GROUPS}" for i in range(SAMPLES)),
                       scores, truth)  # fmt: skip


def small(name: str = "two") -> tuple[list[Board], list[RunRecord]]:
    """Return a real board and a twin's, with tests, curves and reported figures.

    ``name`` is the name of the second model and of a printed row.
    """
    runs = []
    for dataset in ("fake", "fake-twin"):
        runs += [
            record("one", s, 0.9 + s / 1000, dataset=dataset, protocols=CORE) for s in range(3)
        ]
        runs += [record(name, s, 0.6 + s / 100, dataset=dataset, protocols=CORE) for s in range(3)]
        runs += [record("three", s, 0.61 + s / 100, dataset=dataset) for s in range(3)]
        runs.append(record("prior", 0, 0.2, dataset=dataset, role="trivial", protocols=CORE))
    runs.append(record("ceiling", 0, 0.95, dataset="fake-twin", role="ceiling", protocols=CORE))
    return build_boards(runs, printed(name), read=predictions), runs


def printed(second: str = "two") -> dict[str, Reported]:
    """Return the printed table of the data set ``fake``."""
    figures = {"accuracy": 0.5, "precision": 0.7, "recall": 0.6, "micro_f1": None}
    turned = figures | {"precision": 0.6, "recall": 0.7}
    rows = (ReportedRow("one", figures, turned, True),
            ReportedRow(second, figures | {"accuracy": 0.4}, figures, False))  # fmt: skip
    about = "A paper, https://example.org/paper"
    return {"fake": Reported(about, tuple(figures), rows, ("Doubtful.",))}


def party() -> tuple[list[Board], list[RunRecord]]:
    """Return a twin's board with one label a sample, slices, two suites and ablations."""
    about: dict[str, Any] = {"dataset": "party-twin", "single": True, "protocols": CORE + PARTY}
    runs = [record("one", s, 0.7 + s / 1000, **about) for s in range(3)]
    runs += [record("two", s, 0.5 + s / 100, **about) for s in range(3)]
    runs += [record("one", s, 0.65, off=("w/o-C",), **about) for s in range(3)]
    runs += [record("one", s, 0.7 + s / 500, off=("w/o-S",), **about) for s in range(3)]
    runs.append(record("prior", 0, 0.2, role="trivial", **about))
    runs.append(record("ceiling", 0, 0.9, role="ceiling", **about))
    less = ReportedRow("w/o-C", {"micro_f1": 0.4}, {"micro_f1": 0.4}, False)
    full = ReportedRow("full", {"micro_f1": 0.45}, {"micro_f1": 0.45}, False)
    paper = Reported("A paper", ("micro_f1",), (full, less), ())
    return build_boards(runs, {"one-ablation-party": paper}, read=predictions), runs


def large() -> tuple[list[Board], list[RunRecord]]:
    """Return 17 models with 5 seeds on 5 data sets, under `core@1` on two tracks; no tests.

    Two data sets have one label a sample and slices, two are twins with a ceiling, and on each
    one model has twelve ablations.
    """
    runs = []
    for d in range(5):
        dataset, single = f"data-{d}" + ("-twin" if d % 2 else ""), d > 2
        labels = tuple(f"emotion {i}" for i in range(14 if single else 7))
        about: dict[str, Any] = {"dataset": dataset, "single": single, "labels": labels}
        for track in ("full@1", "train-mix@1"):
            runs += [
                record(f"model-{m}", s, 0.5 + m / 100 + s / 1000, track=track, protocols=CORE,
                       **about)
                for m in range(17) for s in range(5)
            ]  # fmt: skip
        runs += [
            record("model-0", s, 0.4, off=(f"w/o-{k}",), **about)
            for k in range(12)
            for s in range(5)
        ]
        for role in ("trivial", "ceiling") if d % 2 else ("trivial",):
            runs.append(record(role, 0, 0.9, role=role, protocols=CORE, **about))
    return build_boards(runs), runs
