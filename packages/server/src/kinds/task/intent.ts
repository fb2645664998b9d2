import { append, SYSTEM } from '../../audit/index.ts'
import type { Tx } from '../../platform/db/index.ts'
import type { Lease } from '../../queue/index.ts'
import type { Intent } from './handler.ts'
import { nextEvent, type WorkRow } from './store.ts'

/** Says in the log what will be done, before it is done: it cannot be taken back. */
export async function announce(
  tx: Tx,
  on: {
    readonly row: WorkRow
    readonly lease: Lease
    readonly now: number
    readonly ckpt: string | undefined
    readonly intent?: Intent | null
  },
): Promise<void> {
  const { row, lease, now, ckpt, intent = null } = on
  await append(tx, now, SYSTEM, {
    type: 'run.started',
    resource: { type: 'run', id: row.id, number: row.number },
    action: `Task ${row.handler}: started`,
    details: {
      handler: row.handler,
      queue: row.queue,
      attempt: lease.attempt,
      asked_by_id: row.executed_by_id,
      input_sha256: row.input_sha256,
      ...(intent === null ? {} : { intent }),
    },
    ckpt,
    run: { id: row.id, seq: await nextEvent(tx, row.id) },
  })
}
