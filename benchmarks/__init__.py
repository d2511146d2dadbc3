"""Public, reproducible measurements of any archive that speaks DIMSE and DICOMweb.

`measure` is the command; `side_by_side` starts this archive, Debian's Orthanc and nginx and runs it on each.
`synthetic_ct` makes the images, `dimse_load` sends them, `http_load` asks for them; `synthetic_index` makes the rows of
years without images.
"""
