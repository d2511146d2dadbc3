"""Child of the crash tests: stores version upon version of three instances, each coerced, and says which were taken.

``python -m tests.crash.version_forever FOLDER FIRST [CALL N]``: with CALL and N the process kills itself right before
the N-th such call to the disk.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any

from pacs.storage.disk import Disk
from tests.crash.commit_forever import deadly
from tests.ingest.small_archive import encoded, open_place

SETTINGS: dict[str, Any] = {
    "memory_bytes_per_instance": 1 << 16,
    "duplicates": "keep-both",
    "coercion": ({"aet": "CT_1", "set": {"InstitutionName": "Coerced"}},),
}


def main() -> None:
    folder, first, *point = sys.argv[1:]
    disk = deadly(point[0], int(point[1])) if point else Disk()
    place = open_place(Path(folder), disk=disk, **SETTINGS)
    place.ingest.recover()
    for number in itertools.count(int(first)):
        place.send(content_of(number))
        os.write(1, f"{number}\n".encode())


def content_of(number: int) -> bytes:
    return encoded(
        number % 3,
        pixel_bytes=1 << 17 if number % 4 == 2 else 4096,
        PatientComments=str(number),
        InstitutionName="Came so",
    )


if __name__ == "__main__":
    main()
