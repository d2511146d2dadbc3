/** One viewport that shows a stack of frames: Cornerstone's canvas, our overlay, rail and messages around it. */

import { Enums, eventTarget, imageLoader, RenderingEngine, type Types, utilities } from '@cornerstonejs/core'
import { Enums as ToolEnums, PanTool, StackScrollTool, ToolGroupManager, WindowLevelTool, ZoomTool } from '@cornerstonejs/tools'

import { TAG } from '../api/tags'
import { el, replace } from '../dom'
import { t } from '../i18n'
import { startCornerstone } from './cornerstone'
import type { Frame } from './frames'
import { useFrames } from './known_frames'
import { overlay } from './overlay'
import { prefetch, type Prefetch } from './prefetch'
import { scrollRail } from './scroll_rail'
import { rangeOf, robustWindow, type Window, windowOf } from './window_presets'

export type Tool = 'window' | 'zoom' | 'pan' | 'scroll'
const TOOLS: Record<Tool, string> = {
  window: WindowLevelTool.toolName,
  zoom: ZoomTool.toolName,
  pan: PanTool.toolName,
  scroll: StackScrollTool.toolName,
}
const { MouseBindings } = ToolEnums
const SLOW_MS = 200

let made = 0

export class StackView {
  readonly element: HTMLElement
  private readonly canvasHost = el('div', { class: 'canvas-host' })
  private readonly words = overlay()
  private readonly rail = scrollRail((index) => this.goTo(index))
  private readonly message = el('div', { class: 'viewport-message', hidden: true, attributes: { role: 'alert' } })
  private readonly progress = el('div', { class: 'progress', hidden: true, attributes: { role: 'status' } })
  private readonly spinner = el('div', { class: 'spinner', hidden: true })
  private readonly id = `stack-${++made}`
  private readonly life = new AbortController()
  private readonly resized = new ResizeObserver(() => this.resize())
  private engine: RenderingEngine | undefined
  private frames: Frame[] = []
  private index = 0
  private background: Prefetch | undefined
  private slow: ReturnType<typeof setTimeout> | undefined
  private tool: Tool = 'window'
  /** Set when the images bring no window of their own, so that all slices look alike. */
  private commonWindow: Window | undefined

  constructor() {
    const layers = [this.canvasHost, this.words.element, this.spinner, this.message, this.progress]
    this.element = el('div', { class: 'stack-view' }, el('div', { class: 'stage' }, ...layers), this.rail.element)
  }

  /** Shows a series from its first image. `element` must be in the document. */
  async show(frames: Frame[]): Promise<void> {
    await startCornerstone()
    if (this.life.signal.aborted) return
    const viewport = this.viewport() ?? this.enable()
    this.background?.stop()
    this.frames = frames
    this.index = 0
    this.commonWindow = undefined
    this.canvasHost.dataset.state = 'loading'
    delete this.canvasHost.dataset.index
    useFrames(frames)
    this.rail.reset(frames.length)
    this.words.draw(undefined)
    this.clearMessage()
    this.waitFor()
    const imageIds = frames.map((frame) => frame.imageId)
    await viewport.setStack(imageIds, 0)
    if (this.life.signal.aborted || this.frames !== frames) return
    viewport.resetCamera()
    viewport.render()
    this.startPrefetch(imageIds)
  }

  goTo(index: number): void {
    const viewport = this.viewport()
    if (viewport === undefined || this.frames.length === 0) return
    utilities.jumpToSlice(viewport.element, { imageIndex: Math.min(this.frames.length - 1, Math.max(0, index)) }).catch(() => undefined)
  }

  scroll(delta: number): void {
    this.viewport()?.scroll(delta)
  }

  toEnd(isLast: boolean): void {
    this.goTo(isLast ? this.frames.length - 1 : 0)
  }

