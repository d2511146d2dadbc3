from __future__ import annotations

from pacs.storage.segment_walk import walk
from pacs.storage.segment_writer import NewRecord
from pacs.storage.tar_record import encode_head, encode_void, padded

SEGMENT = "default/" + "0f" * 16


def encoded(record: NewRecord, segment: str = SEGMENT) -> bytes:
    content = record.file_meta + bytes(record.data_set)
    head = encode_head(record.head, segment=segment, file_length=len(content))
    return head + content.ljust(padded(len(content)), b"\0")


def test_all_records_are_found(make_record) -> None:
    data = b"".join(encoded(make_record(number)) for number in range(5))
    found = walk(data, 0, segment=SEGMENT)
    assert [record.head.key.sop_instance_uid for record in found.records] == [f"1.2.3.{number}" for number in range(5)]
    assert (found.end, found.damaged) == (len(data), ())


def test_a_torn_tail_is_left_out(make_record) -> None:
    first, second = encoded(make_record(1)), encoded(make_record(2))
    for length in range(0, len(second), 100):
        found = walk(first + second[:length], 0, segment=SEGMENT)
        assert (len(found.records), found.end) == (1, len(first))


def test_a_last_record_whose_bytes_never_reached_the_disk_is_torn(make_record) -> None:
    first, second = encoded(make_record(1)), bytearray(encoded(make_record(2)))
    second[-512:] = bytes(512)
    found = walk(first + bytes(second), 0, segment=SEGMENT)
    assert (len(found.records), found.end) == (1, len(first))


def test_damage_in_the_middle_does_not_lose_what_follows(make_record) -> None:
    first, second, third = (encoded(make_record(number)) for number in (1, 2, 3))
    for damaged in (bytes(512) + second[512:], second[:-600] + bytes(600)):
        found = walk(first + damaged + third, 0, segment=SEGMENT)
        assert [record.head.key.sop_instance_uid for record in found.records] == ["1.2.3.1", "1.2.3.3"]
        assert found.end == len(first + damaged + third)
        assert found.damaged == ((len(first), len(first + second)),)


def test_a_voided_record_is_left_out(make_record) -> None:
    first, second = encoded(make_record(1)), encoded(make_record(2))
    offset = walk(first + second, 0, segment=SEGMENT).records[0].file_offset
    found = walk(first + second + encode_void(offset, segment=SEGMENT), 0, segment=SEGMENT)
    assert [record.head.key.sop_instance_uid for record in found.records] == ["1.2.3.2"]


def test_a_record_inside_what_a_peer_sent_is_never_taken_for_one(make_record) -> None:
    forged = encoded(make_record(99), segment="default/" + "00" * 16)
    carrier = make_record(1, data_set=bytes(-len(make_record(1).file_meta) % 512) + forged + bytes(512))
    torn = encoded(carrier)[:-512]
    assert walk(torn, 0, segment=SEGMENT).records == ()
    # The control: with the segment's secret name in it the forgery would have been found.
    known = encoded(make_record(99))
    carrier = make_record(1, data_set=bytes(-len(make_record(1).file_meta) % 512) + known + bytes(512))
    assert len(walk(encoded(carrier)[:-512], 0, segment=SEGMENT).records) == 1
