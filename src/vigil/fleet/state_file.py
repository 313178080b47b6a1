"""The operator's file on disk: watched, answered for, and rewritten only on command.

A version that is read twice alike, a poll apart, and is accepted by parser and validator becomes
the one in force, is kept as the last good one and is handed on. Any other is refused and shown as
`problem`, and what was in force stays; a file that is gone is a problem too, never an order to stop
everything. Commands change the text where they must and exchange it in without losing an edit.

The look each second is one `stat` in the loop. Reading, parsing and syncing go through a thread:
they can take as long as the disk and a mebibyte of text like.
"""

import asyncio
import hashlib
import itertools
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.domain.standing import DesiredStatus
from vigil.durable_file import replace_file
from vigil.errors import Transient
from vigil.fleet.desired import (
    FILE_SIZE_MAX,
    DesiredState,
    DesiredStrategy,
    StateFileRefused,
    parse,
)
from vigil.fleet.edits import with_status, with_strategy
from vigil.fleet.exchange import read_regular, replace_if_unchanged

POLL_S = 1.0
DISPLACED_KEPT_S = 60.0

_ATTEMPTS_MAX = 50

log = structlog.get_logger(__name__)

Validate = Callable[[DesiredState], Awaitable[None]]
OnAccept = Callable[[DesiredState], Awaitable[None]]
OnRefuse = Callable[[StateFileRefused], None]


class _Reading(Struct, frozen=True, kw_only=True):
    """The file as one look found it: its content, or why there is none."""

    data: bytes = b""
    trouble: StateFileRefused | None = None

    @property
    def key(self) -> str:
        """Equal for looks that found the same."""
        return hashlib.sha256(self.data).hexdigest() if self.trouble is None else str(self.trouble)


class _Displaced(Struct, frozen=True, kw_only=True):
    """A file that a command displaced; an editor may still hold it open and write into it."""

    path: Path
    base: bytes
    until_s: float


