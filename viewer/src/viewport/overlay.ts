/** Words over the image: who, what, where in the stack, window and zoom, and the sides of the patient. */

import { number, numbers, personName, text } from '../api/dicom_json'
import { TAG } from '../api/tags'
import { el, replace } from '../dom'
import { ageAt, formatAge, formatDate, formatName, formatNumber, formatTime } from '../format'
import { t } from '../i18n'
import type { Frame } from './frames'
import { edges } from './orientation'
import type { Window } from './window_presets'

export interface OverlayState {
  frame: Frame
  index: number
  count: number
  window: Window | undefined
  zoom: number
}

export interface Overlay {
  element: HTMLElement
  draw(state: OverlayState | undefined): void
}

export function overlay(): Overlay {
  const corner = (place: string): HTMLElement => el('div', { class: `corner ${place}` })
  const edge = (place: string): HTMLElement => el('div', { class: `edge ${place}` })
  const corners = { topLeft: corner('top left'), topRight: corner('top right'), bottomLeft: corner('bottom left'), bottomRight: corner('bottom right') }
  const sides = { left: edge('at-left'), right: edge('at-right'), top: edge('at-top'), bottom: edge('at-bottom') }
  const element = el('div', { class: 'overlay' }, ...Object.values(corners), ...Object.values(sides))

  const lines = (where: HTMLElement, ...parts: string[]): void =>
    replace(where, ...parts.filter((part) => part.trim() !== '').map((part) => el('div', {}, part)))

  return {
    element,
    draw(state) {
      element.hidden = state === undefined
      if (state === undefined) return
      const { frame, index, count, window, zoom } = state
      const from = frame.attributes
      const date = text(from, TAG.StudyDate)
      const birth = text(from, TAG.PatientBirthDate)
      lines(
        corners.topLeft,
        formatName(personName(from, TAG.PatientName), t.noName),
        text(from, TAG.PatientId),
        [text(from, TAG.PatientSex), ageAt(birth, date) || formatAge(text(from, TAG.PatientAge)), formatDate(birth)].filter(Boolean).join(' · '),
      )
      lines(
        corners.topRight,
        text(from, TAG.InstitutionName),
        `${formatDate(date)} ${formatTime(text(from, TAG.StudyTime))}`,
        text(from, TAG.StudyDescription),
        text(from, TAG.SeriesDescription),
      )
      lines(
        corners.bottomLeft,
        t.imageOf(index + 1, count),
        frame.frameCount > 1 && frame.frameCount !== count ? t.frameOf(frame.frameNumber, frame.frameCount) : '',
        t.slice(formatNumber(number(from, TAG.SliceThickness), 2), formatNumber(number(from, TAG.SliceLocation), 1)),
      )
      lines(
        corners.bottomRight,
        frame.isServerRendered ? t.serverRendered : '',
        t.zoomValue(Math.round(zoom * 100)),
        window ? t.windowValues(formatNumber(window.center, 0), formatNumber(window.width, 0)) : '',
      )
      const letters = edges(numbers(from, TAG.ImageOrientationPatient))
      sides.left.textContent = letters?.left ?? ''
      sides.right.textContent = letters?.right ?? ''
      sides.top.textContent = letters?.top ?? ''
      sides.bottom.textContent = letters?.bottom ?? ''
    },
  }
}
