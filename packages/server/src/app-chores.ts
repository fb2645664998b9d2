import { setTimeout as sleep } from 'node:timers/promises'
import type { Sequencer } from './audit/index.ts'
import { forgetOldDeliveries } from './channels/index.ts'
import type { Config } from './config.ts'
import { type Identity, listProjects, type SealRenewal } from './identity/index.ts'
import type { TaskRetention } from './kinds/task/index.ts'
import type { Blobs } from './platform/blobs/index.ts'
import type { Clock } from './platform/clock.ts'
import { type Database, INSTANCE, inProject } from './platform/db/index.ts'
import { eachAlone } from './platform/each-alone.ts'
import type { Logger } from './platform/log.ts'
import { createTrouble } from './platform/trouble.ts'
import { removeErasedBytes } from './runs/index.ts'
import { forgetOldFires } from './schedules/index.ts'

export interface ChoresOn {
  readonly config: Config
  readonly log: Logger
  readonly db: Database
  readonly blobs: Blobs
  readonly clock: Clock
  readonly identity: Identity
  /** Only where this process may lead. */
  readonly sequencer: Sequencer | undefined
  readonly seals: SealRenewal
  readonly retention: TaskRetention
  /** Reads which handlers are enabled. */
  readonly refreshHandlers: () => Promise<void>
}

/**
 * What every process looks after as long as it runs, until `stop`. Each chore for itself: one that fails is tried again, and keeps
 * none of the others waiting.
 */
export function runChores(on: ChoresOn, stop: AbortSignal): Promise<void>[] {
  const { config, db, blobs, clock, identity, sequencer, seals, retention } = on
  const chores: Record<string, () => Promise<unknown>> = {
    'clear away what expired': () => inProject(INSTANCE, () => identity.sweep()),
    'prepare the next months': () => db.prepareMonths(clock.now()),
    // Bytes that were erased while the store was away, or just before a stop.
    'remove erased bytes': async () => {
      await eachAlone(await listProjects(db), ({ id }) => removeErasedBytes({ db, blobs, clock }, id))
    },
    'rotate logs': async () => sequencer?.rotateDue({ days: config.logRotateDays, entries: config.logRotateEntries }),
    'forget old deliveries': () => forgetOldDeliveries(db, clock.now()),
    'forget old times of schedules': async () => forgetOldFires(db, await listProjects(db), clock.now()),
    'drop tasks whose time is over': async () => (sequencer?.health.leading ? retention.run(stop) : undefined),
    'seal anew what SECRET_KEY_PREVIOUS sealed': async () => (sequencer ? seals.run() : undefined),
  }
  return [
    every(1_000, 'read which handlers are enabled', on.refreshHandlers),
    ...Object.entries(chores).map(([what, work]) => every(60_000, what, work)),
  ]

  async function every(ms: number, what: string, work: () => Promise<unknown>): Promise<void> {
    const trouble = createTrouble(on.log, { stopped: `cannot ${what}`, again: `can ${what} again` })
    while (!stop.aborted) {
      await work().then(trouble.over, trouble.met)
      await sleep(ms, undefined, { signal: stop }).catch(() => {})
    }
  }
}
