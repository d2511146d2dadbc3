/** Which page an address names: `/` the list, `/studies/{uid}` one study. */

export type Route =
  | { page: 'list'; query: URLSearchParams }
  | { page: 'study'; studyInstanceUid: string; seriesInstanceUid: string | null }
  | { page: 'unknown' }

export function routeOf(pathname: string, search: string): Route {
  const query = new URLSearchParams(search)
  if (pathname === '/') return { page: 'list', query }
  const uid = /^\/studies\/([0-9.]{1,64})\/?$/.exec(pathname)?.[1]
  if (uid === undefined) return { page: 'unknown' }
  return { page: 'study', studyInstanceUid: uid, seriesInstanceUid: query.get('series') }
}

export function studyAddress(studyInstanceUid: string): string {
  return `/studies/${encodeURIComponent(studyInstanceUid)}`
}

export function go(address: string): void {
  history.pushState(null, '', address)
  dispatchEvent(new PopStateEvent('popstate'))
}

/** Keeps the address true to what is shown, without a new step in the history. */
export function remember(address: string): void {
  history.replaceState(history.state, '', address)
}
