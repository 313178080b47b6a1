"""Whole small files: the old one or the new one."""

import os

import pytest

from vigil.durable_file import replace_file, write_new_file


def test_a_file_is_replaced_privately_whatever_the_umask(tmp_path):
    path = tmp_path / "f"
    before = os.umask(0o777)
    try:
        replace_file(path, b"1")
        replace_file(path, b"2", mode=0o640)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"2"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_a_planted_link_is_replaced_and_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    link = tmp_path / "f"
    link.symlink_to(victim)
    write_new_file(link, b"new")
    assert victim.read_bytes() == b"mine"
    assert not link.is_symlink()


def test_a_write_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "f"
    replace_file(path, b"old")

    def broken(_descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
