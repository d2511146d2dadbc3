/** The search row of the study list, and its form in the address. */

import type { StudyFilter } from '../api/dicomweb'
import { el, icon } from '../dom'
import { isoDay } from '../format'
import { t } from '../i18n'
import { ICON } from '../icons'

const MODALITIES = ['CR', 'CT', 'DX', 'ES', 'IO', 'MG', 'MR', 'NM', 'OT', 'PT', 'PX', 'RF', 'RTDOSE', 'RTPLAN', 'RTSTRUCT', 'SC', 'SEG', 'SM', 'SR', 'US', 'XA']
const FIELDS = ['name', 'patientId', 'accessionNumber', 'modality', 'from', 'to'] as const

export function emptyFilter(): StudyFilter {
  return { name: '', patientId: '', accessionNumber: '', modality: '', from: '', to: '' }
}

export function filterFrom(query: URLSearchParams): StudyFilter {
  const filter = emptyFilter()
  for (const field of FIELDS) filter[field] = query.get(field) ?? ''
  return filter
}

export function addressOf(filter: StudyFilter): string {
  const query = new URLSearchParams()
  for (const field of FIELDS) if (filter[field].trim() !== '') query.set(field, filter[field].trim())
  const search = query.toString()
  return search === '' ? '/' : `/?${search}`
}

export function isEmpty(filter: StudyFilter): boolean {
  return FIELDS.every((field) => filter[field].trim() === '')
}

export interface FilterRow {
  element: HTMLElement
  focus(): void
}

/** `changed` is called with the whole filter; `isTyping` tells keystrokes from choices. */
export function filterRow(start: StudyFilter, changed: (filter: StudyFilter, isTyping: boolean) => void): FilterRow {
  const filter = { ...start }
  const inputs = new Map<string, HTMLInputElement | HTMLSelectElement>()

  const input = (field: 'name' | 'patientId' | 'accessionNumber' | 'from' | 'to', label: string, type: string) => {
    const box = el('input', {
      attributes: { type, name: field, 'aria-label': label, placeholder: label, autocomplete: 'off', spellcheck: 'false', maxlength: '64' },
      on: {
        input: () => {
          filter[field] = box.value
          draw()
          changed(filter, type !== 'date')
        },
      },
    })
    box.value = filter[field]
    inputs.set(field, box)
    return box
  }

  const modality = el('select', {
    attributes: { name: 'modality', 'aria-label': t.modality },
    on: {
      change: () => {
        filter.modality = modality.value
        draw()
        changed(filter, false)
      },
    },
  })
  const listed = MODALITIES.includes(filter.modality) || filter.modality === '' ? MODALITIES : [filter.modality, ...MODALITIES]
  modality.append(el('option', { attributes: { value: '' } }, t.anyModality))
  for (const code of listed) modality.append(el('option', { attributes: { value: code } }, code))
  modality.value = filter.modality
  inputs.set('modality', modality)

  const chips = el('div', { class: 'chips', attributes: { role: 'group', 'aria-label': t.studyDate } })
  const spans: [string, string][] = [
    [t.today, isoDay(0)],
    [t.lastWeek, isoDay(6)],
    [t.lastMonth, isoDay(29)],
    [t.allDates, ''],
  ]
  const draw = (): void => {
    clear.hidden = isEmpty(filter)
    chips.replaceChildren(
      ...spans.map(([label, from]) => {
        const isChosen = filter.from === from && filter.to === ''
        const choose = (): void => set({ from, to: '' })
        const attributes = { type: 'button', 'aria-pressed': String(isChosen) }
        return el('button', { class: 'chip', attributes, on: { click: choose } }, label)
      }),
    )
  }
  const set = (part: Partial<StudyFilter>): void => {
    Object.assign(filter, part)
    for (const [field, box] of inputs) box.value = filter[field as keyof StudyFilter]
    draw()
    changed(filter, false)
  }

  const clear = el(
    'button',
    { class: 'button quiet', attributes: { type: 'button', 'data-action': 'clear' }, on: { click: () => set(emptyFilter()) } },
    icon(ICON.close, 14),
    t.clear,
  )
  const name = input('name', t.patientName, 'search')
  const element = el(
    'form',
    { class: 'filters', attributes: { role: 'search' }, on: { submit: (event) => event.preventDefault() } },
    el('label', { class: 'field wide' }, icon(ICON.search, 16), name),
    el('label', { class: 'field' }, input('patientId', t.patientId, 'search')),
    el('label', { class: 'field' }, input('accessionNumber', t.accession, 'search')),
    el('label', { class: 'field' }, modality),
    el('label', { class: 'field date' }, el('span', {}, t.dateFrom), input('from', t.dateFrom, 'date')),
    el('label', { class: 'field date' }, el('span', {}, t.dateTo), input('to', t.dateTo, 'date')),
    chips,
    clear,
  )
  draw()
  return { element, focus: () => (name.focus(), name.select()) }
}
