"""The newest checkpoint, stamped over HTTP by a real authority, and every way that goes wrong."""

from __future__ import annotations

import json
import subprocess
import time
import zipfile

import pytest
from authority import Authority, openssl, send, serving
from sqlalchemy import insert

from affidavit import _time_stamps as module
from affidavit.errors import ConfigurationError, LedgerUnavailableError, VerificationError
from affidavit.lineage import TimeStampAuthority, new_id, record_bytes, stamps_of, timestamp
from affidavit.lineage.tables import TIME_STAMP


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority.make(tmp_path_factory.mktemp("tsa"))
    made.certify("other", "tsa")
    (made.folder / "chain.pem").write_bytes(made.pem("ca", "tsa"))
    return made


@pytest.fixture
def trusted(authority):
    return TimeStampAuthority.parse(authority.pem("ca", "tsa"))


def honest(authority, signer="tsa"):
    return serving(lambda handler, query: send(handler, authority.answer(query, signer)))


def grow(home):
    facts = {"time": timestamp(), "actor": "a", "action": "read", "object": "o"}
    home.record(record_bytes("access", {"id": new_id(), **facts}))


def nothing_kept(home):
    return stamps_of(home.ledger, home.ledger.head().size) == []


def test_each_checkpoint_is_stamped_once(home, authority, trusted):
    with honest(authority) as url:
        first, asked = module.stamp_checkpoint(home, url, trusted)
        again, asked_again = module.stamp_checkpoint(home, url, trusted)
        grow(home)
        later, asked_later = module.stamp_checkpoint(home, url, trusted)
    assert (asked, asked_again, asked_later) == (True, False, True)
    assert again == first
    assert later.size == first.size + 1


