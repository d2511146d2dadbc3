"""Pure functions on pixels: bytes and values in, arrays and bytes out. No file, socket, thread or clock.

Map, from stored frame to picture:

- `description`: `describe(header) -> PixelDescription`, the Image Pixel Module in typed form; `check` bounds it.
- `codestream`: headers of JPEG, JPEG-LS, JPEG 2000 and JPEG XL frames, compared before a codec takes memory.
- `native`, `rle`: uncompressed and RLE frames to arrays.
- `decode`: `decode(description, fragments) -> DecodedFrame(pixels, photometric_interpretation)`, any transfer syntax
  in `DECODABLE`.
- `lookup`, `display`: `display_attributes(header, frame_number) -> DisplayAttributes`, LUTs, palettes, windows,
  per frame.
- `window`: `to_8_bits`, grey values to 8 bits with the asked, the stored or a found window; by `grey_quotient` where
  arithmetic gives what a table would.
- `render`: `rendered(header, fragments, *, frame_number=1, media_type="image/jpeg", window=None, viewport=None,
  quality=90) -> bytes`; `picture_of` for the array, `encode` for JPEG and PNG.
- `rendering`: `rendered_as(header, frame, rendering) -> bytes`, all that a rendered resource can be asked for, with
  `overlay`, `presentation_state` and `presentation`, `annotation` and `lettering`, `colour_profile`, `picture_formats`
  (GIF, JPEG 2000), `animation` (films).
- `light`: `light_image(header) -> LightImage | None`, what is asked once of an image whose pictures need no decoder.
- `video`: `video_frame(excerpt, ...) -> bytes | Missing`, a frame of a stored video as a fragment that `decode` takes,
  or what it lacks of the stream (`video_stream`).
- `form`: which edition of pictures and frames is made, for entity tags and what is kept.
- `thumbnail`: `thumbnail(header, fragments, *, frame_number=1) -> bytes`; `middle(count)` picks what stands for all.
- `transcode`: `transcoded_frame(description, fragments, target_uid) -> EncodedFrame`, one frame in another encoding;
  `to_native(data_set, transfer_syntax_uid, target_uid) -> bytes`, a whole data set in an uncompressed one.
- `consumer_picture`: `native_picture(data, media_type)`, PNG and GIF to native pixels.
- `encode`: an array to a frame of any transfer syntax in `ENCODABLE`; `obstacle` says why not.
- `recoded`: a whole data set around frames in another transfer syntax, as pieces to send.
- `reencode`: data elements between implicit, explicit and big endian, values kept byte for byte.

`fragments` are always the stored fragments of one frame, as `pacs.retrieve` hands them out. Every function raises
`pacs.errors.UndecodablePixels` for pixels it cannot take, and never an error of a codec.
"""
