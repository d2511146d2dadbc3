import { el, icon } from '../dom'
import { switchLanguage, t } from '../i18n'
import { ICON } from '../icons'

/** The bar every page has; `redraw` shows the page again in the other language. */
export function topBar(redraw: () => void, ...middle: (Node | false)[]): HTMLElement {
  const change = (): void => {
    switchLanguage()
    redraw()
  }
  return el(
    'header',
    { class: 'top-bar' },
    ...middle,
    el('span', { class: 'grow' }),
    el(
      'button',
      { class: 'button quiet', attributes: { type: 'button', 'data-action': 'language' }, on: { click: change } },
      icon(ICON.language, 16),
      t.languageOther,
    ),
  )
}

export function brand(): HTMLElement {
  return el(
    'a',
    { class: 'brand', attributes: { href: '/' } },
    el('img', { attributes: { src: '/icon.svg', alt: '', width: '24', height: '24' } }),
    el('span', {}, t.appName),
  )
}
