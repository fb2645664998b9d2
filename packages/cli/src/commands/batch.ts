import type { Batch } from '@writ/api'
import type { Command } from 'commander'
import type { App } from '../app.ts'
import { allOption, type ListOptions, limitOption, listSome } from '../listing.ts'
import { timeText } from '../text.ts'

export function addBatchCommands(program: Command, app: App): void {
  const batch = program.command('batch').description('Batches: tasks that were dispatched together')
  const show = (found: Batch) =>
    app.out().item(
      found,
      [
        ['Batch', found.id, 'bold'],
        ['Tasks', found.total],
        ['Waiting', found.pending],
        ['Running', found.running],
        ['Completed', found.completed],
        ['Failed', found.failed],
        ['Timed out', found.timeout],
        ['Cancelled', found.cancelled],
      ],
      found.id,
    )
  batch
    .command('list')
    .description('List batches, newest first')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions) =>
      listSome(
        app,
        'tasks.batches',
        {},
        o,
        [
          { head: 'BATCH', value: (b) => b.id },
          { head: 'TASKS', value: (b) => b.total, right: true },
          { head: 'ENDED', value: (b) => b.total - b.pending - b.running, right: true },
          { head: 'FAILED', value: (b) => b.failed + b.timeout, right: true },
          { head: 'DISPATCHED', value: (b) => timeText(b.created_at) },
        ],
        (b) => b.id,
      ),
    )
  batch
    .command('show <batch>')
    .description('Show how far the tasks of a batch are')
    .action(async (id: string) => show(await (await app.client()).tasks.batch({ params: { id } })))
  batch
    .command('cancel <batch>')
    .description('Cancel what of a batch has not ended')
    .action(async (id: string) =>
      show(await (await app.client()).tasks.cancelBatch({ params: { id }, body: { limit: 10_000 } })),
    )
}
