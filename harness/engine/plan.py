"""From a request to a plan: what exactly will be run, on what data, and under which id."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from harness.config import TUNED, ResolvedConfig, default_preset, resolve_config
from harness.data.store import Store
from harness.engine.compat import EvaluationRules, authors_rules, rules_of
from harness.engine.compiled import check_compilable
from harness.engine.device import Compute
from harness.engine.evaluate import FULL, TEST, VALID
from harness.engine.request import SPLITS, RunRequest
from harness.engine.trackers import trackers_named
from harness.errors import NoValidationError, UsageError
from harness.model import ModelPlugin
from harness.plugins import Entry, Registry
from harness.plugins.needed import needed
from harness.protocols.dataset import check_mask_option, check_protocol
from harness.protocols.dropout import (
    DropoutProtocol,
    Traits,
    expand,
    parse,
    training_protocol,
)
from harness.records.code import model_digest, refuse_stale
from harness.records.fingerprint import RESULT_VERSION, fingerprint, run_id
from harness.records.record import RunRecord, finite
from harness.records.request import blank_request
from harness.specs import FOLDS, DatasetSpec, DerivedSpec, MaskOption, ModelSpec, TaskInfo

TRAIN_DROPOUT = "training.train_dropout"


@dataclass(frozen=True)
class RunPlan:
    """A request resolved against the registry and a store.

    ``dropout`` holds the protocols that are asked for; ``had`` what an earlier run of this
    identity was scored under, as pairs of split and protocol.
    """

    request: RunRequest
    registry: Registry
    entry: Entry[ModelSpec]
    model_class: type[ModelPlugin]
    store: Store
    config: ResolvedConfig
    mask: MaskOption
    dropout: tuple[DropoutProtocol, ...]
    compute: Compute
    code: str
    had: tuple[tuple[str, DropoutProtocol], ...] = ()

    @property
    def spec(self) -> DatasetSpec:
        """Return the data set's spec, the twin's on a twin."""
        return self.store.spec

    @property
    def task(self) -> TaskInfo:
        """Return the task the model is built for."""
        task = TaskInfo.of(self.spec, self.config.threshold, self.entry.spec.layouts)
        return replace(task, modalities=self.rules.modalities(self.spec))

    @cached_property
    def rules(self) -> EvaluationRules:
        """Return how the run is evaluated."""
        return rules_of(self.entry.spec.compat if self.request.compat else None)

    @property
    def ablation(self) -> dict[str, Any] | None:
        """Return the ablations in force, and what the model's card says each removes."""
        switches = getattr(self.config.model, "ablate", ())
        names = sorted(set(switches)) if isinstance(switches, list | tuple) else []
        removes = {a.name: a.removes for a in self.entry.spec.ablations if a.name in names}
        return {"names": names, "removes": removes} if names else None

    @cached_property
    def digest(self) -> str:
        """Return the fingerprint: a hash over all that determines the trained model."""
        return self._fingerprint(self.request.seed, self.store.content_hash)

    def _fingerprint(self, seed: int, content: str, name: str = "") -> str:
        # Only where it is asked for: the ids of other runs stay what they were.
        rare: dict[str, Any] = {} if self.rules.facts is None else {"compat": self.rules.facts}
        if self.request.trial is not None:
            rare["role"] = "trial"
        if self.compute.device.type == "cpu" and self.compute.threads > 1:
            rare["threads"] = self.compute.threads
        return fingerprint(
            {
                **rare,
                "result_version": RESULT_VERSION,
                "model": [self.entry.spec.name, self.entry.spec.version],
                "code": self.code,
                "config": finite(self.config.as_dict()),
                "dataset": [name or self.spec.name, self.spec.version, content],
                "mask": self.mask,
                "seed": seed,
                "device": self.compute.device.type,
                "precision": self.compute.precision,
                "compile": self.request.compile,
            }
        )

    def asked_alike(self, record: RunRecord) -> bool:
        """Return whether a record has this plan's identity, apart from the code it was run by."""
        threads = self.compute.threads if self.compute.device.type == "cpu" else 1
        mine = (
            self.entry.spec.name, self.entry.spec.version, finite(self.config.as_dict()),
            self.spec.name, self.store.content_hash, self.mask, self.request.seed,
            self.compute.device.type, self.compute.precision, self.request.compile, threads,
            self.rules.facts,
        )  # fmt: skip
        asked = record.request
        theirs = (
            record.model["name"], record.model["version"], record.config,
            record.dataset["name"], record.dataset["content_hash"], record.dataset["mask"],
            record.seed, record.device, record.precision, asked["compile"],
            asked["threads"] if record.device == "cpu" else 1, record.compat,
        )  # fmt: skip
        trial = self.request.trial is not None
        return mine == theirs and (record.role == "trial") == trial

    def of_this_code(self, record: RunRecord) -> bool:
        """Return whether a record was made by the installed code of model and harness."""
        code, version = record.model.get("code"), record.result_version
        return code == self.code and version == RESULT_VERSION

    @property
    def id(self) -> str:
        """Return the run's id."""
        return run_id(self.entry.spec.name, self.spec.name, self.request.seed, self.digest)

    @property
    def scored(self) -> dict[str, tuple[DropoutProtocol, ...]]:
        """Return per split the protocols that it is scored under.

        Test has validation beside it under complete data, and under the protocol that a skill of
        the data set is scored under, for a threshold of its own; validation alone has all
        protocols.
        """
        pairs = [*((self.request.split, p) for p in self.dropout), *self.had]
        tested = [protocol for split, protocol in pairs if split == TEST]
        if VALID in self.spec.splits and tested:
            skills = self.registry.skills.values()
            scored = {s.spec.dropout for s in skills if s.spec.dataset == self.spec.name}
            pairs += [(VALID, p) for p in (parse(FULL), *tested) if p.id in {FULL, *scored}]
        found: dict[str, dict[str, DropoutProtocol]] = {}
        for name in (VALID, TEST):
            mine = {protocol.id: protocol for split, protocol in pairs if split == name}
            if mine:
                found[name] = mine
        return {name: tuple(protocols.values()) for name, protocols in found.items()}

    @property
    def compiled(self) -> str:
        """Return a name of what a compiled run compiles: the same for every seed and twin."""
        facts = {"run": self._fingerprint(seed=0, content=""), "torch": torch.__version__}
        return f"{self.entry.spec.name}-{fingerprint(facts)[:12]}"

    @property
    def trained_on(self) -> dict[str, str]:
        """Return which data set the run learns of and selects on, as a record says it."""
        return self._data(0)

    @property
    def tested_on(self) -> dict[str, str]:
        """Return which data set the test split is of, as a record says it."""
        return self._data(-1)

    def _data(self, place: int) -> dict[str, str]:
        bases = self.spec.bases if isinstance(self.spec, DerivedSpec) else (self.spec,)
        return {"dataset": bases[place].name, "content_hash": self.store.content_hash}

    @cached_property
    def fold(self) -> dict[str, Any] | None:
        """Return which fold of how many the run is, and of what; None: of none."""
        spec, store = self.spec, self.store
        if not isinstance(spec, DerivedSpec) or spec.protocol != FOLDS:
            return None
        count = spec.folds or len({g for s in spec.splits for g in store.split(s).groups})
        # What the folds of one model and seed have in common: all but the data of a fold.
        shared = self._fingerprint(self.request.seed, "", spec.whole_name)
        return {"number": spec.fold, "of": count, "protocol": FOLDS, "of_all": shared}

    @property
    def title(self) -> str:
        """Return what people call the run."""
        return f"{self.entry.spec.name} on {self.spec.name}, seed {self.request.seed}"

    def recorded(self, dropout: Mapping[str, Collection[str]]) -> dict[str, Any]:
        """Return the request as a record holds it.

        Args:
            dropout: per protocol the splits that are scored under it.
        """
        request, config = self.request, self.config
        alone = VALID in {s for splits in dropout.values() for s in splits} and not any(
            TEST in splits for splits in dropout.values()
        )
        split = VALID if alone else TEST
        overrides = dict(config.overrides)
        train_dropout = overrides.pop(TRAIN_DROPOUT, None)
        file, values = request.config, None
        if file is not None:
            values = {
                "name": file.name if isinstance(file, Path) else None,
                "values": finite(config.file),
            }
        return blank_request(
            model=request.model,
            dataset=self.spec.name,
            seed=request.seed,
            mask=self.mask if self.mask != self.spec.default_mask else None,
            dropout=[name for name in dropout if name != FULL and split in dropout[name]],
            split=VALID if alone else None,
            twin_seed=request.twin_seed,
            train_dropout=train_dropout,
            protocol=request.protocol,
            preset=config.preset,
            overrides=overrides,
            config_file=values,
            device=self.compute.device.type,
            precision=self.compute.precision,
            compile=request.compile,
            threads=self.compute.threads,
            plugins=needed(request.plugins, self.registry, request.model, self.spec),
            compat=request.compat,
        )

    def describe(self) -> dict[str, Any]:
        """Return the request as JSON, as hooks get it."""
        return {
            "id": self.id,
            "model": self.entry.spec.name,
            "dataset": self.spec.name,
            "seed": self.request.seed,
            "device": self.compute.device.type,
            "precision": self.compute.precision,
            "mask": self.mask,
            "dropout": [p.id for p in self.dropout],
            "config": finite(self.config.as_dict()),
        }


