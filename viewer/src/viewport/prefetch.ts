/** Loads the rest of a series in the background, from the image being looked at outwards. */

import { Enums, imageLoader } from '@cornerstonejs/core'

import { outwards } from './outwards'

const AT_ONCE = 4

export interface Prefetch {
  /** Continues from another image. */
  moveTo(index: number): void
  stop(): void
}

/** `loaded` is called for each image that is in memory, `failed` for each that could not be had. */
export function prefetch(
  imageIds: string[],
  start: number,
  loaded: (index: number) => void,
  failed: (index: number) => void,
): Prefetch {
  let isStopped = false
  let running = 0
  let from = start
  let queue = outwards(from, imageIds.length)
  const asked = new Set<number>()

  const next = (): void => {
    while (!isStopped && running < AT_ONCE) {
      const index = queue.shift()
      if (index === undefined) return
      const imageId = imageIds[index]
      if (imageId === undefined || asked.has(index)) continue
      asked.add(index)
      running++
      imageLoader
        .loadAndCacheImage(imageId, { priority: 0, requestType: Enums.RequestType.Prefetch })
        .then(
          () => !isStopped && loaded(index),
          () => !isStopped && failed(index),
        )
        .finally(() => {
          running--
          next()
        })
    }
  }
  next()

  return {
    moveTo(index) {
      if (index === from) return
      from = index
      queue = outwards(from, imageIds.length)
      next()
    },
    stop() {
      isStopped = true
    },
  }
}