  use(tool: Tool): void {
    this.tool = tool
    const group = ToolGroupManager.getToolGroup(this.id)
    if (group === undefined) return
    for (const name of Object.values(TOOLS)) group.setToolPassive(name, { removeAllBindings: true })
    // The left button does what was chosen; the others and the wheel never change.
    const fixed: Record<Tool, number[]> = {
      window: [],
      zoom: [MouseBindings.Secondary],
      pan: [MouseBindings.Auxiliary],
      scroll: [MouseBindings.Wheel],
    }
    for (const each of Object.keys(TOOLS) as Tool[]) {
      const buttons = each === tool ? [MouseBindings.Primary, ...fixed[each]] : fixed[each]
      if (buttons.length === 0) continue
      group.setToolActive(TOOLS[each], { bindings: buttons.map((mouseButton) => ({ mouseButton })) })
    }
  }

  setWindow(window: Window | undefined): void {
    const viewport = this.viewport()
    if (viewport === undefined) return
    if (window === undefined) this.storedWindow(viewport)
    else viewport.setProperties({ voiRange: rangeOf(window) })
    viewport.render()
  }

  invert(): void {
    const viewport = this.viewport()
    if (viewport === undefined) return
    viewport.setProperties({ invert: viewport.getProperties().invert !== true })
    viewport.render()
  }

  reset(): void {
    const viewport = this.viewport()
    if (viewport === undefined) return
    this.storedWindow(viewport)
    viewport.resetCamera()
    viewport.render()
  }

  dispose(): void {
    this.life.abort()
    this.background?.stop()
    clearTimeout(this.slow)
    this.resized.disconnect()
    ToolGroupManager.destroyToolGroup(this.id)
    this.engine?.destroy()
    this.engine = undefined
  }

  private enable(): Types.IStackViewport {
    this.engine = new RenderingEngine(this.id)
    this.engine.enableElement({
      viewportId: this.id,
      element: this.canvasHost,
      type: Enums.ViewportType.STACK,
      defaultOptions: { background: [0, 0, 0] },
    })
    const group = ToolGroupManager.createToolGroup(this.id)
    for (const name of Object.values(TOOLS)) group?.addTool(name)
    group?.addViewport(this.id, this.id)
    this.use(this.tool)
    this.listen()
    this.resized.observe(this.canvasHost)
    return this.viewport() as Types.IStackViewport
  }

  private listen(): void {
    const { Events } = Enums
    const once = { signal: this.life.signal }
    const on = (type: string, listener: (event: CustomEvent) => void): void =>
      this.canvasHost.addEventListener(type, listener as EventListener, once)
    on(Events.PRE_STACK_NEW_IMAGE, () => this.waitFor())
    on(Events.STACK_NEW_IMAGE, (event) => this.arrived(event.detail as { imageIdIndex: number; image: Types.IImage }))
    on(Events.IMAGE_RENDERED, () => this.rendered())
    on(Events.VOI_MODIFIED, () => this.drawWords())
    on(Events.CAMERA_MODIFIED, () => this.drawWords())
    this.canvasHost.addEventListener('contextmenu', (event) => event.preventDefault(), once)
    const failed = (event: Event): void => {
      const { imageId } = (event as CustomEvent).detail as { imageId?: string }
      const index = this.frames.findIndex((frame) => frame.imageId === imageId)
      if (index >= 0 && index === this.viewport()?.getTargetImageIdIndex()) this.couldNotShow(index)
    }
    eventTarget.addEventListener(Events.IMAGE_LOAD_ERROR, failed)
    this.life.signal.addEventListener('abort', () => eventTarget.removeEventListener(Events.IMAGE_LOAD_ERROR, failed))
  }

