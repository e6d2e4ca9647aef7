"""Which process holds something, and whether it is still there, as far as that can be known."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.children import alive

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")
# Fields of /proc/PID/stat behind the name of the program, which may hold anything.
_STATE, _START = 0, 19


@dataclass(frozen=True)
class Process:
    """A process, told apart from every other one that ever had its number.

    Attributes:
        host: name of the machine.
        boot: id of the machine's boot; empty: unknown (no Linux).
        namespace: of the numbers of processes (containers have their own); empty: unknown.
        number: of the process.
        started: its start, in ticks since the boot; empty: unknown.
    """

    host: str
    boot: str = ""
    namespace: str = ""
    number: int = 0
    started: str = ""

    @classmethod
    def here(cls) -> Process:
        """Return this process."""
        number = os.getpid()
        boot = _text(_BOOT)
        namespace = str(_PIDS.stat().st_ino) if boot and _PIDS.exists() else ""
        return cls(socket.gethostname(), boot, namespace, number, (_look(number) or ("", ""))[1])

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Process:
        """Return the process of `as_dict`.

        Raises:
            TypeError: the values are no such document.
            ValueError: the number is that of no process.
        """
        found = cls(**document)
        if not 0 < found.number < 2**31:
            raise ValueError(found.number)
        return found

    def lives(self, here: Process) -> bool | None:
        """Return whether it is there, seen from the process ``here``; None: that can't be said.

        It can be said on the same boot of the same machine, among the same numbers. One that has
        ended and waits for its parent (a zombie) is not there.
        """
        place = (self.host, self.boot, self.namespace)
        if not all(place) or place != (here.host, here.boot, here.namespace):
            return None
        if not alive(self.number):
            return False
        found = _look(self.number)
        if found is None:  # another account's, out of sight
            return None
        state, started = found
        return state not in "ZX" and started == self.started


def _look(number: int) -> tuple[str, str] | None:
    """Return state and start of a process; None: they cannot be read."""
    fields = _text(Path(f"/proc/{number}/stat")).rpartition(")")[2].split()
    return (fields[_STATE], fields[_START]) if len(fields) > _START else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
