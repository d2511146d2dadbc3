/** The rail beside the image: where in the stack the reader is, and which images are in memory; it can be dragged. */

import { el } from '../dom'

export interface ScrollRail {
  element: HTMLElement
  reset(count: number): void
  markLoaded(index: number): void
  moveTo(index: number): void
  readonly loaded: number
}

const COLOURS = { track: '#1a222d', loaded: '#24394b', thumb: '#7fd0e4' }

export function scrollRail(chosen: (index: number) => void): ScrollRail {
  const canvas = el('canvas')
  const element = el('div', { class: 'scroll-rail', attributes: { 'aria-hidden': 'true' } }, canvas)
  let isLoaded = new Uint8Array(0)
  let loaded = 0
  let at = 0
  let frame = 0

  const paint = (): void => {
    frame = 0
    const ratio = devicePixelRatio || 1
    const width = Math.round(element.clientWidth * ratio)
    const height = Math.round(element.clientHeight * ratio)
    const context = canvas.getContext('2d')
    if (context === null || width === 0 || height === 0) return
    if (canvas.width !== width) canvas.width = width
    if (canvas.height !== height) canvas.height = height
    context.fillStyle = COLOURS.track
    context.fillRect(0, 0, width, height)
    const count = isLoaded.length
    if (count === 0) return
    context.fillStyle = COLOURS.loaded
    for (let start = 0; start < count; ) {
      let end = start
      while (end < count && isLoaded[end] === isLoaded[start]) end++
      if (isLoaded[start] === 1) {
        context.fillRect(0, (start / count) * height, width, ((end - start) / count) * height)
      }
      start = end
    }
    const size = Math.max(6 * ratio, height / count)
    context.fillStyle = COLOURS.thumb
    context.fillRect(0, count < 2 ? 0 : (at / (count - 1)) * (height - size), width, size)
  }
  const soon = (): void => {
    if (frame === 0) frame = requestAnimationFrame(paint)
  }

  const drag = (event: PointerEvent): void => {
    if (event.buttons !== 1 || isLoaded.length < 2) return
    element.setPointerCapture(event.pointerId)
    const box = element.getBoundingClientRect()
    const share = Math.min(1, Math.max(0, (event.clientY - box.top) / box.height))
    chosen(Math.round(share * (isLoaded.length - 1)))
  }
  element.addEventListener('pointerdown', drag)
  element.addEventListener('pointermove', drag)
  new ResizeObserver(soon).observe(element)

  return {
    element,
    reset(count) {
      isLoaded = new Uint8Array(count)
      loaded = 0
      at = 0
      element.hidden = count < 2
      soon()
    },
    markLoaded(index) {
      if (isLoaded[index] !== 0) return
      isLoaded[index] = 1
      loaded++
      soon()
    },
    moveTo(index) {
      at = index
      soon()
    },
    get loaded() {
      return loaded
    },
  }
}
