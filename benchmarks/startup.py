"""CPU seconds of every verb's start, beside a bare ``import torch``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measuring import machine, spent, table

MODEL, DATASET = "ml-gcn", "mosi"
RUN = (
    "run", "--model", MODEL, "--dataset", DATASET, "--preset", "quick",
    "--set", "training.epochs=1",
)  # fmt: skip
TORCH = "import torch"
# Words of the verb, and the most CPU seconds it may take; the finished run: beyond import torch.
VERBS: Mapping[str, tuple[tuple[str, ...], float | None]] = {
    "--version": (("--version",), None),
    "--help": (("--help",), 0.5),
    "list": (("list",), 0.5),
    "show": (("show", "ramer"), 0.5),
    "plugins": (("plugins",), 0.5),
    "runs": (("runs", "--help"), 0.5),
    "data stats": (("data", "stats", DATASET), 0.5),
    "doctor": (("doctor",), 1.0),
    "run of a finished run": (RUN, 1.0),
    "leaderboard of one run": (("leaderboard", "--out", "{home}/boards"), None),
    "rescore of one run": (("rescore",), None),
}
FINISHED = "run of a finished run"
COLUMNS = ("verb", "CPU s", "peak GB", "limit s")


def measure(verbs: Sequence[str] = (), rounds: int = 3) -> dict[str, Any]:
    """Return the least CPU seconds of verbs and of ``import torch``, children included.

    Args:
        verbs: keys of `VERBS`; empty: all.
        rounds: starts of each, in turn.
    """
    unknown = [verb for verb in verbs if verb not in VERBS]
    if unknown:
        raise KeyError(f"no verb {unknown[0]!r}; choose from {', '.join(VERBS)}")
    with TemporaryDirectory(prefix="harness-benchmark-") as home:
        environment = {"HARNESS_HOME": home}
        first = spent(["-m", "harness", *RUN], environment)
        commands = {TORCH: ["-c", TORCH]}
        for verb in verbs or VERBS:
            words = [word.format(home=home) for word in VERBS[verb][0]]
            commands[verb] = ["-m", "harness", *words]
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                taken[name].append(spent(command, environment))
    rows: dict[str, dict[str, Any]] = {}
    for name, found in taken.items():
        rows[name] = {
            "cpu_s": round(min(f["cpu_s"] for f in found), 3),
            "peak_gb": round(min(f["peak_gb"] for f in found), 3),
        }
        limit = VERBS[name][1] if name in VERBS else None
        if limit is not None:
            limit += rows[TORCH]["cpu_s"] if name == FINISHED else 0.0
            rows[name] |= {"limit": round(limit, 3), "met": rows[name]["cpu_s"] <= limit}
    rows["the first run of all"] = {"cpu_s": round(first["cpu_s"], 3), "peak_gb": None}
    return {"machine": machine(), "verbs": rows}


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as a table."""
    cells = []
    for name, f in rows.items():
        limit = f.get("limit")
        missed = "" if f.get("met", True) else " !"
        cells.append(
            (name, f["cpu_s"], f["peak_gb"], None if limit is None else f"{limit}{missed}")
        )
    return table(COLUMNS, cells)
