import { expect, it } from 'vitest'

import type { Series } from '../../src/api/dicomweb'
import { firstToRead, imagesFirst, usuallyHasImages } from '../../src/pages/series_kinds'

const series = (modality: string, instanceCount: number): Series => ({
  studyInstanceUid: '1',
  seriesInstanceUid: `${modality}${instanceCount}`,
  modality,
  number: 1,
  description: '',
  date: '',
  instanceCount,
})

it('opens the first whole series, not the report and not the scout', () => {
  const all = [series('SR', 9), series('CT', 2), series('SEG', 9), series('CT', 135), series('PT', 300)]
  expect(firstToRead(all)?.instanceCount).toBe(135)
  expect(firstToRead([series('SR', 1), series('CR', 1)])?.modality).toBe('CR')
  expect(firstToRead([series('SR', 1)])?.modality).toBe('SR')
  expect(firstToRead([])).toBeUndefined()
  expect(usuallyHasImages('XX')).toBe(true)
})

it('names what was looked at before what was made of it', () => {
  expect(imagesFirst(['SEG', 'RWV', 'PT', 'CT', 'SR'])).toEqual(['CT', 'PT', 'SEG', 'RWV', 'SR'])
})
