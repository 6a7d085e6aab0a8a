"""One run at a time writes an output: a lock beside it, which says whose it is.

On a disk the operating system holds it (flock), and lets go when its process ends, however it does.
Other machines, and stores, know a live owner by its sign of life.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from poster2plot.batch.catalogues.trouble import trouble
from poster2plot.batch.shards import Shards
from poster2plot.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SIGN_OF_LIFE = 20.0  # seconds between two
STALE = 120.0  # seconds without one, after which an owner is taken for dead


class OutputLock:
    """The lock of an output, for a `with`. Raises `InputError` where another run has it.

    A run that slept for so long that another one took it for dead has it no more.
    """

    def __init__(self, shards: Shards) -> None:
        self._fs, self._path = shards.fs, f"{shards.path}.lock"
        self._output, self._is_local = shards.output, shards.is_local
        self._owner = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "numbering": _numbering(),
            "process": os.getpid(),
            "started": _start_of(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "token": uuid.uuid4().hex,
        }
        self._file: int | None = None
        self._stop = threading.Event()
        self._alive: threading.Thread | None = None

    def __enter__(self) -> OutputLock:
        try:
            if self._is_local:
                self._take_on_disk()
            else:
                self._take_in_store()
        except InputError:
            raise
        except Exception as error:  # each store has its own
            self._let_go()
            if why := trouble(error):
                raise InputError(f"{self._output!r} cannot be written, as {why}.") from error
            if not isinstance(error, OSError):
                raise
            why = error.strerror or str(error)
            raise InputError(f"{self._output!r} cannot be written: {why}.") from error
        self._alive = threading.Thread(target=self._live, daemon=True)
        self._alive.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._alive:
            self._alive.join()
        self._let_go()

    def _let_go(self) -> None:
        with suppress(Exception):  # the next run takes over what stays
            owner = self._there()
            is_empty = self._file is not None and not owner  # there was no room to say whose it is
            if is_empty or owner.get("token") == self._owner["token"]:
                self._fs.rm_file(self._path)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take_on_disk(self) -> None:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            is_held = False
            try:
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whatever of this machine had it has ended, in whichever container.
                lives = _lives_elsewhere
            except BlockingIOError:
                is_held = True
            except OSError:  # a disk that knows no locks
                lives = _lives
            owner = _read(os.pread(file, 4096, 0))
            if is_held or lives(owner):
                os.close(file)
                raise self._refused(owner)
            try:  # whoever had it may have removed it in between
                if os.fstat(file).st_ino == os.stat(self._path).st_ino:  # noqa: PTH116
                    self._file = file
                    self._write()
                    return
            except FileNotFoundError:
                pass
            os.close(file)

    def _take_in_store(self) -> None:
        with suppress(FileNotFoundError):
            owner = _read(self._fs.cat_file(self._path))
            if _lives(owner):
                raise self._refused(owner)
            self._fs.rm_file(self._path)
        try:
            # Of two at once the store lets one in, or else one reads the other.
            self._write(mode="create")
        except FileExistsError:
            raise self._refused(self._there()) from None
        self.check()

    def _refused(self, owner: dict[str, Any]) -> InputError:
        if not owner:
            return InputError(f"Another run writes {self._output!r}; wait until it is done.")
        ago = max(0, round(time.time() - float(owner.get("alive", 0))))
        return InputError(
            f"{self._output!r} is being written by process {owner.get('process')} on "
            f"{owner.get('host')} since {owner.get('since')}, which last gave a sign of life "
            f"{ago} s ago; wait until it is done, or {STALE:.0f} s if it is dead."
        )

    def _write(self, **options: Any) -> None:
        data = json.dumps(self._owner | {"alive": time.time()}).encode()
        if self._file is None:
            self._fs.pipe_file(self._path, data, **options)
            return
        os.pwrite(self._file, data.ljust(512), 0)  # in place: it is this file that is locked

    def _there(self) -> dict[str, Any]:
        try:
            return _read(self._fs.cat_file(self._path))
        except FileNotFoundError:
            return {}

    def check(self) -> None:
        """Raises `InputError` where another run has taken the lock over."""
        owner = self._there()
        if owner and owner.get("token") != self._owner["token"]:
            raise self._refused(owner)

    def _live(self) -> None:
        while not self._stop.wait(SIGN_OF_LIFE):
            with suppress(Exception):  # a store that fails for a moment
                try:
                    self.check()
                except InputError:
                    return
                self._write()


def _read(data: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(data)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _machine() -> str:
    """What tells this machine from others of its name, and from itself before it was restarted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return socket.gethostname()


def _numbering() -> str:
    """Which numbers of processes these are; each container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # it leads to no file
    except OSError:
        return ""


def _is_of_this_machine(owner: dict[str, Any]) -> bool:
    if "machine" in owner:
        return bool(owner["machine"] == _machine())
    return bool(owner.get("host") == socket.gethostname())  # as earlier versions wrote


def _lives_elsewhere(owner: dict[str, Any]) -> bool:
    """Whether a process of another machine gave a sign of life of late."""
    return bool(owner) and not _is_of_this_machine(owner) and _gave_a_sign(owner)


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the process that took a lock is still the one that did, wherever it is."""
    if not _is_of_this_machine(owner) or owner.get("numbering", _numbering()) != _numbering():
        return _gave_a_sign(owner)
    try:
        os.kill(int(owner["process"]), 0)
    except PermissionError:  # of another user
        pass
    except (OSError, KeyError, ValueError):
        return False
    return bool(_start_of(int(owner["process"])) == owner.get("started"))


def _gave_a_sign(owner: dict[str, Any]) -> bool:
    return abs(time.time() - float(owner.get("alive", 0))) < STALE


def _start_of(process: int) -> str:
    """When a process began, as Linux counts it; numbers of processes are used again."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
