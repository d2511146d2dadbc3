import { describe, expect, it } from 'vitest'

import { ageAt, formatAge, formatDate, formatName, formatNumber, formatTime, isoDay } from '../src/format'

describe('people', () => {
  it.each([
    ['KIM^GILDONG', '', 'KIM, GILDONG'],
    ['KIM^GILDONG^^DR', '', 'KIM, GILDONG DR'],
    ['KIM', '', 'KIM'],
    ['Hong^Gildong', '洪^吉洞', '洪 吉洞 (Hong, Gildong)'],
    ['', '洪^吉洞', '洪 吉洞'],
    ['^^^^', '', 'none'],
    ['', '', 'none'],
  ])('%s / %s is %s', (alphabetic, ideographic, shown) => {
    expect(formatName({ alphabetic, ideographic, phonetic: '' }, 'none')).toBe(shown)
  })

  it.each([
    ['Hong^Gildong', '洪^吉洞', '홍^길동', '홍길동 (Hong, Gildong)'],
    ['Hong^Gildong', '홍^길동', '', '홍길동 (Hong, Gildong)'],
    ['Yamada^Tarou', '山田^太郎', 'やまだ^たろう', '山田 太郎 (Yamada, Tarou)'],
  ])('%s / %s / %s is read as %s', (alphabetic, ideographic, phonetic, shown) => {
    expect(formatName({ alphabetic, ideographic, phonetic }, 'none')).toBe(shown)
  })

  it('have whole years on the day of the study', () => {
    expect(ageAt('19800229', '20260228')).toBe('45')
    expect(ageAt('19800229', '20260301')).toBe('46')
    expect(ageAt('', '20260301')).toBe('')
    expect(ageAt('20270101', '20260301')).toBe('')
  })

  it('bring an age of their own in four characters', () => {
    expect(formatAge('069Y')).toBe('69')
    expect(formatAge('006M')).toBe('6M')
    expect(formatAge('old')).toBe('old')
  })
})

describe('dates and numbers', () => {
  it('are shown as read, and as they came when they are wrong', () => {
    expect(formatDate('20261122')).toBe('2026-11-22')
    expect(formatDate('2026.11.22')).toBe('2026-11-22')
    expect(formatDate('22 Nov')).toBe('22 Nov')
    expect(formatTime('081530.123')).toBe('08:15')
    expect(formatTime('x')).toBe('')
    expect(formatNumber(3.75, 2)).toBe('3.75')
    expect(formatNumber(60.0001)).toBe('60')
    expect(formatNumber(undefined)).toBe('')
  })

  it('count days back over the end of a year', () => {
    expect(isoDay(2, new Date(2027, 0, 1))).toBe('2026-12-30')
  })
})
