import type { Log } from '@writ/api'
import type { ItemOf } from '@writ/sdk'
import { type Command, InvalidArgumentError } from 'commander'
import { type App, numberText, refOf } from '../app.ts'
import { usage } from '../failure.ts'
import type { Column } from '../table.ts'
import { entriesText, timeText } from '../text.ts'
import { userRef } from '../who.ts'

type Hold = ItemOf<'privacy.holds'>

const logColumns: Column<Log>[] = [
  { head: 'SHARD', value: (l) => l.shard, right: true },
  { head: 'ORIGIN', value: (l) => l.origin, shrink: true },
  { head: 'SIZE', value: (l) => l.size, right: true },
  { head: 'OPENED', value: (l) => timeText(l.opened_at), spare: true },
  { head: 'CLOSED', value: (l) => timeText(l.closed_at) },
  { head: 'DROPPED', value: (l) => timeText(l.dropped_at) },
]

const holdColumns: Column<Hold>[] = [
  { head: 'ID', value: (h) => h.id },
  { head: 'ON', value: subjectText },
  { head: 'REASON', value: (h) => h.reason, shrink: true },
  { head: 'SET', value: (h) => timeText(h.created_at), spare: true },
  { head: 'RELEASED', value: (h) => timeText(h.released_at) },
]

function subjectText(hold: Hold): string {
  return hold.subject_type === 'project' ? 'the project' : `${hold.subject_type} ${numberText(hold.subject_number)}`
}

