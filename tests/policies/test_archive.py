"""A bundle as one file: the same for OPA and for the embedded engine, and hard to misuse."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real import opa_binary

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies import (
    EmbeddedEngine,
    OpaServerEngine,
    open_bundle,
    read_bundle,
    server_bundle,
    write_bundle,
)
from affidavit.policies._archive import pack_files, unpack_files
from affidavit.policies._build import run_opa

TUNED = {"purpose": {"datasets": {"applications": {"purposes": ["audit"]}}}}


@pytest.fixture(scope="module")
def archive():
    return write_bundle(open_bundle())


def tar(*members):
    """A gzipped tar of (name, content, changes of the header)."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as out:
        for name, content, changes in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in changes.items():
                setattr(member, key, value)
            out.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return gzip.compress(plain.getvalue())


def repacked(archive, **changes):
    """The archive with files exchanged, added, or (None) left out."""
    files = unpack_files(archive)
    for name, content in changes.items():
        if content is None:
            del files[name]
        else:
            files[name] = content
    return pack_files(files)


def test_equal_bundles_give_equal_bytes_and_read_back_as_they_were(archive):
    assert write_bundle(open_bundle()) == archive
    again = read_bundle(archive)
    assert again.digest == open_bundle().digest
    assert write_bundle(again) == archive
    tuned = open_bundle().with_data(TUNED)
    assert write_bundle(tuned) != archive
    assert read_bundle(write_bundle(tuned)).data == tuned.data


