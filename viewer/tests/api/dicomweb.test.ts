import { afterEach, describe, expect, it, vi } from 'vitest'

import { searchSeries, seriesUrl, studyQuery } from '../../src/api/dicomweb'
import { Failure } from '../../src/api/failure'

const nothing = { name: '', patientId: '', accessionNumber: '', modality: '', from: '', to: '' }
const query = (part: Partial<typeof nothing>) => studyQuery({ ...nothing, ...part }, 51, 0)

describe('a study search', () => {
  it('asks for everything when nothing is typed', () => {
    expect(query({}).toString()).toBe('includefield=StudyDescription&limit=51')
  })

  it('looks anywhere inside a name, and between its parts', () => {
    expect(query({ name: ' kim ' }).get('PatientName')).toBe('*kim*')
    expect(query({ name: 'Hong Gildong' }).get('PatientName')).toBe('*Hong*Gildong*')
    expect(query({ name: '홍길동' }).get('PatientName')).toBe('*홍길동*')
    expect(query({ name: ' ^* ' }).get('PatientName')).toBeNull()
  })

  it('writes days as a DICOM range', () => {
    expect(query({ from: '2026-11-01', to: '2026-11-22' }).get('StudyDate')).toBe('20261101-20261122')
    expect(query({ from: '2026-11-22', to: '2026-11-22' }).get('StudyDate')).toBe('20261122')
    expect(query({ from: '2026-11-01' }).get('StudyDate')).toBe('20261101-')
    expect(query({ to: '2026-11-01' }).get('StudyDate')).toBe('-20261101')
  })

  it('pages by offset', () => {
    expect(studyQuery(nothing, 51, 50).get('offset')).toBe('50')
  })
})

describe('answers', () => {
  afterEach(() => vi.unstubAllGlobals())
  const answer = (status: number, body: string) =>
    vi.stubGlobal('fetch', async () => new Response(status === 204 ? null : body, { status }))
  const ask = () => searchSeries('1.2', new AbortController().signal)

  it('are put in the order of the series numbers, those without one last', async () => {
    const series = (uid: string, ...number: number[]) => ({
      '0020000E': { vr: 'UI', Value: [uid] },
      '00200011': { vr: 'IS', Value: number },
    })
    answer(200, JSON.stringify([series('9'), series('3', 10), series('2', 2)]))
    expect((await ask()).map((each) => each.seriesInstanceUid)).toEqual(['2', '3', '9'])
  })

  it('may be empty', async () => {
    answer(204, '')
    expect(await ask()).toEqual([])
  })

  it.each([
    [404, 'not-found'],
    [403, 'refused'],
    [503, 'busy'],
    [500, 'server'],
  ])('with status %i fail as %s, with the sentence of the archive', async (status, kind) => {
    answer(status, JSON.stringify({ error: 'What was wrong.', hint: 'What to do.' }))
    await expect(ask()).rejects.toMatchObject({ kind, status, detail: 'What was wrong. What to do.' })
  })

  it('that are no JSON fail', async () => {
    answer(200, '<html>')
    await expect(ask()).rejects.toBeInstanceOf(Failure)
  })

  it('that never come fail as unreachable', async () => {
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('network')
    })
    await expect(ask()).rejects.toMatchObject({ kind: 'unreachable', status: 0 })
  })
})

it('puts no raw UID into an address', () => {
  expect(seriesUrl({ studyInstanceUid: '1/../2', seriesInstanceUid: '3?x' })).toBe('/dicomweb/studies/1%2F..%2F2/series/3%3Fx')
})
