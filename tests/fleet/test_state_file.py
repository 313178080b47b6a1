"""The operator's file on a real disk: accepted or refused within seconds, never lost."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import threading
import time

import pytest

from vigil.domain.standing import DesiredStatus
from vigil.errors import Transient
from vigil.fleet import exchange, state_file
from vigil.fleet.desired import DesiredStrategy, StateFileRefused
from vigil.fleet.state_file import StateFile

POLL_S = 0.005


class QuickClock:
    """The machine's clock with shorter waits."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now_ms(self) -> int:
        return 1_790_000_000_000

    def elapsed_s(self) -> float:
        return asyncio.get_event_loop().time() + self.offset_s

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s * POLL_S)


def content(status="active", **config) -> str:
    return json.dumps(
        {"activeStrategies": [{"id": "x", "name": "Razor", "status": status, "config": config}]},
        indent=1,
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "backend-state.json"
    path.write_text(content())
    return path


class Following:
    """A state file that is watched, and what it told."""

    def __init__(self, path) -> None:
        self.clock = QuickClock()
        self.file = StateFile(path, clock=self.clock)
        self.accepted = []
        self.refused = []
        self.validation = None
        self.failure = None

    async def validate(self, desired) -> None:
        if self.validation is not None:
            raise self.validation(desired)

    async def on_accept(self, desired) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.accepted.append(desired)

    async def watch(self) -> None:
        await self.file.watch(
            validate=self.validate, on_accept=self.on_accept, on_refuse=self.refused.append
        )

    @contextlib.asynccontextmanager
    async def watching(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.watch())
            yield self
            task.cancel()

    async def until(self, condition) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    async def polls(self, count=4) -> None:
        """Wait for so many looks."""
        looks = []
        original = self.file._look

        async def counted():
            looks.append(1)
            await original()

        self.file._look = counted
        await self.until(lambda: len(looks) >= count)
        self.file._look = original


@pytest.fixture
def following(path):
    following = Following(path)
    following.file.load()
    return following


def status_in(path) -> str:
    return json.loads(path.read_text())["activeStrategies"][0]["status"]


class TestAtStart:
    def test_a_good_file_is_in_force_and_kept_as_the_last_good_one(self, path):
        file = StateFile(path, clock=QuickClock())
        assert file.load().strategies[0].id == "x"
        assert file.problem is None
        assert file.last_good_path.name == "backend-state.last-good.json"
        assert file.last_good_path.read_bytes() == path.read_bytes()

    def test_a_missing_file_says_how_to_make_one(self, path):
        path.unlink()
        with pytest.raises(StateFileRefused, match="copy backend-state.example.json"):
            StateFile(path, clock=QuickClock()).load()

    @pytest.mark.parametrize("broken", ["{", None], ids=["broken", "missing"])
    def test_the_last_good_version_serves_when_the_file_cannot(self, path, broken):
        StateFile(path, clock=QuickClock()).load()
        path.unlink()
        if broken is not None:
            path.write_text(broken)
        file = StateFile(path, clock=QuickClock())
        assert file.load().strategies[0].id == "x"
        assert str(path) in str(file.problem)

    def test_without_a_last_good_version_a_broken_file_is_refused_with_its_place(self, path):
        path.write_text('{"activeStrategies": [}')
        with pytest.raises(StateFileRefused) as refused:
            StateFile(path, clock=QuickClock()).load()
        assert (refused.value.line, refused.value.column) == (1, 23)
        path.with_name("backend-state.last-good.json").write_text("{")
        with pytest.raises(StateFileRefused) as refused:
            StateFile(path, clock=QuickClock()).load()
        assert refused.value.path == str(path)

    @pytest.mark.parametrize("kind", ["directory", "link"])
    def test_what_is_no_file_is_refused_with_the_fix(self, path, kind):
        path.unlink()
        if kind == "directory":
            path.mkdir()
        else:
            path.symlink_to("/etc/passwd")
        with pytest.raises(StateFileRefused, match="cannot be read: .*make it a file"):
            StateFile(path, clock=QuickClock()).load()


class TestEditedByHand:
    async def test_an_edit_comes_into_force_and_is_kept(self, following, path):
        async with following.watching():
            path.write_text(content("paused"))
            await following.until(lambda: following.accepted)
            assert following.accepted[0].strategies[0].status is DesiredStatus.PAUSED
            assert following.file.desired is following.accepted[0]
            assert following.file.last_good_path.read_bytes() == path.read_bytes()

    async def test_an_unchanged_or_merely_touched_file_is_not_accepted_again(self, following, path):
        async with following.watching():
            await following.polls()
            os.utime(path)
            await following.polls()
            assert following.accepted == []
            assert following.refused == []

    async def test_a_broken_edit_is_refused_once_and_the_last_good_version_stays(
        self, following, path
    ):
        async with following.watching():
            before = following.file.desired
            path.write_text(content().replace('"active"', '"on"'))
            await following.until(lambda: following.refused)
            await following.polls()
            assert len(following.refused) == 1
            assert following.file.problem.line == 6
            assert following.file.desired is before
            assert following.accepted == []
            path.write_text(content("stopped"))
            await following.until(lambda: following.accepted)
            assert following.file.problem is None

    async def test_undoing_a_broken_edit_clears_the_problem(self, following, path):
        async with following.watching():
            path.write_text("{")
            await following.until(lambda: following.file.problem)
            path.write_text(content())
            await following.until(lambda: following.file.problem is None)
            assert following.accepted == []

    async def test_a_file_is_judged_only_when_two_looks_agree(self, following, path):
        """An editor that writes in place, slowly: no half of it is refused or accepted."""
        whole = content("paused", note="x" * 50)
        ends = iter(range(0, len(whole), 7))
        look = following.file._look

        async def look_at_more() -> None:
            path.write_text(whole[: next(ends, len(whole))])
            await look()

        following.file._look = look_at_more
        async with following.watching():
            await following.until(lambda: following.accepted)
            assert following.refused == []
            assert following.accepted[0].strategies[0].status is DesiredStatus.PAUSED

    @pytest.mark.parametrize("kind", ["deleted", "directory", "link"])
    async def test_a_file_that_is_gone_stops_nothing_and_is_told(self, following, path, kind):
        async with following.watching():
            path.unlink()
            if kind == "directory":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(following.file.last_good_path)
            await following.until(lambda: following.refused)
            await following.polls()
            assert len(following.refused) == 1
            assert following.accepted == []
            assert following.file.desired.strategies[0].id == "x"
            if kind == "deleted":
                assert "cp " in following.file.problem.fix
                shutil.copy(following.file.last_good_path, path)
                await following.until(lambda: following.file.problem is None)
                assert following.accepted == []

    async def test_what_the_validator_refuses_is_not_accepted(self, following, path):
        following.validation = lambda desired: desired.refusal("x", "name", "unknown", "correct it")
        async with following.watching():
            path.write_text(content("paused"))
            await following.until(lambda: following.refused)
            assert following.file.problem.line == 5
            assert following.file.desired.strategies[0].status is DesiredStatus.ACTIVE

    async def test_a_validator_that_fails_otherwise_is_asked_again(self, following, path):
        path.write_text(content("paused"))
        following.validation = lambda _: Transient("exchange is away")
        with pytest.raises(Transient):
            await following.watch()
        following.validation = None
        async with following.watching():
            await following.until(lambda: following.accepted)

    async def test_what_could_not_be_handed_on_is_handed_on_again(self, following, path):
        path.write_text(content("paused"))
        following.failure = RuntimeError("fleet is busy")
        with pytest.raises(RuntimeError):
            await following.watch()
        async with following.watching():
            await following.until(lambda: following.accepted)
        assert len(following.accepted) == 1

    async def test_a_broken_file_at_start_is_accepted_once_it_is_mended(self, path):
        StateFile(path, clock=QuickClock()).load()
        path.write_text("{")
        following = Following(path)
        following.file.load()
        async with following.watching():
            await following.polls()
            assert following.refused == []  # told at start already
            assert following.file.problem is not None
            path.write_text(content())
            await following.until(lambda: following.accepted)
            assert following.file.problem is None


class TestCommands:
    async def test_a_status_is_saved_in_force_and_handed_on_when_the_command_returns(
        self, following, path
    ):
        async with following.watching():
            await following.polls()
            before = path.read_text()
            await following.file.set_status("x", DesiredStatus.STOPPED)
            assert path.read_text() == before.replace('"active"', '"stopped"')
            assert following.accepted[-1].strategies[0].status is DesiredStatus.STOPPED
            assert following.file.last_good_path.read_bytes() == path.read_bytes()
            await following.polls()
            assert len(following.accepted) == 1

    async def test_a_command_before_the_watch_is_handed_on_when_it_begins(self, following, path):
        await following.file.set_status("x", DesiredStatus.PAUSED)
        assert status_in(path) == "paused"
        async with following.watching():
            await following.until(lambda: following.accepted)

    async def test_repeating_a_command_writes_nothing(self, following, path):
        await following.file.set_status("x", DesiredStatus.PAUSED)
        inode = path.stat().st_ino
        await following.file.set_status("x", DesiredStatus.PAUSED)
        assert path.stat().st_ino == inode

    async def test_an_edit_that_was_not_yet_seen_is_built_on(self, following, path):
        path.write_text(content(note="by hand"))
        state = await following.file.set_status("x", DesiredStatus.PAUSED)
        assert state.strategies[0].config == {"note": "by hand"}
        assert json.loads(path.read_text())["activeStrategies"][0]["config"] == {"note": "by hand"}

    async def test_a_strategy_is_put_and_reads_back(self, following, path):
        new = DesiredStrategy(
            id="y", name="Razor", status=DesiredStatus.ACTIVE, account=None, config={"a": 1}
        )
        state = await following.file.put(new)
        assert [each.id for each in state.strategies] == ["x", "y"]
        assert StateFile(path, clock=QuickClock()).load() == state

    @pytest.mark.parametrize("strategy_id", ["absent", "", "x\n"])
    async def test_an_unknown_strategy_is_refused_and_the_file_untouched(
        self, following, path, strategy_id
    ):
        with pytest.raises(StateFileRefused, match="known are x"):
            await following.file.set_status(strategy_id, DesiredStatus.ACTIVE)
        assert path.read_text() == content()

    async def test_what_would_not_be_accepted_is_not_written(self, following, path):
        bad = DesiredStrategy(
            id="no/id", name="Razor", status=DesiredStatus.ACTIVE, account=None, config={}
        )
        with pytest.raises(StateFileRefused, match="is no id"):
            await following.file.put(bad)
        following.validation = lambda desired: desired.refusal("x", "name", "no", "correct it")
        async with following.watching():
            await following.polls()
            with pytest.raises(StateFileRefused, match="name: no"):
                await following.file.set_status("x", DesiredStatus.PAUSED)
        assert path.read_text() == content()

    @pytest.mark.parametrize("broken", ["{", None], ids=["broken", "missing"])
    async def test_a_file_that_cannot_be_read_is_not_written_over(self, following, path, broken):
        path.unlink()
        if broken is not None:
            path.write_text(broken)
        with pytest.raises(StateFileRefused):
            await following.file.set_status("x", DesiredStatus.PAUSED)
        assert path.exists() == (broken is not None)

    async def test_the_mode_is_kept(self, following, path):
        path.chmod(0o640)
        await following.file.set_status("x", DesiredStatus.PAUSED)
        assert path.stat().st_mode & 0o777 == 0o640

    async def test_a_disk_that_cannot_be_written_is_said_so(self, following, monkeypatch):
        def full(*_args, **_kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(state_file, "replace_if_unchanged", full)
        with pytest.raises(Transient, match="No space left on device; nothing was changed"):
            await following.file.set_status("x", DesiredStatus.PAUSED)

    async def test_many_commands_at_once_all_take_effect(self, following, path):
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                new = DesiredStrategy(
                    id=f"s{number}", name="R", status=DesiredStatus.PAUSED, account=None, config={}
                )
                group.create_task(following.file.put(new))
        ids = {each["id"] for each in json.loads(path.read_text())["activeStrategies"]}
        assert ids == {"x", *(f"s{number}" for number in range(10))}


class TestDisplaced:
    async def test_an_edit_into_the_displaced_file_is_kept_and_told(self, following, path):
        """An editor opened the file before the command and writes in place after it."""
        async with following.watching():
            await following.polls()
            with path.open("r+") as editor:
                await following.file.set_status("x", DesiredStatus.PAUSED)
                editor.write(content(note="late"))
            await following.until(lambda: following.refused)
            (kept,) = path.parent.glob("backend-state.displaced-*.json")
            assert json.loads(kept.read_text())["activeStrategies"][0]["config"] == {"note": "late"}
            assert str(kept) in str(following.file.problem)
            assert status_in(path) == "paused"

    async def test_displaced_files_go_after_a_while(self, following, path):
        async with following.watching():
            await following.file.set_status("x", DesiredStatus.PAUSED)
            await following.file.set_status("x", DesiredStatus.ACTIVE)
            assert len(list(path.parent.glob(".backend-state.json.exchange-*"))) == 2
            following.clock.offset_s = 61.0
            await following.until(lambda: not list(path.parent.glob(".backend-state.json.ex*")))
            assert following.refused == []

    def test_what_a_crash_left_is_kept_unless_it_is_known(self, path):
        leftover = path.with_name(".backend-state.json.exchange-1")
        leftover.write_bytes(path.read_bytes())
        StateFile(path, clock=QuickClock()).load()
        assert not leftover.exists()
        leftover.write_text("somebody's edit")
        StateFile(path, clock=QuickClock()).load()
        assert not leftover.exists()
        (kept,) = path.parent.glob("backend-state.displaced-*.json")
        assert kept.read_text() == "somebody's edit"


async def test_no_edit_of_a_person_is_lost_in_races_with_commands(path):
    """300 times a real thread saves by rename just when a command rewrites the file."""
    following = Following(path)
    following.file.load()
    rng = random.Random(5)
    built_on, took_s = 0, 0.001
    for race in range(300):
        start = threading.Barrier(2)
        pause_s = rng.uniform(0.0, took_s)  # as slow as the machine is

        def editor(race=race, start=start, pause_s=pause_s) -> None:
            temporary = path.with_name("editor.tmp")
            temporary.write_text(content("active", edit=race))
            start.wait()
            time.sleep(pause_s)  # anywhere between the command's read and its exchange
            os.rename(temporary, path)

        thread = threading.Thread(target=editor)
        thread.start()
        start.wait()
        began_s = time.monotonic()
        await following.file.set_status("x", DesiredStatus.STOPPED)
        took_s = min(0.05, time.monotonic() - began_s)
        thread.join()
        strategy = json.loads(path.read_text())["activeStrategies"][0]
        assert strategy["config"] == {"edit": race}
        built_on += strategy["status"] == "stopped"
        path.write_text(content("paused", edit=-1))
    assert not list(path.parent.glob("backend-state.displaced-*"))
    assert 0 < built_on < 300, "the races did not go both ways"


async def test_it_works_on_a_file_system_that_cannot_exchange(following, path, monkeypatch):
    monkeypatch.setattr(exchange, "_exchange", lambda _one, _other: False)
    await following.file.set_status("x", DesiredStatus.PAUSED)
    assert status_in(path) == "paused"
    async with following.watching():
        await following.polls()
        assert following.refused == []
