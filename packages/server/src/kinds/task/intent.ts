import { append, SYSTEM } from '../../audit/index.ts'
import type { Tx } from '../../platform/db/index.ts'
import type { Lease } from '../../queue/index.ts'
import { nextEvent, type WorkRow } from './store.ts'

/** Says in the log what will be done, before it is done: it cannot be taken back. */
export async function announce(
  tx: Tx,
  { row, lease, now, ckpt }: { row: WorkRow; lease: Lease; now: number; ckpt: string | undefined },
): Promise<void> {
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
    },
    ckpt,
    run: { id: row.id, seq: await nextEvent(tx, row.id) },
  })
}
