/** Why a request did not give what was asked for. */

export type FailureKind = 'unreachable' | 'not-found' | 'busy' | 'refused' | 'server'

export class Failure extends Error {
  override readonly name = 'Failure'

  constructor(
    readonly kind: FailureKind,
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** The server's own sentence; may be empty. */
    readonly detail: string,
  ) {
    super(`${kind} ${status} ${detail}`.trim())
  }
}

export function kindOf(status: number): FailureKind {
  if (status === 0) return 'unreachable'
  if (status === 404 || status === 410) return 'not-found'
  if (status === 401 || status === 403) return 'refused'
  if (status === 429 || status === 503) return 'busy'
  return 'server'
}

/** The sentence in an error body: JSON `{"error": ..., "hint": ...}`; empty for anything else. */
export function detailOf(body: string): string {
  try {
    const read: unknown = JSON.parse(body)
    if (typeof read !== 'object' || read === null) return ''
    const { error, hint } = read as Record<string, unknown>
    return [error, hint].filter((part): part is string => typeof part === 'string').join(' ')
  } catch {
    return ''
  }
}

export async function failureOf(response: Response): Promise<Failure> {
  const body = await response.text().catch(() => '')
  return new Failure(kindOf(response.status), response.status, detailOf(body))
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}
