/** The study list: search, choose, open; it follows what arrives while it is looked at. */

import { searchStudies, type Study, type StudyFilter } from '../api/dicomweb'
import { isAbort } from '../api/failure'
import { el, icon, replace } from '../dom'
import { ageAt, formatDate, formatName, formatTime } from '../format'
import { t } from '../i18n'
import { ICON } from '../icons'
import { go, remember, studyAddress } from '../router'
import { failureMessage } from './failure_message'
import type { Page } from './page'
import { imagesFirst } from './series_kinds'
import { addressOf, filterFrom, filterRow, isEmpty } from './study_filters'
import { brand, topBar } from './top_bar'

const PAGE = 50
const TYPING_PAUSE_MS = 250
const FOLLOW_MS = 15_000

export function studyListPage(
  query: URLSearchParams,
  addressChanged: (address: string) => void,
  redraw: () => void,
): Page {
  let filter: StudyFilter = filterFrom(query)
  let studies: Study[] = []
  let hasMore = false
  let chosen = 0
  let request = new AbortController()
  let typing: ReturnType<typeof setTimeout> | undefined
  const life = new AbortController()

  const rows = el('tbody')
  const count = el('span', { class: 'count', attributes: { 'aria-live': 'polite' } })
  const below = el('div', { class: 'below' })
  const refresh = el(
    'button',
    { class: 'button quiet', title: t.refresh, attributes: { type: 'button', 'aria-label': t.refresh }, on: { click: () => void load() } },
    icon(ICON.refresh, 16),
  )
  const filters = filterRow(filter, (next, isTyping) => {
    filter = { ...next }
    chosen = 0
    clearTimeout(typing)
    typing = setTimeout(() => void load(), isTyping ? TYPING_PAUSE_MS : 0)
  })

  const open = (study: Study): void => go(studyAddress(study.studyInstanceUid))

  const draw = (): void => {
    rows.replaceChildren(...studies.map((study, index) => studyRow(study, index === chosen, open)))
    count.textContent = t.studiesShown(studies.length, hasMore)
    below.replaceChildren()
    if (studies.length === 0) below.append(nothingFound(isEmpty(filter)))
    if (hasMore) {
      const more = (): void => void load(studies.length)
      below.append(el('button', { class: 'button', attributes: { type: 'button' }, on: { click: more } }, t.loadMore))
    }
  }

  /** Asks for the first page, or for the one after `offset` studies. `isQuiet` keeps the old rows when it fails. */
  const load = async (offset = 0, isQuiet = false): Promise<void> => {
    request.abort()
    const mine = (request = new AbortController())
    const address = addressOf(filter)
    remember(address)
    addressChanged(address)
    refresh.classList.add('is-busy')
    const limit = offset === 0 && isQuiet ? Math.max(PAGE, studies.length) : PAGE
    try {
      const found = await searchStudies(filter, { limit: limit + 1, offset }, mine.signal)
      if (mine.signal.aborted) return
      const before = studies[chosen]?.studyInstanceUid
      hasMore = found.length > limit
      const page = found.slice(0, limit)
      studies = offset === 0 ? page : studies.concat(page)
      // A whole answer can be ordered here; a page of a longer one keeps the archive's order.
      if (offset === 0 && !hasMore) studies.sort(newestFirst)
      const again = studies.findIndex((study) => study.studyInstanceUid === before)
      chosen = Math.max(0, again)
      draw()
    } catch (error) {
      if (mine.signal.aborted || isAbort(error)) return
      if (isQuiet) return
      rows.replaceChildren()
      count.textContent = ''
      replace(below, failureMessage(error, () => void load()))
    } finally {
      if (request === mine) refresh.classList.remove('is-busy')
    }
  }

  const choose = (next: number): void => {
    chosen = Math.min(Math.max(0, next), studies.length - 1)
    ;[...rows.children].forEach((row, index) => row.classList.toggle('is-chosen', index === chosen))
    rows.children[chosen]?.scrollIntoView({ block: 'nearest' })
  }

  const key = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const isInSelect = event.target instanceof HTMLSelectElement
    const isInText = event.target instanceof HTMLInputElement
    const isDate = isInText && (event.target as HTMLInputElement).type === 'date'
    const study = studies[chosen]
    if (event.key === '/' && !isInText) filters.focus()
    else if (event.key === 'ArrowDown' && !isInSelect && !isDate) choose(chosen + 1)
    else if (event.key === 'ArrowUp' && !isInSelect && !isDate) choose(chosen - 1)
    else if (event.key === 'Enter' && !(event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement) && study) open(study)
    else return
    event.preventDefault()
  }

  const follow = setInterval(() => {
    if (document.visibilityState === 'visible' && typing === undefined && studies.length <= 4 * PAGE) void load(0, true)
    typing = undefined
  }, FOLLOW_MS)

  const headings = [t.patient, t.patientId, t.studyDate, t.modality, t.description, t.accession, t.seriesWord, t.images]
  const element = el(
    'div',
    { class: 'list-page' },
    topBar(redraw, brand(), el('h1', {}, t.studies), count, refresh),
    filters.element,
    el(
      'main',
      { class: 'list-scroll' },
      el(
        'table',
        { class: 'studies' },
        el('thead', {}, el('tr', {}, ...headings.map((heading) => el('th', { attributes: { scope: 'col' } }, heading)))),
        rows,
      ),
      below,
    ),
    el('footer', { class: 'keys' }, t.keysList),
  )

  return {
    element,
    start() {
      document.title = `${t.studies} · ${t.appName}`
      addEventListener('keydown', key, { signal: life.signal })
      replace(below, el('div', { class: 'notice' }, t.loading))
      void load()
    },
    dispose() {
      life.abort()
      request.abort()
      clearInterval(follow)
      clearTimeout(typing)
    },
  }
}

