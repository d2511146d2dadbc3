"""Made-up studies, sent as bytes in ten character sets, and questions about them, through both doors on both databases:
the answers are those of `naive_matching`."""

from __future__ import annotations

import os
import random
import re
import unicodedata
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.naive_matching import Study, folded, has_text, is_named, is_then
from tests.contract.test_search_doors import c_find, door, element
from tests.dicomweb.served import OneDoorInMemory
from tests.ingest.small_archive import CT, Place

__all__ = ["door"]
ROOT = "1.2.826.0.1.3680043.9.9995"
STUDIES = 60
SETS = [
    (b"ISO_IR 100", "latin-1", "aäbcéñ oÖü-'XY"),
    (b"ISO_IR 192", "utf-8", "äé홍길동金山ﾔﾏﾀﾞヤマダyz Иванйё\u0301한"),
    (b"", "utf-8", "äé홍길동金山ヤyz Иван"),
    (b"ISO_IR 144", "iso8859-5", "ИвановпетрЙё ab"),
    (b"GB18030", "gb18030", "王小东丂ab许鱻"),
    (b"GBK", "gbk", "王小东丂ab许"),
    (b"ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞﾛｳab"),
    (b"\\ISO 2022 IR 149", "euc_kr", "홍길동洪김민수ab"),
    (b"\\ISO 2022 IR 87", "iso2022_jp", "山田太郎やまだab"),
    (b"", "ascii", "abcdeXYZ '-"),
]
TEXTS = {
    "PatientName": (0x00100010, "PN"),
    "StudyDescription": (0x00081030, "LO"),
    "OtherPatientIDs": (0x00101000, "LO"),
}
ROUNDS = 400 if os.environ.get("PACS_SOAK") else 25


def written(text: str, encoding: str) -> bytes:
    if encoding != "euc_kr":
        # Of the Japanese codec each part ends where it began, so between delimiters.
        return b"".join(part.encode(encoding) for part in re.split(r"([\\^=])", text))
    parts = re.split(r"([\\^=])", text)
    return b"".join(part.encode() if part.isascii() else b"\x1b$)C" + part.encode("euc_kr") for part in parts)


def made_up(chance: random.Random) -> tuple[Study, bytes, str]:
    """A study, and its character set with Python's name of it."""
    named, encoding, letters = chance.choice(SETS)

    def word() -> str:
        return "".join(chance.choices(letters, k=chance.randint(1, 4))).strip()

    def group() -> str:
        return "^".join(chance.choice([word(), word(), ""]) for _ in range(chance.randint(1, 3)))

    day = f"{date(2024, 2, 26) + timedelta(days=chance.randint(0, 5)):%Y%m%d}"
    times = ["", "12", "1234", "123456", "123456.5", "235959.999999", "000000", "12:34:56", "25", "2360"]
    study = Study(
        name="=".join(group() for _ in range(chance.choice([1, 1, 2, 3]))),
        description=" ".join(word() for _ in range(chance.randint(0, 3))),
        other_ids=tuple(word() for _ in range(chance.randint(0, 3))),
        date=chance.choice([day] * 6 + ["", "2024.02.27", "20240230", "20240227-", "2024"]),
        time=chance.choice([*times, f"{chance.randint(0, 23):02}{chance.randint(0, 59):02}{chance.randint(0, 59):02}"]),
        zone=chance.choice(["", "", "+0900", "-0500", "+0530"]),
    )
    try:
        written(study.name + study.description + "".join(study.other_ids), encoding)
    except UnicodeError:
        return made_up(chance)
    return study, named, encoding


def send(place: Place, number: int, study: Study, named: bytes, encoding: str) -> None:
    uid = f"{ROOT}.{number}".encode()
    elements = [
        element(0x00080005, "CS", named),
        element(0x00080016, "UI", CT.encode()),
        element(0x00080018, "UI", uid + b".1.1"),
        element(0x00080020, "DA", study.date.encode()),
        element(0x00080030, "TM", study.time.encode()),
        element(0x00080060, "CS", b"CT"),
        element(0x00080201, "SH", study.zone.encode()),
        element(0x00081030, "LO", written(study.description, encoding)),
        element(0x00100010, "PN", written(study.name, encoding)),
        element(0x00100020, "LO", b"P%d" % number),
        element(0x00101000, "LO", written("\\".join(study.other_ids), encoding)),
        element(0x0020000D, "UI", uid),
        element(0x0020000E, "UI", uid + b".1"),
    ]
    place.send(b"".join(elements))


