"""Rows: what is kept, where it lies, how it is found. SQLite or PostgreSQL behind one class, `Index`.

- `database`: `Index`, the only thing others use
- `tables`, `migrations`, `migrate`: the tables and the steps that make them
- `engine`: connections and the translation of their errors
- `driver`, `kept_connections`: statements of the receive path, run without SQLAlchemy's part
- `add`, `rows_above`, `counters`: the write path, one transaction per batch
- `versions`: the few instances that are kept in more than one version
- `change_marks`: by what processes see that what they hold in memory is no longer right
- `read`: look-ups by key, sums, series to settle
- `commitments`: storage commitment transactions
- `search`, `columns`, `results`: a `pacs.model.Query` as SQL, and its answers
- `pages`, `page_marks`: its rows page by page, and where pages ended
- `grams`, `gram_tables`: rows by any part of a name, ID or description
- `searchable`, `searchable_conditions`, `searchable_values`: attributes that an operator made searchable
- `private_creators`: whose the private ones of an answer are
- `allowance`: how long a search may take
- `keys`, `criteria`, `moments`, `fuzzy`, `wildcard`, `normal_form`: matching of PS3.4 C.2.2.2, pure
- `sqlite_statistics`: what SQLite's planner is told
- `row_values`, `packed`: attributes to columns and back, pure
"""

from pacs.index.add import AddResult, Existing
from pacs.index.change_marks import ChangeMark
from pacs.index.database import Index
from pacs.index.read import UnsettledSeries

__all__ = ["AddResult", "ChangeMark", "Existing", "Index", "UnsettledSeries"]
