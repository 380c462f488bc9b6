"""An evidence bundle is checked byte by byte, by our reader and by the program inside it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import struct
import subprocess
import sys
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import ORIGIN, TIME, approval, record, trust_root
from real import ROOT

from affidavit.errors import CheckpointError, EnvelopeError, NotFoundError, VerificationError
from affidavit.lineage import (
    BUNDLE,
    WAIVER,
    Cosigner,
    Envelope,
    NoteSigner,
    PayloadVault,
    SigningKey,
    Statement,
    TrustedKey,
    build_bundle,
    dump_json,
    parse_entry,
    record_bytes,
    verify_bundle,
)
from affidavit.lineage._stored_zip import read_zip, write_zip

SCRIPT = ROOT / "lineage" / "standalone" / "verify_evidence.py"
VAULT = PayloadVault(bytes(range(32)))
FIELDS = {"features.age": 41, "features.name": "Grete", "output": 0.7}
CHOSEN = [0, 1, 2, 3, 4, 10, 28]


def standalone():
    spec = importlib.util.spec_from_file_location("verify_evidence", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE = standalone()


def accepted_alone(archive, key, folder):
    """What the program in the bundle says about it; a message where it refuses."""
    path = folder / "evidence.zip"
    path.write_bytes(archive)
    (folder / "log.pub").write_text(f"{key}\n")
    argv = sys.argv
    sys.argv = ["verify_evidence.py", str(path), "--key", str(folder / "log.pub")]
    try:
        return ALONE.main()
    finally:
        sys.argv = argv


@pytest.fixture
def told(log):
    """The log, a bundle of some of its entries, and the disclosures in it."""
    payload, digests = VAULT.seal("p1", VAULT.pseudonym("grete"), FIELDS, None)
    body = record_bytes("prediction", {"id": "p1", "time": TIME, "fields": digests})
    log.ledger.append([body], [payload])
    items = VAULT.open(payload)
    return log, bundle(log, disclosed={28: items}), items


def bundle(log, chosen=CHOSEN, **more):
    facts = {"name": "credit-risk", "actor": "auditor", "time": TIME}
    return build_bundle(log.ledger, chosen, log.recorder, **{**facts, **more})


def repacked(archive, key=None, facts=None, drop=(), **changed):
    """The bundle with members changed, and its manifest signed again where there is a key."""
    members = read_zip(archive)
    envelope = json.loads(members["manifest.json"])
    for name in drop:
        members.pop(name)
    for name, content in changed.items():
        members[name.replace("__", "/")] = content
    if key is not None:
        manifest = json.loads(Envelope.from_json(envelope).payload)
        manifest["predicate"].update(facts or {})
        manifest["subject"] = [
            {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
            for name, content in sorted(members.items())
            if name != "manifest.json"
        ]
        members["manifest.json"] = Statement.parse(dump_json(manifest)).sign(key).to_bytes()
    return write_zip(members)


def refused(archive, log, folder, match, *, error=VerificationError):
    """Both verifiers refuse the bundle."""
    with pytest.raises(error, match=match):
        verify_bundle(archive, log.signer.verifier)
    assert accepted_alone(archive, log.signer.verifier, folder) == 1


def test_a_bundle_says_what_it_holds(told):
    log, archive, _ = told
    report = verify_bundle(archive, log.signer.verifier)
    assert [entry.index for entry in report.entries] == CHOSEN
    assert report.entries[-1].disclosed == FIELDS
    assert report.checkpoint == log.ledger.head()
    assert (report.name, report.actor, report.time) == ("credit-risk", "auditor", TIME)
    assert report.signer == "pipeline"
    facts = report.to_dict()
    assert (facts["statements"], facts["records"]) == (4, 3)
    assert facts["disclosed"] == {"28": sorted(FIELDS)}
    assert "Grete" not in json.dumps(facts)


def test_the_program_in_the_bundle_accepts_it_from_its_own_copy(told, tmp_path):
    log, archive, _ = told
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path / "out")
    (tmp_path / "e.zip").write_bytes(archive)
    key = tmp_path / "mine.pub"
    key.write_text(str(log.signer.verifier))
    script = tmp_path / "out" / "verify_evidence.py"
    command = [sys.executable, "-I", script, tmp_path / "e.zip", "--key", key]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"Verified: 7 entries of {ORIGIN}, in its tree of 29 entries.\n"
    assert script.read_bytes() == SCRIPT.read_bytes()


def test_the_program_in_the_bundle_imports_nothing_of_ours():
    assert "affidavit" not in {
        line.split()[1].partition(".")[0]
        for line in SCRIPT.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }


def test_the_program_says_what_it_could_not_read(tmp_path, told, capsys):
    log, archive, _ = told
    assert accepted_alone(b"", log.signer.verifier, tmp_path) == 1
    assert accepted_alone(archive[:-9], log.signer.verifier, tmp_path) == 1
    assert "not an archive" in capsys.readouterr().err


def test_the_same_evidence_gives_the_same_bytes(told):
    log, archive, items = told
    assert bundle(log, list(reversed(CHOSEN)), disclosed={28: items}) == archive
    assert bundle(log, CHOSEN) != archive


def test_any_zip_program_reads_the_bundle(told):
    _, archive, _ = told
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == sorted(opened.namelist())
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {name: opened.read(name) for name in opened.namelist()} == read_zip(archive)


def test_a_bundle_of_another_log_is_refused(told, tmp_path):
    log, archive, _ = told
    other = NoteSigner(ORIGIN, Ed25519PrivateKey.generate()).verifier
    with pytest.raises(VerificationError, match="another log than the key"):
        verify_bundle(archive, other)
    assert accepted_alone(archive, other, tmp_path) == 1
    members = {"log.pub": f"{other}\n".encode()}
    swapped = repacked(archive, log.recorder, **members)
    with pytest.raises(CheckpointError, match="not signed by"):
        verify_bundle(swapped, other)
    assert accepted_alone(swapped, other, tmp_path) == 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_bundle_with_any_bit_changed_is_refused_by_both(told, tmp_path, data):
    log, archive, _ = told
    bad = bytearray(archive)
    at = data.draw(st.integers(0, len(bad) - 1))
    bad[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(VerificationError):
        verify_bundle(bytes(bad), log.signer.verifier)
    # Members hold every bit of evidence; zip's own fields around them are for our reader to refuse.
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(bad))) as opened:
            same = {n: opened.read(n) for n in opened.namelist()} == read_zip(archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError):
        same = False
    if not same:
        assert accepted_alone(bytes(bad), log.signer.verifier, tmp_path) == 1


@pytest.mark.parametrize(
    "name",
    [
        "README.txt",
        "verify_evidence.py",
        "log.pub",
        "checkpoint",
        "manifest.json",
        "entries/1.json",
        "proofs/1.tlog-proof",
        "disclosed/28.json",
    ],
)
def test_a_missing_or_changed_member_is_refused(told, tmp_path, name):
    log, archive, _ = told
    refused(repacked(archive, drop=[name]), log, tmp_path, ".")
    content = read_zip(archive)[name]
    changed = {name.replace("/", "__"): content.replace(content[-4:-2], b"zz")}
    refused(repacked(archive, **changed), log, tmp_path, ".")


@pytest.mark.parametrize(
    "name",
    ["entries/5.json", "proofs/5.tlog-proof", "disclosed/4.json", "extra.txt", "report.html"],
)
def test_a_member_that_the_manifest_does_not_list_is_refused(told, tmp_path, name):
    log, archive, _ = told
    refused(repacked(archive, **{name.replace("/", "__"): b"x"}), log, tmp_path, "does not belong")


def test_a_manifest_must_be_signed_by_a_recorder_in_force(told, tmp_path):
    log, archive, _ = told
    for key in (log.log, log.approver, SigningKey.generate()):
        refused(repacked(archive, key), log, tmp_path, "The manifest: No signature is by a trusted")


def test_an_entry_taken_out_is_missed_unless_a_recorder_signs_anew(told, tmp_path):
    log, archive, _ = told
    drop = ["entries/10.json", "proofs/10.tlog-proof"]
    rest = [n for n in CHOSEN if n != 10]
    refused(repacked(archive, drop=drop), log, tmp_path, "is missing")
    stranger = repacked(archive, SigningKey.generate(), {"entries": rest}, drop)
    refused(stranger, log, tmp_path, "trusted key")
    anew = repacked(archive, log.recorder, {"entries": rest}, drop)
    assert len(verify_bundle(anew, log.signer.verifier).entries) == 6


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"origin": "another"}, "another checkpoint"),
        ({"size": 28}, "another checkpoint"),
        ({"root": "00" * 32}, "another checkpoint"),
        ({"entries": [0, 1, 2, 3, 4, 10, 28, 5]}, "log order"),
        ({"entries": [0, 1, 1, 2, 3, 4, 10, 28]}, "log order"),
        ({"entries": [0, 1, 2, 3, 4, 10, "28"]}, "log indexes"),
        ({"entries": [0, 1, 2, 3, 4, 10, True]}, "log indexes"),
        ({"entries": [-1, 0]}, "log indexes"),
        ({"entries": None}, "log indexes"),
        ({"entries": CHOSEN[:-1]}, "disclosures of entries"),
        ({"disclosed": []}, "not the members"),
        ({"disclosed": [4, 28]}, "not the members"),
        ({"name": 5}, "a name"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused_even_if_signed(
    told, tmp_path, facts, match
):
    log, archive, _ = told
    bad = repacked(archive, log.recorder, facts)
    with pytest.raises(EnvelopeError, match=match):
        verify_bundle(bad, log.signer.verifier)
    if set(facts) - {"name"}:
        assert accepted_alone(bad, log.signer.verifier, tmp_path) == 1


def test_entries_that_change_places_are_refused_even_if_the_manifest_is_signed(told, tmp_path):
    log, archive, _ = told
    members = read_zip(archive)
    one, two = members["entries/3.json"], members["entries/4.json"]
    bad = repacked(archive, log.recorder, **{"entries__3.json": two, "entries__4.json": one})
    refused(bad, log, tmp_path, "Entry 3: .*does not lead to the root")


def test_a_proof_under_another_checkpoint_is_refused(told, tmp_path):
    log, archive, _ = told
    from affidavit.lineage import prove_entry

    note = log.rows("SELECT note FROM checkpoint WHERE size = 10")[0][0]
    other = prove_entry(log.ledger, 1, note).to_bytes()
    bad = repacked(archive, log.recorder, **{"proofs__1.tlog-proof": other})
    refused(bad, log, tmp_path, "another entry or checkpoint")


def test_without_the_trust_root_nothing_is_vouched_for(told, tmp_path):
    log, archive, _ = told
    drop = ["entries/0.json", "proofs/0.tlog-proof"]
    bad = repacked(archive, log.recorder, {"entries": CHOSEN[1:]}, drop)
    refused(bad, log, tmp_path, "Entry 1: No valid trust root")
    with pytest.raises(EnvelopeError):
        bundle(log, CHOSEN[1:])


def test_a_statement_by_a_key_without_its_role_is_refused(told, tmp_path):
    log, _, _ = told
    (at,) = log.ledger.append([approval().sign(log.recorder).to_bytes()])
    with pytest.raises(EnvelopeError, match=f"Entry {at}: No signature is by a trusted key"):
        bundle(log, [0, at])
    (named,) = log.ledger.append([approval("mallory").sign(log.approver).to_bytes()])
    with pytest.raises(EnvelopeError, match="names 'mallory' as the approver"):
        bundle(log, [0, named])


def test_waivers_are_vouched_for_by_keys_of_their_own_role_and_name(told, tmp_path):
    log, _, _ = told
    wanda = SigningKey.generate()
    key = TrustedKey("wanda@example.org", wanda.public, frozenset({"waiver"}))
    root = trust_root(log.log, log.recorder, log.approver).with_key(key)
    said = root.statement(actor="log", time=TIME, note="enrolled").sign(log.log)

    def waiver(actor, signer):
        facts = {"name": "credit-risk", "actor": actor, "time": TIME, "outcome": "waived"}
        statement = Statement(approval().subjects, WAIVER, facts)
        (index,) = log.ledger.append([statement.sign(signer).to_bytes()])
        return index

    (at,) = log.ledger.append([said.to_bytes()])
    good = waiver("wanda@example.org", wanda)
    assert accepted_alone(bundle(log, [0, at, good]), log.signer.verifier, tmp_path) == 0
    for signer in (log.approver, log.recorder, log.log):
        with pytest.raises(EnvelopeError, match="No signature is by a trusted key"):
            bundle(log, [0, at, waiver("wanda@example.org", signer)])
    with pytest.raises(EnvelopeError, match="names 'mallory' as the waiver"):
        bundle(log, [0, at, waiver("mallory", wanda)])
    (approved,) = log.ledger.append([approval("wanda@example.org").sign(wanda).to_bytes()])
    with pytest.raises(EnvelopeError, match="No signature is by a trusted key"):
        bundle(log, [0, at, approved])
    alone = ALONE.Trust(ORIGIN, log.signer.verifier.public)
    for index in (0, at, good):
        alone.check(index, json.loads(log.ledger.entry(index)))
    for bad in (waiver("mallory", wanda), waiver("wanda@example.org", log.approver), approved):
        with pytest.raises(ALONE.Refused):
            alone.check(bad, json.loads(log.ledger.entry(bad)))


def test_a_key_that_was_replaced_signs_no_manifest(told, tmp_path):
    log, _, _ = told
    fresh = SigningKey.generate()
    root = trust_root(log.log, fresh, log.approver)
    (at,) = log.ledger.append(
        [root.statement(actor="log", time=TIME, note="rotated").sign(log.log).to_bytes()]
    )
    with pytest.raises(EnvelopeError, match="The manifest"):
        bundle(log, [0, 1, at])
    facts = {"name": "n", "actor": "a", "time": TIME}
    archive = build_bundle(log.ledger, [0, 1, at], fresh, **facts)
    assert accepted_alone(archive, log.signer.verifier, tmp_path) == 0


def test_an_old_signature_counts_by_the_keys_of_its_own_place(told, tmp_path):
    log, _, _ = told
    root = trust_root(log.log, SigningKey.generate(), log.approver)
    root = root.with_key(TrustedKey("pipeline", log.recorder.public, frozenset({"approver"})))
    (at,) = log.ledger.append(
        [root.statement(actor="log", time=TIME, note="demoted").sign(log.log).to_bytes()]
    )
    with pytest.raises(EnvelopeError, match="The manifest"):
        bundle(log, [0, 1, 2, at])
    ahead = log.rows("SELECT note FROM checkpoint WHERE size = ?", at)[0][0]
    assert (
        accepted_alone(bundle(log, [0, 1, 2], checkpoint=ahead), log.signer.verifier, tmp_path) == 0
    )


def test_disclosed_values_are_those_of_the_log(told, tmp_path):
    log, archive, items = told
    payload, _ = VAULT.seal("p2", VAULT.pseudonym("x"), {"output": 0.1}, None)
    forged = dump_json([*items[:-1], VAULT.open(payload)[0]])
    bad = repacked(archive, log.recorder, **{"disclosed__28.json": forged})
    refused(bad, log, tmp_path, "Entry 28: .*not the one logged")
    twice = dump_json([*items, items[0]])
    refused(
        repacked(archive, log.recorder, **{"disclosed__28.json": twice}), log, tmp_path, "twice"
    )
    nothing = repacked(archive, log.recorder, **{"disclosed__28.json": b"[]"})
    refused(nothing, log, tmp_path, "list of texts")


def test_single_fields_can_be_disclosed(told, tmp_path):
    log, _, items = told
    archive = bundle(log, disclosed={28: items[:1]})
    (entry,) = [e for e in verify_bundle(archive, log.signer.verifier).entries if e.disclosed]
    assert len(entry.disclosed) == 1
    assert accepted_alone(archive, log.signer.verifier, tmp_path) == 0


def test_only_records_have_fields_to_disclose(told):
    log, _, items = told
    with pytest.raises(VerificationError, match="only a record"):
        bundle(log, disclosed={1: items})


def test_a_report_goes_with_the_bundle_under_the_manifests_signature(told, tmp_path):
    log, _, _ = told
    archive = bundle(log, report=b"<p>All is well.</p>")
    assert verify_bundle(archive, log.signer.verifier).report
    assert accepted_alone(archive, log.signer.verifier, tmp_path) == 0
    bad = repacked(archive, **{"report.html": b"<p>All is bad.</p>"})
    refused(bad, log, tmp_path, "not the one that the manifest lists")


def test_the_cosignatures_on_the_checkpoint_can_be_asked_for(told, tmp_path):
    log, _, _ = told
    one, two = (Cosigner(f"w{n}", Ed25519PrivateKey.generate()) for n in (1, 2))
    text = log.ledger.head().text()
    note = log.ledger.checkpoint() + one.signature_line(text, 5).encode()
    archive = bundle(log, checkpoint=note)
    keys = [one.verifier, two.verifier]
    assert len(verify_bundle(archive, log.signer.verifier, witnesses=keys, quorum=1).cosigned) == 1
    with pytest.raises(CheckpointError, match="2 are needed"):
        verify_bundle(archive, log.signer.verifier, witnesses=keys)
    assert accepted_alone(archive, log.signer.verifier, tmp_path) == 0


def test_a_bundle_of_what_is_not_there_or_was_changed_is_not_made(told):
    log, _, _ = told
    with pytest.raises(NotFoundError):
        bundle(log, [0, 99])
    log.cut("UPDATE entry SET body = ? WHERE entry = 4", record("prediction", 77))
    with pytest.raises(VerificationError, match="not the one that was logged"):
        bundle(log)


def test_what_is_bundled_is_the_exact_bytes(told):
    log, archive, _ = told
    members = read_zip(archive)
    for index in CHOSEN:
        assert members[f"entries/{index}.json"] == log.ledger.entry(index)
    assert members["checkpoint"] == log.ledger.checkpoint()
    assert parse_entry(members["manifest.json"])[1].predicate_type == BUNDLE


# -- archives ----------------------------------------------------------------------------------


names = st.text("abc/.0", min_size=1, max_size=8)


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=6))
def test_an_archive_reads_back_and_another_program_agrees(members):
    archive = write_zip(members)
    assert read_zip(archive) == members
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == members


def packed(members, *, compression=zipfile.ZIP_STORED, comment=b"", extra=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.extra = compression, extra
            archive.writestr(info, content)
        archive.comment = comment
    return out.getvalue()


GOOD = [("a", b"one"), ("b", b"two")]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK\3\4",
        b"PK\5\6" + bytes(18),
        packed([("a", bytes(10_000_000))], compression=zipfile.ZIP_DEFLATED),
        packed(list(reversed(GOOD))),
        packed(GOOD, comment=b"c"),
        packed(GOOD, extra=struct.pack("<HH", 1, 0)),
        write_zip(dict(GOOD)) + b"\n",
        b"\n" + write_zip(dict(GOOD)),
        write_zip(dict(GOOD))[:-1],
        write_zip({"a": b"x"})[:-22] + write_zip({"a": b"x"}),
        write_zip(dict(GOOD)).replace(b"one", b"two", 1),
    ],
)
def test_an_archive_in_any_other_form_is_refused(archive):
    with pytest.raises(VerificationError, match=r"canonical form|twice"):
        read_zip(archive)


def test_a_member_that_stands_twice_is_refused(told, tmp_path):
    log, archive, _ = told
    with pytest.warns(UserWarning, match="Duplicate"):
        double = packed([*sorted(read_zip(archive).items()), ("log.pub", b"x")])
    with pytest.raises(VerificationError, match="twice"):
        read_zip(double)
    assert accepted_alone(double, log.signer.verifier, tmp_path) == 1


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "entries/../../x.json", "a\\b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(told, tmp_path, name):
    log, archive, _ = told
    members = {**read_zip(archive), name: b"x"}
    refused(write_zip(members), log, tmp_path, "does not belong")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(told, tmp_path):
    log, archive, _ = told
    members = [*read_zip(archive).items(), ("report.html", bytes(50_000_000))]
    bomb = packed(sorted(members), compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    refused(bomb, log, tmp_path, "canonical form")


def test_overlapping_members_are_refused(told, tmp_path):
    # Every entry of the directory points at one large member: a bomb without compression.
    log, _, _ = told
    base = packed([("README.txt", bytes(100_000))])
    directory = base.index(b"PK\1\2")
    row = base[directory:-22]
    rows = row + b"".join(row.replace(b"README.txt", b"log.pub\0\0\0") for _ in range(3))
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 4, 4, len(rows), directory, 0)
    refused(base[:directory] + rows + end, log, tmp_path, "canonical|ASCII|twice")


def test_a_name_that_is_not_ascii_is_refused():
    bad = write_zip({"a": b""}).replace(b"a", b"\xff")
    with pytest.raises(VerificationError, match="ASCII"):
        read_zip(bad)


def test_too_large_an_archive_is_refused(monkeypatch):
    from affidavit.lineage import _stored_zip

    monkeypatch.setattr(_stored_zip, "MAX_ARCHIVE", 10)
    monkeypatch.setattr(_stored_zip, "MAX_MEMBERS", 2)
    with pytest.raises(VerificationError, match="at most"):
        write_zip({"a": bytes(11)})
    with pytest.raises(VerificationError, match="at most"):
        write_zip({"a": b"", "b": b"", "c": b""})
    with pytest.raises(VerificationError, match="at most"):
        read_zip(bytes(10 + 2 * 512 + 1))
