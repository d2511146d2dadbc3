import { describe, expect, it } from 'vitest'

import { chooseLanguage } from '../../src/i18n'
import { en } from '../../src/i18n/en'
import { ko } from '../../src/i18n/ko'

it.each([
  [null, ['ko-KR', 'en'], 'ko'],
  [null, ['de-DE', 'ko'], 'ko'],
  [null, ['de-DE'], 'en'],
  ['en', ['ko-KR'], 'en'],
  ['nonsense', ['ko-KR'], 'ko'],
])('with %s stored and %j wanted, speaks %s', (stored, wanted, language) => {
  expect(chooseLanguage(stored, wanted)).toBe(language)
})

describe('Korean', () => {
  it('has a word of its own for every English one', () => {
    const same = Object.entries(en).filter(([key, word]) => typeof word === 'string' && ko[key as keyof typeof ko] === word)
    expect(same.map(([key]) => key)).toEqual(['appName'])
  })
})