def make_plan(
    request: RunRequest,
    registry: Registry,
    model_class: type[ModelPlugin],
    store: Store,
    compute: Compute,
) -> RunPlan:
    """Resolve a request.

    Raises:
        UsageError: the model cannot take this data, or a name or value does not exist.
        ConfigError: a configuration key or value does not fit.
    """
    model, spec = registry.model(request.model), store.spec
    entry = registry.models[request.model]
    check_fit(model, spec)
    if request.compile:
        check_compilable(model, compute.device.type)
    refuse_stale(entry)
    if request.compat:
        authors_rules(model, spec)
    if request.seed < 0:
        raise UsageError(f"seed {request.seed} is negative; seeds are 0 or greater.")
    preset = request.preset or default_preset(model, spec)
    check_protocol(request.protocol, spec)
    trackers_named(request.log)
    check_split(request, spec)
    mask = spec.default_mask
    if request.mask is not None:
        mask = check_mask_option(request.mask, spec.mask_options, spec.name)
    overrides = list(request.overrides)
    if request.train_dropout is not None:
        overrides.append(f"{TRAIN_DROPOUT}={request.train_dropout}")
    if request.preset is None and spec.default_preset == TUNED and model.role == "model":
        tell_untuned(request, preset)
    config = resolve_config(model, spec, preset, request.config, overrides)
    tell_idle(request, model_class, config)
    traits = Traits.of(spec, mask)
    training_protocol(config.training.train_dropout, traits)
    return RunPlan(
        request=request,
        registry=registry,
        entry=entry,
        model_class=model_class,
        store=store,
        config=config,
        mask=mask,
        dropout=expand((FULL, *request.dropout), traits),
        compute=compute,
        code=model_digest(entry),
    )