class StateFile:
    """The operator's file. One owner; others read `desired` and `problem`.

    Args:
        path: `backend-state.json`; the last good version is kept beside it.
        clock: Waits between polls.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self.last_good_path = path.with_name(f"{path.stem}.last-good{path.suffix}")
        self.problem: StateFileRefused | None = None
        self._spare_prefix = f".{path.name}.exchange-"
        self._spare_numbers = itertools.count(1)
        self._clock = clock
        self._desired: DesiredState | None = None
        self._validate: Validate | None = None
        self._on_accept: OnAccept | None = None
        self._turn = asyncio.Lock()  # one of poll and command at a time
        self._settled: object = None  # what `stat` said of the content last judged
        self._seen_key = ""
        self._judged_key = ""
        self._in_force_key = ""
        self._delivered_key = ""
        self._displaced: list[_Displaced] = []
        self._saving = threading.Lock()  # a cancelled caller's thread goes on

    @property
    def desired(self) -> DesiredState:
        """The version in force."""
        assert self._desired is not None, "load comes first"
        return self._desired

    def load(self) -> DesiredState:
        """Read the file at start; where it cannot be used, the last good version.

        Blocking; meant for before anything runs.

        Raises: StateFileRefused, when neither can be used.
        """
        self._set_leftovers_aside()
        reading = self._read()
        try:
            desired, key = self._parsed(reading), reading.key
            self._save_last_good(reading.data)
        except StateFileRefused as refused:
            self.problem = refused
            desired, key = self._load_last_good(refused), ""
            # The message says it all; a traceback would only frighten.
            log.error(  # noqa: TRY400
                "state_file.refused", reason=str(refused), in_force=str(self.last_good_path)
            )
        self._desired = desired
        self._in_force_key = self._delivered_key = key
        self._judged_key = self._seen_key = reading.key
        return desired

    async def watch(self, *, validate: Validate, on_accept: OnAccept, on_refuse: OnRefuse) -> None:
        """Follow the file until cancelled.

        Args:
            validate: Asked before a version is accepted; raises StateFileRefused.
            on_accept: Given each version that comes into force, also by a command. Called again at
                the next poll when it raised.
            on_refuse: Told once of each version that is refused, and of the file's absence.
        """
        self._validate, self._on_accept = validate, on_accept
        while True:
            async with self._turn:
                try:
                    await self._look()
                except StateFileRefused as refused:
                    self.problem = refused
                    on_refuse(refused)
                await self._deliver()
            await self._clock.sleep(POLL_S)

    async def set_status(self, strategy_id: str, status: DesiredStatus) -> DesiredState:
        """Change one strategy's status in the file and bring it into force.

        Raises: StateFileRefused, when the file is broken, or has no such strategy, or would not be
            accepted; Transient, when it cannot be written. The file is then as it was.
        """

        def edit(state: DesiredState) -> str:
            if state.strategy(strategy_id) is None:
                known = ", ".join(each.id for each in state.strategies)
                raise StateFileRefused(
                    path=str(self.path),
                    field="activeStrategies",
                    reason=f"no strategy has the id {strategy_id!a}",
                    fix=f"known are {known}" if known else "add one",
                )
            return with_status(state, strategy_id, status)

        return await self._rewrite(edit)

    async def put(self, strategy: DesiredStrategy) -> DesiredState:
        """Write a strategy into the file, new or instead of that of its id; into force with it.

        Raises: As `set_status`.
        """
        return await self._rewrite(lambda state: with_strategy(state, strategy))

    async def _look(self) -> None:
        """Judge the file's content, once it was found alike twice.

        Raises: StateFileRefused, once for each content that is not accepted.
        """
        now_s, now_ms = self._clock.elapsed_s(), self._clock.now_ms()  # the loop's, not a thread's
        await asyncio.to_thread(self._check_displaced, now_s, now_ms)
        signature = _signature(self.path)
        if signature == self._settled:
            return
        reading = await asyncio.to_thread(self._read)
        key = reading.key
        if key != self._seen_key:
            self._seen_key = key  # perhaps half saved: another look will tell
            return
        if key != self._judged_key:
            try:
                await self._judge(reading, key)
            except StateFileRefused:
                self._judged_key, self._settled = key, signature
                raise
        # Last, so that a look that failed in another way is made again.
        self._judged_key, self._settled = key, signature

    async def _judge(self, reading: _Reading, key: str) -> None:
        desired = await asyncio.to_thread(self._parsed, reading)
        if key == self._in_force_key:  # back to what it was before something was refused
            log.info("state_file.mended", path=str(self.path))
            self.problem = None
            return
        await self._check(desired)
        await asyncio.to_thread(self._save_last_good, reading.data)
        self._bring_into_force(desired, key)

    async def _rewrite(self, edit: Callable[[DesiredState], str]) -> DesiredState:
        async with self._turn:
            for _ in range(_ATTEMPTS_MAX):
                base = await asyncio.to_thread(self._read)
                current = await asyncio.to_thread(self._parsed, base)
                data = edit(current).encode()
                wanted = await asyncio.to_thread(parse, data, path=str(self.path))
                await self._check(wanted)
                if data == base.data or await self._exchange(base.data, data):
                    await asyncio.to_thread(self._save_last_good, data)
                    self._bring_into_force(wanted, _Reading(data=data).key)
                    await self._deliver()
                    return wanted
        raise Transient(f"{self.path} keeps being saved by somebody else; try again")

    async def _check(self, desired: DesiredState) -> None:
        if self._validate is not None:
            await self._validate(desired)

    def _bring_into_force(self, desired: DesiredState, key: str) -> None:
        self._desired = desired
        self._in_force_key = self._judged_key = self._seen_key = key
        self.problem = None

    async def _deliver(self) -> None:
        if self._on_accept is not None and self._delivered_key != self._in_force_key:
            key = self._in_force_key
            await self._on_accept(self.desired)
            self._delivered_key = key

    def _read(self) -> _Reading:
        try:
            return _Reading(data=read_regular(self.path, FILE_SIZE_MAX))
        except FileNotFoundError:
            fix = f"copy {self.path.stem}.example{self.path.suffix} to it and edit that"
            if self.last_good_path.exists():
                fix = f"restore it: cp {self.last_good_path} {self.path}"
            reason = "is missing"
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            fix = f"make it a file that the user with id {os.getuid()} may read and write"
        return _Reading(trouble=StateFileRefused(path=str(self.path), reason=reason, fix=fix))

    def _parsed(self, reading: _Reading) -> DesiredState:
        if reading.trouble is not None:
            raise reading.trouble
        return parse(reading.data, path=str(self.path))

    def _load_last_good(self, refused: StateFileRefused) -> DesiredState:
        try:
            return parse(
                read_regular(self.last_good_path, FILE_SIZE_MAX), path=str(self.last_good_path)
            )
        except (OSError, StateFileRefused):
            raise refused from None

    def _save_last_good(self, data: bytes) -> None:
        try:
            with self._saving:
                if _content(self.last_good_path) != data:
                    replace_file(self.last_good_path, data)
        except OSError as error:
            # What the operator wants is in force all the same; only the next start is poorer.
            log.warning("state_file.last_good_not_saved", reason=str(error))

    async def _exchange(self, base: bytes, data: bytes) -> bool:
        """Put `data` in place of `base`; False when something else is there by now."""
        # A name of its own each time: the displaced file is kept for a while, and a thread whose
        # caller was cancelled may still be busy with its.
        spare = self.path.with_name(f"{self._spare_prefix}{next(self._spare_numbers)}")
        try:
            is_done = await asyncio.to_thread(
                replace_if_unchanged, self.path, base=base, data=data, spare=spare
            )
        except FileNotFoundError:
            return False  # the next look says that it is missing
        except OSError as error:
            raise Transient(
                f"{self.path} cannot be written: {error.strerror or error}; nothing was changed"
            ) from error
        if is_done:
            until_s = self._clock.elapsed_s() + DISPLACED_KEPT_S
            self._displaced.append(_Displaced(path=spare, base=base, until_s=until_s))
        return is_done

    def _check_displaced(self, now_s: float, now_ms: int) -> None:
        """Look whether an editor that writes in place has saved into a file we displaced.

        Raises: StateFileRefused, when it has: that edit is kept, and a person has to say.
        """
        for displaced in tuple(self._displaced):
            content = _content(displaced.path)
            if content is not None and content != displaced.base:
                self._displaced.remove(displaced)
                raise self._kept_aside(displaced.path, now_ms)
            if content is None or now_s >= displaced.until_s:
                self._displaced.remove(displaced)
                displaced.path.unlink(missing_ok=True)

    def _set_leftovers_aside(self) -> None:
        """After a crash in the middle of a command: what it left may be somebody's edit."""
        known = [_content(self.path), _content(self.last_good_path)]
        for path in sorted(self.path.parent.glob(f"{self._spare_prefix}*")):
            if _content(path) in known:
                path.unlink()
            else:
                kept = self._kept_aside(path, self._clock.now_ms())
                log.warning("state_file.leftover_kept", reason=str(kept))

    def _kept_aside(self, path: Path, now_ms: int) -> StateFileRefused:
        aside = self.path.with_name(f"{self.path.stem}.displaced-{now_ms}{self.path.suffix}")
        os.replace(path, aside)  # noqa: PTH105 - within one directory
        return StateFileRefused(
            path=str(self.path),
            reason=f"a version saved during a command is kept as {aside}",
            fix="compare the two and save what is meant",
        )


def _signature(path: Path) -> tuple[int, ...]:
    """What `stat` says of a file's content; the same for every file that cannot be looked at."""
    try:
        there = path.lstat()
    except OSError:
        return ()
    return (there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_mode)


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, FILE_SIZE_MAX)
    except OSError:
        return None
