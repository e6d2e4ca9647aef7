"""What a data file's pickle may call, each by a stand-in that checks its arguments.

The stand-ins have no attributes that could be set, and make nothing larger than the bytes they are
given: a pickle can neither alter them nor multiply its content through them.
"""

from __future__ import annotations

import collections
import re
import types
from collections.abc import Callable, Iterable, Sequence
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.safe.held import Held, HeldError

# Nesting of keys: beyond it hashing would recurse in C.
MAX_KEY_DEPTH = 16
# Whole numbers beyond it are no keys of a data set; chosen ones collide and make a dict quadratic.
MAX_KEY = 2**60

_CODE = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU]\d{0,7}|[mM]8|O8?)")
_ORDERS = ("<", ">", "=", "|")
_TIME_UNITS = (
    b"generic", b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as",
)  # fmt: skip
_LATIN1 = ("latin1", "latin-1", "iso-8859-1")
_SCALAR_KEYS = (str, bytes, int, float, complex, type(None), np.generic)


class Pending:
    """A dtype or array that its pickle has begun: ``memo`` is its place in the memo."""

    __slots__ = ("kind", "memo", "value")

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value
        self.memo: int | None = None


class Budget:
    """How many bytes of new objects a file may still have made by calls."""

    def __init__(self, size: int) -> None:
        self._left = 4 * size + 2**20

    def take(self, count: int) -> None:
        """Take ``count`` bytes.

        Raises:
            UnpicklingError: the file asks for more than its size justifies.
        """
        self._left -= count
        if self._left < 0:
            raise UnpicklingError("it asks for more memory than its content justifies")


Call = Callable[[Budget, Sequence[Any]], Any]


class Allowed:
    """A global that a pickle may name; ``call`` makes what the global would."""

    __slots__ = ("_call", "name")
    name: str
    _call: Call

    def __init__(self, name: str, call: Call) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an allowed global cannot be altered")

    def __call__(self, budget: Budget, arguments: Sequence[Any]) -> Any:
        """Return the object, or raise UnpicklingError over arguments that no data file has."""
        return self._call(budget, arguments)


def check_key(key: Any) -> None:
    """Refuse keys and set elements that are not plain values.

    Raises:
        UnpicklingError: a mutable, nested or oversized key.
        HeldError: a key that was left on disk.
    """
    level = [key]
    for _ in range(MAX_KEY_DEPTH):
        nested: list[Any] = []
        for item in level:
            if isinstance(item, tuple | frozenset):
                nested.extend(item)
            elif type(item) is Held:
                raise HeldError
            elif not isinstance(item, _SCALAR_KEYS):
                raise UnpicklingError(f"a key of type {type(item).__name__}")
            elif isinstance(item, int) and abs(item) > MAX_KEY:
                raise UnpicklingError("a key is too large a number")
        if not nested:
            return
        level = nested
    raise UnpicklingError("a key is nested too deeply")


def build_dtype(pending: Pending, state: Any) -> np.dtype[Any]:
    """Return a pending dtype with the byte order (and unit of time) of its state.

    Raises:
        UnpicklingError: the state has fields, shapes or flags that plain numbers do not.
    """
    dtype: np.dtype[Any] = pending.value
    if not isinstance(state, tuple) or len(state) not in (8, 9):
        raise UnpicklingError("a dtype with a state of another form")
    order, subarray, names, fields, size, alignment = state[1:7]
    plain = subarray is None and names is None and fields is None
    if not plain or order not in _ORDERS or not isinstance(size, int | np.integer):
        raise UnpicklingError("a dtype that a data file does not need")
    if dtype.kind in "SU" and dtype.itemsize == 0 and 0 < int(size) < 2**24:
        dtype = np.dtype(f"{dtype.kind}{int(size) // (4 if dtype.kind == 'U' else 1)}")
    if int(size) not in (-1, dtype.itemsize) or not isinstance(alignment, int):
        raise UnpicklingError("a dtype whose size contradicts its code")
    if dtype.kind in "mM":
        dtype = np.dtype(f"{dtype.kind}8{_unit(state[8] if len(state) == 9 else None)}")
    return dtype if order in "=|" else dtype.newbyteorder(order)


def build_array(budget: Budget, state: Any) -> tuple[NDArray[Any], Any]:
    """Return the array of ``ndarray.__setstate__``'s argument, and the data it was made of.

    Raises:
        UnpicklingError: shape times item size is not the number of bytes present.
    """
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise UnpicklingError("an array with a state of another form")
    shape, dtype, fortran, data = state[-4:]
    return _array(budget, data, dtype, shape, "F" if fortran else "C"), data


