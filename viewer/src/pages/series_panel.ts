/** The strip of series: a thumbnail each, or a sign for what has no picture. */

import { type Series, thumbnailUrl } from '../api/dicomweb'
import { el, icon } from '../dom'
import { t } from '../i18n'
import { ICON } from '../icons'
import { kindOf, usuallyHasImages } from './series_kinds'

export interface SeriesPanel {
  element: HTMLElement
  mark(seriesInstanceUid: string): void
}

export function seriesPanel(all: Series[], choose: (series: Series) => void): SeriesPanel {
  const cards = new Map(all.map((series) => [series.seriesInstanceUid, card(series, choose)]))
  const element = el('nav', { class: 'series-panel', attributes: { 'aria-label': t.seriesWord } }, ...cards.values())
  return {
    element,
    mark(seriesInstanceUid) {
      for (const [uid, button] of cards) button.setAttribute('aria-pressed', String(uid === seriesInstanceUid))
      cards.get(seriesInstanceUid)?.scrollIntoView({ block: 'nearest' })
    },
  }
}

function card(series: Series, choose: (series: Series) => void): HTMLButtonElement {
  const picture = el('span', { class: 'picture' })
  if (usuallyHasImages(series.modality)) {
    const image = el('img', {
      attributes: { src: thumbnailUrl(series), alt: '', loading: 'lazy', decoding: 'async', draggable: 'false' },
      on: { error: () => picture.replaceChildren(sign(series)) },
    })
    picture.append(image)
  } else {
    picture.append(sign(series))
  }
  const attributes = { type: 'button', 'aria-pressed': 'false', 'data-series': series.seriesInstanceUid }
  return el(
    'button',
    { class: 'series-card', attributes, on: { click: () => choose(series) } },
    picture,
    el(
      'span',
      { class: 'about' },
      el('span', { class: 'badge' }, series.modality || '?'),
      el('span', { class: 'title', title: series.description }, series.description || t.noDescription),
      el('small', {}, t.seriesOf(series.number === undefined ? '–' : String(series.number), series.instanceCount)),
    ),
  )
}

function sign(series: Series): HTMLElement {
  return el('span', { class: 'sign', title: kindOf(series.modality) }, icon(ICON.document, 26), series.modality)
}
