"""Index and segments that do not say the same, each way in which they can differ."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import create_engine, text

from pacs.ingest import consistency
from pacs.ingest.consistency import Findings
from pacs.settings import IngestSettings

from .small_archive import Place, encoded
from .test_recovery import forget_rows, rows, stop_before_the_row


def compare(place: Place, **options: bool) -> Findings:
    return consistency.compare(place.store, place.index, IngestSettings(), **options)


def filled(open_archive, numbers: range = range(5)) -> Place:
    """An archive that ran, and one that has just been opened on the same folder."""
    first = open_archive()
    for number in numbers:
        first.send(encoded(number))
    first.close()
    return open_archive()


def test_a_whole_archive_is_sound(open_archive) -> None:
    found = compare(filled(open_archive), with_digests=True)
    assert found == Findings(segments=1, records=5)
    assert found.is_sound


def test_a_hole_in_the_middle_is_found_and_mended(open_archive, tmp_path: Path) -> None:
    place = filled(open_archive)
    forget_rows(tmp_path, 2)
    assert place.ingest.recover() == 0, "a start looks behind the last row only"
    place.close()
    place = open_archive()
    found = compare(place)
    assert (found.records_without_row, found.is_sound) == (1, False)
    assert compare(place, repair=True).rows_added == 1
    assert compare(place).records_without_row == 0
    row = place.index.instance("default", "1.2.1", "1.2.2", "1.2.3.2")
    assert bytes(place.store.view(row.location)[row.location.data_set_offset :]) == encoded(2)


def test_what_lost_against_another_is_no_hole(open_archive) -> None:
    first = open_archive()
    stop_before_the_row(first, encoded(1, PatientName="First try"))
    first.send(encoded(1))
    first.close()
    place = open_archive()
    assert compare(place, repair=True) == Findings(segments=1, records=2)
    assert rows(place) == 1


def test_an_index_made_anew_from_headers(open_archive, tmp_path: Path) -> None:
    filled(open_archive).close()
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    place = open_archive()
    found = compare(place, repair=True)
    assert (found.rows_added, found.is_sound) == (5, True)
    assert rows(place) == 5


def test_missing_cut_and_damaged_segments(open_archive, tmp_path: Path) -> None:
    place = filled(open_archive)
    (segment,) = tmp_path.glob("objects/*/*.tar")
    content = bytearray(segment.read_bytes())
    place_of_pixels = content.index(bytes([2]) * 512)
    content[place_of_pixels] ^= 1
    segment.write_bytes(content)
    segment.chmod(0o400)
    assert compare(place).is_sound, "the headers are whole"
    found = compare(place, with_digests=True)
    assert (found.damaged_ranges, found.rows_without_bytes, found.records) == (1, 1, 4)
    segment.chmod(0o600)
    os.truncate(segment, len(content) - 600)
    segment.chmod(0o400)
    assert compare(place).rows_without_bytes == 1
    segment.rename(tmp_path / "elsewhere")
    found = compare(place)
    assert (len(found.missing_segments), found.rows_without_bytes) == (1, 5)
    assert not found.is_sound


def test_what_a_living_archive_writes_is_left_alone(open_archive) -> None:
    living = open_archive()
    living.send(encoded(1))
    assert compare(open_archive(), repair=True) == Findings(segments=1, in_use=1)


def test_a_version_without_its_row_is_found_and_mended(open_archive, tmp_path: Path) -> None:
    place = open_archive(duplicates="keep-both")
    for name in ("A", "B", "C"):
        place.send(encoded(1, PatientName=name))
    before = place.index.versions("default", "1.2.3.1")
    place.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'index.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM versions WHERE id = (SELECT max(id) FROM versions)"))
    engine.dispose()
    place = open_archive()
    assert compare(place).records_without_row == 1
    assert compare(place, repair=True).rows_added == 1
    assert compare(place) == Findings(segments=1, records=3)
    after = place.index.versions("default", "1.2.3.1")
    assert [(each.digest, each.location) for each in after] == [(each.digest, each.location) for each in before]
