/** One page: its element, what to do once it is in the document, and how to end it. */
export interface Page {
  element: HTMLElement
  start?(): void
  dispose(): void
}