def _unit(metadata: Any) -> str:
    if metadata is None:
        return ""
    try:
        unit, count, *rest = metadata[1]
    except (TypeError, IndexError, ValueError, KeyError) as error:
        raise UnpicklingError("a unit of time of another form") from error
    unit = unit.encode() if isinstance(unit, str) else unit
    if unit not in _TIME_UNITS or rest[:1] not in ([1], []) or not 0 < int(count) < 10**6:
        raise UnpicklingError("a unit of time of another form")
    return "" if unit == b"generic" else f"[{int(count)}{unit.decode()}]"


def _array(budget: Budget, data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    kind = _dtype(dtype)
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise UnpicklingError("an array without a shape of whole numbers")
    if len(shape) > 32 or order not in ("C", "F"):
        raise UnpicklingError("an array of another form")
    count = 1
    for n in shape:
        count *= n
    if kind.hasobject:
        if type(data) is not list or len(data) != count:
            raise UnpicklingError("an array of objects without a list of them")
        budget.take(8 * count)
        objects = np.empty(count, dtype=object)
        for place, item in enumerate(data):
            objects[place] = item
        return objects.reshape(shape, order=order)
    if isinstance(data, str):  # Python 2 wrote bytes as strings
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray | Held) or len(data) != count * kind.itemsize:
        raise UnpicklingError("an array whose bytes do not fit its shape")
    if isinstance(data, Held):  # longer than nothing: the item size is not 0
        return data.array(kind).reshape(shape, order=order)
    budget.take(len(data))
    if kind.itemsize == 0:
        return np.zeros(shape, kind) if count < 2**20 else _refuse("an array of nothing")
    flat = np.frombuffer(data, dtype=kind) if count else np.zeros(0, kind)
    return flat.copy().reshape(shape, order=order)


def _dtype(value: Any) -> np.dtype[Any]:
    found = value.value if isinstance(value, Pending) and value.kind == "dtype" else value
    if not isinstance(found, np.dtype):
        raise UnpicklingError("an array without a dtype")
    return found


def _refuse(reason: str) -> Any:
    raise UnpicklingError(reason)


