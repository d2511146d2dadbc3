"""What a series consists of, and that its revision tells every change of it."""

from __future__ import annotations

from dataclasses import replace

from pacs.index import Index
from pacs.model import Succession
from tests.index.new_instances import attributes, new_instance


def numbered(number: int, series: str = "1.1.1", series_number: int = 1, **more: str):
    return new_instance(
        series=series,
        sop=f"{series}.{number}",
        in_series=attributes(SeriesNumber=series_number),
        in_instance=attributes(InstanceNumber=number),
        **more,
    )


def test_series_and_instances_come_in_the_order_of_the_whole_list(index: Index) -> None:
    index.add([numbered(2, "1.1.9", 5), numbered(3), numbered(1), numbered(2), numbered(1, "1.1.9", 5)])
    index.add([new_instance(hospital="other", sop="7.7"), new_instance(study="2.2", series="1.1.1", sop="8.8")])
    rows = index.contents.series("default", "1.1")
    assert [(row.series_instance_uid, row.instances) for row in rows] == [("1.1.1", 3), ("1.1.9", 2)]
    whole = index.instances("default", study_instance_uid="1.1")
    found = [each for row in rows for each in index.contents.instances("default", row.row).instances]
    assert [(each.digest, each.location, each.sop_instance_uid, each.transfer_syntax_uid) for each in found] == [
        (each.digest, each.location, each.key.sop_instance_uid, each.transfer_syntax_uid) for each in whole
    ]
    assert index.contents.series("default", "1.1", "1.1.9") == rows[1:]
    assert index.contents.series("default", "9.9") == []
    assert index.contents.instances("other", rows[0].row).instances == [], "another hospital's row"


def test_every_change_is_another_revision(index: Index) -> None:
    seen = []

    def look() -> None:
        (row,) = index.contents.series("default", "1.1")
        contents = index.contents.instances("default", row.row)
        assert contents.revision == row.revision
        seen.append((row.revision, [each.digest for each in contents.instances]))

    first = numbered(1)
    index.add([first])
    look()
    index.add([numbered(1)])  # the same once more
    look()
    assert seen[0] == seen[1]
    index.add([numbered(2)])
    look()
    newer = replace(
        numbered(1, content="newer"), succession=Succession((first.digest,)), received_at_us=first.received_at_us + 1
    )
    index.add([newer])
    look()
    assert len({revision for revision, _ in seen}) == 3
    assert newer.digest in seen[-1][1]


def test_a_version_that_comes_meanwhile_leaves_the_series_to_be_settled(index: Index) -> None:
    first = numbered(1)
    index.add([first])
    (quiet,) = index.series_to_settle(0)
    newer = replace(numbered(1, content="newer"), succession=Succession((first.digest,)), received_at_us=1)
    index.add([newer])
    assert not index.mark_settled(quiet)
    (row,) = index.contents.series("default", "1.1")
    assert not row.is_settled
    (quiet,) = index.series_to_settle(0)
    assert index.mark_settled(quiet)
    (row,) = index.contents.series("default", "1.1")
    assert row.is_settled
