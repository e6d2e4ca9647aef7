"""From templates to a folder: everything is written, or nothing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError
from harness.paths import atomic_dir
from harness.scaffold.names import Names

# By kind: template to file. {name} and {package} stand for `Names`.
_COMMON = {
    "common/pyproject.toml.j2": "pyproject.toml",
    "common/py.typed.j2": "{package}/py.typed",
}
KINDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "model": {
            "model/readme.md.j2": "README.md",
            "model/init.py.j2": "{package}/__init__.py",
            "model/model.py.j2": "{package}/model.py",
            "model/card.yaml.j2": "{package}/{name}.yaml",
            "model/checks.py.j2": "tests/test_{package}.py",
        },
        "dataset": {
            "dataset/readme.md.j2": "README.md",
            "dataset/init.py.j2": "{package}/__init__.py",
            "dataset/reader.py.j2": "{package}/reader.py",
            "dataset/card.yaml.j2": "{package}/{name}.yaml",
            "dataset/checks.py.j2": "tests/test_{package}.py",
        },
    }
)


def write(
    kind: str, names: Names, target: Path, source: Path | None = None
) -> tuple[list[str], tuple[str, ...]]:
    """Write the project of a new plugin.

    Args:
        kind: a key of `KINDS`.
        names: of the plugin.
        target: the folder to make.
        source: of a data set: a folder of arrays (`harness.data.folder`) that it is to be.

    Returns:
        The files, relative to the folder, and what the arrays made of the card, a line each.

    Raises:
        UsageError: the folder is there already, or ``source`` is given for another kind.
        DataFormatError: the arrays are not as `harness.data.folder` says.
        StorageError: the folder cannot be written.
    """
    from harness import __version__
    from harness.scaffold import samples

    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; remove it, or choose another name or --into.")
    if source is not None and kind != "dataset":
        raise UsageError(f"--from makes a data set of a folder; leave it out with {kind}.")
    values: dict[str, Any] = {"kind": kind, **vars(names), "version": __version__}
    data: samples.Card | None = None
    if source is not None:
        data = samples.card_of(names.name, source)
        values |= {"card": data.text, "reader": False}
    elif kind == "dataset":
        values |= {"reader": True}
    texts = {
        place.format(**vars(names)): _render(template, values)
        for template, place in {**_COMMON, **KINDS[kind]}.items()
        if not (data is not None and template == "dataset/reader.py.j2")
    }
    files: dict[str, bytes] = {place: text.encode() for place, text in texts.items()}
    if kind == "dataset" and data is None:
        buffer = io.BytesIO()
        samples.write_sample(buffer)
        files[f"{names.package}/sample.npz"] = buffer.getvalue()
    with atomic_dir(target) as folder:
        for place, content in files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return sorted(files), () if data is None else data.lines


def _render(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = resources.files("harness.scaffold").joinpath("templates", template).read_text("utf-8")
    return environment.from_string(text).render(values)