def test_the_command_line_stamps_and_verifies(home, authority, cli, configure, tmp_path):
    with honest(authority) as url:
        configure(f'[timestamp]\nurl = "{url}"\ncertificate = "{authority.folder}/chain.pem"\n')
        code, out, _ = cli("timestamp", "-o", "token.tsr", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["new"] is True
    grow(home)
    code, out, _ = cli("verify")
    assert code == 0
    assert f"Its first {said['size']} entries were as they are by 20" in out
    assert "no witness was checked" in out
    assert "the certificate in the settings" in out
    code, out, _ = cli("verify", "--tsa-cert", authority.folder / "chain.pem")
    assert "your certificate" in out
    (tmp_path / "note").write_bytes(home.ledger.store and _note(home, said["size"]))
    command = f"ts -verify -in {tmp_path}/token.tsr -data {tmp_path}/note -CAfile ca.pem"
    assert b"OK" in openssl(*command.split(), folder=authority.folder).stdout


def _note(home, size):
    import sqlite3

    with sqlite3.connect(home.database) as connection:
        return connection.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchone()[
            0
        ]


def test_without_a_certificate_nobody_is_asked(home, cli):
    code, _, err = cli("timestamp", "--tsa", "http://127.0.0.1:9/")
    assert code == 2
    assert "nothing that it sends is trusted" in err


def test_without_stamps_the_verdict_claims_none(home, cli):
    code, out, _ = cli("verify")
    assert code == 0
    assert "No witness and no time stamp was checked" in out


def test_an_address_that_is_none_is_a_mistake_of_the_caller(home, trusted):
    for url in ("ftp://x/", "tsa.example", "http://"):
        with pytest.raises(ConfigurationError, match="not the address"):
            module.stamp_checkpoint(home, url, trusted)


def refused(home, trusted, reply, match, error=VerificationError):
    with serving(reply) as url, pytest.raises(error, match=match):
        module.stamp_checkpoint(home, url, trusted)
    assert nothing_kept(home)


def test_an_authority_that_is_down_is_named(home, trusted):
    with serving(send) as url:
        pass
    with pytest.raises(LedgerUnavailableError, match="cannot be reached"):
        module.stamp_checkpoint(home, url, trusted)


def test_a_page_in_the_authoritys_place_is_refused(home, trusted):
    page = b"<html>Sign in to the network</html>"
    refused(home, trusted, lambda h, _: send(h, page, kind="text/html"), "text/html.*Sign in")
    refused(home, trusted, lambda h, _: send(h, page), "malformed")
    refused(home, trusted, lambda h, _: send(h, page, status=503), "answered 503")
    refused(home, trusted, lambda h, _: send(h, b"", status=302), "answered 302")


def test_another_authority_at_the_address_is_refused(home, authority, trusted):
    refused(home, trusted, lambda h, q: send(h, authority.answer(q, "other")), "certificate")


def test_an_answer_to_an_earlier_request_is_refused(home, authority, trusted):
    from affidavit.lineage import request_stamp

    old = authority.answer(request_stamp(home.ledger.checkpoint())[0])
    refused(home, trusted, lambda h, _: send(h, old), "Nonce")


def test_a_huge_answer_is_not_read_to_its_end(home, trusted):
    sent = []

    def endless(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/timestamp-reply")
        handler.end_headers()
        for _ in range(2000):
            handler.wfile.write(bytes(1 << 16))
            sent.append(1)

    refused(home, trusted, endless, "more than")
    assert len(sent) < 2000


@pytest.mark.parametrize("where", ["silence", "headers", "body"])
def test_an_authority_that_stalls_or_drips_is_left(home, trusted, monkeypatch, where):
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.5)

    def drip(handler, _):
        if where == "silence":
            time.sleep(1.5)
            return
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if where == "body":
            handler.wfile.write(b"Content-Type: application/timestamp-reply\r\n\r\n")
        for _ in range(20):
            handler.wfile.write(b"X")
            time.sleep(0.1)

    refused(home, trusted, drip, "within 0 s", LedgerUnavailableError)


def test_a_bundle_carries_the_stamp_and_says_no_more_than_was_checked(
    home, authority, trusted, cli, tmp_path
):
    with honest(authority) as url:
        module.stamp_checkpoint(home, url, trusted)
    size = home.ledger.head().size
    chain, pub = authority.folder / "chain.pem", home.folder / "log.pub"
    assert cli("bundle", "0", "-o", "e.zip")[0] == 0
    with zipfile.ZipFile("e.zip") as archive:
        archive.extractall("e")
    code, out, _ = cli("verify", "e.zip", "--key", pub)
    assert code == 0
    assert "Neither a witness nor a time stamp was asked for" in out
    code, out, _ = cli("verify", "e.zip", "--key", pub, "--tsa-cert", chain, "--json")
    assert code == 0
    assert json.loads(out)["time_stamp"]["size"] == size
    code, out, _ = cli("verify", "e.zip", "--key", pub, "--tsa-cert", chain)
    assert f"first {size} entries were as they are by" in out
    stranger = Authority.make(tmp_path / "s")
    (stranger.folder / "chain.pem").write_bytes(stranger.pem("ca", "tsa"))
    assert cli("verify", "e.zip", "--key", pub, "--tsa-cert", stranger.folder / "chain.pem")[0] == 1
    by_hand = "awk '{print} /^— /{exit}' e/checkpoint > e/s; "
    by_hand += "openssl ts -verify -in e/timestamp.tsr -data e/s"
    done = subprocess.run(
        f"{by_hand} -CAfile {authority.folder}/ca.pem", shell=True, check=False, capture_output=True
    )
    assert b"Verification: OK" in done.stdout
    import sys

    alone = subprocess.run(
        [sys.executable, "e/verify_evidence.py", "e.zip", "--key", pub],
        check=False,
        capture_output=True,
        text=True,
    )
    assert alone.returncode == 0
    assert "its time stamp was not checked" in alone.stdout


def test_a_bundle_without_a_stamp_does_not_pass_where_one_is_demanded(home, authority, cli):
    assert cli("bundle", "0", "-o", "e.zip")[0] == 0
    chain = authority.folder / "chain.pem"
    code, _, err = cli("verify", "e.zip", "--key", home.folder / "log.pub", "--tsa-cert", chain)
    assert code == 1
    assert "holds no time stamp" in err


def test_the_app_claims_a_stamp_only_where_it_was_verified(home, authority, trusted, configure):
    from affidavit.ui._integrity import check_integrity

    with honest(authority) as url:
        module.stamp_checkpoint(home, url, trusted)
    assert check_integrity(home).stamped == ""
    configure(f'[timestamp]\ncertificate = "{authority.folder}/chain.pem"\n')
    assert "first 1 entries were as they are by" in check_integrity(home).stamped


@pytest.mark.parametrize("text", ['certificat = "x"', 'url = "x"\nkey = "y"'])
def test_a_misspelt_setting_is_an_error(home, cli, configure, text):
    configure(f"[timestamp]\n{text}\n")
    assert cli("timestamp")[0] == 2


def test_a_bundle_takes_the_stamp_that_holds_from_among_others(
    home, authority, trusted, cli, configure
):
    with honest(authority) as url:
        stamped, _ = module.stamp_checkpoint(home, url, trusted)
    with home.ledger.store.writing() as connection:
        junk = [{"size": stamped.size, "digest": "0", "response": b"junk"}]
        connection.execute(insert(TIME_STAMP), junk)
    configure(f'[timestamp]\ncertificate = "{authority.folder}/chain.pem"\n')
    assert cli("bundle", "0", "-o", "e.zip")[0] == 0
    with zipfile.ZipFile("e.zip") as archive:
        assert archive.read("timestamp.tsr") == stamped.response
    code, out, _ = cli("verify")
    assert (code, "time-stamp-invalid" in out) == (1, True)
