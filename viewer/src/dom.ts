/** Builds elements. Text from outside is always a text node, never markup. */

type Child = Node | string | number | null | undefined | false

interface Properties {
  class?: string
  title?: string
  hidden?: boolean
  disabled?: boolean
  tabIndex?: number
  attributes?: Record<string, string>
  on?: Partial<{ [E in keyof HTMLElementEventMap]: (event: HTMLElementEventMap[E]) => void }>
}

export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  if (properties.class !== undefined) element.className = properties.class
  if (properties.title !== undefined) element.title = properties.title
  if (properties.hidden !== undefined) element.hidden = properties.hidden
  if (properties.tabIndex !== undefined) element.tabIndex = properties.tabIndex
  if (properties.disabled !== undefined && 'disabled' in element) element.disabled = properties.disabled
  for (const [key, value] of Object.entries(properties.attributes ?? {})) element.setAttribute(key, value)
  for (const [type, listener] of Object.entries(properties.on ?? {})) {
    element.addEventListener(type, listener as EventListener)
  }
  append(element, children)
  return element
}

function append(parent: Node, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    parent.appendChild(typeof child === 'object' ? child : document.createTextNode(String(child)))
  }
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren()
  append(parent, children)
}

const SVG = 'http://www.w3.org/2000/svg'

/** A 24 × 24 line icon from one of our own path strings. */
export function icon(path: string, size = 18): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('width', String(size))
  svg.setAttribute('height', String(size))
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const line = document.createElementNS(SVG, 'path')
  line.setAttribute('d', path)
  svg.appendChild(line)
  return svg
}
