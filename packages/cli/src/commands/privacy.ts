import type { api, ReplyOf } from '@writ/api'
import { type Command, InvalidArgumentError } from 'commander'
import { type App, numberText, refOf } from '../app.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'
import { userRef } from './user.ts'

type Hold = ReplyOf<typeof api.privacy.holds>[number]

const holdColumns: Column<Hold>[] = [
  { head: 'ID', value: (h) => h.id },
  { head: 'ON', value: subjectText },
  { head: 'REASON', value: (h) => h.reason, shrink: true },
  { head: 'SET', value: (h) => timeText(h.created_at) },
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
      .description('Erase the payload of one event, by its id or its index in the log; this cannot be undone')
      .addHelpText('after', '\nExample:\n  writ payload erase 1742 --ground "GDPR Art. 17, request 2026-11"'),
  ).action(async (event: string, { ground }: { ground: string }) => {
    const done = await (await app.client()).privacy.erasePayload({ params: { id: eventOf(event) }, body: { ground } })
    app.out().item(
      done,
      [
        ['Erased', `the payload of entry ${done.log_index ?? done.event_id}`],
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
      app.out().list(await (await app.client()).privacy.holds(), holdColumns, (h) => h.id)
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

function eventOf(text: string): string {
  const ref = text.replace(/^#/, '')
  if (/^(\d+|[0-9a-f-]{36})$/.test(ref)) return ref
  throw new InvalidArgumentError('expected the id of an event, or its index in the log')
}

function subjectOf(text: string): Hold['subject_type'] {
  if (text === 'ticket' || text === 'run' || text === 'project') return text
  throw new InvalidArgumentError('expected ticket, run or project')
}

const holdFields = (hold: Hold): [string, string | null | undefined][] => [
  ['Hold', hold.id],
  ['On', subjectText(hold)],
  ['Reason', hold.reason],
  ['Set', timeText(hold.created_at)],
  ['Released', timeText(hold.released_at)],
]
