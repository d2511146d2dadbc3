"""Unified Procedure Steps: what is to be done, who does it, who is told (PS3.4 Annex CC).

Pure: `attributes` (Table CC.2.5-3), `data_sets` (what came, in one form), `checks` (requirements of create, set and
final state), `states` (Table CC.1.1-2), `cancellation`, `matching`, `reports` (what changes are told),
`refusals`.

`service.Worklist` puts them together on the rows of `pacs.index.workitems`; `pacs.dicomweb.ups` is its door.
"""
