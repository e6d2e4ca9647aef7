"""The opcodes that differ from the standard library's: what could do harm, and large data."""

from __future__ import annotations

import collections
import pickle
import struct
import types
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from harness.data.safe.allowed import Pending, build_array, build_dtype, check_key

if TYPE_CHECKING:
    from harness.data.safe.machine import Machine

MAX_MARKS = 1000

Step = Callable[["Machine"], None]


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
    if not machine.calls:
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
    if not machine.calls:
        return
    _put(mapping, key, value)


def _set_items(machine: Machine) -> None:
    items, mapping = machine.pop_mark(), machine.stack[-1]
    if not machine.calls:
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
    elif machine.calls:
        raise UnpicklingError("items of what is no list")


def _add_items(machine: Machine) -> None:
    items, target = machine.pop_mark(), machine.stack[-1]
    if not machine.calls:
        return
    if not isinstance(target, set):
        raise UnpicklingError("items of what is no set")
    for item in items:
        check_key(item)
        target.add(item)


def _frozen_set(machine: Machine) -> None:
    items = machine.pop_mark()
    if not machine.calls:
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


def _data(form: str, make: Callable[[bytes], Any], *, text: bool = False) -> Step:
    """Return the step of data whose size is written as ``form`` before it."""
    width = struct.calcsize(form)

    def step(machine: Machine) -> None:
        (size,) = struct.unpack(form, machine.read(width))
        if size < 0:
            raise UnpicklingError("data of a negative size")
        if not machine.hold(size, text=text):
            machine.stack.append(make(machine.read(size)))

    return step


def _of_utf8(data: bytes) -> str:
    return str(data, "utf-8", "surrogatepass")


def _frame(machine: Machine) -> None:
    machine.frame(*struct.unpack("<Q", machine.read(8)))


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


def steps_of(inherited: Mapping[int, Step]) -> dict[int, Step]:
    """Return the machine's step of each opcode; ``inherited`` are those of `pickle`."""
    steps: dict[int, Step] = dict(inherited)
    own = {
        pickle.REDUCE: _reduce, pickle.NEWOBJ: _reduce, pickle.NEWOBJ_EX: _new_object_ex,
        pickle.INST: _instance, pickle.OBJ: _object, pickle.BUILD: _build,
        pickle.SETITEM: _set_item, pickle.SETITEMS: _set_items, pickle.DICT: _dict,
        pickle.APPEND: _append, pickle.APPENDS: _appends, pickle.ADDITEMS: _add_items,
        pickle.FROZENSET: _frozen_set, pickle.MARK: _mark, pickle.FRAME: _frame,
        pickle.BINSTRING: _data("<i", lambda data: str(data, "latin1")),
        pickle.BINBYTES: _data("<I", bytes), pickle.BINBYTES8: _data("<Q", bytes),
        pickle.BINUNICODE: _data("<I", _of_utf8, text=True),
        pickle.BINUNICODE8: _data("<Q", _of_utf8, text=True),
        pickle.BYTEARRAY8: _data("<Q", bytearray),
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
