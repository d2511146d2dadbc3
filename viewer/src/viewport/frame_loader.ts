/**
 * Loads one frame: its stored bytes from `/frames`, decoded here, or, when the browser cannot make pixels of them, the
 * archive's own 8-bit rendering of it. The frame says which (`isServerRendered`), and so does the page.
 */

import { type Types, utilities } from '@cornerstonejs/core'
import { wadors } from '@cornerstonejs/dicom-image-loader'

import { type DataSet, number } from '../api/dicom_json'
import { detailOf, Failure, failureOf, kindOf } from '../api/failure'
import { TAG } from '../api/tags'
import type { Frame } from './frames'
import { describe, frameNamed } from './known_frames'

type Loader = Types.ImageLoaderFn
type Options = Parameters<Loader>[1]

export function loadFrame(imageId: string, options?: Options): ReturnType<Loader> {
  return { promise: load(imageId, options) }
}

async function load(imageId: string, options?: Options): Promise<Types.IImage> {
  const frame = frameNamed(imageId)
  if (frame === undefined) throw new Failure('not-found', 0, imageId)
  if (!frame.isServerRendered) {
    try {
      const image = (await wadors.loadImage(imageId, options as never).promise) as Types.IImage & { transferSyntaxUID?: string }
      if (!hasForeignBits(image, frame.attributes)) return image
    } catch (error) {
      // A refusal of the archive is an answer; anything else is pixels that could not be decoded here.
      if (error instanceof XMLHttpRequest && error.status !== 406) throw failureOfRequest(error)
    }
  }
  return await loadRendered(frame)
}

/** True when bits above Bits Stored hold something else, an overlay for example: Cornerstone would take them as value. */
function hasForeignBits(image: Types.IImage & { transferSyntaxUID?: string }, attributes: DataSet): boolean {
  const stored = number(attributes, TAG.BitsStored) ?? 16
  const isUnsigned = number(attributes, TAG.PixelRepresentation) !== 1
  if (image.color || !isUnsigned || !NATIVE.has(image.transferSyntaxUID ?? '')) return false
  const isScaled = image.preScale?.scaled === true
  const slope = isScaled ? (number(attributes, TAG.RescaleSlope) ?? 1) : 1
  const intercept = isScaled ? (number(attributes, TAG.RescaleIntercept) ?? 0) : 0
  return Math.abs(image.maxPixelValue - intercept) > Math.abs(slope) * (2 ** stored - 0.5)
}

const NATIVE = new Set(['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'])

function failureOfRequest(request: XMLHttpRequest): Failure {
  const body: unknown = request.response
  const said = body instanceof ArrayBuffer && body.byteLength < 10_000 ? new TextDecoder().decode(body) : ''
  return new Failure(kindOf(request.status), request.status, detailOf(said))
}

async function loadRendered(frame: Frame): Promise<Types.IImage> {
  const response = await fetch(`${frame.url}/rendered`, { headers: { Accept: 'image/png' } }).catch(() => undefined)
  if (response === undefined) throw new Failure('unreachable', 0, '')
  if (!response.ok) throw await failureOf(response)
  const picture = await createImageBitmap(await response.blob(), { colorSpaceConversion: 'none' })
  const { width, height } = picture
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext('2d')
  if (context === null) throw new Failure('server', 0, '')
  context.drawImage(picture, 0, 0)
  picture.close()
  const rgba = context.getImageData(0, 0, width, height).data
  const isColor = rgba.some((value, at) => at % 4 !== 3 && value !== rgba[at - (at % 4)])
  frame.isServerRendered = true
  frame.attributes = renderedAttributes(frame.attributes, width, height, isColor)
  describe(frame.imageId, frame.attributes)
  return imageOf(frame.imageId, rgba, width, height, isColor)
}

/** The attributes of the rendering: 8 bits, grey or RGB, without the modality's and the window's transformations. */
function renderedAttributes(attributes: DataSet, columns: number, rows: number, isColor: boolean): DataSet {
  const us = (value: number) => ({ vr: 'US', Value: [value] })
  const changed: DataSet = {
    ...attributes,
    [TAG.Rows]: us(rows),
    [TAG.Columns]: us(columns),
    [TAG.BitsAllocated]: us(8),
    [TAG.BitsStored]: us(8),
    [TAG.HighBit]: us(7),
    [TAG.PixelRepresentation]: us(0),
    [TAG.PlanarConfiguration]: us(0),
    [TAG.SamplesPerPixel]: us(isColor ? 3 : 1),
    [TAG.PhotometricInterpretation]: { vr: 'CS', Value: [isColor ? 'RGB' : 'MONOCHROME2'] },
    [TAG.WindowCenter]: { vr: 'DS', Value: [128] },
    [TAG.WindowWidth]: { vr: 'DS', Value: [256] },
  }
  delete changed[TAG.RescaleSlope]
  delete changed[TAG.RescaleIntercept]
  return changed
}

function imageOf(
  imageId: string,
  rgba: Uint8ClampedArray,
  columns: number,
  rows: number,
  isColor: boolean,
): Types.IImage {
  const components = isColor ? 3 : 1
  const pixels = new Uint8Array(columns * rows * components)
  for (let at = 0; at < pixels.length; at++) {
    const pixel = Math.floor(at / components)
    pixels[at] = rgba[pixel * 4 + (at % components)] ?? 0
  }
  const voxelManager = utilities.VoxelManager.createImageVoxelManager({
    scalarData: pixels,
    width: columns,
    height: rows,
    numberOfComponents: components,
  })
  return {
    imageId,
    dataType: 'Uint8Array',
    color: isColor,
    rgba: false,
    numberOfComponents: components,
    photometricInterpretation: isColor ? 'RGB' : 'MONOCHROME2',
    columns,
    rows,
    width: columns,
    height: rows,
    columnPixelSpacing: 1,
    rowPixelSpacing: 1,
    invert: false,
    slope: 1,
    intercept: 0,
    windowCenter: 128,
    windowWidth: 256,
    minPixelValue: 0,
    maxPixelValue: 255,
    sizeInBytes: pixels.byteLength,
    voxelManager,
    getPixelData: () => pixels,
  } as unknown as Types.IImage
}
