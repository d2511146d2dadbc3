"""Who stores, and who deletes or restores, one after the other where they concern the same; PostgreSQL only.

A row that is inserted holds the row that it points to, from below; who moves a study into the trash holds rows from the
patient down, for what is below must not grow meanwhile. Each would wait for the other until the database ends one of
them. So each says first which study it is about, then, who deletes or makes new studies, which patients. Those who
store do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, Connection, Text, bindparam, cast, column, func, select, text

from pacs.index.driver import Driver
from pacs.index.tables import patients, studies
from pacs.index.trash_hospital import owner_of
from pacs.model import InstanceKey


class PatientKey(NamedTuple):
    """Which patient, of one hospital."""

    patient_id: str
    issuer_of_patient_id: str
    lone_study_uid: str


def share(driver: Driver, keys: Iterable[InstanceKey]) -> None:
    """Until the transaction ends nobody deletes or restores in these studies; many may store in them."""
    if driver.dialect_name == "postgresql":
        _share(driver, {_number("study", *study) for study in {(key.hospital, key.study_instance_uid) for key in keys}})


def hold(connection: Connection, hospital: str, study_instance_uid: str) -> None:
    """Until the transaction ends nobody stores, deletes or restores in this study."""
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD, {"number": _number("study", hospital, study_instance_uid)})


def share_patients(driver: Driver, hospital: str, keys: Iterable[PatientKey]) -> None:
    """Until the transaction ends nobody deletes or restores anything of these patients; many may give them new
    studies. Those of a hospital all at once, after the studies."""
    if driver.dialect_name == "postgresql":
        _share(driver, {_number("patient", hospital, *key) for key in keys})


def hold_patients(connection: Connection, hospital: str, study_rows: Sequence[int]) -> None:
    """Until the transaction ends nobody gives new studies to the patients of these, and of their live twins."""
    if connection.dialect.name == "postgresql":
        found = {tuple(row) for row in connection.execute(_PATIENTS, {"hospital": hospital, "rows": list(study_rows)})}
        for number in sorted(_number("patient", hospital, *key) for key in found):
            connection.execute(_HOLD, {"number": number})


def one_at_a_time(connection: Connection) -> None:
    """Until the transaction ends nobody else deletes or restores anything, nor writes values of searchable attributes,
    which come and go with their rows."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ONE_AT_A_TIME)


def _share(driver: Driver, numbers: Iterable[int]) -> None:
    driver.rows(_SHARE, {"numbers": "{" + ",".join(map(str, sorted(numbers))) + "}"})


def _number(kind: str, hospital: str, *identity: str) -> int:
    """64 bits, signed. Two with the same one only wait for each other."""
    named = "\0".join((kind, owner_of(hospital), *identity)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(named, digest_size=8).digest(), signed=True)


# And the transaction gets its number, before rows get theirs: `pacs.index.searchable` asks which rows may still come.
_SHARE = select(func.pg_advisory_xact_lock_shared(column("number")), func.pg_current_xact_id()).select_from(
    func.unnest(cast(bindparam("numbers", type_=Text), ARRAY(BigInteger))).alias("number")
)
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(1885434739, 1)")
_HOLD = select(func.pg_advisory_xact_lock(bindparam("number")))
_TWIN = studies.alias("twin")
_PATIENTS = (
    select(patients.c.patient_id, patients.c.issuer_of_patient_id, patients.c.lone_study_uid)
    .join(studies, studies.c.patient_row == patients.c.id)
    .where(studies.c.id.in_(bindparam("rows", expanding=True)))
).union(
    select(patients.c.patient_id, patients.c.issuer_of_patient_id, patients.c.lone_study_uid)
    .join(_TWIN, _TWIN.c.patient_row == patients.c.id)
    .join(studies, studies.c.study_instance_uid == _TWIN.c.study_instance_uid)
    .where(studies.c.id.in_(bindparam("rows", expanding=True)), _TWIN.c.hospital == bindparam("hospital"))
)
