"""The pickle machine: the standard library's, with every opcode that could do harm replaced.

It is the interpreter of `pickle` in Python, because the one in C crashes on some streams. Objects
are made by `harness.data.safe.allowed` only; attributes are never set, keys are checked before they
are hashed, and what a stream announces is compared with what it has.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, ClassVar

from harness.data.safe.allowed import (
    ALLOWED,
    HOLDING,
    Allowed,
    Budget,
    Pending,
)
from harness.data.safe.files import Bounded, ForbiddenNameError
from harness.data.safe.held import LARGE_DATA, Held, HeldError, OnDisk
from harness.data.safe.nesting import whole
from harness.data.safe.steps import Step, steps_of

# Data of this size that became an array is dropped from the memo, which else keeps it to the end.
LARGE = 1024

_USED = Pending("used")

Storages = Callable[[Budget, Any], Any]
# Stands for data of the file: where it begins, its size, whether it is text.
Hold = Callable[[int, int, bool], Any]


# The Python class that `pickle` falls back to; its opcodes have not changed since Python 3.8.
_Unpickler: Any = pickle._Unpickler


class Machine(_Unpickler):  # type: ignore[misc]
    """Runs one pickle.

    Args:
        stream: the pickle's bytes.
        storages: makes the object of a persistent id (a tensor's storage); None: refused.
        more: further globals by name, such as torch's.
        disk: where large data stays, of which the arrays are then mapped; None: in memory.
    """

    dispatch: ClassVar[dict[int, Step]] = steps_of(_Unpickler.dispatch)
    # Whether objects are made, or the pickle is only walked over.
    calls: ClassVar[bool] = True
    stack: list[Any]
    metastack: list[list[Any]]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]

    def __init__(
        self,
        stream: Bounded,
        storages: Storages | None = None,
        more: dict[str, Allowed] | None = None,
        disk: OnDisk | None = None,
    ) -> None:
        # latin1 is how Python-2 byte strings (old numpy pickles) keep their bytes.
        super().__init__(stream, encoding="latin1")
        self._source = stream
        self._storages = storages
        self._hold: Hold | None = None if disk is None else disk.held
        self._known = ALLOWED | (more or {})
        self.budget = Budget(stream.size)
        self._large: dict[int, int] = {}
        self._containers = 0
        self.names: set[str] = set()

    def load(self) -> Any:
        """Return the object, checked for depth and for parts that were begun and not ended."""
        return whole(super().load())

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an allowed global, or refuse."""
        full = f"{module}.{name}"
        found = self._known.get(full)
        if found is None:
            raise ForbiddenNameError(full)
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of a tensor, in a torch file."""
        if self._storages is None:
            raise UnpicklingError("it refers to storage outside itself")
        return self._storages(self.budget, pid)

    def call(self, function: Any, arguments: Any) -> None:
        """Push what an allowed global makes of its arguments."""
        if type(function) is not Allowed or type(arguments) not in (tuple, list):
            raise UnpicklingError("it calls something that is no function of a data file")
        if function.name not in HOLDING and any(type(value) is Held for value in arguments):
            raise HeldError
        self.stack.append(function(self.budget, arguments))

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo."""
        top = self.stack[-1]
        if type(top) is Pending:
            top.memo = index
        elif type(top) is Held or (isinstance(top, bytes | str | bytearray) and len(top) > LARGE):
            self._large[id(top)] = index
        self.memo[index] = top

    def recall(self, index: int) -> None:
        """Push an object of the memo."""
        if index not in self.memo:
            raise UnpicklingError(f"nothing is at place {index} of its memo")
        found = self.memo[index]
        if found is _USED or (type(found) is Pending and found.kind == "array"):
            raise UnpicklingError("it uses the content of an array twice")
        self.stack.append(found)

    def forget(self, data: Any) -> None:
        """Drop large data from the memo, now that an array holds it."""
        index = self._large.pop(id(data), None)
        if index is not None and self.memo.get(index) is data:
            self.memo[index] = _USED

    def hold(self, size: int, *, text: bool) -> bool:
        """Push what stands for the next ``size`` bytes, if they are to be left on disk."""
        if self._hold is None or size <= LARGE_DATA or self._in_frame():
            return False
        self._unframer.current_frame = None
        self.stack.append(self._hold(self._source.skip(size), size, text))
        return True

    def frame(self, size: int) -> None:
        """Begin a frame; a large one is no more than an announcement of its size.

        Raises:
            EOFError: the file has fewer bytes.
            UnpicklingError: another frame has not ended.
        """
        if size <= LARGE_DATA:
            self._unframer.load_frame(size)
        elif size > self._source.left:
            raise EOFError(f"{size} bytes are announced, {self._source.left} are left")
        elif self._in_frame():
            raise UnpicklingError("a frame within a frame")
        else:
            self._unframer.current_frame = None

    def _in_frame(self) -> bool:
        frame = self._unframer.current_frame
        return frame is not None and frame.tell() < frame.getbuffer().nbytes

    def count_container(self) -> None:
        """Count an empty container; each costs many times the byte it is written in."""
        self._containers += 1
        if self._containers > 2**22 + self._source.size // 16:
            raise UnpicklingError("it holds more containers than its size justifies")


def run(
    stream: Bounded,
    storages: Storages | None = None,
    more: dict[str, Allowed] | None = None,
    disk: OnDisk | None = None,
) -> Any:
    """Return the object of a pickle; the arguments are those of `Machine`.

    Raises:
        HeldError: data left on disk is used as something else than an array's content.
    """
    return Machine(stream, storages, more, disk).load()


def names_of(stream: Bounded) -> set[str]:
    """Return the globals that a pickle names, calling none of them."""
    machine = _Names(stream)
    machine.walk()
    return machine.names


class _Names(Machine):
    """Walks over a pickle: every global is noted, every object is None, large data is not read."""

    calls = False

    def __init__(self, stream: Bounded) -> None:
        super().__init__(stream)
        self._hold = lambda *_: None

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module}.{name}")
        return None

    def call(self, function: Any, arguments: Any) -> None:
        self.stack.append(None)

    def persistent_load(self, pid: Any) -> Any:
        return None

    def recall(self, index: int) -> None:
        self.stack.append(self.memo.get(index))

    def walk(self) -> None:
        """Run to the end of the pickle."""
        _Unpickler.load(self)
