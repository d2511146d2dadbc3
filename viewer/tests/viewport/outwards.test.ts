import { expect, it } from 'vitest'

import { outwards } from '../../src/viewport/outwards'

it('goes out from the image being looked at, and names each once', () => {
  expect(outwards(2, 6)).toEqual([2, 3, 1, 4, 0, 5])
  expect(outwards(0, 3)).toEqual([0, 1, 2])
  expect(outwards(2, 3)).toEqual([2, 1, 0])
  expect(outwards(0, 0)).toEqual([])
})