def test_an_archive_holds_opas_layout_and_nothing_of_the_machine(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        members = found.getmembers()
    assert [member.name for member in members[:2]] == ["/.manifest", "/data.json"]
    assert members[-1].name == "/policy.wasm"
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    manifest = json.loads(unpack_files(archive)[".manifest"])
    assert manifest["revision"] == open_bundle().digest
    assert "affidavit" in manifest["roots"]
    assert "wasm" not in manifest  # OPA without its own WebAssembly engine would not start


def test_an_engine_from_an_archive_is_the_engine_that_was_archived(
    archive, embedded, request_for, tmp_path
):
    (tmp_path / "bundle.tar.gz").write_bytes(archive)
    for source in (archive, tmp_path / "bundle.tar.gz", read_bundle(archive)):
        engine = EmbeddedEngine(bundle=source)
        assert engine.bundle_digest == embedded.bundle_digest
        assert engine.version == embedded.version
    mine = EmbeddedEngine(bundle=archive).decide("affidavit/data_read", request_for())
    theirs = embedded.decide("affidavit/data_read", request_for())
    assert {**mine.to_dict(), "duration_ns": 0} == {**theirs.to_dict(), "duration_ns": 0}


def test_the_data_of_an_archive_are_in_force_without_another_merge(request_for):
    tuned = EmbeddedEngine(data=TUNED)
    kept = EmbeddedEngine(bundle=write_bundle(tuned.bundle))
    assert kept.data == tuned.data
    assert kept.bundle_digest == tuned.bundle_digest
    decision = kept.decide("affidavit/data_read", request_for())
    assert [finding.rule for finding in decision.deny] == ["purpose.not_permitted"]


@pytest.mark.real
def test_a_real_opa_server_serves_an_archive_with_the_same_decisions(
    start_opa, request_for, tmp_path
):
    written = server_bundle(tmp_path / "bundle.tar.gz", data=TUNED)
    served = OpaServerEngine(start_opa(written).url, bundle_digest=written.digest, timeout=10)
    kept = EmbeddedEngine(bundle=written.path)
    assert kept.bundle_digest == written.digest
    for purpose in ("credit-scoring", "audit", ""):
        document = request_for(purpose=purpose)
        mine = kept.decide("affidavit/data_read", document)
        theirs = served.decide("affidavit/data_read", document)
        assert theirs.bundle_digest == written.digest
        assert (mine.allow, mine.deny, mine.warn) == (theirs.allow, theirs.deny, theirs.warn)


@pytest.mark.real
def test_an_archive_that_opa_build_wrote_decides_as_ours_does(embedded, request_for, tmp_path):
    source = tmp_path / "source"
    for name, content in open_bundle().sources.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "data.json").write_text(json.dumps(embedded.data))
    entries = [word for name in embedded.entrypoints for word in ("-e", name)]
    built = tmp_path / "opa.tar.gz"
    arguments = ["build", "--target", "wasm", *entries, "-o", str(built), "--bundle", "source"]
    result = run_opa(arguments, opa=opa_binary(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    engine = EmbeddedEngine(bundle=built)
    assert engine.entrypoints == embedded.entrypoints
    for entrypoint in engine.entrypoints:
        assert engine.cache_profile(entrypoint) == embedded.cache_profile(entrypoint)
    mine = engine.decide("affidavit/data_read", request_for())
    theirs = embedded.decide("affidavit/data_read", request_for())
    assert (mine.allow, mine.deny, mine.obligations) == (theirs.allow, theirs.deny, ())
    # Without our metadata, what is in the archive is all that names it.
    assert read_bundle(built.read_bytes()).opa_version == ""


@pytest.mark.parametrize("name", [".manifest", "data.json", "policy.wasm", "packs/affidavit.rego"])
def test_a_changed_missing_or_added_file_is_refused(archive, name):
    content = bytearray(unpack_files(archive)[name])
    content[len(content) // 2] ^= 1
    with pytest.raises(PolicyEngineError):
        read_bundle(repacked(archive, **{name: bytes(content)}))
    with pytest.raises(PolicyEngineError):
        read_bundle(repacked(archive, **{name: None}))
    for added in ("packs/more.rego", "more/data.json", "notes.txt", "data.yaml", "plan.json"):
        with pytest.raises(PolicyEngineError):
            read_bundle(repacked(archive, **{added: b"{}"}))


def test_another_revision_is_refused(archive):
    manifest = json.loads(unpack_files(archive)[".manifest"])
    for revision in ("", "sha256:" + "0" * 64, None):
        changed = json.dumps({**manifest, "revision": revision}).encode()
        with pytest.raises(PolicyEngineError, match="revision"):
            read_bundle(repacked(archive, **{".manifest": changed}))


@pytest.mark.parametrize(
    "member",
    [
        ("//etc/passwd", b"x", {}),
        ("../up.rego", b"x", {}),
        ("a/../../up.rego", b"x", {}),
        ("a\\b.rego", b"x", {}),
        ("a//b.rego", b"x", {}),
        ("new\nline.rego", b"x", {}),
        ("link.rego", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("hard.rego", b"", {"type": tarfile.LNKTYPE, "linkname": "policy.wasm"}),
        ("fifo.rego", b"", {"type": tarfile.FIFOTYPE}),
        ("device.rego", b"", {"type": tarfile.CHRTYPE}),
        ("old.rego", b"x", {"type": tarfile.CONTTYPE}),
    ],
)
def test_hostile_members_are_refused(member):
    with pytest.raises(PolicyEngineError):
        unpack_files(tar(("/data.json", b"{}", {}), member))


def test_a_name_that_stands_twice_is_refused():
    for second in ("data.json", "/data.json", "./data.json"):
        with pytest.raises(PolicyEngineError, match="twice"):
            unpack_files(tar(("/data.json", b"{}", {}), (second, b"{}", {})))


def test_folders_beside_the_files_do_no_harm():
    found = unpack_files(tar(("./a", b"", {"type": tarfile.DIRTYPE}), ("./a/b.rego", b"x", {})))
    assert found == {"a/b.rego": b"x"}


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = gzip.compress(bytes(65 * 1024 * 1024))
    assert len(bomb) < 100_000
    with pytest.raises(PolicyEngineError, match="expands"):
        read_bundle(bomb)
    with pytest.raises(PolicyEngineError, match="more than"):
        read_bundle(tar(*((f"{n}.rego", b"", {}) for n in range(5000))))


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 10_000), flip=st.integers(0, 255), junk=st.binary(max_size=40))
def test_damage_is_refused_in_words_of_ours(archive, cut, flip, junk):
    at = cut * len(archive) // 10_001
    damaged = archive[:at] + bytes([archive[at] ^ flip]) + archive[at + 1 :]
    for content in (archive[:at], archive + junk + b"x", damaged, junk):
        if content == archive:
            continue
        try:
            found = read_bundle(content)
        except PolicyEngineError:
            continue
        # A bit of the gzip header that means nothing may differ; nothing else may.
        assert found == read_bundle(archive)
        assert at < 10


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        server_bundle(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PolicyEngineError, match="cannot be read"):
        open_bundle(tmp_path / "absent.tar.gz")
