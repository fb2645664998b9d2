import { type Command, DatabaseConflict, DatabaseUnavailable, type Tx } from './database.ts'
import { projectInContext } from './project.ts'

interface Waiting {
  readonly project: string
  /** Groups of one line do not run at once: a project's, or those of one of its commands that are apart. */
  readonly line: string
  readonly command: Command<unknown, unknown>
  readonly input: unknown
  resolve(output: unknown): void
  reject(error: unknown): void
}

/** One open transaction as the group needs it; the store wraps its connection so. */
export interface GroupTx {
  readonly tx: Tx
  savepoint(): Promise<void>
  rollbackToSavepoint(): Promise<void>
  releaseSavepoint(): Promise<void>
  /** Resolves when everything that was left behind (`Tx.behind`) was done, and throws what failed of it. */
  caughtUp(): Promise<void>
  /** Throws FailedBehind when something that was left behind failed, and so all of it. */
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Resolves when what was committed is on the disk; null where `commit` waits for that. The next group begins meanwhile. */
  readonly onDisk: (() => Promise<void>) | null
  /** Called when what was committed is on the disk. */
  tell(): void
  /** Called when it may have been lost after all. */
  undone(): void
}

export interface GroupCommit {
  submit<I, O>(command: Command<I, O>, input: I): Promise<O>
  /** Resolves when nothing waits and nothing is under way. */
  drain(): Promise<void>
}

type Outcome = { ok: true; output: unknown } | { ok: false; error: unknown }

/**
 * Joins changes that are asked for within the same turn of the event loop into one transaction and one fsync. While a
 * group commits, the next one gathers, so under load groups grow by themselves and a single change waits for nobody.
 *
 * - A group holds one project's changes, because the fence is set per transaction. A project has one group at a time, and
 *   beside it, where the store can, one for each command that is `apart`.
 * - Equal commands run as one; a failing one is undone to its savepoint and its inputs tried one by one.
 * - Answers go out after COMMIT, when it is on the disk. If it fails nobody is told that anything happened.
 *
 * Stopped before COMMIT: nothing happened, no caller was answered. Stopped after it: everything happened, some callers
 * were not answered; an Idempotency-Key tells them on their next try.
 */
export function createGroupCommit(options: {
  open(project: string): Promise<GroupTx>
  concurrent: number
  max?: number
  /** What a group may weigh before nothing more is added to it. */
  maxWeight: number
  /** Whether commands that are `apart` get groups of their own. Where there is one writer that would only be more commits. */
  apart?: boolean
}): GroupCommit {
  const max = options.max ?? 64
  const waiting: Waiting[] = []
  // One group a line at a time: two would wait for the same counters, and could wait for each other.
  const busy = new Set<string>()
  let running = 0
  let answering = 0
  let scheduled = false
  const idle: (() => void)[] = []

  function schedule() {
    if (scheduled || running >= options.concurrent || waiting.length === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      start()
    })
  }

  function start() {
    const line = running < options.concurrent ? waiting.find((item) => !busy.has(item.line))?.line : undefined
    if (line === undefined) return
    const group: Waiting[] = []
    let weight = 0
    for (let i = 0; i < waiting.length && group.length < max && weight < options.maxWeight; ) {
      const { line: own, command, input } = waiting[i]!
      if (own !== line) i++
      else {
        weight += command.weight?.(input) ?? 1
        group.push(...waiting.splice(i, 1))
      }
    }
    running++
    answering++
    busy.add(line)
    runGroup(group, options.open)
      .finally(() => {
        running--
        busy.delete(line)
        // In a turn of its own: groups that began each other would keep everything else of this process waiting.
        schedule()
      })
      .then((answer) => answer())
      .catch((error) => {
        for (const item of group) item.reject(error)
      })
      .finally(() => {
        answering--
        if (answering === 0 && waiting.length === 0) for (const wake of idle.splice(0)) wake()
      })
    schedule()
  }

  return {
    submit<I, O>(command: Command<I, O>, input: I): Promise<O> {
      return new Promise<O>((resolve, reject) => {
        // The promise's types meet the queue's here, and only here.
        const project = projectInContext()
        const line = options.apart && command.apart ? `${project} ${command.name}` : project
        waiting.push({ project, line, command, input, resolve, reject } as unknown as Waiting)
        schedule()
      })
    },
    drain: () =>
      answering === 0 && waiting.length === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve)),
  }
}

/** One caller's change. Never joined with another: the group runs each in a savepoint of its own. */
export const unit: Command<(tx: Tx) => Promise<unknown>, unknown> = {
  name: 'unit',
  run: async (tx, [work, ...more]) => {
    if (more.length > 0) throw new Error('units run one by one')
    return [await work!(tx)]
  },
}

/** Equal commands run together; a unit is a batch of its own. */
const batchOf = (item: Waiting): unknown => (item.command === unit ? item : item.command)

/** What was left behind failed, after its command had ended: nothing says whose it was. */
export class FailedBehind extends Error {
  constructor(cause: unknown) {
    super('a statement that was left behind failed', { cause })
    this.name = 'FailedBehind'
  }
}

/** What is left to do for a group that was committed: it is answered when that is on the disk. */
type Answering = () => Promise<void>

const TRIES = 5

/**
 * A group that met another process's locks is undone whole and tried again: its units are functions of the database. So is one
 * in which something failed after its command had ended, this time command by command, which shows whose it is.
 */
async function runGroup(group: readonly Waiting[], open: (project: string) => Promise<GroupTx>): Promise<Answering> {
  let ahead = true
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryGroup(group, open, ahead)
    } catch (error) {
      if (error instanceof FailedBehind) ahead = false
      else if (!(error instanceof DatabaseConflict) || attempt === TRIES) throw error
    }
  }
}

/** `ahead`: the commit leaves with the last statements, before they are answered. */
async function tryGroup(
  group: readonly Waiting[],
  open: (project: string) => Promise<GroupTx>,
  ahead: boolean,
): Promise<Answering> {
  const opened = await open(group[0]!.project)
  const outcomes = new Map<Waiting, Outcome>()
  try {
    const batches = [...Map.groupBy(group, batchOf).values()]
    for (const [i, batch] of batches.entries())
      await runBatch(opened, batch, outcomes, ahead && i === batches.length - 1)
    await opened.commit()
  } catch (error) {
    await opened.rollback().catch(() => {})
    throw error
  }
  return async () => {
    try {
      await opened.onDisk?.()
    } catch (error) {
      opened.undone()
      throw error
    }
    opened.tell()
    for (const item of group) {
      const outcome = outcomes.get(item)!
      if (outcome.ok) item.resolve(outcome.output)
      else item.reject(outcome.error)
    }
  }
}

async function runBatch(
  opened: GroupTx,
  batch: readonly Waiting[],
  outcomes: Map<Waiting, Outcome>,
  ahead: boolean,
): Promise<void> {
  await opened.savepoint()
  try {
    const outputs = await batch[0]!.command.run(
      opened.tx,
      batch.map((item) => item.input),
    )
    if (!ahead) await opened.caughtUp()
    await opened.releaseSavepoint()
    for (const [i, item] of batch.entries()) outcomes.set(item, { ok: true, output: outputs[i] })
  } catch (error) {
    if (error instanceof DatabaseConflict || error instanceof DatabaseUnavailable) throw error
    await opened.rollbackToSavepoint()
    if (batch.length === 1) outcomes.set(batch[0]!, { ok: false, error })
    else for (const item of batch) await runBatch(opened, [item], outcomes, false)
  }
}
