/** Windows in the unit of the modality (Hounsfield for CT). */

export interface Window {
  center: number
  width: number
}

export const CT_PRESETS = {
  presetSoftTissue: { center: 40, width: 400 },
  presetLung: { center: -600, width: 1500 },
  presetBone: { center: 500, width: 2000 },
  presetBrain: { center: 40, width: 80 },
  presetLiver: { center: 60, width: 160 },
} as const satisfies Record<string, Window>

/** Range of the LINEAR VOI function (PS3.3 C.11.2.1.2.1), as Cornerstone counts it. */
export function rangeOf({ center, width }: Window): { lower: number; upper: number } {
  return { lower: center - 0.5 - (width - 1) / 2, upper: center - 0.5 + (width - 1) / 2 }
}

export function windowOf({ lower, upper }: { lower: number; upper: number }): Window {
  return { center: (lower + upper) / 2 + 0.5, width: upper - lower + 1 }
}

/** A window over the middle 98 % of the pixels, for images that bring none. `limit` bounds the work. */
export function robustWindow(pixels: ArrayLike<number>, limit = 20_000): Window {
  const step = Math.max(1, Math.floor(pixels.length / limit))
  const sample = new Float64Array(Math.ceil(pixels.length / step))
  for (let at = 0, index = 0; index < pixels.length; index += step) sample[at++] = pixels[index] ?? 0
  sample.sort()
  const lower = sample[Math.floor(sample.length * 0.01)] ?? 0
  const upper = sample[Math.ceil(sample.length * 0.99) - 1] ?? 0
  return { center: (lower + upper + 1) / 2, width: Math.max(1, upper - lower + 1) }
}
