/** The frames of the series on screen, by Cornerstone's name, with their attributes for its metadata providers. */

import { wadors } from '@cornerstonejs/dicom-image-loader'

import type { DataSet } from '../api/dicom_json'
import type { Frame } from './frames'

const known = new Map<string, Frame>()

/** Makes `frames` known, and forgets those of the series shown before. */
export function useFrames(frames: Frame[]): void {
  wadors.metaDataManager.purge()
  known.clear()
  for (const frame of frames) {
    known.set(frame.imageId, frame)
    describe(frame.imageId, frame.attributes)
  }
}

export function frameNamed(imageId: string): Frame | undefined {
  return known.get(imageId)
}

export function describe(imageId: string, attributes: DataSet): void {
  wadors.metaDataManager.add(imageId, attributes as Parameters<typeof wadors.metaDataManager.add>[1])
}
