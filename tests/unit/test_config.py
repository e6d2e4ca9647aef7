"""Layers of the configuration: their order, and one clear message for every mistake."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from harness.config import default_preset, presets, resolve_config
from harness.errors import ConfigError
from harness.plugins import load, twin_of
from harness.records.request import override_text
from harness.specs import DatasetSpec, ModalitySpec, ModelSpec, bounded


@dataclass(frozen=True)
class Encoder:
    layers: int = bounded(2, least=1)


@dataclass(frozen=True)
class Config:
    hidden: int = 8
    rate: float = 0.1
    share: float = bounded(0.1, least=0, below=1)
    queue: int | None = None
    fusion: Literal["sum", "no"] = "sum"
    order: tuple[int, ...] = (0, 1)
    depth: dict[str, int] = field(default_factory=lambda: {"text": 4})
    note: str = ""
    shuffle: bool = True
    seed: int = 7
    encoder: Encoder = field(default_factory=Encoder)

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, found {self.hidden}")


class Model:
    Config = Config


YAML = """
threshold: 0.25
presets:
  paper:
    model: {hidden: 256, rate: 1e-3}
    training: {epochs: 20, lr: 5e-5, optimizer: bertadam}
    datasets:
      fakes:
        model: {hidden: 128}
        threshold: 0.3
  quick:
    training: {epochs: 2}
