"""The cache of file digests: right or empty, whatever is done to files, clocks and the cache."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.lineage import _file_cache
from affidavit.lineage._file_cache import GRANULARITY_NS, FileCache
from affidavit.lineage._files import directory_manifest, file_digest

OLD = 3 * GRANULARITY_NS


class Clock:
    """A clock that runs on, and can be set."""

    def __init__(self):
        self.shift = 0

    def __call__(self):
        return _now() + self.shift


_now = time.time_ns


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(time, "time_ns", found)
    return found


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache" / "files.db"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first")
    return path


def look(place, path, algorithm="sha256"):
    """The digest through the cache, and whether it was found there."""
    with FileCache(place) as cache:
        digest = file_digest(path, algorithm, cache=cache)
        return digest.value, bool(cache.hits)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_an_old_file_is_found_again_and_a_young_one_is_read_again(place, file, clock):
    assert [look(place, file) for _ in range(2)] == [(sha(b"first"), False)] * 2
    clock.shift = OLD
    assert look(place, file) == (sha(b"first"), False)
    assert look(place, file) == (sha(b"first"), True)
    assert look(place, file, "blake3")[1] is False


def test_a_change_within_the_tick_in_which_the_file_was_hashed_is_seen(place, file, monkeypatch):
    # The racy case: same size, same times, other content; os.utime plays a coarse clock, and the
    # time of change, which it cannot set, is taken out of the comparison.
    tick = file.stat().st_mtime_ns
    monkeypatch.setattr(_file_cache, "_stamp", lambda s: f"{s.st_size}:{s.st_mtime_ns}")
    assert look(place, file)[0] == sha(b"first")
    file.write_bytes(b"other")
    os.utime(file, ns=(tick, tick))
    assert look(place, file) == (sha(b"other"), False)


@pytest.mark.parametrize(
    "change", ["content", "content and mtime", "replaced", "longer", "touched"]
)
def test_whatever_is_done_to_a_file_its_digest_is_read_anew(place, file, clock, change):
    clock.shift = OLD
    look(place, file)
    assert look(place, file)[1] is True
    before = file.stat()
    if change == "replaced":
        (file.parent / "new").write_bytes(b"other")
        (file.parent / "new").replace(file)
    elif change != "touched":
        file.write_bytes(b"first and more" if change == "longer" else b"other")
    if change in {"content and mtime", "touched"}:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # ctime gives it away
    assert look(place, file) == (sha(file.read_bytes()), False)


def test_a_clock_that_was_set_back_makes_entries_worthless(place, file, clock):
    clock.shift = 10 * OLD
    look(place, file)
    assert look(place, file)[1] is True
    clock.shift = OLD
    assert look(place, file)[1] is False
    clock.shift = -10 * OLD  # files are then from the future
    assert [look(place, file)[1] for _ in range(2)] == [False, False]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=3)), max_size=12))
def test_a_cached_digest_is_always_that_of_the_bytes(tmp_path_factory, writes):
    root = tmp_path_factory.mktemp("files")
    place = root / "cache" / "files.db"
    (root / "d").mkdir()
    for name, content in writes:
        (root / "d" / name).write_bytes(content)
        with FileCache(place) as cache:
            assert directory_manifest(root / "d", cache=cache) == directory_manifest(root / "d")


@pytest.mark.parametrize(
    "content", [b"", b"not a database", b"SQLite format 3\x00" + bytes(200)], ids=len
)
def test_a_damaged_cache_is_an_empty_one(place, file, clock, content):
    clock.shift = OLD
    look(place, file)
    place.write_bytes(content)
    assert look(place, file) == (sha(b"first"), False)
    assert look(place, file) == (sha(b"first"), True)


@pytest.mark.parametrize("value", ["", "ab", "AB" * 32, 7, "ab" * 31 + "zz"])
def test_an_entry_that_is_no_digest_does_not_count(place, file, clock, value):
    clock.shift = OLD
    look(place, file)
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE digest SET value = ?", (value,))
    connection.close()
    assert look(place, file) == (sha(b"first"), False)


@pytest.mark.parametrize("how", ["readable by others", "a link", "a folder"])
def test_a_cache_that_others_could_write_is_replaced_or_not_used(place, file, clock, how, tmp_path):
    clock.shift = OLD
    look(place, file)
    if how == "readable by others":
        place.chmod(0o644)
    else:
        place.unlink()
        if how == "a link":
            (tmp_path / "target").touch()
            place.symlink_to(tmp_path / "target")
        else:
            place.mkdir()
    assert look(place, file) == (sha(b"first"), False)
    if how == "a folder":
        assert look(place, file)[1] is False
    else:
        assert stat.S_IMODE(place.lstat().st_mode) == 0o600
        assert look(place, file)[1] is True


def test_a_folder_that_cannot_be_written_is_no_error(file):
    with FileCache(file / "below" / "a-file") as cache:
        assert file_digest(file, cache=cache).value == sha(b"first")


def test_a_locked_cache_is_no_error(place, file, clock):
    clock.shift = OLD
    look(place, file)
    with sqlite3.connect(place) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert look(place, file)[0] == sha(b"first")
    writer.close()


def test_two_writers_at_once_leave_a_cache_that_is_right(place, tmp_path, clock):
    clock.shift = OLD
    root = tmp_path / "many"
    root.mkdir()
    for number in range(60):
        (root / f"{number}").write_bytes(b"%d" % number)
    expected = directory_manifest(root)
    found = []

    def work():
        for _ in range(4):
            with FileCache(place) as cache:
                found.append(directory_manifest(root, threads=4, cache=cache))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 12
    with FileCache(place) as cache:
        directory_manifest(root, cache=cache)
        assert cache.hits == 60


def test_the_oldest_entries_go_when_there_are_too_many(place, tmp_path, clock, monkeypatch):
    clock.shift = OLD
    monkeypatch.setattr(_file_cache, "MOST", 3)
    for number in range(6):
        path = tmp_path / f"f{number}"
        path.write_bytes(b"x")
        look(place, path)
    with sqlite3.connect(place) as connection:
        assert connection.execute("SELECT count(*) FROM digest").fetchone() == (3,)
    connection.close()
    assert [look(place, tmp_path / f"f{n}")[1] for n in (5, 0)] == [True, False]
