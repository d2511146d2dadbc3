/** The archive's DICOMweb door (PS3.18), as far as these pages ask it. */

import { type DataSet, number, personName, type PersonName, text, texts } from './dicom_json'
import { Failure, failureOf, isAbort } from './failure'
import { TAG } from './tags'

export const BASE = '/dicomweb'
const TIMEOUT_MS = 30_000

export interface Study {
  studyInstanceUid: string
  patientName: PersonName
  patientId: string
  birthDate: string
  sex: string
  date: string
  time: string
  description: string
  accessionNumber: string
  modalities: string[]
  seriesCount: number | undefined
  instanceCount: number | undefined
}

export interface Series {
  studyInstanceUid: string
  seriesInstanceUid: string
  modality: string
  number: number | undefined
  description: string
  date: string
  instanceCount: number | undefined
}

export interface StudyFilter {
  name: string
  patientId: string
  accessionNumber: string
  modality: string
  /** ISO days, `2026-11-22`; empty is open. */
  from: string
  to: string
}

/** QIDO-RS query of a study search (PS3.18 §8.3.4). Names, IDs and accession numbers match anywhere inside. */
export function studyQuery(filter: StudyFilter, limit: number, offset: number): URLSearchParams {
  const query = new URLSearchParams()
  const name = filter.name.trim().replace(/[\s,^*]+/g, '*')
  if (name.replace(/\*/g, '') !== '') query.set('PatientName', inside(name))
  if (filter.patientId.trim() !== '') query.set('PatientID', inside(filter.patientId.trim()))
  if (filter.accessionNumber.trim() !== '') query.set('AccessionNumber', inside(filter.accessionNumber.trim()))
  if (filter.modality !== '') query.set('ModalitiesInStudy', filter.modality)
  const from = filter.from.replaceAll('-', '')
  const to = filter.to.replaceAll('-', '')
  if (from !== '' || to !== '') query.set('StudyDate', from === to ? from : `${from}-${to}`)
  query.set('includefield', 'StudyDescription')
  query.set('limit', String(limit))
  if (offset > 0) query.set('offset', String(offset))
  return query
}

function inside(part: string): string {
  return `*${part}*`.replace(/\*+/g, '*')
}

export async function searchStudies(
  filter: StudyFilter,
  page: { limit: number; offset: number },
  signal: AbortSignal,
): Promise<Study[]> {
  const found = await getJson(`${BASE}/studies?${studyQuery(filter, page.limit, page.offset)}`, signal)
  return found.map(readStudy)
}

export async function findStudy(studyInstanceUid: string, signal: AbortSignal): Promise<Study> {
  const query = new URLSearchParams({ StudyInstanceUID: studyInstanceUid, includefield: 'StudyDescription' })
  const found = await getJson(`${BASE}/studies?${query}`, signal)
  if (found[0] === undefined) throw new Failure('not-found', 404, '')
  return readStudy(found[0])
}

/** Series of a study in the order of their numbers. */
export async function searchSeries(studyInstanceUid: string, signal: AbortSignal): Promise<Series[]> {
  const found = await getJson(`${BASE}/studies/${encodeURIComponent(studyInstanceUid)}/series`, signal)
  return found.map((dataSet) => readSeries(dataSet, studyInstanceUid)).sort(bySeriesNumber)
}

export function seriesMetadata(series: Series, signal: AbortSignal): Promise<DataSet[]> {
  return getJson(`${seriesUrl(series)}/metadata`, signal)
}

export function seriesUrl(series: Pick<Series, 'studyInstanceUid' | 'seriesInstanceUid'>): string {
  const study = encodeURIComponent(series.studyInstanceUid)
  return `${BASE}/studies/${study}/series/${encodeURIComponent(series.seriesInstanceUid)}`
}

export function thumbnailUrl(series: Series): string {
  return `${seriesUrl(series)}/thumbnail?viewport=192%2C192`
}

function readStudy(dataSet: DataSet): Study {
  return {
    studyInstanceUid: text(dataSet, TAG.StudyInstanceUid),
    patientName: personName(dataSet, TAG.PatientName),
    patientId: text(dataSet, TAG.PatientId),
    birthDate: text(dataSet, TAG.PatientBirthDate),
    sex: text(dataSet, TAG.PatientSex),
    date: text(dataSet, TAG.StudyDate),
    time: text(dataSet, TAG.StudyTime),
    description: text(dataSet, TAG.StudyDescription),
    accessionNumber: text(dataSet, TAG.AccessionNumber),
    modalities: texts(dataSet, TAG.ModalitiesInStudy),
    seriesCount: number(dataSet, TAG.NumberOfStudyRelatedSeries),
    instanceCount: number(dataSet, TAG.NumberOfStudyRelatedInstances),
  }
}

function readSeries(dataSet: DataSet, studyInstanceUid: string): Series {
  return {
    studyInstanceUid,
    seriesInstanceUid: text(dataSet, TAG.SeriesInstanceUid),
    modality: text(dataSet, TAG.Modality),
    number: number(dataSet, TAG.SeriesNumber),
    description: text(dataSet, TAG.SeriesDescription),
    date: text(dataSet, TAG.SeriesDate),
    instanceCount: number(dataSet, TAG.NumberOfSeriesRelatedInstances),
  }
}

function bySeriesNumber(one: Series, other: Series): number {
  return (
    (one.number ?? Infinity) - (other.number ?? Infinity) ||
    one.seriesInstanceUid.localeCompare(other.seriesInstanceUid)
  )
}

async function getJson(url: string, signal: AbortSignal): Promise<DataSet[]> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  let response: Response
  try {
    const accept = { Accept: 'application/dicom+json' }
    response = await fetch(url, { headers: accept, signal: AbortSignal.any([signal, timeout]) })
  } catch (error) {
    if (signal.aborted || isAbort(error)) throw error
    throw new Failure('unreachable', 0, '')
  }
  if (response.status === 204) return []
  if (!response.ok) throw await failureOf(response)
  const read: unknown = await response.json().catch(() => undefined)
  if (!Array.isArray(read)) throw new Failure('server', response.status, '')
  return read as DataSet[]
}
