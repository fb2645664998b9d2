/** What is to happen after a transaction, by how it ends. */
export interface Aftermath {
  afterCommit(tell: () => void): void
  ifUndone(tell: () => void): void
  /** What is asked for from here on belongs to the savepoint that begins. */
  savepoint(): void
  /** What was asked for since the savepoint is undone with it. */
  undoneToSavepoint(): void
  committed(): void
  undone(): void
}

export function createAftermath(): Aftermath {
  let told: (() => void)[] = []
  let undone: (() => void)[] = []
  let [toldBefore, undoneBefore] = [0, 0]
  const run = (all: readonly (() => void)[]) => {
    for (const tell of all) tell()
  }
  return {
    afterCommit: (tell) => void told.push(tell),
    ifUndone: (tell) => void undone.push(tell),
    savepoint() {
      toldBefore = told.length
      undoneBefore = undone.length
    },
    undoneToSavepoint() {
      told.length = toldBefore
      run(undone.splice(undoneBefore))
    },
    committed() {
      undone = []
      run(told.splice(0))
    },
    undone() {
      told = []
      run(undone.splice(0))
    },
  }
}
