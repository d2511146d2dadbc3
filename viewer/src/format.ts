/** DICOM values as people read them. Values that are not of their VR's form are shown as they came. */

import type { PersonName } from './api/dicom_json'

const HANGUL = /[\uac00-\ud7a3]/

/**
 * `KIM^GILDONG` → `KIM, GILDONG`; the person's own script first when there is one. A Korean name is read in Hangul, which
 * PS3.5 Annex I puts into the phonetic group (and some equipment into the ideographic one), and is written without a space.
 */
export function formatName(name: PersonName, none: string): string {
  const alphabetic = components(name.alphabetic)
  const own = HANGUL.test(name.phonetic) ? name.phonetic : name.ideographic
  const native = components(own).replaceAll(', ', HANGUL.test(own) ? '' : ' ')
  if (native !== '' && alphabetic !== '') return `${native} (${alphabetic})`
  return native || alphabetic || none
}

function components(group: string): string {
  const [family = '', ...given] = group.split('^').map((part) => part.trim())
  const rest = given.filter((part) => part !== '').join(' ')
  return [family, rest].filter((part) => part !== '').join(', ')
}

/** DA `20261122` → `2026-11-22`. */
export function formatDate(date: string): string {
  const match = /^(\d{4})[.-]?(\d{2})[.-]?(\d{2})$/.exec(date)
  return match ? `${match[1]}-${match[2]}-${match[3]}` : date
}

/** TM `081530.1234` → `08:15`. */
export function formatTime(time: string): string {
  const match = /^(\d{2}):?(\d{2})/.exec(time)
  return match ? `${match[1]}:${match[2]}` : ''
}

/** A number with at most `digits` decimals and no trailing zeros. */
export function formatNumber(value: number | undefined, digits = 1): string {
  return value === undefined ? '' : String(Number(value.toFixed(digits)))
}

/** Whole years on the day of the study; empty when either date is missing or out of order. */
export function ageAt(birthDate: string, day: string): string {
  if (!/^\d{8}$/.test(birthDate) || !/^\d{8}$/.test(day) || day < birthDate) return ''
  const years = Number(day.slice(0, 4)) - Number(birthDate.slice(0, 4))
  return String(years - (day.slice(4) < birthDate.slice(4) ? 1 : 0))
}

/** AS `069Y` → `69`, `006M` → `6M`. */
export function formatAge(age: string): string {
  const match = /^0*(\d+)([DWMY])$/.exec(age)
  return match ? `${match[1]}${match[2] === 'Y' ? '' : match[2]}` : age
}

/** A local calendar day `daysAgo` days before now, as `2026-11-22`. */
export function isoDay(daysAgo: number, now = new Date()): string {
  const day = new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo)
  const pad = (value: number): string => String(value).padStart(2, '0')
  return `${day.getFullYear()}-${pad(day.getMonth() + 1)}-${pad(day.getDate())}`
}
