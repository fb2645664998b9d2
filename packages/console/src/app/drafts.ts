/**
 * What somebody typed and has not sent, for as long as the page is open: whoever looks something up in the console and comes back finds it
 * again. Each belongs to one person, one project and one thing, so it is never sent elsewhere; nothing of it is written down, for a draft
 * may hold what its writer takes out again. So the browser asks before the page itself goes, which would take them along.
 */
const kept = new Map<string, unknown>()

const keyOf = (of: DraftOf): string => JSON.stringify([of.person, of.project, of.thing])

export interface DraftOf {
  readonly person: string
  readonly project: string
  /** `comment on ticket <id>`. */
  readonly thing: string
}

// In its own words: browsers show no others.
const ask = (leaving: Event): void => leaving.preventDefault()

// Only while there is something to lose: a page that listens is not kept by browsers for the way back.
function guard(): void {
  if (kept.size > 0) addEventListener('beforeunload', ask)
  else removeEventListener('beforeunload', ask)
}

export const drafts = {
  get: (of: DraftOf): unknown => kept.get(keyOf(of)),
  /** What is as it was at first is none. */
  set(of: DraftOf, value: unknown, first: unknown): void {
    if (JSON.stringify(value) === JSON.stringify(first)) kept.delete(keyOf(of))
    else kept.set(keyOf(of), value)
    guard()
  },
  drop(of: DraftOf): void {
    kept.delete(keyOf(of))
    guard()
  },
  /** Somebody signed out: the next one at this browser has no drafts, and nobody reads theirs. */
  clear(): void {
    kept.clear()
    guard()
  },
}
