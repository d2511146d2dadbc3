import { expect, it } from 'vitest'

import { addressOf, emptyFilter, filterFrom, isEmpty } from '../../src/pages/study_filters'

it('keeps a search in the address and finds it there again', () => {
  const filter = { ...emptyFilter(), name: '홍 길동', modality: 'CT', from: '2026-11-01' }
  const address = addressOf(filter)
  expect(filterFrom(new URL(address, 'http://archive').searchParams)).toEqual(filter)
  expect(addressOf(emptyFilter())).toBe('/')
  expect(isEmpty(filter)).toBe(false)
  expect(isEmpty({ ...emptyFilter(), name: '  ' })).toBe(true)
})
