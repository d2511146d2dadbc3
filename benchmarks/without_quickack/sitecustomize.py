"""Put on PYTHONPATH by `benchmarks.quickack`: acknowledgements are left to the kernel's timer. To be compared with."""

import pacs.dimse.connection

pacs.dimse.connection._QUICKACK = None
