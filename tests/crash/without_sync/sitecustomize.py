"""Put on PYTHONPATH by a control of the crash tests: segments are written and not synced. A fault, on purpose."""

from pacs.storage.disk import Disk


def _claim(self: Disk, handle: int) -> None:
    """Say that it is done, as a disk that lies."""


Disk.sync = Disk.seal = _claim  # type: ignore[method-assign]
