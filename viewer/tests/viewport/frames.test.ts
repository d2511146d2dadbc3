import { describe, expect, it } from 'vitest'

import type { DataSet } from '../../src/api/dicom_json'
import { flattened, framesOf } from '../../src/viewport/frames'

const image = (sop: string, more: DataSet = {}): DataSet => ({
  '0020000D': { vr: 'UI', Value: ['1'] },
  '0020000E': { vr: 'UI', Value: ['2'] },
  '00080018': { vr: 'UI', Value: [sop] },
  '00280010': { vr: 'US', Value: [4] },
  '00280011': { vr: 'US', Value: [4] },
  '00280100': { vr: 'US', Value: [16] },
  '7FE00010': { vr: 'OW', BulkDataURI: '/dicomweb/bulk' },
  ...more,
})
const numbered = (sop: string, number: number) => image(sop, { '00200013': { vr: 'IS', Value: [number] } })
const placed = (sop: string, z: number) =>
  image(sop, {
    '00200032': { vr: 'DS', Value: [0, 0, z] },
    '00200037': { vr: 'DS', Value: [1, 0, 0, 0, 1, 0] },
  })
const names = (instances: DataSet[]) => framesOf(instances).map((frame) => frame.url.split('/')[7])

describe('the order of a stack', () => {
  it('is that of the instance numbers', () => {
    expect(names([numbered('c', 10), numbered('a', 2), numbered('b', 9)])).toEqual(['a', 'b', 'c'])
  })

  it('is that of the slices where there are no numbers', () => {
    expect(names([placed('top', 30), placed('low', -5), placed('mid', 2)])).toEqual(['low', 'mid', 'top'])
  })

  it('is stable where there is neither', () => {
    expect(names([image('b'), image('a')])).toEqual(['a', 'b'])
  })
})

describe('frames', () => {
  it('are addressed one by one', () => {
    const frames = framesOf([image('5', { '00280008': { vr: 'IS', Value: [3] } })])
    expect(frames.map((frame) => frame.imageId)).toEqual(
      [1, 2, 3].map((n) => `wadors:/dicomweb/studies/1/series/2/instances/5/frames/${n}`),
    )
    expect(frames.every((frame) => frame.frameCount === 3)).toBe(true)
  })

  it('are not made of objects without pixels, nor of video', () => {
    const video = image('v', { '00083002': { vr: 'UI', Value: ['1.2.840.10008.1.2.4.102'] } })
    const headerOnly = image('h', { '7FE00010': undefined })
    expect(framesOf([{ '00080018': { vr: 'UI', Value: ['sr'] } }, video, headerOnly])).toEqual([])
  })

  it('are made of floats too', () => {
    const floats = image('f', { '7FE00010': undefined, '7FE00008': { vr: 'OF', BulkDataURI: '/dicomweb/bulk' } })
    expect(framesOf([floats])).toHaveLength(1)
  })

  it('are left to the archive when the browser cannot draw them', () => {
    const palette = { '00280004': { vr: 'CS', Value: ['PALETTE COLOR'] } }
    const [sixteen, bits, floats, colours] = framesOf([
      numbered('a', 1),
      { ...numbered('b', 2), '00280100': { vr: 'US', Value: [1] } },
      { ...numbered('c', 3), '00280100': { vr: 'US', Value: [32] } },
      { ...numbered('d', 4), ...palette },
    ]).map((frame) => frame.isServerRendered)
    expect([sixteen, bits, floats, colours]).toEqual([false, true, true, true])
  })
})

it('puts a frame’s own groups over the shared ones over the instance', () => {
  const group = (tag: string, inner: DataSet): DataSet => ({ [tag]: { vr: 'SQ', Value: [inner] } })
  const slope = (value: number): DataSet => ({ '00281053': { vr: 'DS', Value: [value] } })
  const place = (z: number): DataSet => ({ '00200032': { vr: 'DS', Value: [0, 0, z] } })
  const instance = image('5', {
    ...slope(9),
    '00200037': { vr: 'DS', Value: [1, 0, 0, 0, 1, 0] },
    '00280008': { vr: 'IS', Value: [2] },
    '52009229': { vr: 'SQ', Value: [{ ...group('00289145', slope(2)), ...group('00209113', place(-1)) }] },
    '52009230': { vr: 'SQ', Value: [group('00209113', place(1)), group('00209113', place(2))] },
  })
  const second = flattened(instance, 2)
  expect(second['00281053']?.Value).toEqual([2])
  expect(second['00200032']?.Value).toEqual([0, 0, 2])
  expect(second['52009230']).toBeUndefined()
  expect(flattened(instance, 99)['00200032']?.Value).toEqual([0, 0, -1])
  expect(instance['00281053']?.Value).toEqual([9])
})

describe('attributes that cannot place an image', () => {
  const shown = (more: DataSet) => flattened(image('5', more), 1)

  it('are left out, so that the image is drawn all the same', () => {
    const skewed = { ...placed('5', 3), '00200037': { vr: 'DS', Value: [1, 0, 0, 1, 0, 0] } }
    expect(shown({ '00280030': { vr: 'DS', Value: [0, 0] } })['00280030']).toBeUndefined()
    expect(flattened(skewed, 1)['00200032']).toBeUndefined()
    expect(flattened(placed('5', 3), 1)['00200032']?.Value).toEqual([0, 0, 3])
  })

  it('give way to the spacing at the detector', () => {
    const spacing = shown({ '00181164': { vr: 'DS', Value: [0.2, 0.2] } })
    expect(spacing['00280030']?.Value).toEqual([0.2, 0.2])
  })
})
