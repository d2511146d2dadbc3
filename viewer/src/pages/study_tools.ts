/** The tools over the image, and their keys. */

import { el, icon } from '../dom'
import { t } from '../i18n'
import { ICON } from '../icons'
import type { Tool } from '../viewport/stack_view'
import { CT_PRESETS, type Window } from '../viewport/window_presets'

export interface Actions {
  use(tool: Tool): void
  invert(): void
  reset(): void
  setWindow(window: Window | undefined): void
}

export interface StudyTools {
  element: HTMLElement
  /** Presets are for CT alone: only its numbers mean the same on every machine. */
  forModality(modality: string): void
  key(key: string): boolean
}

export function studyTools(actions: Actions): StudyTools {
  const tools: [Tool, string, keyof typeof ICON, string][] = [
    ['window', t.toolWindow, 'window', 'w'],
    ['scroll', t.toolScroll, 'scroll', 's'],
    ['zoom', t.toolZoom, 'zoom', 'z'],
    ['pan', t.toolPan, 'pan', 'm'],
  ]
  const button = (title: string, name: keyof typeof ICON, click: () => void): HTMLButtonElement =>
    el('button', { class: 'tool', title, attributes: { type: 'button', 'aria-label': title }, on: { click } }, icon(ICON[name]))

  const chooseable = new Map<Tool, HTMLButtonElement>()
  const use = (tool: Tool): void => {
    for (const [each, item] of chooseable) item.setAttribute('aria-pressed', String(each === tool))
    actions.use(tool)
  }
  for (const [tool, title, name] of tools) chooseable.set(tool, button(title, name, () => use(tool)))

  const presets = el('select', {
    class: 'presets',
    hidden: true,
    title: t.presets,
    attributes: { 'aria-label': t.presets },
    on: {
      change: () => {
        actions.setWindow(CT_PRESETS[presets.value as keyof typeof CT_PRESETS] as Window | undefined)
        presets.blur()
      },
    },
  })
  presets.append(el('option', { attributes: { value: '' } }, t.presetDefault))
  for (const name of Object.keys(CT_PRESETS) as (keyof typeof CT_PRESETS)[]) {
    presets.append(el('option', { attributes: { value: name } }, t[name]))
  }
  const reset = (): void => {
    presets.value = ''
    actions.reset()
  }

  const element = el(
    'div',
    { class: 'tools', attributes: { role: 'toolbar' } },
    ...chooseable.values(),
    el('span', { class: 'gap' }),
    button(t.toolInvert, 'invert', () => actions.invert()),
    button(t.toolReset, 'reset', reset),
    presets,
  )
  use('window')

  return {
    element,
    forModality(modality) {
      presets.hidden = modality !== 'CT'
      presets.value = ''
    },
    key(key) {
      const tool = tools.find(([, , , letter]) => letter === key)
      if (tool !== undefined) use(tool[0])
      else if (key === 'i') actions.invert()
      else if (key === 'r') reset()
      else return false
      return true
    },
  }
}
