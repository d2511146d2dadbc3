"""Door 2: DICOMweb, PS3.18. `app.dicomweb_app` puts it together.

Grammar of the protocol, pure: `resources` (URLs), `accept` (content negotiation), `multipart`, `search_parameters`,
`rendering_parameters`, `wado_uri_parameters`, `frame_representations`, `store_response`, `http_errors` (the one status
table).

Resources: `qido` (search), `wado` (files), `metadata` (and bulk data), `frames`, `rendered` (and thumbnails;
`rendered_subjects`, `documents`, `report`), `stow`
with `store_request` (store), `wado_uri` (the older words for `wado` and `rendered`), `openapi` (the description).

How they are served: `hot` (plain ASGI routes), `kept_answers` (given again at once), `byte_ranges`, `responses`,
`requests`, `door` (timing, HEAD, errors), `services`.
"""
