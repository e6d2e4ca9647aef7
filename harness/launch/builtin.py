"""The harness's own launchers, registered through the hook as a stranger's would be."""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.launch.ray import OPTIONS as RAY
from harness.launch.slurm import OPTIONS as SLURM
from harness.specs import LauncherSpec


@hookimpl
def harness_launchers() -> Iterable[LauncherSpec]:
    """Return the launchers of the harness."""
    return [
        LauncherSpec(
            "local",
            "processes of their own on this machine",
            "harness.launch.processes:make",
            {
                "jobs": "runs at a time; 0: one a core on a CPU, else one (default: the plan's); "
                "on a GPU they are packed by measured memory",
                "gpu_memory": "GB of a GPU that runs at a time may take (default: what is free)",
            },
        ),
        LauncherSpec(
            "slurm",
            "jobs of a SLURM cluster, through submitit",
            "harness.launch.slurm:make",
            SLURM,
            "slurm",
            "submitit",
        ),
        LauncherSpec(
            "ray",
            "tasks of a Ray cluster",
            "harness.launch.ray:make",
            RAY,
            "ray",
        ),
    ]
