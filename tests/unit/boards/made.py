"""A made record of a board: one model, one figure; nothing here was measured."""

from __future__ import annotations

import hashlib
from typing import Any

from harness.records.record import RunRecord
from harness.records.request import blank_request


def record(
    model: str = "one",
    seed: int = 0,
    f1: float | None = 0.5,
    *,
    dataset: str = "fake",
    content: str = "aaa",
    mask: str = "ones",
    dropout: str = "full@1",
    digest: str = "d",
    train_dropout: str = "full@1",
    role: str = "model",
    preset: str = "paper",
    hidden: int = 8,
    created: str = "2026-01-01T00:00:00Z",
    kind: str = "multilabel",
    tuned: float | None = None,
    scored: tuple[str, ...] = (),
    **settings: Any,
) -> RunRecord:
    """Return a made record; ``f1=None`` makes a failed one.

    ``tuned`` is its micro-F1 at the tuned threshold (None: ``f1`` too), ``scored`` are further
    dropout protocols that the run was asked for, ``settings`` what the user set, by dotted key with
    ``__`` for the dot.
    """
    identity = (model, seed, dataset, content, mask, dropout, digest, train_dropout, preset)
    digits = hashlib.sha256(repr((*identity, hidden, created, f1, settings)).encode()).hexdigest()
    figures: dict[str, Any] = {"micro_f1": f1, "jaccard": 0.4, "micro_ap": None, "per_label": {}}
    ok, best = f1 is not None, f1 if tuned is None else tuned
    return RunRecord(
        id=f"{model}-{dataset}-s{seed}-{digits[-12:]}",
        fingerprint=digits,
        status="ok" if ok else "failed",
        role=role,  # type: ignore[arg-type]
        model={"name": model, "version": "1", "variant": "", "reported_as": model.upper(),
               "plugin": "p", "distribution": "d", "distribution_version": "1"},
        dataset={"name": dataset, "base_name": dataset.removesuffix("-twin"), "id": f"{dataset}@1",
                 "source": "twin" if dataset.endswith("-twin") else "real",
                 "content_hash": content, "mask": mask, "layout": "sequence", "label_kind": kind,
                 "labels": ["a", "b"], "group_key": "video", "modalities": ["text"],
                 "splits": {"train": 10, "test": 5}},
        config={"preset": preset, "threshold": 0.5, "model": {"hidden": hidden}, "training": {}},
        seed=seed,
        device="cpu",
        precision="fp32",
        protocols={"dataset": f"{dataset}@1", "train_dropout": train_dropout,
                   "selection_metric": "micro_f1",
                   "dropout": {dropout: {"test": {"eta_hat": 0.0, "digest": digest, "seed": 0}}}},
        parameters=3,
        epochs=[],
        selection=None,
        threshold={"declared": 0.5, "tuned": 0.4},
        metrics={dropout: {"test": {"declared": figures, "tuned": {"micro_f1": best}}}}
        if ok
        else {},
        timings={"train_s": 1.0, "predict_s_per_sample": None, "epochs": 1},
        provenance={},
        facts={},
        command=f"harness run --model {model} --dataset {dataset} --seeds {seed}",
        request=blank_request(
            model=model, dataset=dataset, seed=seed, dropout=list(scored), threads=1,
            overrides={key.replace("__", "."): value for key, value in settings.items()},
        ),
        created=created,
        failure=None if ok else {"reason": "loss is NaN\nin step 3"},
    )  # fmt: skip
