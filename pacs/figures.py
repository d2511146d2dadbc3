"""`pacs status`: what is stored, where, how full it is, and how the budgets stand. Reads only; the archive may run or
not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy.engine import make_url

from pacs.errors import StorageError
from pacs.index import Index
from pacs.measured.standing import lines, standing
from pacs.settings import Settings


def figures(settings: Settings) -> dict[str, Any]:
    """Counts from the index, sizes from the disk, and what the running archive has measured.

    Raises:
        pacs.errors.StorageError: there is no archive under `settings.data`, or its index does not answer.
    """
    data = settings.data.resolve()
    url = make_url(settings.index_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise StorageError(f"there is no archive in {data} yet; `pacs serve --data {data}` or `pacs import` begins one")
    index = Index.open(settings.index_url)
    try:
        holdings = index.holdings()
    finally:
        index.close()
    disk = shutil.disk_usage(data)
    return {
        "data": str(data),
        "index": url.render_as_string(hide_password=True),
        "patients": holdings.patients,
        "studies": holdings.studies,
        "series": holdings.series,
        "instances": holdings.instances,
        "instance_bytes": holdings.stored_bytes,
        "last_stored_at": holdings.last_stored_at,
        "series_by_modality": dict(sorted(holdings.by_modality.items())),
        "objects_bytes": _size(data / "objects"),
        "derived_bytes": _size(data / "derived"),
        "disk_total_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "disk_used_percent": round(100 * disk.used / disk.total, 1),
        "budgets": standing(settings),
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print `figures` for a person."""
    modalities = ", ".join(f"{name} {count:,}" for name, count in found["series_by_modality"].items())
    last = found["last_stored_at"]
    budgets = [*lines(found["budgets"])]
    for name, text in (
        ("kept in", found["data"]),
        ("index", found["index"]),
        ("patients", f"{found['patients']:,}"),
        ("studies", f"{found['studies']:,}"),
        ("series", f"{found['series']:,}" + (f"  ({modalities})" if modalities else "")),
        ("instances", f"{found['instances']:,}  ({_readable(found['instance_bytes'])})"),
        ("last stored", last.astimezone().strftime("%Y-%m-%d %H:%M:%S") if last else "nothing yet"),
        ("objects", _readable(found["objects_bytes"])),
        ("thumbnails and metadata", _readable(found["derived_bytes"])),
        (
            "disk",
            f"{found['disk_used_percent']} % used, {_readable(found['disk_free_bytes'])} free"
            f" of {_readable(found['disk_total_bytes'])}",
        ),
        budgets[0],
    ):
        console.print(f"{name:24}{text}", markup=False, highlight=False, soft_wrap=True)
    width = max((len(name) for name, _ in budgets), default=0) + 2
    for name, text in budgets[1:]:
        console.print(f"{name:{width}}{text}", markup=False, highlight=False, soft_wrap=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0


def _readable(size_bytes: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            break
        size_bytes /= 1000
    return f"{size_bytes:,.0f} {unit}" if unit == "bytes" else f"{size_bytes:,.1f} {unit}"
