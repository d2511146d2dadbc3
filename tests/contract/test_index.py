"""What `Index` promises to those who write and read by key, on every database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pacs.errors import IndexUnavailable
from pacs.index import Index, UnsettledSeries
from pacs.model import Level, Query
from tests.index.new_instances import CT, MR, attributes, name, new_instance


def _study(index: Index, hospital: str = "default") -> dict[str, object]:
    (found,) = index.search(hospital, Query(Level.STUDY))
    return {tag: attribute.get("Value") for tag, attribute in found.items()}


def test_what_is_added_is_read_back_whole(index: Index) -> None:
    new = new_instance(offset=5_000_000_000, length=1234, in_instance=attributes(InstanceNumber=7, Rows=512))
    (result,) = index.add([new])
    assert result.added
    assert result.existing is None
    stored = index.instance("default", "1.1", "1.1.1", "1.1.1.1")
    assert stored is not None
    assert (stored.key, stored.location, stored.digest) == (new.key, new.location, new.digest)
    assert (stored.sop_class_uid, stored.transfer_syntax_uid) == (new.sop_class_uid, new.transfer_syntax_uid)
    assert (stored.header_length, stored.number_of_frames, stored.frame_table) == (600, 1, new.frame_table)
    assert stored.attributes == new.instance
    assert abs(datetime.now(UTC) - stored.stored_at) < timedelta(minutes=1)


def test_the_first_with_an_instance_uid_stays(index: Index) -> None:
    first = new_instance(content="first")
    index.add([first])
    same, other, fresh = index.add(
        [
            first,
            new_instance(study="9.9", series="9.9.9", content="other", segment="unused"),
            new_instance(sop="1.1.1.2"),
        ]
    )
    assert not same.added
    assert same.existing == (first.key, first.digest, first.transfer_syntax_uid)
    assert not other.added
    assert other.existing == same.existing
    assert fresh.added
    assert index.existing("default", "1.1.1.1") == same.existing
    holdings = index.holdings()
    assert (holdings.studies, holdings.series, holdings.instances, holdings.segments) == (1, 1, 2, 1)


def test_the_first_of_a_batch_stays(index: Index) -> None:
    first, second = index.add([new_instance(content="a"), new_instance(content="b")])
    assert first.added
    assert not second.added
    assert second.existing is not None
    assert second.existing.digest == new_instance(content="a").digest


def test_an_empty_batch_is_nothing(index: Index) -> None:
    assert index.add([]) == []


def test_what_is_not_there_is_none(index: Index) -> None:
    index.add([new_instance()])
    assert index.existing("default", "1.1.1.9") is None
    assert index.instance("default", "1.1", "1.1.1", "1.1.1.9") is None
    assert index.instance("default", "1.2", "1.1.1", "1.1.1.1") is None
    assert index.instance("default", "1.1", "1.1.2", "1.1.1.1") is None
    assert index.instances("default", study_instance_uid="1.2") == []
    assert index.segment_end("default", "unknown") == 0


def test_hospitals_with_the_same_uids_never_meet(index: Index) -> None:
    here = new_instance(hospital="a", in_patient=attributes(PatientID="P1", PatientName=name("Kim^A")))
    there = new_instance(
        hospital="b", content="other", offset=99, in_patient=attributes(PatientID="P1", PatientName=name("Kim^B"))
    )
    assert [result.added for result in index.add([here, there])] == [True, True]
    for hospital, new in (("a", here), ("b", there)):
        stored = index.instance(hospital, "1.1", "1.1.1", "1.1.1.1")
        assert stored is not None
        assert (stored.key.hospital, stored.digest) == (hospital, new.digest)
        assert [row.digest for row in index.instances(hospital, patient_id="P1")] == [new.digest]
        assert index.segment_end(hospital, "segment") == new.location.offset + new.location.length
        for level in Level:
            (found,) = index.search(hospital, Query(level))
            assert found["00100010"]["Value"] == [{"Alphabetic": f"Kim^{hospital.upper()}"}]
        assert index.holdings(hospital).instances == 1
    assert index.instance("c", "1.1", "1.1.1", "1.1.1.1") is None
    assert index.existing("c", "1.1.1.1") is None
    assert list(index.search("c", Query(Level.STUDY))) == []
    assert index.holdings("c").instances == 0
    assert index.holdings().instances == 2


def test_instances_come_by_series_and_instance_number(index: Index) -> None:
    def numbered(series: str, series_number: int, instance_number: int | None) -> None:
        index.add(
            [
                new_instance(
                    series=series,
                    sop=f"{series}.{instance_number or 0}",
                    in_series=attributes(SeriesNumber=series_number),
                    in_instance=attributes(InstanceNumber=instance_number),
                )
            ]
        )

    numbered("1.2", 2, 1)
    for number in (10, 9, None):
        numbered("1.1", 1, number)
    got = [row.key.sop_instance_uid for row in index.instances("default", study_instance_uid="1.1")]
    assert got == ["1.1.9", "1.1.10", "1.1.0", "1.2.1"]


def test_instances_are_chosen_by_one_uid_or_several(index: Index) -> None:
    for study in ("1", "2"):
        patient = attributes(PatientID=f"P{study}")
        for series in ("1", "2"):
            uid = f"{study}.{series}"
            index.add([new_instance(study, uid, f"{uid}.{n}", in_patient=patient) for n in (1, 2)])

    def uids(**choice: str | list[str]) -> list[str]:
        return [row.key.sop_instance_uid for row in index.instances("default", **choice)]  # type: ignore[arg-type]

    assert uids(patient_id="P2") == ["2.1.1", "2.1.2", "2.2.1", "2.2.2"]
    assert uids(study_instance_uid=["1", "2"], series_instance_uid=["1.1", "2.2"]) == [
        "1.1.1",
        "1.1.2",
        "2.2.1",
        "2.2.2",
    ]
    assert uids(sop_instance_uid=["1.1.2", "2.1.1", "7.7"]) == ["1.1.2", "2.1.1"]
    assert uids(study_instance_uid="1", series_instance_uid="2.1") == []
    assert uids(sop_instance_uid=[]) == []
    with pytest.raises(ValueError, match="patient ID or a UID"):
        index.instances("default")


def test_counters_and_lists_grow_with_each_instance(index: Index) -> None:
    index.add([new_instance(sop=f"1.1.1.{n}") for n in range(3)])
    index.add([new_instance(series="1.1.2", sop="1.1.2.1", sop_class=MR, in_series=attributes(Modality="MR"))])
    index.add([new_instance(series="1.1.2", sop="1.1.2.2", sop_class=CT, in_series=attributes(Modality="MR"))])
    index.add([new_instance(series="1.1.3", sop="1.1.3.1", in_series=attributes(Modality="C"))])
    index.add([new_instance(study="1.2", series="1.2.1", sop="1.2.1.1")])
    newest_first = list(index.search("default", Query(Level.STUDY)))
    study = {tag: attribute["Value"] for tag, attribute in newest_first[1].items()}
    assert study["00201206"] == [3]
    assert study["00201208"] == [6]
    assert study["00080061"] == ["CT", "MR", "C"]
    assert study["00080062"] == [CT, MR]
    assert study["00080056"] == ["ONLINE"]
    series = list(index.search("default", Query(Level.SERIES)))
    assert [found["00201209"]["Value"] for found in series] == [[3], [2], [1], [1]]
    (patient,) = index.search("default", Query(Level.PATIENT))
    assert [patient[tag]["Value"] for tag in ("00201200", "00201202", "00201204")] == [[2], [4], [7]]
    holdings = index.holdings()
    assert (holdings.patients, holdings.studies, holdings.series, holdings.instances) == (1, 2, 4, 7)
    assert holdings.stored_bytes == 7000
    assert holdings.by_modality == {"C": 1, "CT": 2, "MR": 1}
    assert holdings.last_stored_at is not None


def test_nothing_kept_is_nothing_held(index: Index) -> None:
    holdings = index.holdings()
    assert (holdings.patients, holdings.instances, holdings.stored_bytes, holdings.last_stored_at) == (0, 0, 0, None)


def test_a_study_without_modality_still_names_one(index: Index) -> None:
    index.add([new_instance(in_series={})])
    assert _study(index)["00080061"] == ["OT"]
    assert index.holdings().by_modality == {"OT": 1}


def test_studies_without_patient_id_are_different_patients(index: Index) -> None:
    for study in ("1", "2"):
        index.add([new_instance(study, f"{study}.1", f"{study}.1.1", in_patient=attributes(PatientID=None))])
    assert index.holdings().patients == 2


def test_one_series_uid_under_two_studies_is_two_series(index: Index) -> None:
    index.add([new_instance("1", "7", "7.1"), new_instance("2", "7", "7.2")])
    assert [row.key.sop_instance_uid for row in index.instances("default", study_instance_uid="1")] == ["7.1"]
    assert index.holdings().series == 2


def test_the_end_of_a_segment_is_that_of_its_last_row(index: Index) -> None:
    index.add([new_instance(sop="1.2", offset=5000, length=70), new_instance(sop="1.1", offset=100, length=20)])
    assert index.segment_end("default", "segment") == 5070
    index.add([new_instance(sop="1.3", offset=200, length=20)])
    assert index.segment_end("default", "segment") == 5070
    index.add([new_instance(sop="1.3", offset=9000, length=20)])
    assert index.segment_end("default", "segment") == 5070, "a record that lost to an earlier one has no row"


def test_odd_values_never_block_storing(index: Index) -> None:
    long = "x" * 100_000
    index.add(
        [
            new_instance(
                in_patient=attributes(PatientID="A\0B\ud800", PatientName=name("金\0" + long), IssuerOfPatientID=long),
                in_study=attributes(StudyDate="31.12.2024", StudyTime="noon", AccessionNumber=long, StudyID="\\"),
                in_series=attributes(SeriesNumber="many", Modality="C\\T"),
                in_instance=attributes(InstanceNumber=10**30, Rows=-1),
            )
        ]
    )
    for level in Level:
        assert len(list(index.search("default", Query(level)))) == 1


def test_a_quiet_series_is_settled_once(index: Index) -> None:
    index.add([new_instance()])
    assert index.series_to_settle(3600) == []
    (quiet,) = index.series_to_settle(0)
    assert quiet == UnsettledSeries("default", "1.1", "1.1.1", 1, 1000)
    index.add([new_instance(sop="1.1.1.2")])
    assert not index.mark_settled(quiet), "it has grown meanwhile"
    (quiet,) = index.series_to_settle(0)
    assert index.mark_settled(quiet)
    assert index.series_to_settle(0) == []
    index.add([new_instance(sop="1.1.1.3")])
    assert [series.instances for series in index.series_to_settle(0)] == [3]


def test_two_senders_of_the_same_instances_make_one_copy(index: Index, url: str) -> None:
    """Two processes' worth of connections, many threads, the same instances in different orders and batches."""
    other = Index.open(url)
    together = threading.Barrier(6)

    def send(sender: int) -> list[tuple[str, bool]]:
        target = index if sender % 2 else other
        together.wait()
        outcomes = []
        for number in range(8):
            chosen = range(40) if sender % 3 else range(39, -1, -1)
            batch = [
                new_instance(f"1.{n % 3}", f"1.{n % 3}.{n % 2}", f"9.{n}", content=str(sender))
                for n in list(chosen)[number * 5 : number * 5 + 5]
            ]
            outcomes += [
                (new.key.sop_instance_uid, result.added) for new, result in zip(batch, target.add(batch), strict=True)
            ]
        return outcomes

    with ThreadPoolExecutor(6) as pool:
        outcomes = [outcome for outcomes in pool.map(send, range(6)) for outcome in outcomes]
    other.close()
    assert sorted(uid for uid, added in outcomes if added) == sorted(f"9.{n}" for n in range(40))
    studies = list(index.search("default", Query(Level.STUDY)))
    assert sum(study["00201208"]["Value"][0] for study in studies) == 40
    assert sum(study["00201206"]["Value"][0] for study in studies) == 6
    holdings = index.holdings()
    assert (holdings.patients, holdings.studies, holdings.series, holdings.instances) == (1, 3, 6, 40)


def test_a_database_that_is_not_there_is_an_index_error(url: str) -> None:
    # SQLite: a folder that is not there; PostgreSQL: a database that is not.
    lost = "sqlite:////nonexistent/index.db" if url.startswith("sqlite") else url.replace("index", "nonexistent", 1)
    index = Index.open(lost)
    with pytest.raises(IndexUnavailable):
        index.migrate()
    with pytest.raises(IndexUnavailable):
        index.add([new_instance()])
    with pytest.raises(IndexUnavailable):
        index.instance("default", "1", "1", "1")
    with pytest.raises(IndexUnavailable):
        list(index.search("default", Query(Level.STUDY)))
    index.close()


def test_a_transaction_that_fails_leaves_nothing(index: Index) -> None:
    broken = new_instance(study="2", series="2.1", sop="2.1.1", offset=1 << 70)
    with pytest.raises(IndexUnavailable):
        index.add([new_instance(), broken])
    assert index.holdings().patients == 0
    assert index.add([new_instance()])[0].added
