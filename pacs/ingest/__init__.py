"""The one write path: received bytes -> durable -> indexed -> `pacs.model.Stored`.

- `service`: `Ingest`, what the doors hold
- `reception`: `Reception`, one instance on its way in
- `description`: what the index needs to know of a data set
- `memory`: what all receptions may hold together
- `claims`: two receptions of one instance wait for each other
- `duplicates`: what happens to other bytes under a SOP Instance UID that is kept
- `coercion`, `coercion_rules`: attributes that are changed before an instance is stored
- `committer`: makes batches durable, then adds their rows
- `recovery`: rows for records that a crash left without one
"""

from pacs.ingest.reception import Reception
from pacs.ingest.service import Ingest
from pacs.storage.spool import Spool

__all__ = ["Ingest", "Reception", "Spool"]