def asked_for(chance: random.Random, text: str) -> str:
    """Something like `text`: in other letters, with wild cards."""
    ways = [str.upper, str.lower, str, str, lambda some: unicodedata.normalize("NFD", some)]
    text = chance.choice(ways)(text)
    for _ in range(chance.randint(0, 2)):
        at = chance.randrange(len(text) + 1)
        if at < len(text) and text[at] not in "^=" and chance.random() < 0.4:
            text = f"{text[:at]}?{text[at + 1 :]}"
        else:
            text = chance.choice([f"{text[:at]}*", f"*{text[at:]}", f"{text[:at]}*{text[at:]}"])
    return text


def qido(door: OneDoorInMemory, **keys: str) -> set[int]:
    answer = door.get("/studies?" + "&".join(f"{name}={quote(value)}" for name, value in keys.items() if value))
    assert answer.status_code == 200, answer.text
    return {int(one["0020000D"]["Value"][0].rpartition(".")[2]) for one in answer.json()}


def found_by(answers: list[Any]) -> set[int]:
    return {int(one.StudyInstanceUID.rpartition(".")[2]) for one in answers}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_both_doors_find_what_the_standard_says(place: Place, door: OneDoorInMemory) -> None:
    chance = random.Random(None if os.environ.get("PACS_SOAK") else 4)
    studies: dict[int, Study] = {}
    for number in range(STUDIES):
        studies[number], named, encoding = made_up(chance)
        send(place, number, studies[number], named, encoding)
    found = 0
    for _ in range(ROUNDS):
        study = chance.choice([*studies.values()])
        groups = [study.name, *study.name.split("=")]
        # The archive knows that `?` may be two letters, and that components at the end may be missing.
        for keyword, text in (
            ("PatientName", asked_for(chance, chance.choice(groups)).rstrip("^")),
            ("StudyDescription", asked_for(chance, study.description)),
            ("OtherPatientIDs", asked_for(chance, chance.choice(study.other_ids or ("",)))),
        ):
            if keyword == "PatientName" and ("^*" in folded(text) or folded(text).strip("*=^") in ("", "?")):
                continue
            expected = {
                number
                for number, one in studies.items()
                if (keyword == "PatientName" and is_named(text, one.name))
                or (keyword == "StudyDescription" and has_text(text, (one.description,)))
                or (keyword == "OtherPatientIDs" and has_text(text, one.other_ids))
            }
            assert qido(door, **{keyword: text}) == expected, (keyword, text)
            tag, vr = TEXTS[keyword]
            for named, encoding, _ in [SETS[1], *chance.sample(SETS, 2)]:
                try:
                    key = written(text, encoding)
                except UnicodeError:
                    continue
                if encoding == "shift_jis" and len(key) != len(text):
                    continue  # letters that the set does not have
                keys = {tag: element(tag, vr, key), 0x00080005: element(0x00080005, "CS", named)}
                assert found_by(c_find(door, "STUDY", keys)) == expected, (keyword, text, named)
            found += len(expected)
        found += len(_dates_and_times(door, chance, studies))
    assert found > ROUNDS


def _dates_and_times(door: OneDoorInMemory, chance: random.Random, studies: dict[int, Study]) -> set[int]:
    first = date(2024, 2, 25) + timedelta(days=chance.randint(0, 6))
    one, other = f"{first:%Y%m%d}", f"{first + timedelta(days=chance.randint(0, 4)):%Y%m%d}"
    dates = chance.choice([one, f"{one}-{other}", f"{one} - {other}", f"{one}-", f"-{other}", ""])
    early, late = chance.choices(["09", "1234", "123456", "123456.5", "12:34", "0100", "22", "2330"], k=2)
    times = chance.choice([early, f"{early}-{late}", f"{early}-", f"-{late}", ""])
    zone = chance.choice(["", "", "+0900", "-0500", "+0000"])
    asked = {0x00080020: ("DA", dates), 0x00080030: ("TM", times), 0x00080201: ("SH", zone)}
    keys = {tag: element(tag, vr, value.encode()) for tag, (vr, value) in asked.items()}
    for extended, is_combined in ((b"\0\1\0\1", True), (b"", False)):
        expected = {n for n, study in studies.items() if is_then(study, dates, times, zone, combined=is_combined)}
        assert found_by(c_find(door, "STUDY", keys, extended)) == expected, (dates, times, zone, is_combined)
    expected = {n for n, study in studies.items() if is_then(study, dates, times, zone, combined=True)}
    assert qido(door, StudyDate=dates, StudyTime=times, TimezoneOffsetFromUTC=zone) == expected, (dates, times, zone)
    return expected
