/** From a series' metadata to the frames of a stack: order, addresses, and one flat data set per frame. */

import { type DataSet, items, number, numbers, text } from '../api/dicom_json'
import { BASE } from '../api/dicomweb'
import { TAG } from '../api/tags'

/** Pixel Data, Float and Double Float Pixel Data: in metadata as a link only. */
const PIXEL_DATA = ['7FE00010', '7FE00008', '7FE00009']

export interface Frame {
  /** Cornerstone's name for it: `wadors:` and the URL of the frame. */
  imageId: string
  /** URL of the frame, without scheme. */
  url: string
  frameNumber: number
  frameCount: number
  /** The instance's attributes with those of the frame's functional groups on top (PS3.3 C.7.6.16). */
  attributes: DataSet
  /** True when the browser cannot make pixels of it, and the archive renders it to 8 bits instead. */
  isServerRendered: boolean
}

/** Frames of all images in the series, in the order of their Instance Numbers. Objects without pixels are left out. */
export function framesOf(instances: DataSet[]): Frame[] {
  return instances
    .filter(isImage)
    .sort(byPlace)
    .flatMap((instance) => {
      const frameCount = Math.max(1, number(instance, TAG.NumberOfFrames) ?? 1)
      return Array.from({ length: frameCount }, (_, index) => frameOf(instance, index + 1, frameCount))
    })
}

function frameOf(instance: DataSet, frameNumber: number, frameCount: number): Frame {
  const study = encodeURIComponent(text(instance, TAG.StudyInstanceUid))
  const series = encodeURIComponent(text(instance, TAG.SeriesInstanceUid))
  const sop = encodeURIComponent(text(instance, TAG.SopInstanceUid))
  const url = `${BASE}/studies/${study}/series/${series}/instances/${sop}/frames/${frameNumber}`
  const attributes = flattened(instance, frameNumber)
  return {
    imageId: `wadors:${url}`,
    url,
    frameNumber,
    frameCount,
    attributes,
    isServerRendered: needsServer(attributes),
  }
}

export function isImage(instance: DataSet): boolean {
  return hasPixels(instance) && !isVideo(instance)
}

/** Image objects are also sent without their pixels, as headers alone. */
function hasPixels(instance: DataSet): boolean {
  const isSized = (number(instance, TAG.Rows) ?? 0) > 0 && (number(instance, TAG.Columns) ?? 0) > 0
  return isSized && PIXEL_DATA.some((tag) => instance[tag] !== undefined)
}

/** MPEG-2, MPEG-4 and HEVC transfer syntaxes (PS3.5 §8.2.5 to 8.2.10). */
export function isVideo(instance: DataSet): boolean {
  return /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/.test(text(instance, TAG.AvailableTransferSyntaxUid))
}

/** Pixels that Cornerstone cannot draw: single bits, 32 and 64 bits, floats, and palettes (their tables are bulk data). */
function needsServer(attributes: DataSet): boolean {
  const allocated = number(attributes, TAG.BitsAllocated)
  return (allocated !== 8 && allocated !== 16) || text(attributes, TAG.PhotometricInterpretation) === 'PALETTE COLOR'
}

/** A frame's own attributes: instance, then shared groups, then the frame's groups. */
export function flattened(instance: DataSet, frameNumber: number): DataSet {
  const shared = items(instance, TAG.SharedFunctionalGroups)[0]
  const own = items(instance, TAG.PerFrameFunctionalGroups)[frameNumber - 1]
  const flat: DataSet = { ...instance }
  delete flat[TAG.SharedFunctionalGroups]
  delete flat[TAG.PerFrameFunctionalGroups]
  delete flat[TAG.NumberOfFrames]
  for (const groups of [shared, own]) {
    for (const tag of Object.keys(groups ?? {})) Object.assign(flat, items(groups as DataSet, tag)[0])
  }
  return placeable(flat)
}

/** Leaves out a spacing or a place that cannot be one (zeros, skewed directions): they would draw nothing at all. */
function placeable(attributes: DataSet): DataSet {
  const isSpacing = (tag: string): boolean => {
    const spacing = numbers(attributes, tag)
    return spacing.length === 2 && spacing.every((size) => size > 0)
  }
  if (!isSpacing(TAG.PixelSpacing)) {
    const imager = isSpacing(TAG.ImagerPixelSpacing) ? attributes[TAG.ImagerPixelSpacing] : undefined
    attributes[TAG.PixelSpacing] = imager
  }
  const cosines = numbers(attributes, TAG.ImageOrientationPatient)
  if (!isOrthonormal(cosines) || numbers(attributes, TAG.ImagePositionPatient).length !== 3) {
    delete attributes[TAG.ImageOrientationPatient]
    delete attributes[TAG.ImagePositionPatient]
  }
  return attributes
}

function isOrthonormal(cosines: number[]): boolean {
  if (cosines.length !== 6) return false
  const product = (one: number, other: number): number =>
    [0, 1, 2].reduce((sum, axis) => sum + (cosines[one + axis] ?? NaN) * (cosines[other + axis] ?? NaN), 0)
  const isNear = (value: number, wanted: number): boolean => Math.abs(value - wanted) < 0.02
  return isNear(product(0, 0), 1) && isNear(product(3, 3), 1) && isNear(product(0, 3), 0)
}

function byPlace(one: DataSet, other: DataSet): number {
  const byNumber = (number(one, TAG.InstanceNumber) ?? Infinity) - (number(other, TAG.InstanceNumber) ?? Infinity)
  if (byNumber !== 0 && !Number.isNaN(byNumber)) return byNumber
  const byDepth = depth(one) - depth(other)
  if (byDepth !== 0 && !Number.isNaN(byDepth)) return byDepth
  return text(one, TAG.SopInstanceUid).localeCompare(text(other, TAG.SopInstanceUid))
}

/** Distance along the slice's normal, mm; NaN when the image has no place in the patient. */
function depth(instance: DataSet): number {
  const [rx, ry, rz, cx, cy, cz] = numbers(instance, TAG.ImageOrientationPatient)
  const [x, y, z] = numbers(instance, TAG.ImagePositionPatient)
  if (rx === undefined || ry === undefined || rz === undefined) return NaN
  if (cx === undefined || cy === undefined || cz === undefined) return NaN
  if (x === undefined || y === undefined || z === undefined) return NaN
  return x * (ry * cz - rz * cy) + y * (rz * cx - rx * cz) + z * (rx * cy - ry * cx)
}
