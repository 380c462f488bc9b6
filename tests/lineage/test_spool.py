"""What waits in spools gets into the log exactly once, and what is missing is named."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import pytest
from logs import Log

from affidavit.errors import LedgerUnavailableError, SpoolDamagedError, SpoolFullError
from affidavit.lineage import (
    GAP,
    Resource,
    Statement,
    new_id,
    parse_entry,
    record_bytes,
    verify_ledger,
)
from affidavit.lineage._drain import Drained, Drainer, Made, drain_lock, open_writer
from affidavit.lineage._spool import Spool
from affidavit.lineage._spool_format import (
    FRAME,
    MESSAGE,
    RECORDS,
    SPOOL_PAGE,
    Header,
    list_segments,
    pack_records,
    segment_path,
    unpack_records,
)
from affidavit.lineage._spool_reading import Lost, Place, wipe

TIME = "2026-11-21T08:00:00.000Z"
SECRET = bytes(range(32))
HERE = "0123456789abcdef"


@dataclass
class Spooled:
    """A log with a folder of spools beside it."""

    log: Log

    @property
    def folder(self):
        return self.log.path.parent / "spool"

    def spool(self, **options):
        options.setdefault("opened", lambda writer: open_writer(self.log.ledger, writer, HERE))
        return Spool(self.folder, SECRET, **options)

    def drainer(self, **options):
        return Drainer(
            self.log.ledger,
            self.folder,
            SECRET,
            HERE,
            make=lambda messages: [
                Made([body(m.writer, m.number + n, m.content.decode()) for n in range(m.count)])
                for m in messages
            ],
            sign_gap=self.gap,
            **options,
        )

    def gap(self, lost: Lost) -> bytes:
        predicate = {
            "name": f"writer/{lost.writer}",
            "actor": "pipeline",
            "time": TIME,
            "reason": lost.reason,
            "writer": lost.writer,
            "first": lost.first,
            "last": lost.last,
        }
        statement = Statement((Resource("", "0" * 64, "json-v1"),), GAP, predicate)
        return statement.sign(self.log.recorder).to_bytes()

    def drain(self):
        with drain_lock(self.folder, wait=5) as held:
            assert held
            return self.drainer().run()

    def verify(self):
        return verify_ledger(self.log.path, self.log.signer.verifier, spools=(HERE, self.folder))

    def numbers(self):
        found = []
        for _, content in self.log.ledger.entries():
            parsed = parse_entry(content)
            if isinstance(parsed, dict) and parsed["record"] == "prediction" and "number" in parsed:
                found.append((parsed["writer"], parsed["number"]))
        return found


def body(writer: str, number: int, outcome: str = "served") -> bytes:
    fields = {"id": new_id(), "time": TIME, "model": "m", "outcome": outcome}
    return record_bytes("prediction", {**fields, "writer": writer, "number": number})


def write(spool: Spool, count: int = 1) -> int:
    return spool.append(
        RECORDS,
        count,
        lambda writer, number: pack_records([body(writer, number + n) for n in range(count)]),
    )


def die(spool: Spool) -> None:
    """Leave a spool as a killed process leaves it."""
    spool._release()


@pytest.fixture
def spooled(log):
    return Spooled(log)


def test_records_and_messages_get_into_the_log_once_and_in_order(spooled):
    spool = spooled.spool()
    write(spool)
    spool.append(MESSAGE, 3, lambda *_: b"served")
    assert write(spool, 2) == 4
    assert spooled.drain().records == 6
    assert spooled.drain().records == 0
    write(spool)
    writer = spool.writer
    spool.close()
    done = spooled.drain()
    assert (done.closed, done.lost) == (1, [])
    assert spooled.numbers() == [(writer, number) for number in range(7)]
    report = spooled.verify()
    assert report.ok
    assert (report.writers, report.gaps, report.unclosed) == (1, (), ())
    assert not list(spooled.folder.glob("*.spool"))


def test_an_open_writer_is_told_and_nothing_is_wrong(spooled):
    spool = spooled.spool()
    write(spool)
    spooled.drain()
    report = spooled.verify()
    assert report.ok
    assert [(w.writer, w.outcome, w.numbers) for w in report.unclosed] == [
        (spool.writer, "open", 1)
    ]
    spool.close()


def test_a_killed_writer_is_drained_and_told(spooled):
    spool = spooled.spool()
    write(spool, 5)
    writer = spool.writer
    die(spool)
    assert spooled.drain().records == 6
    report = spooled.verify()
    assert report.ok
    assert [(w.writer, w.outcome, w.numbers) for w in report.unclosed] == [(writer, "ended", 5)]


def test_half_a_frame_at_the_end_was_never_acknowledged(spooled):
    spool = spooled.spool()
    write(spool, 2)
    path = segment_path(spooled.folder, spool.writer, 0)
    whole = path.read_bytes()
    write(spool)
    die(spool)
    half = path.read_bytes()[: len(whole) + 100]
    header = bytearray(half)
    header[36:44] = (2).to_bytes(8, "little")
    path.write_bytes(header)
    done = spooled.drain()
    assert done.lost == []
    assert spooled.verify().ok
    assert [number for _, number in spooled.numbers()] == [0, 1]


def test_a_record_taken_out_of_a_spool_is_named(spooled):
    spool = spooled.spool()
    path, ends = None, []
    for _ in range(5):
        write(spool)
        path = segment_path(spooled.folder, spool.writer, 0)
        ends.append(path.stat().st_size)
    writer = spool.writer
    spool.close()
    data = path.read_bytes()
    path.write_bytes(data[: ends[1]] + data[ends[2] :])
    done = spooled.drain()
    assert done.lost == [Lost(writer, 2, 2, "it was taken out of the spool")]
    report = spooled.verify()
    assert report.ok
    assert [(gap.where, gap.entries) for gap in report.gaps] == [
        (f"writer {writer[:8]}: number 2", 1)
    ]
    assert [number for _, number in spooled.numbers()] == [0, 1, 3, 4]


def test_a_tail_cut_off_is_named_with_its_numbers(spooled):
    spool = spooled.spool()
    write(spool, 3)
    path = segment_path(spooled.folder, spool.writer, 0)
    size = path.stat().st_size
    write(spool, 4)
    writer = spool.writer
    die(spool)
    os.truncate(path, size)
    assert spooled.drain().lost == [Lost(writer, 3, 6, "it was cut off")]
    report = spooled.verify()
    assert report.ok
    assert report.gaps[0].where == f"writer {writer[:8]}: numbers 3 to 6"


def test_a_deleted_spool_fails_verification_until_its_gap_is_signed(spooled):
    spool = spooled.spool()
    write(spool, 3)
    spooled.drain()
    write(spool, 3)
    writer = spool.writer
    segment_path(spooled.folder, writer, 0).unlink()
    die(spool)
    report = spooled.verify()
    assert [fault.code for fault in report.errors] == ["spool-missing"]
    assert writer[:8] in report.errors[0].where
    assert "from number 3 on" in report.errors[0].message
    assert spooled.drain().lost == [Lost(writer, 3, None, "its spool is gone")]
    report = spooled.verify()
    assert report.ok
    assert report.gaps[0].where == f"writer {writer[:8]}: numbers from 3 on"
    assert report.unclosed[0].outcome == "lost"


def test_a_writer_whose_spool_was_deleted_begins_another(spooled):
    spool = spooled.spool()
    write(spool)
    first = spool.writer
    segment_path(spooled.folder, first, 0).unlink()
    time.sleep(0.02)
    assert write(spool) == 0
    assert spool.writer != first
    spool.close()
    done = spooled.drain()
    assert [(lost.writer, lost.first) for lost in done.lost] == [(first, 0)]
    assert spooled.verify().ok


@pytest.mark.parametrize("offset", [0, 4, 12, 20, 24, FRAME.size + 3])
def test_a_changed_bit_loses_its_own_frame_only(spooled, offset):
    spool = spooled.spool()
    ends = []
    for _ in range(6):
        write(spool)
        path = segment_path(spooled.folder, spool.writer, 0)
        ends.append(path.stat().st_size)
    spool.close()
    data = bytearray(path.read_bytes())
    data[ends[2] + offset] ^= 0x40
    path.write_bytes(data)
    done = spooled.drain()
    assert [(lost.first, lost.last, lost.reason) for lost in done.lost] == [
        (3, 3, "its bytes are damaged")
    ]
    assert [number for _, number in spooled.numbers()] == [0, 1, 2, 4, 5]
    assert len(list(spooled.folder.glob("*.damaged"))) == 1
    assert spooled.verify().ok


@pytest.mark.parametrize("offset", [0, 8, 24, 44, 60])
def test_a_damaged_header_is_told(spooled, offset):
    spool = spooled.spool()
    write(spool, 2)
    writer = spool.writer
    die(spool)
    path = segment_path(spooled.folder, writer, 0)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    done = spooled.drain()
    assert [(lost.writer, lost.first, lost.last) for lost in done.lost] == [(writer, 0, None)]
    assert spooled.verify().ok


def test_a_frame_that_is_put_in_twice_counts_once(spooled):
    spool = spooled.spool()
    write(spool)
    path = segment_path(spooled.folder, spool.writer, 0)
    end = path.stat().st_size
    write(spool)
    die(spool)
    data = path.read_bytes()
    path.write_bytes(data[:end] + data[SPOOL_PAGE:end] + data[end:])
    spooled.drain()
    assert [number for _, number in spooled.numbers()] == [0, 1]
    assert spooled.verify().ok


def test_a_frame_of_another_home_is_not_taken(spooled):
    spool = spooled.spool()
    write(spool)
    die(spool)
    path = segment_path(spooled.folder, spool.writer, 0)
    stranger = Spool(spooled.folder.with_name("other"), b"x" * 32, opened=lambda _: None)
    stranger.folder.mkdir()
    write(stranger)
    theirs = segment_path(stranger.folder, stranger.writer, 0).read_bytes()
    path.write_bytes(path.read_bytes() + theirs[SPOOL_PAGE:])
    done = spooled.drain()
    assert [number for _, number in spooled.numbers()] == [0]
    assert done.lost == []
    with pytest.raises(SpoolDamagedError):
        Header.parse(theirs).cipher(SECRET)


def test_segments_follow_each_other_and_leave_nothing_behind(spooled):
    spool = spooled.spool(segment_bytes=2000)
    for _ in range(40):
        write(spool)
    assert len(list_segments(spooled.folder)[spool.writer]) > 3
    assert spooled.drain().records == 40
    assert len(list_segments(spooled.folder)[spool.writer]) == 1
    for _ in range(10):
        write(spool)
    spool.close()
    spooled.drain()
    assert [number for _, number in spooled.numbers()] == list(range(50))
    assert list_segments(spooled.folder) == {}


def test_a_missing_segment_is_named_by_the_next_ones_header(spooled):
    spool = spooled.spool(segment_bytes=2000)
    for _ in range(40):
        write(spool)
    spool.close()
    (writer, segments), *_ = list_segments(spooled.folder).items()
    first = Header.parse(segment_path(spooled.folder, writer, 1).read_bytes()).first
    following = Header.parse(segment_path(spooled.folder, writer, 2).read_bytes()).first
    assert len(segments) > 3
    segment_path(spooled.folder, writer, 1).unlink()
    done = spooled.drain()
    assert [(lost.first, lost.last) for lost in done.lost] == [(first, following - 1)]
    assert spooled.verify().ok


def test_a_full_spool_refuses_and_takes_again_after_a_drain(spooled):
    spool = spooled.spool(segment_bytes=2000, limit_bytes=6000)
    acknowledged = 0
    with contextlib.suppress(SpoolFullError):
        while acknowledged < 1000:
            acknowledged = write(spool) + 1
    assert 10 < acknowledged < 1000
    with pytest.raises(SpoolFullError, match="affidavit drain"):
        write(spool)
    spooled.drain()
    assert write(spool) == acknowledged
    spool.close()
    assert spooled.drain().lost == []
    assert [number for _, number in spooled.numbers()] == list(range(acknowledged + 1))


def test_a_log_that_cannot_be_written_keeps_the_writer_from_beginning(spooled):
    def refuse(_):
        raise LedgerUnavailableError("The disk is full.")

    spool = spooled.spool(opened=refuse)
    with pytest.raises(LedgerUnavailableError, match="full"):
        write(spool)
    assert list(spooled.folder.iterdir()) == []


def test_a_spool_that_the_log_has_not_heard_of_is_taken_in(spooled):
    spool = spooled.spool(opened=lambda _: None)
    write(spool, 3)
    spool.close()
    spooled.drain()
    assert len(spooled.numbers()) == 3
    assert spooled.verify().ok


def test_a_writer_killed_before_its_first_record_leaves_nothing(spooled):
    unheard = spooled.spool(opened=lambda _: None)
    unheard._make_room()
    die(unheard)
    heard = spooled.spool()
    heard._make_room()
    die(heard)
    write(spooled.spool(), 2)
    assert spooled.drain().lost == []
    report = spooled.verify()
    assert report.ok
    assert report.writers == 2
    assert len(list_segments(spooled.folder)) == 1


def test_a_leftover_of_an_ended_writer_does_not_keep_others_waiting(spooled):
    spool = spooled.spool()
    write(spool)
    data = segment_path(spooled.folder, spool.writer, 0).read_bytes()
    writer = spool.writer
    spool.close()
    spooled.drain()
    segment_path(spooled.folder, writer, 0).write_bytes(data)
    write(spool)
    assert spooled.drain().records == 1
    assert spooled.verify().ok


def test_a_spool_copied_back_is_not_taken_twice(spooled):
    spool = spooled.spool()
    write(spool, 3)
    path = segment_path(spooled.folder, spool.writer, 0)
    spool.close()
    data = path.read_bytes()
    spooled.drain()
    path.write_bytes(data)
    assert spooled.drain().records == 0
    assert not path.exists()
    assert len(spooled.numbers()) == 3


def test_what_a_drainer_that_was_killed_has_not_deleted_is_deleted_next_time(spooled, monkeypatch):
    from affidavit.lineage._spool_reading import SpoolReader

    spool = spooled.spool(segment_bytes=2000)
    for _ in range(20):
        write(spool)
    spool.close()
    with monkeypatch.context() as patched:
        patched.setattr(SpoolReader, "clean_up", lambda _: None)
        done = Drained()
        spooled.drainer()._round(done)
        assert done.records
    spooled.drain()
    assert [number for _, number in spooled.numbers()] == list(range(20))
    assert list_segments(spooled.folder) == {}


def test_the_numbers_of_a_record_cannot_be_edited_away(spooled):
    spool = spooled.spool()
    write(spool, 3)
    spool.close()
    spooled.drain()
    spooled.log.cut("UPDATE writer SET following = 1, closed = 0")
    assert "writer-changed" in {fault.code for fault in spooled.verify().errors}


def test_omitted_repeated_and_unannounced_numbers_are_faults(spooled):
    ledger = spooled.log.ledger
    writer = "ab" * 16
    open_writer(ledger, writer, HERE)
    ledger.append([body(writer, 0), body(writer, 2), body(writer, 1), body("cd" * 16, 0)])
    codes = [fault.code for fault in spooled.verify().errors]
    assert codes.count("record-omitted") == 1
    assert codes.count("record-repeated") == 1
    assert codes.count("writer-unknown") == 1


def test_a_gap_statement_must_fit_the_numbers(spooled):
    ledger = spooled.log.ledger
    writer = "ab" * 16
    open_writer(ledger, writer, HERE)
    ledger.append([spooled.gap(Lost(writer, 5, 6, "made up")), body(writer, 7)])
    codes = {fault.code for fault in spooled.verify().errors}
    assert {"gap-misplaced", "record-omitted"} <= codes


def test_wiping_leaves_nothing_of_what_is_in_the_log(spooled):
    spool = spooled.spool()
    write(spool, 3)
    spooled.drain()
    path = segment_path(spooled.folder, spool.writer, 0)
    at = path.stat().st_size
    wipe(spooled.folder, [Place(spool.writer, 0, at, 3)])
    assert path.read_bytes()[SPOOL_PAGE:] == b"\0" * (at - SPOOL_PAGE)
    write(spool, 2)
    spool.close()
    spooled.drain()
    assert [number for _, number in spooled.numbers()] == list(range(5))
    assert spooled.verify().ok


def test_a_child_process_has_a_spool_of_its_own(spooled):
    spool = spooled.spool(opened=lambda _: None)
    write(spool)
    parent = spool.writer
    pid = os.fork()
    if pid == 0:
        write(spool)
        os._exit(0 if spool.writer not in {"", parent} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    write(spool)
    assert spool.writer == parent
    spool.close()
    spooled.drain()
    assert len(spooled.numbers()) == 3
    assert spooled.verify().ok


KILLED = """
    import sys
    from affidavit.lineage._spool import Spool
    from affidavit.lineage._spool_format import MESSAGE
    from pathlib import Path
    spool = Spool(Path(sys.argv[1]), bytes(range(32)), opened=lambda _: None)
    for number in range(10**9):
        spool.append(MESSAGE, 1, lambda *_: b"%d" % number)
        sys.stdout.write(f"{spool.writer} {number}\\n")
        sys.stdout.flush()
"""


def test_a_process_killed_at_any_moment_loses_nothing_acknowledged(spooled):
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(spooled.folder)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.wait()
        acknowledged = {tuple(line.split()) for line in lines if len(line.split()) == 2}
        spooled.drain()
        found = {(writer.encode(), b"%d" % number) for writer, number in spooled.numbers()}
        assert acknowledged <= found
    report = spooled.verify()
    assert report.ok
    assert len(report.unclosed) == 5
    assert len(spooled.numbers()) == len(set(spooled.numbers()))


def test_records_pack_and_unpack():
    bodies = [b"", b"a", b"b" * 70_000]
    assert unpack_records(pack_records(bodies)) == bodies
    with pytest.raises(SpoolDamagedError):
        unpack_records(pack_records(bodies)[:-1])
