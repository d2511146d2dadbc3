import { describe, expect, it } from 'vitest'

import { items, number, numbers, personName, text, texts } from '../../src/api/dicom_json'

describe('values of the DICOM JSON model', () => {
  it('reads numbers and numeric strings alike', () => {
    const dataSet = { '00280030': { vr: 'DS', Value: [0.5, '0.75'] } }
    expect(numbers(dataSet, '00280030')).toEqual([0.5, 0.75])
    expect(number(dataSet, '00280030', 1)).toBe(0.75)
  })

  it.each([[undefined], [[]], [['x']], [[null]], [['']], [[{}]], [[NaN]], ['12' as never]])('takes %j as absent', (Value) => {
    const dataSet = { '00280010': { vr: 'US', ...(Value === undefined ? {} : { Value }) } }
    expect(number(dataSet, '00280010')).toBeUndefined()
    expect(items(dataSet, '00280010').every((item) => typeof item === 'object')).toBe(true)
  })

  it('gives no numbers rather than some', () => {
    expect(numbers({ '00200032': { vr: 'DS', Value: [1, null, 3] } }, '00200032')).toEqual([])
  })

  it('trims text and leaves out empty values', () => {
    const dataSet = { '00080061': { vr: 'CS', Value: ['CT ', null, 'MR'] } }
    expect(text(dataSet, '00080061')).toBe('CT')
    expect(texts(dataSet, '00080061')).toEqual(['CT', 'MR'])
  })

  it('reads both groups of a name, and nothing from a wrong one', () => {
    const named = { '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Hong^Gildong', Ideographic: '洪^吉洞' }] } }
    expect(personName(named, '00100010')).toEqual({ alphabetic: 'Hong^Gildong', ideographic: '洪^吉洞', phonetic: '' })
    expect(personName({ '00100010': { vr: 'PN', Value: [null] } }, '00100010')).toEqual({ alphabetic: '', ideographic: '', phonetic: '' })
    expect(personName({}, '00100010')).toEqual({ alphabetic: '', ideographic: '', phonetic: '' })
  })
})
