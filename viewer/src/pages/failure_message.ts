import { Failure } from '../api/failure'
import { el, icon } from '../dom'
import { t } from '../i18n'
import { ICON } from '../icons'

/** The sentence for a person: ours for the kind, and the server's own where it says more. */
export function sentenceOf(error: unknown): { title: string; detail: string } {
  if (!(error instanceof Failure)) {
    console.error(error)
    return { title: t.failureViewer, detail: error instanceof Error ? error.message : '' }
  }
  const title = {
    unreachable: t.failureUnreachable,
    'not-found': t.failureNotFound,
    refused: t.failureRefused,
    busy: t.failureBusy,
    server: t.failureServer,
  }[error.kind]
  return { title, detail: error.detail || (error.status > 0 ? `HTTP ${error.status}` : '') }
}

export function failureMessage(error: unknown, retry: () => void): HTMLElement {
  const { title, detail } = sentenceOf(error)
  return el(
    'div',
    { class: 'notice failure', attributes: { role: 'alert' } },
    icon(ICON.warning, 28),
    el('strong', {}, title),
    detail !== '' && el('span', {}, detail),
    el('button', { class: 'button', attributes: { type: 'button' }, on: { click: retry } }, t.retry),
  )
}
