"""The cache on disk: what it gives back is what was put there, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chainrule.__main__ import main
from chainrule.compiler import cache as module
from chainrule.compiler.cache import ENDING, HEAD, SIZE, Cache, cache

POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as POSIX has them")


@pytest.fixture
def kept(tmp_path) -> Cache:
    return Cache(tmp_path / "code", limit=100_000)


def the_file(kept: Cache):
    ((path, _),) = kept.entries()
    return path


def test_content_comes_back_under_its_key_alone(kept):
    assert kept.get(b"a") is None
    assert kept.entries() == []
    kept.put(b"a", b"one")
    kept.put(b"b", b"")
    assert (kept.get(b"a"), kept.get(b"b"), kept.get(b"c")) == (b"one", b"", None)
    kept.put(b"a", b"two")
    assert kept.get(b"a") == b"two"
    assert len(kept.entries()) == 2
    assert kept.clear() == 2
    assert kept.get(b"a") is None


def test_a_byte_changed_anywhere_is_seen(kept):
    kept.put(b"key", bytes(range(50)))
    path = the_file(kept)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert kept.get(b"key") is None, at
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert kept.get(b"key") is None, length
    path.write_bytes(whole + b"x")
    assert kept.get(b"key") is None
    path.write_bytes(whole)
    assert kept.get(b"key") == bytes(range(50))


def test_an_entry_moved_to_another_key_is_not_believed(kept):
    kept.put(b"a", b"one")
    the_file(kept).rename(kept._path(b"b"))
    assert kept.get(b"b") is None


def test_what_is_corrupted_is_replaced(kept):
    kept.put(b"a", b"one")
    the_file(kept).write_bytes(b"rubbish")
    assert kept.get(b"a") is None
    kept.put(b"a", b"one")
    assert kept.get(b"a") == b"one"


@POSIX
def test_files_and_folders_that_others_may_write_are_not_believed(kept):
    kept.put(b"a", b"one")
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    path = the_file(kept)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o622)
    assert kept.get(b"a") is None
    path.chmod(0o600)
    kept.folder.chmod(0o770)
    assert kept.get(b"a") is None
    kept.put(b"b", b"two")
    assert len(kept.entries()) == 1
    kept.folder.chmod(0o700)
    assert kept.get(b"a") == b"one"


@POSIX
def test_files_of_other_users_are_not_believed(kept, monkeypatch):
    kept.put(b"a", b"one")
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    assert kept.get(b"a") is None


@POSIX
def test_links_and_pipes_are_not_followed(kept, tmp_path):
    kept.put(b"a", b"one")
    path = the_file(kept)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert kept.get(b"a") is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert kept.get(b"a") is None
    path.unlink()
    path.mkdir()
    assert kept.get(b"a") is None
    kept.put(b"a", b"one")  # cannot replace the folder, and says nothing


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "code"):
        kept = Cache(folder)
        kept.put(b"a", b"one")
        assert kept.get(b"a") is None
        assert kept.entries() == []
        assert kept.clear() == 0


def test_a_full_disk_leaves_nothing_behind(kept, monkeypatch):
    kept.put(b"a", b"one")

    def full(path, flags):
        made = os.open(path, flags, 0o600)
        os.close(made)
        return os.open("/dev/full", os.O_WRONLY)

    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(module, "_private", full)
    kept.put(b"b", b"two" * 10_000)
    assert {path.name for path in kept.folder.iterdir()} - {SIZE} == {kept._path(b"a").name}
    assert kept.get(b"a") == b"one"


def test_what_was_used_longest_ago_goes_first(tmp_path):
    kept = Cache(tmp_path / "code", limit=10 * (HEAD + 1000))
    for k in range(10):
        kept.put(b"%d" % k, bytes(1000))
        os.utime(kept._path(b"%d" % k), (1000 + k, 1000 + k))
    assert len(kept.entries()) == 10
    assert kept.get(b"0") is not None  # used now
    kept.put(b"new", bytes(1000))
    assert [kept.get(b"%d" % k) is None for k in range(4)] == [False, True, True, False]
    assert kept.get(b"new") is not None
    assert sum(size for _, size in kept.entries()) <= kept.limit * 0.9


def test_a_process_counts_what_it_found(tmp_path):
    kept = Cache(tmp_path / "code", limit=10 * (HEAD + 1000))
    for k in range(10):
        kept.put(b"%d" % k, bytes(1000))
    Cache(kept.folder, kept.limit).put(b"new", bytes(1000))
    assert sum(size for _, size in kept.entries()) <= kept.limit


@pytest.mark.parametrize("told", [None, b"", b"many", b"99999999999999999999", "foreign"], ids=str)
def test_what_the_folder_holds_is_counted_anew_where_that_is_not_told(tmp_path, told):
    kept = Cache(tmp_path / "code", limit=10 * (HEAD + 1000))
    for k in range(10):
        kept.put(b"%d" % k, bytes(1000))
    size = kept.folder / SIZE
    if told == "foreign":
        size.write_bytes(b"0")
        size.chmod(0o666)
    elif told is None:
        size.unlink()
    else:
        size.write_bytes(told)
    kept.put(b"new", bytes(1000))
    held = sum(size for _, size in kept.entries())
    assert held <= kept.limit
    assert int(size.read_bytes()) == held or told == "foreign"


def test_a_write_does_not_look_at_all_files(tmp_path, monkeypatch):
    kept = Cache(tmp_path / "code")
    kept.put(b"a", bytes(10))
    monkeypatch.setattr(Cache, "_files", None)
    Cache(kept.folder).put(b"b", bytes(10))
    assert kept.get(b"b") == bytes(10)


def test_what_exceeds_the_limit_is_not_kept(tmp_path):
    kept = Cache(tmp_path / "code", limit=100)
    kept.put(b"a", bytes(200))
    assert kept.entries() == []


def test_unfinished_files_of_crashed_processes_go_after_an_hour(tmp_path):
    kept = Cache(tmp_path / "code", limit=1000)
    kept.put(b"a", bytes(10))
    old, young = kept.folder / "old.part", kept.folder / "young.part"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    kept._evicted()
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path):
    code = """