/** Erasing what should not be kept, and holding what must not be erased. */
export function addPrivacyCommands(program: Command, app: App): void {
  const payload = program
    .command('payload')
    .description('Payloads of audit events: the words beside the log, which can be erased without breaking a proof')
  withGround(
    payload
      .command('erase <event>')
      .description('Erase the payload of one event, by its id or its entry in the log; this cannot be undone')
      .option(
        '--shard <number>',
        'the log that has the entry, as "writ log list" numbers them; needed where there are several',
        shardOf,
      )
      .addHelpText(
        'after',
        '\nExamples:\n  writ payload erase 1742 --ground "GDPR Art. 17, request 2026-11"\n  writ payload erase 0/1742 --ground "GDPR Art. 17, request 2026-11"',
      ),
  ).action(async (text: string, { ground, shard: said }: { ground: string; shard?: number }) => {
    const { event, shard = said } = eventOf(text)
    if (said !== undefined && shard !== said) throw usage(`${text} is of another log than --shard`)
    const client = await app.client()
    // The list shows an entry of log 0 without its log, and it is the open log whose entry would be gone.
    if (shard === undefined && /^\d+$/.test(event)) {
      const open = (await client.audit.log()).shard
      if (open > 0)
        throw usage(
          `the project has ${open + 1} logs, and each counts its entries from 0: say which with --shard, or as ${open}/${event}`,
        )
    }
    const done = await client.privacy.erasePayload({
      params: { id: event },
      body: { ground, ...(shard === undefined ? {} : { shard }) },
    })
    app.out().item(
      done,
      [
        [
          'Erased',
          done.log_index === null
            ? `the payload of event ${done.event_id}`
            : `the payload of entry ${done.log_index} of log ${done.shard}`,
        ],
        ['Recorded', done.erased_by_id],
      ],
      done.erased_by_id,
    )
  })

  const hold = program.command('hold').description('Legal holds: what is under one is not erased, deleted or dropped')
  hold
    .command('list')
    .description('List legal holds, released ones included')
    .action(async () => {
      app.out().list(await (await app.client()).all('privacy.holds'), holdColumns, (h) => h.id)
    })
  hold
    .command('set <what> [number]')
    .description('Hold a ticket with its runs and files, a run, or the whole project')
    .requiredOption('--reason <text>', 'why; it is kept in the log')
    .addHelpText(
      'after',
      '\nExamples:\n  writ hold set ticket 12 --reason "case 2026-17"\n  writ hold set project --reason "case 2026-17"',
    )
    .action(async (what: string, number: string | undefined, { reason }: { reason: string }) => {
      const made = await (await app.client()).privacy.setHold({
        body: {
          subject_type: subjectOf(what),
          ...(number === undefined ? {} : { subject_id: refOf(number) }),
          reason,
        },
      })
      app.out().item(made, holdFields(made), made.id)
    })
  hold
    .command('release <hold>')
    .description('Release a legal hold')
    .requiredOption('--reason <text>', 'why; it is kept in the log')
    .action(async (id: string, { reason }: { reason: string }) => {
      const released = await (await app.client()).privacy.releaseHold({ params: { id }, body: { reason } })
      app.out().item(released, holdFields(released), released.id)
    })

  const log = program.command('log').description('The logs of the project: closing one, and the next that continues it')
  log
    .command('list')
    .description('List the logs, oldest first')
    .action(async () => {
      app.out().list(await (await app.client()).all('privacy.logs'), logColumns, (one) => one.shard)
    })
  log
    .command('rotate')
    .description('Close the open log and open the next, which begins with its last checkpoint')
    .requiredOption('--reason <text>', 'why; it is kept in the log')
    .action(async ({ reason }: { reason: string }) => {
      const { closed, opened } = await (await app.client()).privacy.rotateLog({ body: { reason } })
      app.out().item(
        { closed, opened },
        [
          ['Closed', `log ${closed.shard}, ${entriesText(closed.size)} of ${closed.origin}`],
          ['Opened', `log ${opened.shard}, ${opened.origin}`],
        ],
        opened.shard,
      )
    })
  program
    .command('retention')
    .description('What is old enough to go')
    .command('drop')
    .description('Drop the oldest closed log: rows, files and day files go for good, the last checkpoint stays')
    .requiredOption('--shard <number>', 'the number of the log, as "writ log list" shows it', shardOf)
    .requiredOption('--reason <text>', 'why; it is kept in the log')
    .addHelpText(
      'after',
      '\nTwo admins have to ask for it within a week.\n\nExample:\n  writ retention drop --shard 0 --reason "kept for ten years"',
    )
    .action(async ({ shard, reason }: { shard: number; reason: string }) => {
      const done = await (await app.client()).privacy.dropLog({ params: { shard }, body: { reason } })
      app.out().item(
        done,
        [
          [
            done.state === 'dropped' ? 'Dropped' : 'Requested',
            `log ${shard}, ${entriesText(done.log.size)} of ${done.log.origin}`,
          ],
          ['Next', done.state === 'dropped' ? null : 'another admin has to ask for the same within a week'],
        ],
        shard,
      )
    })

  const artifact = program.commands.find((one) => one.name() === 'artifact')!
  withGround(
    artifact
      .command('erase <artifact>')
      .description('Erase the bytes of a file for good; hash and record stay. Other files with the same bytes go too'),
  ).action(async (ref: string, { ground }: { ground: string }) => {
    const done = await (await app.client()).artifacts.erase({ params: { id: refOf(ref) }, body: { ground } })
    app.out().item(
      done,
      [
        ['Erased', `the bytes of artifact #${done.artifact.number}`],
        ['SHA-256', done.artifact.sha256_hash],
        ['Files with these bytes', done.erased],
      ],
      done.artifact.number,
    )
  })

  const user = program.commands.find((one) => one.name() === 'user')!
  withGround(
    user
      .command('erase <user>')
      .description('Erase what Writ wrote about a person in all logs, and the account; deactivate it first')
      .option('--yes', 'do it; otherwise only what would be erased is counted'),
  ).action(async (ref: string, { ground, yes }: { ground: string; yes?: boolean }) => {
    const params = { id: await userRef(app, ref) }
    const found = await (await app.client()).privacy.eraseUser({ params, body: { ground, preview: !yes } })
    app
      .out()
      .item(
        found,
        [
          [found.preview ? 'Would erase' : 'Erased', `user #${found.user_number}`],
          ...found.logs.map(
            (log) =>
              [log.project, `${log.events} payloads${log.held ? `; ${log.held} kept under legal hold` : ''}`] as [
                string,
                string,
              ],
          ),
          ['Next', found.preview ? 'say --yes to do it; it cannot be undone' : null],
        ],
        found.user_number,
      )
  })
}

const withGround = (command: Command) =>
  command.requiredOption('--ground <text>', 'why the law or the person asks for it; it is kept in the log')

/** An id, an index, or both numbers as `writ audit list` shows them. */
function eventOf(text: string): { event: string; shard?: number } {
  const [, shard, event] = /^#?(?:(\d{1,6})\/)?(\d+|[0-9a-f-]{36})$/.exec(text) ?? []
  if (event === undefined)
    throw usage(`"${text}" is no event: expected its id, or its entry in the log, such as 1742 or 0/1742`)
  return { event, ...(shard === undefined ? {} : { shard: Number(shard) }) }
}

function shardOf(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected the number of a log, as "writ log list" shows it')
}

function subjectOf(text: string): Hold['subject_type'] {
  if (text === 'ticket' || text === 'run' || text === 'project') return text
  throw usage(`"${text}" is nothing to hold: expected ticket, run or project`)
}

const holdFields = (hold: Hold): [string, string | null | undefined][] => [
  ['Hold', hold.id],
  ['On', subjectText(hold)],
  ['Reason', hold.reason],
  ['Set', timeText(hold.created_at)],
  ['Released', timeText(hold.released_at)],
]
