"""The steps that bring an index of any earlier version to this one; run by `pacs.index.Index.migrate`.

Expand first, contract in a later release: nodes are upgraded one by one.
"""
