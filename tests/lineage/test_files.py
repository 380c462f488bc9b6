"""Digests of files and directories, and everything in a directory that is no file."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import stat
import sys
import threading
from pathlib import Path

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import FingerprintError, MissingDependencyError
from affidavit.lineage import _files
from affidavit.lineage._files import directory_manifest, file_digest, file_fingerprint


@pytest.fixture
def model(tmp_path):
    root = tmp_path / "model"
    (root / "d0").mkdir(parents=True)
    (root / "d0" / "f00").write_bytes(b"zero")
    (root / "d0" / "f01").write_bytes(b"one")
    (root / "d0.txt").write_bytes(b"text")
    (root / ".hidden").write_bytes(b"")
    return root


@settings(max_examples=20)
@given(st.binary(max_size=5000), st.sampled_from(["sha256", "sha384", "sha512"]))
def test_a_file_digest_is_the_hash_of_its_bytes(tmp_path_factory, content, algorithm):
    path = tmp_path_factory.mktemp("f") / "file"
    path.write_bytes(content)
    digest = file_digest(path, algorithm)
    assert digest.value == hashlib.new(algorithm, content).hexdigest()
    assert (digest.algorithm, digest.recipe) == (algorithm, "file-bytes-v1")


@pytest.mark.parametrize("size", [0, 1, _files._BLOCK - 1, _files._BLOCK, _files._BLOCK + 1])
def test_files_at_the_edges_of_a_block_are_read_whole(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    print_ = file_fingerprint(path)
    assert print_.digest.value == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (print_.kind, print_.detail) == ("file", {"size": size})


def test_a_manifest_lists_every_file_by_its_components(model):
    manifest = directory_manifest(model)
    assert [name for name, _ in manifest.files] == [".hidden", "d0/f00", "d0/f01", "d0.txt"]
    assert manifest.size == 11
    for name, digest in manifest.files:
        assert digest == file_digest(model / name)
    assert manifest.predicate["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
    }
    text = json.dumps(manifest.predicate, sort_keys=True, separators=(",", ":"))
    assert manifest.digest.value == hashlib.sha256(text.encode()).hexdigest()
    assert manifest.digest.recipe == "directory-manifest-v1"
    print_ = manifest.fingerprint()
    assert (print_.kind, print_.detail["files"], print_.detail["size"]) == ("directory", 4, 11)


def test_the_oms_root_is_the_hash_over_the_raw_digests_in_order(model):
    contents = [b"", b"zero", b"one", b"text"]
    joined = b"".join(hashlib.sha256(content).digest() for content in contents)
    assert directory_manifest(model).oms_root == hashlib.sha256(joined).hexdigest()


def test_a_renamed_file_changes_the_digest_though_the_oms_root_stays(model):
    before = directory_manifest(model)
    (model / "d0" / "f01").rename(model / "d0" / "f02")
    after = directory_manifest(model)
    assert after.oms_root == before.oms_root
    assert after.digest != before.digest


def test_threads_and_the_order_of_creation_do_not_show(model, tmp_path):
    expected = directory_manifest(model, threads=1)
    assert directory_manifest(model, threads=4) == expected
    copy = tmp_path / "copy"
    for name, _ in reversed(expected.files):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((model / name).read_bytes())
    (copy / "empty").mkdir()
    assert directory_manifest(copy) == expected


def test_one_changed_byte_changes_the_digest(model):
    before = directory_manifest(model).digest
    (model / "d0" / "f00").write_bytes(b"zerO")
    assert directory_manifest(model).digest != before


def test_names_with_newlines_quotes_and_other_scripts_are_unambiguous(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for root, names in ((one, ["a\nb", "c"]), (two, ["a", "b\nc"])):
        root.mkdir()
        for name in names:
            (root / name).write_bytes(b"same")
    assert directory_manifest(one).digest != directory_manifest(two).digest
    (one / 'é"\\').write_bytes(b"")
    assert 'é"\\' in [name for name, _ in directory_manifest(one).files]


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    with pytest.raises(FingerprintError, match="not UTF-8"):
        directory_manifest(tmp_path)


@pytest.mark.parametrize("target", [".", "..", "d0/f00", "/etc/hostname", "nowhere"])
def test_a_symbolic_link_in_a_directory_is_refused_by_name(model, target):
    (model / "d0" / "link").symlink_to(target)
    with pytest.raises(FingerprintError, match="symbolic link 'd0/link'"):
        directory_manifest(model)


def test_a_file_may_be_named_through_a_link_but_not_through_a_loop(model):
    (model / "link").symlink_to("d0/f00")
    assert file_digest(model / "link") == file_digest(model / "d0" / "f00")
    (model / "loop").symlink_to("loop")
    with pytest.raises(FingerprintError, match="Cannot read"):
        file_digest(model / "loop")


def test_a_pipe_is_refused_without_waiting_for_a_writer(model):
    os.mkfifo(model / "pipe")
    with pytest.raises(FingerprintError, match=r"'pipe'.*named pipe"):
        directory_manifest(model)
    with pytest.raises(FingerprintError, match="named pipe"):
        file_digest(model / "pipe")


def test_a_socket_a_device_and_a_directory_are_no_files(model, monkeypatch):
    monkeypatch.chdir(model)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        with pytest.raises(FingerprintError, match="a socket"):
            directory_manifest(model)
        with pytest.raises(FingerprintError, match="a socket"):
            file_digest(model / "sock")
    with pytest.raises(FingerprintError, match="a device"):
        file_digest(Path("/dev/null"))
    with pytest.raises(FingerprintError, match="a directory"):
        file_digest(model)
    with pytest.raises(FingerprintError, match="Expected a directory"):
        directory_manifest(model / "d0.txt")
    with pytest.raises(FingerprintError, match="Cannot read"):
        file_digest(model / "missing")


def test_an_unreadable_file_is_an_error_and_never_left_out(model, monkeypatch):
    (model / "d0" / "f00").chmod(0)
    if os.geteuid() == 0:  # root reads everything, so that the system's answer is played
        open_ = os.open

        def refuse(path, flags):
            if Path(path).name == "f00":
                raise PermissionError(13, "Permission denied")
            return open_(path, flags)

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FingerprintError, match=r"Cannot read .*f00.*[Pp]ermission"):
        directory_manifest(model)


def test_an_unreadable_folder_is_an_error_and_never_left_out(model, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("d0"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FingerprintError, match=r"Cannot list .*d0.*Permission denied"):
        directory_manifest(model)


@pytest.mark.parametrize("change", ["truncate", "append", "rewrite"])
def test_a_file_that_changes_while_it_is_hashed_is_refused(tmp_path, monkeypatch, change):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * _files._BLOCK))
    readv, calls = os.readv, []

    def meddle(descriptor, buffers):
        calls.append(1)
        if len(calls) == 2:
            if change == "truncate":
                os.truncate(path, _files._BLOCK)
            else:
                with path.open("ab" if change == "append" else "r+b") as file:
                    file.write(b"other")
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", meddle)
    with pytest.raises(FingerprintError, match="changed while it was hashed"):
        file_digest(path)


def test_files_that_come_or_go_while_a_directory_is_hashed_are_noticed(model, monkeypatch):
    hash_file, lock = _files._hash_file, threading.Lock()

    def meddle(path, reading, *, follow):
        with lock:
            (model / "late").touch()
        return hash_file(path, reading, follow=follow)

    monkeypatch.setattr(_files, "_hash_file", meddle)
    with pytest.raises(FingerprintError, match="came or went"):
        directory_manifest(model)


def test_an_empty_directory_has_a_digest_and_an_unknown_algorithm_has_none(tmp_path):
    assert directory_manifest(tmp_path).files == ()
    (tmp_path / "f").touch()
    with pytest.raises(FingerprintError, match="'md5'"):
        directory_manifest(tmp_path, "md5")


def test_order_and_root_are_those_that_model_signing_computes(tmp_path):
    # Written down from `model_signing.hashing.Config().hash(path)` of model-signing 1.1.1.
    contents = {
        "d0.txt": b"a\n",
        "d0/f": b"b\n",
        "d0-x": b"c\n",
        "d0/x/y": b"d\n",
        ".hidden": b"e\n",
        "é": b"f",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    manifest = directory_manifest(tmp_path)
    order = [".hidden", "d0/f", "d0/x/y", "d0-x", "d0.txt", "é"]
    assert [name for name, _ in manifest.files] == order
    root = "649cda433c4601c1dfefaf7777cadb29e3523bc5c5365f11bc11eafde71fb2a4"
    assert manifest.oms_root == root


# -- BLAKE3, large files, paths left out, progress -------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, _files._BLOCK, _files._WIDE_BLOCK + 5])
def test_blake3_digests_are_those_of_the_library_with_one_thread_and_with_many(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    expected = blake3.blake3(content).hexdigest()
    for threads in (1, 4):
        ((_, digest),) = directory_manifest(tmp_path, "blake3", threads=threads).files
        assert (digest.algorithm, digest.value) == ("blake3", expected)
    assert file_digest(tmp_path / "f", "blake3").value == expected


def test_blake3_says_which_extra_brings_it(tmp_path, monkeypatch):
    (tmp_path / "f").touch()
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(MissingDependencyError, match=r"affidavit\[blake3\]"):
        directory_manifest(tmp_path, "blake3")


def test_a_sparse_file_of_ten_gigabytes_is_hashed_in_little_memory(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    # Made by feeding 640 blocks of 16 MiB of zeros to the blake3 library, without a file.
    zeros = "28960eef7d587ab6d1627b7efe30c7a07ce2dce4871d339fdfb607cb0776e064"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    digest = file_digest(path, "blake3")
    assert digest.value == zeros
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_file_past_four_gigabytes_is_hashed_to_its_last_byte(tmp_path):
    path = tmp_path / "large"
    digests = set()
    for last in (b"a", b"b"):
        with path.open("wb") as file:
            file.seek(2**32 + 2)
            file.write(last)
        print_ = file_fingerprint(path, "blake3")
        assert print_.detail == {"size": 2**32 + 3}
        digests.add(print_.digest.value)
    assert len(digests) == 2


def test_a_device_in_a_directory_is_refused(model):
    try:
        os.mknod(model / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device files")
    with pytest.raises(FingerprintError, match="a device"):
        directory_manifest(model)


def test_a_file_that_becomes_a_link_while_its_directory_is_hashed_is_refused(model, monkeypatch):
    listing = _files._listing

    def swap(root, ignored):
        found = listing(root, ignored)
        (model / "d0.txt").unlink()
        (model / "d0.txt").symlink_to("/etc/hostname")
        return found

    monkeypatch.setattr(_files, "_listing", swap)
    with pytest.raises(FingerprintError, match="became a symbolic link"):
        directory_manifest(model)


def test_paths_left_out_are_not_looked_at_and_stand_in_the_manifest(model):
    whole = directory_manifest(model)
    (model / ".git").mkdir()
    (model / ".git" / "loop").symlink_to(".")
    os.mkfifo(model / "pipe")
    found = directory_manifest(model, ignore={"pipe", ".git", "absent"})
    assert (found.files, found.size) == (whole.files, whole.size)
    assert found.predicate["serialization"]["ignore_paths"] == [".git", "absent", "pipe"]
    assert found.digest != whole.digest
    assert found.oms_root == whole.oms_root
    inner = directory_manifest(model, ignore={".git", "pipe", "d0/f00"})
    assert [name for name, _ in inner.files] == [".hidden", "d0/f01", "d0.txt"]


def test_progress_counts_every_byte(model):
    told = []
    directory_manifest(model, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (11, 11)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