"""

DATASET = DatasetSpec(
    "fakes", "fake_config_module:Corpus", (ModalitySpec("text", "t", 2, 3),), ("a",), has_twin=True
)


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[ModelSpec]:
    module = types.ModuleType("fake_config_module")
    module.__file__ = str(tmp_path / "fake_config_module.py")
    module.Model = Model  # type: ignore[attr-defined]
    (tmp_path / "m.yaml").write_text(YAML)
    sys.modules["fake_config_module"] = module
    yield ModelSpec("fake", "fake_config_module:Model", "", "fake_config_module:m.yaml")
    del sys.modules["fake_config_module"]


def test_layers_in_order(spec: ModelSpec, tmp_path: Path) -> None:
    other = DatasetSpec("other", "x:Y", DATASET.modalities, ("a",))
    base = resolve_config(spec, other, "paper")
    assert (base.model.hidden, base.model.rate, base.threshold) == (256, 1e-3, 0.25)
    assert base.training.optimizer == "bertadam" and base.training.batch_size == 64
    section = resolve_config(spec, DATASET, "paper")
    assert (section.model.hidden, section.threshold, section.training.lr) == (128, 0.3, 5e-5)
    user = tmp_path / "mine.yaml"
    user.write_text("model: {hidden: 64}\ntraining: {epochs: 3}\n")
    mine = resolve_config(spec, DATASET, "paper", user, ["model.hidden=32", "threshold=0.4"])
    assert (mine.model.hidden, mine.training.epochs, mine.threshold) == (32, 3, 0.4)


def test_twin_uses_the_section_of_its_data_set(spec: ModelSpec) -> None:
    assert resolve_config(spec, twin_of(DATASET), "paper").model.hidden == 128


def test_what_the_data_set_fixes_goes_over_presets_and_under_the_user(spec: ModelSpec) -> None:
    fixed = replace(DATASET, sampler="class-balanced", threshold=0.4)
    config = resolve_config(spec, fixed, "paper")
    assert (config.training.sampler, config.threshold) == ("class-balanced", 0.4)
    assert config.model.hidden == 128
    own = resolve_config(spec, fixed, "paper", None, ["training.sampler=shuffle", "threshold=0.2"])
    assert (own.training.sampler, own.threshold) == ("shuffle", 0.2)


@pytest.mark.parametrize(
    "name",
    [
        "memor-primary",
        pytest.param("memor-fine", marks=pytest.mark.full),
        pytest.param("memor-primary-clean", marks=pytest.mark.full),
    ],
)
def test_every_model_draws_memors_classes_alike(name: str) -> None:
    registry = load()
    dataset = registry.dataset(name)
    for model in registry.models:
        found = registry.model(model)
        if found.role != "model":
            continue
        for preset in presets(found):
            config = resolve_config(found, dataset, preset)
            assert config.training.sampler == "class-balanced", (model, preset)


def test_clips_are_decided_at_one_threshold() -> None:
    registry = load()
    dataset = registry.dataset("memor-primary-clip-multilabel")
    for name in ("ramer", "tailor", "amer", "mult"):
        assert resolve_config(registry.model(name), dataset, "quick").threshold == 0.25


def test_values_keep_their_types(spec: ModelSpec) -> None:
    overrides = [
        "training.lr=1e-3", "model.queue=null", "model.fusion=no", "model.order=[2,1,0]",
        "model.depth={audio: 3}", "model.note=0", "model.shuffle=no", "model.seed=0",
        "model.encoder.layers=5", "model.rate=1",
    ]  # fmt: skip
    config = resolve_config(spec, DATASET, "quick", overrides=overrides)
    assert config.training.lr == 1e-3
    assert config.model == Config(
        rate=1.0, fusion="no", order=(2, 1, 0), depth={"text": 4, "audio": 3}, note="0",
        shuffle=False, seed=0, encoder=Encoder(5),
    )  # fmt: skip
    assert config.as_dict()["model"]["order"] == [2, 1, 0]
    assert config.as_dict()["model"]["encoder"] == {"layers": 5}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model.hiden=3", ["'model.hiden'", "Did you mean 'model.hidden'", "fusion", "queue"]),
        ("training.epoch=3", ["Did you mean 'training.epochs'", "batch_size"]),
        ("lr=3", ["Did you mean 'training.lr'"]),
        ("model.encoder.layer=3", ["Did you mean 'model.encoder.layers'"]),
        ("model.hidden=big", ["model.hidden", "expected int", "found 'big' (str)"]),
        ("model.hidden=1.5", ["expected int", "1.5 (float)"]),
        ("model.hidden=true", ["expected int", "True (bool)"]),
        ("model.hidden=null", ["expected int", "None"]),
        ("model.rate=yes", ["expected float", "True (bool)"]),
        ("model.queue=x", ["expected int or null"]),
        ("model.fusion=max", ["one of 'sum', 'no'", "'max'"]),
        ("model.order=5", ["tuple[int, ...]", "5 (int)"]),
        ("model.depth=5", ["dict[str, int]"]),
        ("model.depth={a: x}", ["model.depth.a", "expected int"]),
        ("model.encoder=3", ["mapping"]),
        ("model.shuffle=3", ["expected bool"]),
        ("model.hidden=0", ["hidden must be at least 1"]),
        ("model.hidden", ["key=value"]),
        ("model.order=[1,", ["YAML"]),
        ("model.note=${oc.env:HOME}", ["references"]),
        ("threshold=2", ["between 0 and 1"]),
        ("training.epochs=0", ["at least 1"]),
        ("training.lr=.nan", ["training.lr", "must be finite"]),
        ("training.lr=.inf", ["training.lr", "must be finite"]),
        ("training.lr=-1e-3", ["training.lr", "at least 0"]),
        ("training.warmup=1.0", ["training.warmup", "less than 1"]),
        ("training.batch_size=0", ["training.batch_size", "at least 1"]),
        ("training.epochs=99999999999", ["training.epochs", "at most 2^31 - 1"]),
        ("model.share=1.5", ["model.share", "less than 1"]),
        ("model.encoder.layers=0", ["model.encoder.layers", "at least 1"]),
        ("model.depth={audio: -.inf}", ["model.depth"]),
    ],
)
def test_mistakes_are_named(spec: ModelSpec, override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config(spec, DATASET, "paper", overrides=[override])
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message and "object_type" not in message


def test_mistakes_in_a_file_name_the_file(spec: ModelSpec, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text, part in [
        ("modle: {hidden: 3}", "Did you mean 'model'"),
        ("model: 3", "mapping"),
        ("model: {note: no}", "quote it"),
        ("[1, 2]", "mapping"),
        ("model: {", "not valid YAML"),
        ("model: {hidden: 1}\nmodel: {hidden: 2}", "not valid YAML"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
            resolve_config(spec, DATASET, "paper", path)
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read"):
        resolve_config(spec, DATASET, "paper", tmp_path / "none.yaml")


def test_presets(spec: ModelSpec) -> None:
    assert presets(spec) == ["paper", "quick"]
    assert default_preset(spec, DATASET) == "paper"
    assert default_preset(spec, twin_of(DATASET)) == "quick"
    with pytest.raises(ConfigError, match="Did you mean 'quick'"):
        resolve_config(spec, DATASET, "quik")


def test_a_model_without_defaults_file(spec: ModelSpec) -> None:
    bare = ModelSpec("bare", spec.factory, "", "")
    assert presets(bare) == []
    bare_config = resolve_config(bare, DATASET, default_preset(bare, DATASET))
    assert bare_config.model == Config() and bare_config.preset is None
    with pytest.raises(ConfigError, match="'bare' has no presets; leave out --preset paper"):
        resolve_config(bare, DATASET, "paper")


def test_a_setting_has_one_spelling(spec: ModelSpec) -> None:
    texts = (
        ["training.lr=3e-3", "model.shuffle=yes", "model.depth={audio: 3}", "threshold=0.40"],
        ["training.lr=0.003", "model.shuffle=True", "model.depth.audio=3", "threshold=.4"],
    )
    first, second = (resolve_config(spec, DATASET, "quick", None, text) for text in texts)
    assert first.overrides == second.overrides == {
        "training.lr": 0.003, "model.shuffle": True, "model.depth.audio": 3, "threshold": 0.4,
    }  # fmt: skip
    spelled = [override_text(key, value) for key, value in first.overrides.items()]
    assert resolve_config(spec, DATASET, "quick", None, spelled) == first


@pytest.mark.parametrize("text", ["plain", "two words", 'a "quote"', "true", "0.5", "", " é "])
def test_texts_survive_the_command_that_a_record_holds(spec: ModelSpec, text: str) -> None:
    spelled = override_text("model.note", text)
    assert resolve_config(spec, DATASET, "quick", None, [spelled]).model.note == text


def test_the_content_of_a_file_can_be_given_as_a_mapping(spec: ModelSpec, tmp_path: Path) -> None:
    path, content = tmp_path / "mine.yaml", {"model": {"hidden": 3}}
    path.write_text("model: {hidden: 3}")
    assert resolve_config(spec, DATASET, "quick", content) == resolve_config(
        spec, DATASET, "quick", path
    )
