"""A medical image archive.

Doors (`dimse`, `dicomweb`, `portal`) speak a protocol and nothing else. Services (`ingest`, `query`, `retrieve`,
`lifecycle`) are the one path of each kind. Stores (`index`, `storage`) keep rows and bytes. `part10` and `pixels` are
pure functions over bytes. Imports go down only; `app` puts the pieces together, `cli` is the command line.
"""
