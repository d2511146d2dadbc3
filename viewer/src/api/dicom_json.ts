/** Reads the DICOM JSON Model (PS3.18 Annex F) without trusting its types: a wrong value reads as absent. */

export interface Element {
  vr: string
  Value?: unknown[]
  InlineBinary?: string
  BulkDataURI?: string
}

export type DataSet = { [tag: string]: Element | undefined }

export function values(dataSet: DataSet, tag: string): unknown[] {
  const value = dataSet[tag]?.Value
  return Array.isArray(value) ? value : []
}

/** One value as text, trimmed; empty when absent. */
export function text(dataSet: DataSet, tag: string, index = 0): string {
  const value = values(dataSet, tag)[index]
  return typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : ''
}

export function texts(dataSet: DataSet, tag: string): string[] {
  return values(dataSet, tag)
    .map((_, index) => text(dataSet, tag, index))
    .filter((value) => value !== '')
}

/** One finite number, also from the numeric strings that older servers send. */
export function number(dataSet: DataSet, tag: string, index = 0): number | undefined {
  const value = values(dataSet, tag)[index]
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return undefined
  const read = Number(value)
  return Number.isFinite(read) ? read : undefined
}

/** All values as numbers, or none at all when one of them is not a number. */
export function numbers(dataSet: DataSet, tag: string): number[] {
  const read = values(dataSet, tag).map((_, index) => number(dataSet, tag, index))
  return read.every((value) => value !== undefined) ? read : []
}

export function items(dataSet: DataSet, tag: string): DataSet[] {
  return values(dataSet, tag).filter((item): item is DataSet => typeof item === 'object' && item !== null)
}

export interface PersonName {
  alphabetic: string
  ideographic: string
  phonetic: string
}

export function personName(dataSet: DataSet, tag: string): PersonName {
  const value = values(dataSet, tag)[0]
  if (typeof value === 'string') return { alphabetic: value, ideographic: '', phonetic: '' }
  const groups = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const group = (name: string): string => (typeof groups[name] === 'string' ? groups[name] : '')
  return { alphabetic: group('Alphabetic'), ideographic: group('Ideographic'), phonetic: group('Phonetic') }
}
