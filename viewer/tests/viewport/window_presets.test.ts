import { expect, it } from 'vitest'

import { rangeOf, robustWindow, windowOf } from '../../src/viewport/window_presets'

it('turns a window into a range and back', () => {
  expect(rangeOf({ center: 40, width: 400 })).toEqual({ lower: -160, upper: 239 })
  expect(windowOf(rangeOf({ center: 40, width: 400 }))).toEqual({ center: 40, width: 400 })
})

it('is not moved by a few extreme pixels', () => {
  const pixels = Int16Array.from({ length: 1000 }, (_, at) => 100 + (at % 50))
  pixels[3] = 32767
  pixels[500] = -32768
  expect(rangeOf(robustWindow(pixels))).toEqual({ lower: 100, upper: 149 })
})

it('has a width even where all pixels are equal, or none are there', () => {
  expect(robustWindow(new Uint8Array(10).fill(7)).width).toBe(1)
  expect(robustWindow([]).width).toBe(1)
})
