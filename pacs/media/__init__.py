"""Files as a way in (PS3.10, PS3.3 Annex F): `file_set` finds candidates, `importing` takes them in.

`file_set` walks folders, zips and DICOMDIRs without ever trusting a name found there.
"""
