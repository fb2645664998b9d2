/**
 * Bytes are one for all that name them. So whoever is about to name some must not find them stored just before somebody else, for whom
 * they are of no use any more, takes them away.
 *
 * Both write first what they are about to do, each in a transaction of its own, and look for the other only after it: of two that begin
 * at once at least one sees the other (Dekker's order: own flag, then the other's). Who brings bytes waits; who removes them steps back.
 *
 * Stopped in between: a mark is left. That bytes come is believed for a minute after the last touch, that they go for ten minutes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { type Database, inProject, type Tx } from '../db/index.ts'
import { BlobStoreUnavailable, type Blobs } from './blobs.ts'

/** Bytes that somebody is about to name: an upload, by its id. */
export interface Coming {
  readonly sha256: string
  readonly holder: string
}

/** A holder that was not heard of for this long is gone. It looks for its mark before it names anything. */
const COMING_MS = 60_000
/** Longer than any store is asked to remove one blob. */
const GOING_MS = 10 * 60_000
/** How long somebody who removes the same bytes just now is waited for, and how often they are looked for. */
const PATIENCE_MS = 10_000
const LOOK_MS = 50

type On = { readonly db: Database; readonly clock: Clock }

/**
 * Says that bytes come, and answers when nobody is removing the same. From then on they may be stored, and named in the transaction
 * that ends the mark with `endComing`.
 * @throws BlobStoreUnavailable when the same bytes are still being removed after ten seconds
 */
export async function expectBytes(on: On, project: string, coming: Coming): Promise<void> {
  await inProject(project, () =>
    on.db.write((tx) =>
      tx.sql(
        `insert into blob_marks (project_id, sha256, what, holder, touched_at) values (?1, ?2, 'coming', ?3, ?4)
         on conflict (project_id, sha256, what, holder) do update set touched_at = ?4`,
        [tx.project, coming.sha256, coming.holder, on.clock.now()],
      ),
    ),
  )
  await untilNotGoing(on, project, coming.sha256)
}

/**
 * Answers when nobody removes these bytes. Whoever asks has committed before that they are needed, where the remover looks.
 * @throws BlobStoreUnavailable when they are still being removed after ten seconds
 */
export async function untilNotGoing(on: On, project: string, sha256: string): Promise<void> {
  const isGoing = () =>
    inProject(project, () =>
      on.db.read(async (tx) => {
        const now = on.clock.now()
        const rows = await tx.sql(
          `select 1 as one from blob_marks where project_id = ?1 and sha256 = ?2 and what = 'going' and touched_at between ?3 and ?4`,
          [tx.project, sha256, now - GOING_MS, now + GOING_MS],
        )
        return rows.length > 0
      }),
    )
  for (let waited = 0; await isGoing(); waited += LOOK_MS) {
    if (waited >= PATIENCE_MS) throw new BlobStoreUnavailable('the same bytes are being removed')
    await sleep(LOOK_MS)
  }
}

/** That bytes still come: every quarter of a minute. */
export const touchComing = (tx: Tx, { sha256, holder }: Coming, now: number): Promise<unknown> =>
  tx.sql(
    `update blob_marks set touched_at = ?4 where project_id = ?1 and sha256 = ?2 and what = 'coming' and holder = ?3`,
    [tx.project, sha256, holder, now],
  )

/** That they are named, by this transaction, or will not be. False if they were taken for given up: they may have been removed since. */
export async function endComing(tx: Tx, { sha256, holder }: Coming): Promise<boolean> {
  const rows = await tx.sql(
    `delete from blob_marks where project_id = ?1 and sha256 = ?2 and what = 'coming' and holder = ?3 returning sha256`,
    [tx.project, sha256, holder],
  )
  return rows.length > 0
}

/**
 * Removes bytes that are of no use any more. Answers false, and they stay, if they are needed after all, or if another process is at it.
 * Stopped after their removal: whoever finds them in the same state ten minutes later ends it.
 * @throws BlobStoreUnavailable; whether they are there nobody knows then, and whoever brings the same looks
 */
export async function removeBytes(
  on: On & { readonly blobs: Pick<Blobs, 'remove'> },
  project: string,
  sha256: string,
  by: {
    /** Whether nothing names these bytes; asked when whoever comes to name them waits, or is seen. */
    isFree(tx: Tx): Promise<boolean>
    /** Records that they are gone. */
    gone(tx: Tx, now: number): Promise<void>
  },
): Promise<boolean> {
  const { db, clock } = on
  const endGoing = (tx: Tx) =>
    tx.sql(`delete from blob_marks where project_id = ?1 and sha256 = ?2 and what = 'going'`, [tx.project, sha256])
  return inProject(project, async () => {
    if (!(await db.write((tx) => beginGoing(tx, sha256, clock.now())))) return false
    const isFree = await db.write(async (tx) => {
      // Who is gone loses its mark here, so that it names nothing should it come back.
      await tx.sql(
        `delete from blob_marks where project_id = ?1 and sha256 = ?2 and what = 'coming' and touched_at <= ?3`,
        [tx.project, sha256, clock.now() - COMING_MS],
      )
      const coming = await tx.sql(
        `select 1 as one from blob_marks where project_id = ?1 and sha256 = ?2 and what = 'coming'`,
        [tx.project, sha256],
      )
      if (coming.length === 0 && (await by.isFree(tx))) return true
      await endGoing(tx)
      return false
    })
    if (!isFree) return false
    await on.blobs.remove(project, sha256).catch(async (error: unknown) => {
      await db.write(endGoing).catch(() => {}) // believed for ten minutes, then
      throw error
    })
    await db.write(async (tx) => {
      await by.gone(tx, clock.now())
      await endGoing(tx)
    })
    return true
  })
}

/** False while another process is at it. One that was stopped is taken over from; a clock that was set back hides none of them. */
async function beginGoing(tx: Tx, sha256: string, now: number): Promise<boolean> {
  const rows = await tx.sql(
    `insert into blob_marks (project_id, sha256, what, holder, touched_at) values (?1, ?2, 'going', '', ?3)
     on conflict (project_id, sha256, what, holder) do update set touched_at = ?3
     where blob_marks.touched_at not between ?4 and ?5 returning sha256`,
    [tx.project, sha256, now, now - GOING_MS, now + GOING_MS],
  )
  return rows.length > 0
}