def tell_idle(request: RunRequest, model_class: type[ModelPlugin], config: ResolvedConfig) -> None:
    """Tell which lengths of training were set for a model that is fitted at once."""
    idle = [key for key in ("training.epochs", "training.steps") if key in config.overrides]
    if idle and not model_class.iterative:
        names = " and ".join(idle)
        request.notify(f"{request.model} is fitted at once: {names} changes nothing but its row.")


def tell_untuned(request: RunRequest, preset: str | None) -> None:
    """Tell what a model is run with where ``tuned`` is the default and it has none."""
    if preset != TUNED:
        used = "its class defaults" if preset is None else f"its preset {preset!r}"
        request.notify(f"{request.model} has no preset 'tuned'; it is run with {used}.")


def check_split(request: RunRequest, spec: DatasetSpec) -> None:
    """Refuse a split that a run cannot be scored on.

    Raises:
        NoValidationError: validation is asked for, and the data set has none.
        UsageError: it is neither test nor validation, or the authors' own evaluation is asked for.
    """
    if request.split not in SPLITS:
        raise UsageError(f"--split {request.split!r}: a run is scored on {' or '.join(SPLITS)}.")
    if request.split == VALID and request.compat:
        raise UsageError("--split valid: --compat reproduces figures of the test split.")
    if request.split == VALID and VALID not in spec.splits:
        raise NoValidationError(spec.name, "--split valid")


def misfit(model: ModelSpec, spec: DatasetSpec) -> str:
    """Return why a model cannot be run on a data set; empty: it can."""
    count, names = len(spec.modalities), spec.modality_names
    if not set(spec.layouts) & set(model.layouts):
        return f"it takes the layout {' or '.join(model.layouts)}, the data has {spec.layout!r}"
    if spec.label_kind not in model.label_kinds:
        return f"it takes {' or '.join(model.label_kinds)} data, this is {spec.label_kind}"
    if count < model.min_modalities:
        return f"it needs at least {model.min_modalities} modalities, the data has {count}"
    if model.max_modalities is not None and count > model.max_modalities:
        return f"it takes at most {model.max_modalities} modalities, the data has {count}"
    lacking = [m for m in model.modalities if m not in names]
    if lacking:
        return f"it needs the modality {lacking[0]!r}, the data has {', '.join(names)}"
    return ""


def check_fit(model: ModelSpec, spec: DatasetSpec) -> None:
    """Refuse a model that cannot be run on a data set.

    Raises:
        UsageError: says what does not fit.
    """
    reason = misfit(model, spec)
    if reason:
        raise UsageError(f"model {model.name!r} cannot be run on {spec.name!r}: {reason}.")


def model_facts(entry: Entry[ModelSpec], code: str) -> dict[str, Any]:
    """Return a record's facts about its model."""
    spec = entry.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "variant": spec.variant,
        "reported_as": spec.reported_as,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "distribution_version": entry.version,
        "code": code,
    }


def dataset_facts(store: Store, mask: MaskOption) -> dict[str, Any]:
    """Return a record's facts about its data."""
    spec = store.spec
    return {
        "name": spec.name,
        "base_name": spec.base_name,
        "id": spec.id,
        "source": spec.source,
        "content_hash": store.content_hash,
        "mask": mask,
        "layout": spec.layout,
        "label_kind": spec.label_kind,
        "labels": list(spec.labels),
        "group_key": spec.group_key,
        "modalities": list(spec.modality_names),
        "splits": dict(store.card["counts"]),
        "redistribute": spec.redistribute,
        "twin": dict(store.card["twin"]) if store.is_twin else None,
    }
