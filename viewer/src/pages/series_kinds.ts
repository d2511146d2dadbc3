/** What a series without images is, in words. */

import type { Series } from '../api/dicomweb'
import { t } from '../i18n'

const WITHOUT_IMAGES = new Set(['SR', 'KO', 'PR', 'RTSTRUCT', 'RTPLAN', 'RTRECORD', 'RWV', 'DOC', 'PLAN', 'REG', 'FID', 'ECG', 'HD', 'EPS', 'AU', 'SMR', 'TEXTUREMAP', 'M3D'])

export function usuallyHasImages(modality: string): boolean {
  return !WITHOUT_IMAGES.has(modality)
}

/** Modality codes with those that bring images of their own before what was derived from them. */
export function imagesFirst(modalities: string[]): string[] {
  const rank = (modality: string): number => (modality === 'SEG' ? 1 : usuallyHasImages(modality) ? 0 : 2)
  return [...modalities].sort((one, other) => rank(one) - rank(other) || one.localeCompare(other))
}

/** The first series worth reading: scouts and localizers of one to three images come before it on most machines. */
export function firstToRead(all: Series[]): Series | undefined {
  const images = all.filter((each) => usuallyHasImages(each.modality))
  return images.find((each) => (each.instanceCount ?? 0) > 3 && each.modality !== 'SEG') ?? images[0] ?? all[0]
}

export function kindOf(modality: string): string {
  switch (modality) {
    case 'SR':
      return t.kindReport
    case 'KO':
      return t.kindKeyObject
    case 'PR':
      return t.kindPresentation
    case 'RTSTRUCT':
      return t.kindStructureSet
    case 'RTPLAN':
    case 'PLAN':
      return t.kindPlan
    case 'RWV':
      return t.kindRealWorld
    case 'DOC':
      return t.kindDocument
    case 'REG':
      return t.kindRegistration
    case 'ECG':
    case 'HD':
    case 'EPS':
    case 'AU':
      return t.kindWaveform
    default:
      return t.kindOther(modality)
  }
}
