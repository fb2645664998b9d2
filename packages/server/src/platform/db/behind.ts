/** What a transaction has asked for and does not wait for: see `Tx.behind`. */
export interface Behind {
  leave(asked: Promise<unknown>): void
  /** Throws what is known to have failed by now: of something that was never sent the store would not know. */
  refuseFailed(): void
  /** Resolves when all of it was done; throws what failed first. */
  caughtUp(): Promise<void>
  /** What was left is undone. */
  forget(): void
}

export function createBehind(): Behind {
  let asked: Promise<unknown>[] = []
  let failures: unknown[] = []
  return {
    leave(one) {
      // Of what is undone meanwhile nobody hears.
      const heard = failures
      one.catch((error) => heard.push(error))
      asked.push(one)
    },
    refuseFailed() {
      if (failures.length > 0) throw failures[0]
    },
    async caughtUp() {
      if (asked.length > 0) await Promise.all(asked)
      asked = []
    },
    forget() {
      asked = []
      failures = []
    },
  }
}
