"""One directory with all that a finished run is used for elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import DataFormatError, DataMissingError, StorageError, UsageError
from harness.paths import atomic_dir, atomic_write_bytes, atomic_write_text
from harness.records.record import RunRecord
from harness.records.request import to_bring
from harness.records.store import PREDICTIONS, RECORD, RunStore
from harness.records.sums import closed, sums_of, to_table

CHECKPOINT = ("checkpoint.json", "checkpoint.safetensors")
EPOCHS = "epochs.csv"
CONFIG, ENVIRONMENT, REQUIREMENTS = "config.yaml", "environment.json", "requirements.txt"
SUMS, README = "sums.parquet", "README.md"


def export_run(store: RunStore, run: str, to: Path) -> list[str]:
    """Write a finished run into a new folder that `harness predict` takes; return its files.

    The record there names the files that are beside it with their digests. Predictions hold ids,
    truth and scores of samples: where the data's terms do not let them be passed on, the folder
    holds sums over clusters in their place (`harness.records.sums`).

    Args:
        store: where the run is.
        run: its id.
        to: a folder that does not exist, or is empty; it is there whole or not at all.

    Raises:
        UsageError: the run has no result or no checkpoint, or the folder is not empty.
        DataMissingError: there is no such run, or a file of it is missing.
        DataFormatError: a file is not what the run wrote.
        StorageError: the folder cannot be written.
    """
    record = store.find(run)
    if record is None:
        raise DataMissingError(f"there is no finished run {run} in {store.root}.")
    if record.status != "ok" or CHECKPOINT[1] not in record.artefacts:
        raise UsageError(f"{run} has no checkpoint (status {record.status}, role {record.role}).")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--to {to}: is there and not empty; give a new folder.")
    private = closed(record)
    wanted = [*CHECKPOINT, EPOCHS, *([] if private else [PREDICTIONS])]
    names = [name for name in wanted if name in record.artefacts]
    files = {name: store.read(record, name) for name in names}
    beside = replace(record, artefacts={name: record.artefacts[name] for name in names})
    texts = {
        CONFIG: _config(record),
        ENVIRONMENT: _json(record.provenance),
        REQUIREMENTS: _requirements(record),
        README: _readme(record, private),
        RECORD: beside.to_json(),
    }
    with atomic_dir(to) as folder:
        for name, content in files.items():
            atomic_write_bytes(folder / name, content)
        if private:
            _write_sums(store, record, folder / SUMS)
        for name, text in texts.items():
            atomic_write_text(folder / name, text)
        written = sorted(path.name for path in folder.iterdir())
    return written


def _write_sums(store: RunStore, record: RunRecord, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [
        sums_of(record, part)
        for part in store.parts(record)
        if part.split == "test" and not part.selected_for and part.protocol in record.metrics
    ]
    try:
        pq.write_table(to_table({record.id: found}), path)
    except pa.ArrowException as error:
        raise StorageError(f"{path.name} cannot be written: {error}.") from error


def _config(record: RunRecord) -> str:
    """Return the resolved configuration, as ``--config`` takes it."""
    import yaml

    known = {k: record.config[k] for k in ("threshold", "training", "model") if k in record.config}
    text: str = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return f"# {record.id}: the resolved configuration (preset {record.config['preset']}).\n{text}"


def _requirements(record: RunRecord) -> str:
    packages = record.provenance.get("packages") or {}
    if not packages:
        raise DataFormatError(f"{record.id}: its record names no packages. Run it again.")
    return "".join(f"{name}=={version}\n" for name, version in sorted(packages.items()))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _readme(record: RunRecord, private: bool) -> str:
    model, data = record.model, record.dataset
    plugins = " ".join(f"--plugin {name}" for name in record.request["plugins"])
    command, again = (
        f"{words} {plugins}".rstrip()
        for words in ("harness predict . --split test --out scores.csv", "harness runs rerun .")
    )
    if private:
        terms = (
            f"The terms of {data['base_name']} do not let its samples be passed on: predictions\n"
            f"(ids, truth, scores) are left out, and `{SUMS}` holds sums over clusters of samples\n"
            "in their place. The checkpoint was trained on that data: its terms say whether and\n"
            "to whom it may be given."
        )
        results = f"| `{SUMS}` | sums over clusters of test samples, from which metrics follow |"
    else:
        terms = f"`{PREDICTIONS}` holds ids, truth and scores; the terms of the data allow it."
        results = f"| `{PREDICTIONS}` | id, group, split, protocol, scores and truth a sample |"
    return f"""# {record.id}

{_named(model)}, trained on {data["id"]} with seed {record.seed}.

Made by: `{record.command}`

| file | what |
|---|---|
| `{RECORD}` | request, figures, provenance, digests of the files beside it |
| `{CONFIG}` | the resolved configuration, for `--config` |
| `{CHECKPOINT[1]}`, `{CHECKPOINT[0]}` | the selected model |
{results}
| `{EPOCHS}` | the log of the training |
| `{REQUIREMENTS}`, `{ENVIRONMENT}` | packages, interpreter and processor that it was made with |

{terms}

## Use

{_code(record)}

```sh
pip install -r {REQUIREMENTS}
{command}
```

Train it again and compare: `{again}`
"""


def _named(model: Mapping[str, Any]) -> str:
    """Return a model's name as papers write it, where it has one, and its own with the version."""
    own = f"{model['name']} {model['version']}".rstrip()
    return f"{model['reported_as']} ({own})" if model["reported_as"] else own


def _code(record: RunRecord) -> str:
    """Return where the model's code is, and what has to be brought beside this folder."""
    model = record.model
    if model["distribution"]:
        version = f"`{model['distribution']}` {model['distribution_version']}".rstrip()
        place = f"The model's code is in {version}, plugin `{model['plugin']}`."
    elif record.request["plugins"]:
        place = "The model's code is no part of a package, and is not in this folder."
    else:
        place = (
            "The model's code is in the program that made the run, and not in this folder: there,\n"
            f"`harness.runs().load({record.id!r}, model=CLASS)` takes the class."
        )
    return "\n".join(part for part in (place, to_bring(record.request["plugins"])) if part)
