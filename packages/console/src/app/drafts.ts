/**
 * What somebody typed and has not sent, for as long as the page is open: whoever looks something up in the console and comes back finds it
 * again. Each belongs to one person, one project and one thing, so it is never sent elsewhere; nothing of it is written down, for a draft
 * may hold what its writer takes out again.
 */
const kept = new Map<string, string>()

const keyOf = (of: DraftOf): string => JSON.stringify([of.person, of.project, of.thing])

export interface DraftOf {
  readonly person: string
  readonly project: string
  /** `comment on ticket <id>`. */
  readonly thing: string
}

export const drafts = {
  get: (of: DraftOf): string | undefined => kept.get(keyOf(of)),
  /** Text that is as it was at first is none. */
  set(of: DraftOf, text: string, first = ''): void {
    if (text === first) kept.delete(keyOf(of))
    else kept.set(keyOf(of), text)
  },
  /** Somebody signed out: the next one at this browser has no drafts, and nobody reads theirs. */
  clear: (): void => kept.clear(),
}
