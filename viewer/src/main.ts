import './style/fonts.css'
import './style/base.css'
import './style/list.css'
import './style/study.css'

import { el, replace } from './dom'
import { startLanguage, t } from './i18n'
import { type Page } from './pages/page'
import { studyListPage } from './pages/study_list'
import { routeOf } from './router'

const root = document.getElementById('app') as HTMLElement
let shown: Page | undefined
/** The list's last address, so that going back finds the same search. */
let listAddress = '/'
let turn = 0

async function show(): Promise<void> {
  const mine = ++turn
  const route = routeOf(location.pathname, location.search)
  shown?.dispose()
  shown = undefined
  if (route.page === 'list') {
    shown = studyListPage(route.query, (address) => (listAddress = address), show)
  } else if (route.page === 'study') {
    replace(root, el('div', { class: 'page-wait' }, t.loading))
    // The images' code is large; the list does without it.
    const { studyPage } = await import('./pages/study_page')
    if (mine !== turn) return
    shown = studyPage(route.studyInstanceUid, route.seriesInstanceUid, listAddress, show)
  } else {
    const link = el('a', { attributes: { href: '/' } }, t.studies)
    shown = { element: el('div', { class: 'page-wait' }, t.pageUnknown, link), dispose: () => undefined }
  }
  replace(root, shown.element)
  shown.start?.()
}

startLanguage()
addEventListener('popstate', () => void show())
void show()
