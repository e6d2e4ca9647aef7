"""What a model's code does outside of its process: files, network, other processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

_FILES = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
_VERBS = {name: "touches the file" for name in _FILES}
_VERBS |= {name: "asks the network for" for name in _NETWORK}
_VERBS |= {name: "starts the process" for name in _PROCESSES}
# Of the machine, not of a user: how many cores there are, a source of random numbers.
_MACHINE = ("/dev/", "/proc/", "/sys/")
_IMPORTS = "importlib._bootstrap"

_watches: list[AccessWatch] = []


class AccessWatch:
    """Notes what some packages' code does outside of the process, while `watching`.

    Imports are no access, nor is what a constructor does: a model may read what it ships.

    Args:
        packages: top-level packages whose code is watched, and all that it calls.
    """

    def __init__(self, *packages: str) -> None:
        self._packages = packages
        self.sentences: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs."""
        _install()
        _watches.append(self)
        try:
            yield
        finally:
            _watches.remove(self)

    def note(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        """Note an event of Python's auditing, if watched code led to it.

        Args:
            event: its name.
            arguments: as Python gives them.
            frame: the innermost frame.
        """
        what = _name(arguments)
        if event == "open" and (not what or what.startswith(_MACHINE)):
            return
        inside = False
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            if module.startswith(_IMPORTS):
                return
            own = module.partition(".")[0] in self._packages
            if own and frame.f_code.co_name == "__init__":
                return
            inside = inside or own
            frame = frame.f_back
        sentence = f"it {_VERBS[event]} {what}"
        if inside and sentence not in self.sentences:
            self.sentences.append(sentence)


def _name(arguments: tuple[Any, ...]) -> str:
    """Return what an event is about: a path, an address, a program; empty: an open descriptor."""
    named = [a for a in arguments if isinstance(a, str | bytes | os.PathLike | tuple)]
    if not named:
        return ""
    return str(named[0]) if isinstance(named[0], tuple) else os.fsdecode(named[0])


@cache
def _install() -> None:
    """Add the hook, once: Python keeps it for as long as the process lives."""
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _watches and event in _VERBS:
        frame = sys._getframe(1)
        for watch in list(_watches):
            watch.note(event, arguments, frame)
