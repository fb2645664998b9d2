/** A sequencer as a process of its own, so that it can be killed and paused while others go on committing. */
import { parseArgs } from 'node:util'
import { createSequencer } from '../../packages/server/src/audit/index.ts'
import { systemClock } from '../../packages/server/src/platform/clock.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { foldersOf } from './campaign.ts'

const { values } = parseArgs({ options: { url: { type: 'string' }, data: { type: 'string' } } })
const db = await attachDatabase({ url: values.url! })
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
const sequencer = createSequencer({
  db,
  clock: systemClock,
  log: createLog({ level: 'error', format: 'text' }),
  folders: foldersOf(values.data!),
  intervalMs: 10,
  slugOf: async () => 'default',
})
const working = sequencer.run(stop.signal)
await Promise.race([sequencer.first.then(() => process.stdout.write('leading\n')), working])
await working
await db.close()
