/** One study: its series beside one viewport. The first series with images opens by itself. */

import { findStudy, searchSeries, type Series, seriesMetadata, type Study } from '../api/dicomweb'
import { Failure, isAbort } from '../api/failure'
import { el, icon, replace } from '../dom'
import { ageAt, formatDate, formatName } from '../format'
import { t } from '../i18n'
import { ICON } from '../icons'
import { go, remember, studyAddress } from '../router'
import { framesOf } from '../viewport/frames'
import { StackView } from '../viewport/stack_view'
import { failureMessage } from './failure_message'
import type { Page } from './page'
import { firstToRead, kindOf } from './series_kinds'
import { seriesPanel, type SeriesPanel } from './series_panel'
import { studyTools } from './study_tools'
import { topBar } from './top_bar'

export function studyPage(
  studyInstanceUid: string,
  wantedSeries: string | null,
  listAddress: string,
  redraw: () => void,
): Page {
  const life = new AbortController()
  let view: StackView | undefined
  let all: Series[] = []
  let current: Series | undefined
  let panel: SeriesPanel | undefined
  let request = new AbortController()

  const title = el('div', { class: 'study-title' })
  const side = el('aside', { class: 'side' }, el('div', { class: 'notice' }, t.loading))
  const stage = el('main', { class: 'study-main' })
  const tools = studyTools({
    use: (tool) => view?.use(tool),
    invert: () => view?.invert(),
    reset: () => view?.reset(),
    setWindow: (window) => view?.setWindow(window),
  })
  const leave = (): void => go(listAddress)

  const open = async (series: Series): Promise<void> => {
    request.abort()
    const mine = (request = new AbortController())
    const signal = AbortSignal.any([mine.signal, life.signal])
    current = series
    panel?.mark(series.seriesInstanceUid)
    remember(`${studyAddress(studyInstanceUid)}?series=${encodeURIComponent(series.seriesInstanceUid)}`)
    tools.forModality(series.modality)
    try {
      const instances = await seriesMetadata(series, signal)
      if (signal.aborted) return
      const frames = framesOf(instances)
      if (frames.length === 0) {
        endView()
        replace(stage, withoutImages(series, instances.length))
        return
      }
      if (view === undefined) {
        view = new StackView()
        replace(stage, view.element)
      }
      await view.show(frames)
    } catch (error) {
      if (signal.aborted || isAbort(error)) return
      endView()
      replace(stage, failureMessage(error, () => void open(series)))
    }
  }

  const endView = (): void => {
    view?.dispose()
    view = undefined
  }

  const load = async (): Promise<void> => {
    try {
      const series = searchSeries(studyInstanceUid, life.signal)
      findStudy(studyInstanceUid, life.signal).then(
        (study) => drawTitle(title, study),
        () => undefined,
      )
      all = await series
      if (life.signal.aborted) return
      if (all.length === 0) throw new Failure('not-found', 404, '')
      panel = seriesPanel(all, (chosen) => void open(chosen))
      replace(side, panel.element)
      const first = all.find((each) => each.seriesInstanceUid === wantedSeries) ?? firstToRead(all)
      if (first !== undefined) await open(first)
    } catch (error) {
      if (life.signal.aborted || isAbort(error)) return
      replace(side)
      replace(stage, failureMessage(error, () => void load()))
    }
  }

  const step = (by: number): void => {
    const at = all.findIndex((series) => series === current)
    const next = all[at + by]
    if (next !== undefined) void open(next)
  }

  const key = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return
    const moves: Record<string, () => void> = {
      ArrowUp: () => view?.scroll(-1),
      ArrowLeft: () => view?.scroll(-1),
      ArrowDown: () => view?.scroll(1),
      ArrowRight: () => view?.scroll(1),
      Home: () => view?.toEnd(false),
      End: () => view?.toEnd(true),
      PageUp: () => step(-1),
      PageDown: () => step(1),
      Escape: leave,
    }
    const move = moves[event.key]
    if (move !== undefined) move()
    else if (!tools.key(event.key.toLowerCase())) return
    event.preventDefault()
  }

  const back = el(
    'button',
    { class: 'button quiet', attributes: { type: 'button', 'data-action': 'back' }, on: { click: leave } },
    icon(ICON.back, 16),
    t.backToStudies,
  )
  return {
    element: el(
      'div',
      { class: 'study-page' },
      topBar(redraw, back, title, tools.element),
      el('div', { class: 'study-body' }, side, stage),
      el('footer', { class: 'keys' }, t.keysStudy),
    ),
    start() {
      document.title = t.appName
      addEventListener('keydown', key, { signal: life.signal })
      void load()
    },
    dispose() {
      life.abort()
      request.abort()
      endView()
    },
  }
}

function drawTitle(title: HTMLElement, study: Study): void {
  const name = formatName(study.patientName, t.noName)
  const about = [study.patientId, study.sex, ageAt(study.birthDate, study.date)].filter((part) => part !== '')
  const what = [formatDate(study.date), study.description].filter((part) => part !== '')
  document.title = `${name} · ${t.appName}`
  replace(
    title,
    el('strong', {}, name),
    el('span', {}, about.join(' · ')),
    el('span', { class: 'dim' }, what.join(' · ')),
  )
}

function withoutImages(series: Series, count: number): HTMLElement {
  return el(
    'div',
    { class: 'notice' },
    icon(ICON.document, 32),
    el('strong', {}, t.noImages),
    el('span', {}, t.noImagesHint(kindOf(series.modality), count)),
    series.description !== '' && el('span', { class: 'dim' }, series.description),
  )
}
