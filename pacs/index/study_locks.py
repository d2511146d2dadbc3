"""Who stores in a study, and who deletes or restores in it, one after the other; PostgreSQL only.

A row that is inserted holds the row that it points to, from below; who moves a study into the trash holds rows from the
patient down, for what is below must not grow meanwhile. Each would wait for the other until the database ends one of
them. So each says first which study it is about. Those who store do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from sqlalchemy import Connection, bindparam, func, select

from pacs.index.driver import Driver
from pacs.model import InstanceKey


def share(driver: Driver, keys: Iterable[InstanceKey]) -> None:
    """Until the transaction ends nobody deletes or restores in these studies; many may store in them."""
    if driver.dialect_name == "postgresql":
        studies = {(key.hospital, key.study_instance_uid) for key in keys}
        for number in sorted(_number(*study) for study in studies):
            driver.rows(_SHARE, {"number": number})


def hold(connection: Connection, hospital: str, study_instance_uid: str) -> None:
    """Until the transaction ends nobody stores, deletes or restores in this study."""
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD, {"number": _number(hospital, study_instance_uid)})


def _number(hospital: str, study_instance_uid: str) -> int:
    """64 bits, signed. Two studies with the same one only wait for each other."""
    named = f"study\0{hospital}\0{study_instance_uid}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(named, digest_size=8).digest(), signed=True)


_SHARE = select(func.pg_advisory_xact_lock_shared(bindparam("number")))
_HOLD = select(func.pg_advisory_xact_lock(bindparam("number")))
