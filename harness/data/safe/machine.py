"""The pickle machine: the standard library's, with every opcode that could do harm replaced.

It is the interpreter of `pickle` in Python, because the one in C crashes on some streams. Objects
are made by `harness.data.safe.allowed` only; attributes are never set, keys are checked before they
are hashed, and what a stream announces is compared with what it has.
"""

from __future__ import annotations

import collections
import pickle
import struct
import types
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, ClassVar

from harness.data.safe.allowed import (
    ALLOWED,
    Allowed,
    Budget,
    Pending,
    build_array,
    build_dtype,
    check_key,
)
from harness.data.safe.files import Bounded, ForbiddenNameError
from harness.data.safe.nesting import whole

MAX_MARKS = 1000
# Data of this size that became an array is dropped from the memo, which else keeps it to the end.
LARGE = 1024

_USED = Pending("used")

Storages = Callable[[Budget, Any], Any]
Step = Callable[["Machine"], None]


# The Python class that `pickle` falls back to; its opcodes have not changed since Python 3.8.
_Unpickler: Any = pickle._Unpickler


class Machine(_Unpickler):  # type: ignore[misc]
    """Runs one pickle.

    Args:
        stream: the pickle's bytes.
        storages: makes the object of a persistent id (a tensor's storage); None: refused.
        more: further globals by name, such as torch's.
    """

    dispatch: ClassVar[dict[int, Step]]
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
    ) -> None:
        # latin1 is how Python-2 byte strings (old numpy pickles) keep their bytes.
        super().__init__(stream, encoding="latin1")
        self._source = stream
        self._storages = storages
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
        self.stack.append(function(self.budget, arguments))

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo."""
        top = self.stack[-1]
        if type(top) is Pending:
            top.memo = index
        elif isinstance(top, bytes | str | bytearray) and len(top) > LARGE:
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

    def count_container(self) -> None:
        """Count an empty container; each costs many times the byte it is written in."""
        self._containers += 1
        if self._containers > 2**22 + self._source.size // 16:
            raise UnpicklingError("it holds more containers than its size justifies")


def run(
    stream: Bounded, storages: Storages | None = None, more: dict[str, Allowed] | None = None
) -> Any:
    """Return the object of a pickle; ``storages`` and ``more`` as in `Machine`."""
    return Machine(stream, storages, more).load()


def names_of(stream: Bounded) -> set[str]:
    """Return the globals that a pickle names, calling none of them."""
    machine = _Names(stream)
    machine.walk()
    return machine.names


class _Names(Machine):
    """Walks over a pickle: every global is noted, every object is None."""

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


def _reduce(machine: Machine) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, arguments)


def _new_object_ex(machine: Machine) -> None:
    if machine.stack.pop():
        raise UnpicklingError("an object made with keywords")
    _reduce(machine)


def _instance(machine: Machine) -> None:
    module = machine.readline()[:-1].decode("ascii")
    name = machine.readline()[:-1].decode("ascii")
    function = machine.find_class(module, name)
    machine.call(function, machine.pop_mark())


def _object(machine: Machine) -> None:
    arguments = machine.pop_mark()
    if not arguments:
        raise UnpicklingError("an object without a class")
    machine.call(arguments[0], arguments[1:])


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    made: Any = machine.stack[-1]
    if isinstance(machine, _Names):
        return
    if type(made) is Pending and made.kind in ("dtype", "array"):
        if made.kind == "dtype":
            built: Any = build_dtype(made, state)
        else:
            built, data = build_array(machine.budget, state)
            machine.forget(data)
        machine.stack[-1] = built
        place: int | None = made.memo
        if place is not None and machine.memo.get(place) is made:
            machine.memo[place] = built
        return
    if isinstance(made, types.SimpleNamespace) and isinstance(state, dict):
        if not all(isinstance(key, str) for key in state):
            raise UnpicklingError("a namespace of another form")
        vars(made).update(state)
        return
    if type(made) in (collections.OrderedDict, collections.Counter, dict) and not state:
        return
    raise UnpicklingError("it sets the state of an object that has none")


def _set_item(machine: Machine) -> None:
    value, key, mapping = machine.stack.pop(), machine.stack.pop(), machine.stack[-1]
    if isinstance(machine, _Names):
        return
    _put(mapping, key, value)


def _set_items(machine: Machine) -> None:
    items, mapping = machine.pop_mark(), machine.stack[-1]
    if isinstance(machine, _Names):
        return
    if len(items) % 2:
        raise UnpicklingError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        _put(mapping, key, value)


def _put(mapping: Any, key: Any, value: Any) -> None:
    if not isinstance(mapping, dict):
        raise UnpicklingError("an item of what is no dict")
    check_key(key)
    mapping[key] = value


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    machine.metastack.append(machine.stack)
    machine.stack = items
    machine.append = machine.stack.append
    _set_items(machine)


def _append(machine: Machine) -> None:
    value, target = machine.stack.pop(), machine.stack[-1]
    _extend(machine, target, [value])


def _appends(machine: Machine) -> None:
    items, target = machine.pop_mark(), machine.stack[-1]
    _extend(machine, target, items)


def _extend(machine: Machine, target: Any, items: list[Any]) -> None:
    if isinstance(target, list | collections.deque):
        target.extend(items)
    elif not isinstance(machine, _Names):
        raise UnpicklingError("items of what is no list")


def _add_items(machine: Machine) -> None:
    items, target = machine.pop_mark(), machine.stack[-1]
    if isinstance(machine, _Names):
        return
    if not isinstance(target, set):
        raise UnpicklingError("items of what is no set")
    for item in items:
        check_key(item)
        target.add(item)


def _frozen_set(machine: Machine) -> None:
    items = machine.pop_mark()
    if isinstance(machine, _Names):
        machine.stack.append(None)
        return
    for item in items:
        check_key(item)
    machine.stack.append(frozenset(items))


def _mark(machine: Machine) -> None:
    if len(machine.metastack) >= MAX_MARKS:
        raise UnpicklingError("it is nested too deeply")
    machine.metastack.append(machine.stack)
    machine.stack = []
    machine.append = machine.stack.append


def _byte_array(machine: Machine) -> None:
    (size,) = struct.unpack("<Q", machine.read(8))
    machine.stack.append(bytearray(machine.read(size)))


def _counted(inherited: Step) -> Step:
    def step(machine: Machine) -> None:
        machine.count_container()
        inherited(machine)

    return step


def _refused(machine: Machine) -> None:
    raise UnpicklingError("an opcode that data files do not need")


def _memoize(machine: Machine) -> None:
    machine.remember(len(machine.memo))


def _remembering(place: Callable[[Machine], int]) -> Step:
    return lambda machine: machine.remember(place(machine))


def _recalling(place: Callable[[Machine], int]) -> Step:
    return lambda machine: machine.recall(place(machine))


def _in_text(machine: Machine) -> int:
    place = int(machine.readline())
    if not 0 <= place < 2**32:
        raise UnpicklingError("a place of the memo that no file has")
    return place


def _in_byte(machine: Machine) -> int:
    return machine.read(1)[0]


def _in_word(machine: Machine) -> int:
    (place,) = struct.unpack("<I", machine.read(4))
    return int(place)


def _steps() -> dict[int, Step]:
    steps: dict[int, Step] = dict(_Unpickler.dispatch)
    own = {
        pickle.REDUCE: _reduce, pickle.NEWOBJ: _reduce, pickle.NEWOBJ_EX: _new_object_ex,
        pickle.INST: _instance, pickle.OBJ: _object, pickle.BUILD: _build,
        pickle.SETITEM: _set_item, pickle.SETITEMS: _set_items, pickle.DICT: _dict,
        pickle.APPEND: _append, pickle.APPENDS: _appends, pickle.ADDITEMS: _add_items,
        pickle.FROZENSET: _frozen_set, pickle.MARK: _mark, pickle.BYTEARRAY8: _byte_array,
        pickle.MEMOIZE: _memoize, pickle.PUT: _remembering(_in_text),
        pickle.BINPUT: _remembering(_in_byte), pickle.LONG_BINPUT: _remembering(_in_word),
        pickle.GET: _recalling(_in_text), pickle.BINGET: _recalling(_in_byte),
        pickle.LONG_BINGET: _recalling(_in_word),
    }  # fmt: skip
    steps |= {code[0]: step for code, step in own.items()}
    for code in (pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_SET, pickle.LIST,
                 pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):  # fmt: skip
        steps[code[0]] = _counted(steps[code[0]])
    for code in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER,
                 pickle.READONLY_BUFFER):  # fmt: skip
        steps[code[0]] = _refused
    return steps


Machine.dispatch = _steps()
