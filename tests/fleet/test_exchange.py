"""A file is replaced only while it is what the new one was made from."""

import errno
import os
import threading

import pytest

from vigil.fleet import exchange
from vigil.fleet.exchange import NotRegular, read_regular, replace_if_unchanged


@pytest.fixture(params=["exchange", "fallback"])
def way(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.setattr(exchange, "_exchange", lambda _one, _other: False)
    return request.param


def test_replaces_what_it_was_based_on_and_keeps_the_mode(tmp_path, way):
    path, spare = tmp_path / "f", tmp_path / "spare"
    path.write_bytes(b"old")
    path.chmod(0o640)
    assert replace_if_unchanged(path, base=b"old", data=b"new", spare=spare)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    if way == "exchange":
        assert spare.read_bytes() == b"old"


def test_leaves_in_place_what_somebody_else_saved(tmp_path, way):
    path, spare = tmp_path / "f", tmp_path / "spare"
    path.write_bytes(b"theirs, and longer than the base")
    inode = path.stat().st_ino
    assert not replace_if_unchanged(path, base=b"old", data=b"new", spare=spare)
    assert path.read_bytes() == b"theirs, and longer than the base"
    assert path.stat().st_ino == inode
    assert not spare.exists()


def test_a_file_that_vanished_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace_if_unchanged(tmp_path / "f", base=b"", data=b"new", spare=tmp_path / "spare")
    assert not (tmp_path / "f").exists()


def test_a_save_between_exchange_and_putting_back_wins_too(tmp_path, monkeypatch):
    """Two saves of a person fall into one attempt: the newer one is what remains."""
    path, spare = tmp_path / "f", tmp_path / "spare"
    path.write_bytes(b"first save")
    real = exchange._exchange
    calls = []

    def exchange_then_save(one, other):
        done = real(one, other)
        calls.append(1)
        if len(calls) == 1:  # ours is in place now, wrongly; the person saves over it
            (tmp_path / "editor").write_bytes(b"second save")
            os.rename(tmp_path / "editor", path)
        return done

    monkeypatch.setattr(exchange, "_exchange", exchange_then_save)
    assert not replace_if_unchanged(path, base=b"old", data=b"new", spare=spare)
    assert path.read_bytes() == b"second save"
    assert not spare.exists()


def test_no_save_of_a_racing_editor_is_ever_lost(tmp_path):
    """150 races between real threads: the editor's last save is always what remains or is built on."""
    path = tmp_path / "f"
    for race in range(150):
        path.write_bytes(b"0")
        start = threading.Barrier(2)

        def editor(start=start):
            start.wait()
            for save in range(1, 4):
                (tmp_path / "editor").write_bytes(str(save).encode())
                os.rename(tmp_path / "editor", path)

        thread = threading.Thread(target=editor)
        thread.start()
        start.wait()
        for attempt in range(1000):
            base = path.read_bytes()
            spare = tmp_path / f"spare-{race}-{attempt}"
            if replace_if_unchanged(path, base=base, data=base + b"!", spare=spare):
                spare.unlink()
                break
        thread.join()
        assert path.read_bytes() in {b"3", b"3!"}, race
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f"]


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "socket"])
def test_what_is_no_file_is_not_read_and_not_waited_for(tmp_path, kind):
    import socket

    path = tmp_path / "f"
    if kind == "link":
        (tmp_path / "target").write_bytes(b"secret")
        path.symlink_to(tmp_path / "target")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(OSError) as refused:
        read_regular(path, 100)
    assert isinstance(refused.value, NotRegular) or refused.value.errno == errno.EISDIR


def test_no_more_is_read_than_asked_for(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100)
    assert len(read_regular(tmp_path / "f", 10)) == 11
