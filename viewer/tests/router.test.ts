import { expect, it } from 'vitest'

import { routeOf, studyAddress } from '../src/router'

it('knows the list and a study', () => {
  expect(routeOf('/', '?name=kim').page).toBe('list')
  expect(routeOf(studyAddress('1.2.3'), '?series=4.5')).toEqual({ page: 'study', studyInstanceUid: '1.2.3', seriesInstanceUid: '4.5' })
})

it.each(['/studies/', '/studies/..%2f', '/studies/1/2', '/studies/<b>', '/x', `/studies/${'1'.repeat(65)}`])('refuses %s', (path) => {
  expect(routeOf(path, '').page).toBe('unknown')
})
