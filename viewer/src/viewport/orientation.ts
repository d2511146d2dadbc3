/** Which side of the patient each edge of the image shows (PS3.3 C.7.6.1.1.1). */

export interface Edges {
  left: string
  right: string
  top: string
  bottom: string
}

const LETTERS: [plus: string, minus: string][] = [
  ['L', 'R'],
  ['P', 'A'],
  ['H', 'F'],
]
/** Below this share of a direction, an oblique component is not worth a letter. */
const OBLIQUE = 0.25

/** Letters for a direction in the patient, the largest component first: `A`, `AL`, `HP`. */
export function letters(direction: readonly number[]): string {
  return direction
    .map((part, axis) => ({ size: Math.abs(part), letter: LETTERS[axis]?.[part > 0 ? 0 : 1] ?? '' }))
    .filter(({ size }) => size > OBLIQUE)
    .sort((one, other) => other.size - one.size)
    .slice(0, 2)
    .map(({ letter }) => letter)
    .join('')
}

/** Edges of an unrotated image from its six direction cosines; undefined when it has none. */
export function edges(cosines: readonly number[]): Edges | undefined {
  if (cosines.length !== 6) return undefined
  const row = cosines.slice(0, 3)
  const column = cosines.slice(3)
  const back = (direction: number[]): string => letters(direction.map((part) => -part))
  return { left: back(row), right: letters(row), top: back(column), bottom: letters(column) }
}