function studyRow(study: Study, isChosen: boolean, open: (study: Study) => void): HTMLElement {
  const age = ageAt(study.birthDate, study.date)
  const person = [study.sex, age, formatDate(study.birthDate)].filter((part) => part !== '').join(' · ')
  const link = el(
    'a',
    { attributes: { href: studyAddress(study.studyInstanceUid) } },
    formatName(study.patientName, t.noName),
  )
  const follow = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return
    event.preventDefault()
    open(study)
  }
  return el(
    'tr',
    {
      class: isChosen ? 'is-chosen' : '',
      attributes: { 'data-study': study.studyInstanceUid },
      on: { click: follow },
    },
    el('td', { class: 'person' }, link, person !== '' && el('small', {}, person)),
    el('td', { class: 'code' }, study.patientId),
    el('td', { class: 'when' }, formatDate(study.date), el('small', {}, formatTime(study.time))),
    el('td', {}, ...imagesFirst(study.modalities).map((code) => el('span', { class: `badge m-${badgeClass(code)}` }, code))),
    el('td', { class: 'what' }, study.description || el('span', { class: 'dim' }, t.noDescription)),
    el('td', { class: 'code' }, study.accessionNumber),
    el('td', { class: 'number' }, study.seriesCount ?? ''),
    el('td', { class: 'number' }, study.instanceCount ?? ''),
  )
}

/** Modality codes come from outside: only known shapes become part of a class name. */
export function badgeClass(code: string): string {
  return /^[A-Z]{2,8}$/.test(code) ? code.toLowerCase() : 'other'
}

function newestFirst(one: Study, other: Study): number {
  return (other.date + other.time).localeCompare(one.date + one.time)
}

function nothingFound(isWholeArchive: boolean): HTMLElement {
  return el(
    'div',
    { class: 'notice' },
    icon(ICON.search, 28),
    el('strong', {}, isWholeArchive ? t.archiveEmpty : t.noStudies),
    el('span', {}, isWholeArchive ? t.archiveEmptyHint : t.noStudiesHint),
  )
}
