"""From templates to a folder: everything is written, or nothing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import PluginError, UsageError
from harness.paths import atomic_dir
from harness.scaffold.names import Names
from harness.scaffold.samples import Card, card_of, write_sample

# Template to file. {name} and {package} stand for `Names`.
_COMMON = {
    "common/pyproject.toml.j2": "pyproject.toml",
    "common/py.typed.j2": "{package}/py.typed",
}
_TRIAL = "--set training.epochs=3 --split valid"


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Attributes:
        files: template to file; ``{name}`` and ``{package}`` stand for `Names`.
        trial: command lines that show it at work; ``{target}`` is the project's folder.
        extra: of the harness, that the project needs; empty: none.
        data: files of the package beside its modules.
    """

    files: Mapping[str, str]
    trial: tuple[str, ...]
    extra: str = ""
    data: tuple[str, ...] = ("py.typed",)


def _kind(name: str, module: str, *more: str, **about: Any) -> Kind:
    files = {
        f"{name}/readme.md.j2": "README.md",
        f"{name}/init.py.j2": "{package}/__init__.py",
        f"{name}/{module}.py.j2": f"{{package}}/{module}.py",
        f"{name}/checks.py.j2": "tests/test_{package}.py",
    }
    return Kind(files | {f"{name}/card.yaml.j2": card for card in more}, **about)


_CARD = "{package}/{name}.yaml"
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "model": _kind(
            "model", "model", _CARD, data=("*.yaml", "py.typed"),
            trial=(f"harness run --plugin {{target}} --model {{name}} --dataset mosi {_TRIAL}",),
        ),
        "dataset": _kind(
            "dataset", "reader", _CARD, data=("*.yaml", "*.npz", "py.typed"),
            trial=(f"harness run --plugin {{target}} --model misa --dataset {{name}} {_TRIAL}",),
        ),
        "metric": _kind(
            "metric", "metric",
            trial=(
                "harness list metrics --plugin {target}",
                "harness run --plugin {target} --model misa --dataset mosi --set training.epochs=3",
                "harness leaderboard --plugin {target} --dataset mosi --out boards",
            ),
        ),
        "dropout": _kind(
            "dropout", "family",
            trial=(
                "harness run --plugin {target} --model misa --dataset mosi "
                "--set training.epochs=3 --dropout {name}@1",
            ),
        ),
        "figure": _kind(
            "figure", "figure", extra="plots",
            trial=(
                "harness run --model misa --dataset mosi --set training.epochs=3",
                "harness figure {name} misa best-constant --dataset mosi --plugin {target}",
            ),
        ),
    }
)  # fmt: skip


def write(
    kind: str, names: Names, target: Path, source: Path | None = None
) -> tuple[list[str], Card | None]:
    """Write the project of a new plugin.

    Args:
        kind: a key of `KINDS`.
        names: of the plugin.
        target: the folder to make.
        source: of a data set: a folder of arrays (`harness.data.folder`) that it is to be.

    Returns:
        The files, relative to the folder, and the card that the arrays made.

    Raises:
        UsageError: the folder is there already, or ``source`` is given for another kind.
        DataFormatError: the arrays are not as `harness.data.folder` says, or preparing them fails.
        PluginError: the card that they make cannot be read.
        StorageError: the folder cannot be written.
    """
    from harness import __version__

    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; remove it, or choose another name or --into.")
    if source is not None and kind != "dataset":
        raise UsageError(f"--from makes a data set of a folder; leave it out with {kind}.")
    made = KINDS[kind]
    values: dict[str, Any] = {"kind": made, **vars(names), "version": __version__}
    values["trial"] = trial(kind, names, names.name)
    data: Card | None = None
    if source is not None:
        data = card_of(names.name, names.title, source)
        values |= {"card": data.text, "reader": False, "stated": data.keys}
    elif kind == "dataset":
        values |= {"reader": True, "stated": {"origin", "labelling"}}
    texts = {
        place.format(**vars(names)): _render(template, values)
        for template, place in {**_COMMON, **made.files}.items()
        if not (data is not None and template == "dataset/reader.py.j2")
    }
    if kind == "dataset":
        _check_card(texts[_CARD.format(**vars(names))], target / _CARD.format(**vars(names)))
    files: dict[str, bytes] = {place: text.encode() for place, text in texts.items()}
    if kind == "dataset" and data is None:
        buffer = io.BytesIO()
        write_sample(buffer, names.name)
        files[f"{names.package}/sample.npz"] = buffer.getvalue()
    with atomic_dir(target) as folder:
        for place, content in files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return sorted(files), data


def _check_card(text: str, place: Path) -> None:
    """Read a card as its plugin will, before it is there.

    Raises:
        PluginError: it would not be read.
    """
    from harness.plugins.cards import content_of, dataset_of_card
    from harness.plugins.faults import problem_of

    problem = problem_of(dataset_of_card(content_of(text.encode(), str(place)), str(place)))
    if problem:
        raise PluginError(f"{place}: {problem}.")


def trial(kind: str, names: Names, target: Path | str) -> tuple[str, ...]:
    """Return the command lines that show a new plugin at work.

    Args:
        kind: a key of `KINDS`.
        names: of the plugin.
        target: the project's folder, as the lines are to name it.
    """
    return tuple(line.format(**vars(names), target=target) for line in KINDS[kind].trial)


def _render(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = resources.files("harness.scaffold").joinpath("templates", template).read_text("utf-8")
    return environment.from_string(text).render(values)