  private arrived({ imageIdIndex, image }: { imageIdIndex: number; image: Types.IImage }): void {
    clearTimeout(this.slow)
    this.spinner.hidden = true
    this.clearMessage()
    this.index = imageIdIndex
    this.rail.markLoaded(imageIdIndex)
    this.rail.moveTo(imageIdIndex)
    this.background?.moveTo(imageIdIndex)
    const hasWindow = this.frames[imageIdIndex]?.attributes[TAG.WindowCenter]?.Value !== undefined
    if (this.commonWindow === undefined && !image.color && !hasWindow) this.findWindow(image)
    this.canvasHost.dataset.state = 'drawing'
    this.canvasHost.dataset.index = String(imageIdIndex)
    this.drawWords()
  }

  /** A window for images that bring none: from the one on screen at once, then from the middle of the stack. */
  private findWindow(image: Types.IImage): void {
    const apply = (window: Window): void => {
      this.commonWindow = window
      this.viewport()?.setProperties({ voiRange: rangeOf(window) })
      this.viewport()?.render()
    }
    const first = robustWindow(image.getPixelData())
    apply(first)
    const frames = this.frames
    const middle = frames[Math.floor(frames.length / 2)]
    if (middle === undefined || middle.imageId === image.imageId) return
    const use = (other: Types.IImage): void => {
      // The reader's own choice, or another series meanwhile, stands.
      if (this.frames === frames && this.isWindow(first)) apply(robustWindow(other.getPixelData()))
    }
    imageLoader.loadAndCacheImage(middle.imageId).then(use, () => undefined)
  }

  private isWindow(window: Window): boolean {
    const shown = this.viewport()?.getProperties().voiRange
    const { lower, upper } = rangeOf(window)
    return shown !== undefined && shown.lower === lower && shown.upper === upper
  }

  private rendered(): void {
    if (this.canvasHost.dataset.state === 'drawing') this.canvasHost.dataset.state = 'shown'
  }

  private storedWindow(viewport: Types.IStackViewport): void {
    viewport.resetProperties()
    if (this.commonWindow !== undefined) viewport.setProperties({ voiRange: rangeOf(this.commonWindow) })
  }

  private startPrefetch(imageIds: string[]): void {
    let failures = 0
    const count = imageIds.length
    const tell = (): void => {
      this.progress.hidden = this.rail.loaded + failures >= count
      this.progress.textContent = t.loadedOf(this.rail.loaded, count)
    }
    const loaded = (index: number): void => {
      this.rail.markLoaded(index)
      tell()
    }
    const failed = (): void => {
      failures++
      tell()
    }
    this.background = prefetch(imageIds, this.index, loaded, failed)
  }

  private drawWords(): void {
    const viewport = this.viewport()
    const frame = this.frames[this.index]
    if (viewport === undefined || frame === undefined) return
    // Between a new stack and its first image there is none, whatever the types say.
    const range = viewport.getProperties().voiRange as Types.VOIRange | null | undefined
    const isColor = viewport.getCornerstoneImage()?.color === true
    this.words.draw({
      frame,
      index: this.index,
      count: this.frames.length,
      window: !range || isColor ? undefined : windowOf(range),
      zoom: viewport.getZoom(),
    })
  }

  private waitFor(): void {
    clearTimeout(this.slow)
    this.slow = setTimeout(() => (this.spinner.hidden = false), SLOW_MS)
  }

  private couldNotShow(index: number): void {
    clearTimeout(this.slow)
    this.spinner.hidden = true
    this.index = index
    this.rail.moveTo(index)
    this.canvasHost.dataset.state = 'failed'
    this.canvasHost.dataset.index = String(index)
    this.drawWords()
    this.message.hidden = false
    replace(this.message, el('strong', {}, t.failureFrame), el('span', {}, t.imageOf(index + 1, this.frames.length)))
  }

  private clearMessage(): void {
    this.message.hidden = true
  }

  private resize(): void {
    this.engine?.resize(true, false)
    this.drawWords()
  }

  private viewport(): Types.IStackViewport | undefined {
    return this.engine?.getViewport(this.id) as Types.IStackViewport | undefined
  }
}
