/** The chosen language: the one picked last, else the browser's first that we speak, else English. */

import { en, type Words } from './en'
import { ko } from './ko'

export type Language = 'en' | 'ko'
const LANGUAGES: Record<Language, Words> = { en, ko }
const KEY = 'pacs.language'

export function chooseLanguage(stored: string | null, preferred: readonly string[]): Language {
  for (const wanted of [stored ?? '', ...preferred]) {
    const language = wanted.toLowerCase().split('-')[0]
    if (language === 'ko' || language === 'en') return language
  }
  return 'en'
}

let current: Language = 'en'

/** Words of the current language; read it when drawing, not once. */
export let t: Words = en

export function startLanguage(): void {
  use(chooseLanguage(read(), navigator.languages))
}

export function language(): Language {
  return current
}

export function switchLanguage(): void {
  use(current === 'en' ? 'ko' : 'en')
  try {
    localStorage.setItem(KEY, current)
  } catch {
    // Storage may be switched off; the choice then lasts until the page is left.
  }
}

function use(next: Language): void {
  current = next
  t = LANGUAGES[next]
  document.documentElement.lang = next
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null
  }
}