def _make_dtype(budget: Budget, arguments: Sequence[Any]) -> Pending:
    code = arguments[0] if arguments else None
    code = code.decode("latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not _CODE.fullmatch(code) or len(arguments) > 3:
        raise UnpicklingError("a dtype that a data file does not need")
    return Pending("dtype", np.dtype(code))


def _reconstruct(budget: Budget, arguments: Sequence[Any]) -> Pending:
    if len(arguments) != 3 or getattr(arguments[0], "name", "") != "ndarray":
        raise UnpicklingError("an array of another class")
    return Pending("array")


def _scalar(budget: Budget, arguments: Sequence[Any]) -> Any:
    if len(arguments) != 2:
        raise UnpicklingError("a scalar of another form")
    dtype = _dtype(arguments[0])
    if dtype.hasobject:
        raise UnpicklingError("a scalar that is an object")
    return _array(budget, arguments[1], dtype, (), "C")[()]


def _frombuffer(budget: Budget, arguments: Sequence[Any]) -> NDArray[Any]:
    if len(arguments) not in (4, 5):
        raise UnpicklingError("a buffer of another form")
    data, dtype, shape, order = arguments[:4]
    if _dtype(dtype).hasobject:
        raise UnpicklingError("a buffer of objects")
    return _array(budget, data, dtype, shape, order)


def _encode(budget: Budget, arguments: Sequence[Any]) -> bytes | Held:
    text, encoding = [*arguments, "latin1"][:2]
    if isinstance(text, Held) and text.text and encoding in _LATIN1 and len(arguments) <= 2:
        return text
    if not isinstance(text, str) or encoding not in _LATIN1 or len(arguments) > 2:
        raise UnpicklingError(f"encoding {encoding!r} is not allowed")
    budget.take(len(text))
    return text.encode("latin1")


def _bytes(budget: Budget, arguments: Sequence[Any]) -> bytes:
    if not arguments:
        return b""
    if isinstance(arguments[0], str):
        return bytes(_encode(budget, arguments))  # type: ignore[arg-type]
    if len(arguments) == 1 and isinstance(arguments[0], bytes | bytearray):
        budget.take(len(arguments[0]))
        return bytes(arguments[0])
    return _of_items(bytes)(budget, arguments)  # type: ignore[no-any-return]


def _bytearray(budget: Budget, arguments: Sequence[Any]) -> bytearray:
    return bytearray(_bytes(budget, arguments))


def _of_items(make: Callable[..., Any], *, keys: bool = False) -> Call:
    """Return a call of a container's class with at most one list, tuple or set of items."""

    def call(budget: Budget, arguments: Sequence[Any]) -> Any:
        if len(arguments) > 1 or (
            arguments and not isinstance(arguments[0], list | tuple | set | frozenset)
        ):
            raise UnpicklingError("a container of another form")
        items = arguments[0] if arguments else ()
        budget.take(64 * len(items) + 64)
        if keys:
            for item in items:
                check_key(item)
        return make(items)

    return call


def _mapping(make: Callable[..., Any]) -> Call:
    """Return a call of a dict's class with at most one dict or list of pairs."""

    def call(budget: Budget, arguments: Sequence[Any]) -> Any:
        if len(arguments) > 1 or (arguments and not isinstance(arguments[0], dict | list)):
            raise UnpicklingError("a mapping of another form")
        given = arguments[0] if arguments else ()
        pairs: Iterable[Any] = given.items() if isinstance(given, dict) else given
        made = make()
        budget.take(128 * len(given) + 128)
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise UnpicklingError("a mapping of another form")
            check_key(pair[0])
            made[pair[0]] = pair[1]
        return made

    return call


def _defaultdict(budget: Budget, arguments: Sequence[Any]) -> Any:
    # A dict without its default: a missing key of a data file is a fault, not an empty list.
    return _mapping(dict)(budget, arguments[1:])


def _deque(budget: Budget, arguments: Sequence[Any]) -> Any:
    if len(arguments) == 2:
        limit = arguments[1]
        if limit is not None and (type(limit) is not int or not 0 <= limit < 2**31):
            raise UnpicklingError("a deque of another form")
        made = _of_items(collections.deque)(budget, arguments[:1])
        return collections.deque(made, maxlen=limit)
    return _of_items(collections.deque)(budget, arguments)


def _complex(budget: Budget, arguments: Sequence[Any]) -> complex:
    if len(arguments) != 2 or not all(isinstance(part, float | int) for part in arguments):
        raise UnpicklingError("a complex number of another form")
    return complex(*arguments)


def _namespace(budget: Budget, arguments: Sequence[Any]) -> types.SimpleNamespace:
    if arguments:
        raise UnpicklingError("a namespace of another form")
    return types.SimpleNamespace()


def _old_object(budget: Budget, arguments: Sequence[Any]) -> Any:
    """Stand in for ``copyreg._reconstructor``, by which protocols 0 and 1 make an object."""
    if len(arguments) != 3 or getattr(arguments[0], "name", "") != "Namespace":
        raise UnpicklingError("an object of another class")
    return _namespace(budget, ())


def _never(budget: Budget, arguments: Sequence[Any]) -> Any:
    raise UnpicklingError("a class that a data file names but does not call")


def _table() -> dict[str, Allowed]:
    calls: dict[str, Call] = {
        "numpy.ndarray": _never,
        "numpy.dtype": _make_dtype,
        "_codecs.encode": _encode,
        "collections.OrderedDict": _mapping(collections.OrderedDict),
        "collections.defaultdict": _defaultdict,
        "collections.Counter": _mapping(collections.Counter),
        "collections.deque": _deque,
        "argparse.Namespace": _namespace,
    }
    for package in ("numpy.core", "numpy._core"):
        calls[f"{package}.multiarray._reconstruct"] = _reconstruct
        calls[f"{package}.multiarray.scalar"] = _scalar
        calls[f"{package}.numeric._frombuffer"] = _frombuffer
    for package in ("copyreg", "copy_reg"):
        calls[f"{package}._reconstructor"] = _old_object
    builtin: dict[str, Call] = {
        "bytes": _bytes,
        "bytearray": _bytearray,
        "complex": _complex,
        "set": _of_items(set, keys=True),
        "frozenset": _of_items(frozenset, keys=True),
        "list": _of_items(list),
        "tuple": _of_items(tuple),
        "dict": _mapping(dict),
        # Named as the default of a defaultdict.
        "int": _never,
        "float": _never,
        "str": _never,
        "object": _never,
    }
    for package in ("builtins", "__builtin__"):
        calls |= {f"{package}.{name}": call for name, call in builtin.items()}
    return {name: Allowed(name.rpartition(".")[2], call) for name, call in calls.items()}


ALLOWED: dict[str, Allowed] = _table()
# Those that take `Held` for data.
HOLDING = ("encode", "scalar", "_frombuffer")
