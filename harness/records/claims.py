"""The files of leases: what a process says of itself, under names that are hard links to it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.errors import StorageError, UsageError
from harness.records.processes import Process
from harness.records.provenance import now

VARIABLE = "HARNESS_LEASE"
SECONDS = 120.0
"""After so many seconds without a heartbeat a holder on another machine is gone."""
LEAST, MOST = 3.0, 86_400.0
LEASE, CLAIM, NEXT, END = ".lease", ".claim", ".next", ".end"
# What file systems answer that have no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_TOKEN = re.compile(r"[0-9a-f]{16}")
_PAUSES = (0.0, 0.1, 0.5)


@dataclass(frozen=True)
class Holder:
    """What a claim says.

    Attributes:
        token: its name, used once.
        process: who made it.
        since: when, by the clock of its machine (UTC).
        seconds: after so many without a heartbeat it is gone.
        silent: no heartbeat was seen, and the last one is older than that by this machine's clock,
            which may be wrong: whoever waits for the run finds out.
    """

    token: str
    process: Process
    since: str = "an unknown time"
    seconds: float = SECONDS
    silent: bool = False

    def __str__(self) -> str:
        return f"process {self.process.number} on {self.process.host} (since {self.since})"


class Seen(NamedTuple):
    """A claim as it is read through one of its names.

    Attributes:
        holder: what it says.
        inode: of its file.
        beat: the last heartbeat, the file's time of modification in ns; 0: it was given back.
    """

    holder: Holder
    inode: int
    beat: int

    @property
    def token(self) -> str:
        """The claim's name."""
        return self.holder.token


def lease_seconds() -> float:
    """Return the seconds after which a lease of this process expires (``HARNESS_LEASE``).

    Raises:
        UsageError: it is no number from 3 to 86400.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return SECONDS
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not LEAST <= found <= MOST:
        raise UsageError(f"{VARIABLE}={text}: give seconds from {LEAST:g} to {MOST:g}.")
    return found


def write(folder: Path, process: Process, seconds: float) -> Holder:
    """Write a claim under a name of its own; return what it says.

    Args:
        folder: of the claims.
        process: whose it is.
        seconds: after which it expires.

    Raises:
        OSError: the folder cannot be written.
    """
    holder = Holder(secrets.token_hex(8), process, now(), seconds)
    document = {"token": holder.token, "process": process.as_dict(), "since": holder.since,
                "seconds": seconds}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{holder.token}{CLAIM}").open("x", encoding="utf-8") as stream:
        json.dump(document, stream)
    return holder


def link(folder: Path, token: str, name: Path) -> bool:
    """Give a claim a further name; False: another file has the name, or the claim is gone.

    The answer of a network file system may be that to a request which it repeated: the file's own
    count of links tells, or, where none is kept, what is read under the name.

    Args:
        folder: of the claims.
        token: the claim.
        name: where it is to be found too.

    Raises:
        OSError: the folder cannot be written.
        StorageError: its file system has no hard links.
    """
    own = folder / f"{token}{CLAIM}"
    refused = None
    try:
        before = own.stat().st_nlink
        try:
            name.hardlink_to(own)
        except OSError as error:
            refused = error
        if own.stat().st_nlink > before:
            return True
    except FileNotFoundError:  # this process slept, and its claim was ended and cleared
        return False
    found = read(name)
    if found is not None:
        return found.token == token
    if refused is not None and refused.errno in _NO_LINKS:
        raise StorageError(
            f"cannot use {folder}: its file system has no hard links ({refused.strerror}),"
            " by which processes share out runs; set HARNESS_HOME to a folder elsewhere."
        ) from refused
    if refused is not None and refused.errno != errno.EEXIST:
        raise refused
    return False


def read(path: Path) -> Seen | None:
    """Return the claim under a name; None: there is none.

    The file is opened and asked through its handle: a network file system then answers anew.
    """
    try:
        with path.open("rb") as stream:
            status, content = os.fstat(stream.fileno()), stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # another file took its place while it was read
            return None
        raise
    try:
        document = json.loads(content)
        token, seconds = str(document["token"]), float(document["seconds"])
        if not _TOKEN.fullmatch(token) or not 0 <= seconds <= MOST:
            raise ValueError(token)
        process = Process.from_dict(document["process"])
        holder = Holder(token, process, str(document["since"]), seconds)
    except (ValueError, TypeError, KeyError, RecursionError):  # lost with a machine's power
        holder = Holder(f"damaged-{status.st_ino}", Process("an unknown machine"))
    return Seen(holder, status.st_ino, status.st_mtime_ns)


def withdraw(folder: Path, token: str) -> None:
    """Mark a claim as over, whatever names it has, and remove its own.

    Where the file system fails, the claim expires; but a process of this machine that lives counts
    as a holder, so that it is tried again.
    """
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            os.utime(folder / f"{token}{CLAIM}", ns=(0, 0))
            break
        except FileNotFoundError:
            break
        except OSError:
            continue
    with contextlib.suppress(OSError):
        (folder / f"{token}{NEXT}").unlink(missing_ok=True)
        (folder / f"{token}{CLAIM}").unlink(missing_ok=True)