import sys
from pathlib import Path
from chainrule.compiler.cache import Cache
kept = Cache(Path(sys.argv[1]), limit=60_000)
for turn in range(300):
    key = b"%d" % (turn % 20)
    found = kept.get(key)
    assert found in (None, key * 1000), turn
    kept.put(key, key * 1000)
"""
    working = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "code")]) for _ in range(2)]
    assert [process.wait(60) for process in working] == [0, 0]
    kept = Cache(tmp_path / "code", limit=60_000)
    assert kept.entries()
    assert not [path for path in kept.folder.iterdir() if path.suffix != ENDING and path.name != SIZE]


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.delenv("CHAINRULE_CACHE_SIZE", raising=False)
    assert (cache().folder, cache().limit) == (tmp_path / "code", 256 << 20)
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "3")
    assert cache().limit == 3 << 20
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "much")
    with pytest.warns(UserWarning, match="a number of megabytes"):
        assert cache().limit == 256 << 20
    monkeypatch.delenv("CHAINRULE_CACHE_SIZE")
    monkeypatch.setenv("CHAINRULE_CACHE", "~/kept")
    monkeypatch.setenv("HOME", str(tmp_path))
    module._cache.cache_clear()
    assert cache().folder == tmp_path / "kept" / "code"
    module._cache.cache_clear()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the folders of other systems")
def test_the_folder_is_where_the_platform_keeps_such_things(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module._users_folder() == tmp_path / "chainrule"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert module._users_folder() == tmp_path / ".cache" / "chainrule"


@pytest.mark.parametrize("off", ["", "0"])
def test_the_cache_can_be_switched_off(monkeypatch, off, capsys):
    monkeypatch.setenv("CHAINRULE_CACHE", off)
    cache().put(b"a", b"one")
    assert cache().get(b"a") is None
    assert main(["cache"]) == 0
    assert "off" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0


def test_the_command_line_shows_and_clears(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    cache().put(b"a", bytes(5000))
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    for words in (str(tmp_path / "code"), "entries       1", "of 256 MB"):
        assert words in shown
    assert main(["cache", "clear"]) == 0
    assert "removed 1 entry" in capsys.readouterr().out
    assert cache().entries() == []
    assert main(["info"]) == 0
    assert str(tmp_path / "code") in capsys.readouterr().out
