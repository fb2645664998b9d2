/** Who let nothing start under a concurrency key, and why: an operator, or a task that was told to wait. Kept in the row of the key. */
export interface KeyPause {
  readonly at: number
  /** The person; null of a task. */
  readonly by: string | null
  /** The id of the run that asked for it; null of a person. */
  readonly run: string | null
  readonly reason: string | null
}

/** Nothing is known of one that began before this was kept. */
export const parsePause = (text: string | null): Partial<KeyPause> =>
  text === null ? {} : (JSON.parse(text) as KeyPause)
