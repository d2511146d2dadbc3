import { expect, it } from 'vitest'

import { edges, letters } from '../../src/viewport/orientation'

it('names the edges of the usual planes', () => {
  expect(edges([1, 0, 0, 0, 1, 0])).toEqual({ left: 'R', right: 'L', top: 'A', bottom: 'P' })
  expect(edges([0, 1, 0, 0, 0, -1])).toEqual({ left: 'A', right: 'P', top: 'H', bottom: 'F' })
  expect(edges([1, 0, 0, 0, 0, -1])).toEqual({ left: 'R', right: 'L', top: 'H', bottom: 'F' })
})

it('names two directions for an oblique plane, the larger first', () => {
  expect(letters([0.8, -0.6, 0])).toBe('LA')
  expect(letters([0.1, 0, 0.99])).toBe('H')
})

it('says nothing without six cosines', () => {
  expect(edges([])).toBeUndefined()
  expect(edges([1, 0, 0])).toBeUndefined()
})
