/** Starts Cornerstone3D once. */

import { cache, Enums, getConfiguration, imageLoader, imageRetrievalPoolManager, init as startCore, type Types } from '@cornerstonejs/core'
import { init as startLoader } from '@cornerstonejs/dicom-image-loader'
import {
  addTool,
  init as startTools,
  PanTool,
  StackScrollTool,
  WindowLevelTool,
  ZoomTool,
} from '@cornerstonejs/tools'

import { loadFrame } from './frame_loader'

/** Decoded pixels kept in memory; a 1,000-slice CT needs 0.5 GB. */
const CACHE_BYTES = 1 << 30
/** Browsers open six connections per host; two stay free for what the reader asks for now. */
const PREFETCH_REQUESTS = 4

let started: Promise<void> | undefined

export function startCornerstone(): Promise<void> {
  started ??= new Promise((done) => {
    start()
    done()
  })
  return started
}

function start(): void {
  // One viewport is shown, so one WebGL context is enough; a pool of seven costs a second to make.
  const rendering: Types.Cornerstone3DConfig['rendering'] = { ...getConfiguration().rendering, webGlContextCount: 1 }
  startCore({ ...getConfiguration(), rendering })
  startLoader({ maxWebWorkers: Math.max(1, Math.min(4, Math.floor(navigator.hardwareConcurrency / 2))) })
  // Same scheme, our loader around theirs: what the browser cannot decode, the archive renders.
  imageLoader.registerImageLoader('wadors', loadFrame)
  startTools()
  for (const tool of [WindowLevelTool, ZoomTool, PanTool, StackScrollTool]) addTool(tool)
  cache.setMaxCacheSize(CACHE_BYTES)
  imageRetrievalPoolManager.setMaxSimultaneousRequests(Enums.RequestType.Prefetch, PREFETCH_REQUESTS)
}
