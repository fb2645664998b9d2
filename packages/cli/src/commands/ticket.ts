import type { Ticket, TicketChanges, TicketStatus } from '@writ/api'
import type { Client } from '@writ/sdk'
import { type Command, Option } from 'commander'
import { type App, noteWarnings, refOf } from '../app.ts'
import { ticketColumns, ticketFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { readGiven } from '../given-file.ts'
import { allOption, type ListOptions, limitOption, listSome } from '../listing.ts'
import type { Column } from '../table.ts'
import { safeText, timeText } from '../text.ts'
import { openNames, userRef } from '../who.ts'

interface Given {
  title?: string
  description?: string
  asset?: string
  assignee?: string
  due?: string
}

const statuses = ['draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed']

const changeColumns: Column<TicketChanges['changes'][number]>[] = [
  { head: 'FIELD', value: (one) => one.field },
  { head: 'WAS', value: (one) => one.from ?? '', shrink: true },
  { head: 'IS', value: (one) => one.to ?? '', shrink: true },
]

export function addTicketCommands(program: Command, app: App): void {
  const ticket = program
    .command('ticket')
    .description('Tickets: what somebody promises to do, and who agreed')
    .addHelpText(
      'after',
      `
A ticket is opened, submitted, approved by somebody else, carried out with runs, and closed.

Examples:
  writ ticket open "Replace the main switch" --asset 3
  writ ticket list --status submitted
  writ ticket approve 7 --reason "window agreed"`,
    )

  withFields(ticket.command('open <title>').description('Open a ticket; it is submitted at once'))
    .option('--draft', 'keep it as a draft; "writ ticket submit" submits it later')
    .addHelpText('after', '\nExample:\n  writ ticket open "Replace the main switch" --asset 3 --due 2026-12-01')
    .action(async (title: string, options: Given & { draft?: boolean }) => {
      const fields = await fieldsOf(app, options)
      const status = options.draft ? ({ status: 'draft' } as const) : {}
      show(app, await (await app.client()).tickets.create({ body: { title, ...fields, ...status } }))
    })

  ticket
    .command('list')
    .description('List tickets, newest first')
    .addOption(new Option('-s, --status <status>', 'only those in this state').choices(statuses))
    .option('-a, --asset <asset>', 'only those about this asset', refOf)
    .option('--by <user>', 'only those opened by this user, by name, number or id')
    .option('--assignee <user>', 'only those assigned to this user, by name, number or id')
    .option('--search <text>', 'only those with this text')
    .option('--due-before <date>', 'only those due before this day or time')
    .addOption(limitOption())
    .addOption(allOption())
    .addHelpText('after', '\nExamples:\n  writ ticket list --status submitted\n  writ ticket list --all -o json')
    .action(
      async (
        options: ListOptions & {
          status?: TicketStatus
          asset?: string
          by?: string
          assignee?: string
          search?: string
          dueBefore?: string
        },
      ) => {
        const query = {
          status: options.status,
          asset_id: options.asset,
          created_by_id: options.by && (await userRef(app, options.by)),
          assignee_id: options.assignee && (await userRef(app, options.assignee)),
          q: options.search,
          due_before: options.dueBefore && timeOf(options.dueBefore),
        }
        await listSome(app, 'tickets.list', query, options, ticketColumns, (t) => t.number)
      },
    )

  ticket
    .command('show <ticket>')
    .description('Show a ticket with its decisions and comments')
    .action((ref: string) => showAll(app, refOf(ref)))

  withFields(
    ticket.command('edit <ticket>').description('Change a ticket; an approval it had is void then'),
    '; "none" takes it away',
  )
    .option('--title <title>', 'another title')
    .addHelpText('after', '\nExample:\n  writ ticket edit 7 --due 2026-12-08 --assignee li.na')
    .action(async (ref: string, options: Given) => {
      const body = {
        ...(options.title === undefined ? {} : { title: options.title }),
        ...(await fieldsOf(app, options)),
      }
      if (Object.keys(body).length === 0) throw usage('Nothing to change was given')
      show(app, await (await app.client()).tickets.update({ params: { id: refOf(ref) }, body }))
    })

  ticket
    .command('submit <ticket>')
    .description('Submit a draft')
    .action(async (ref: string) => show(app, await (await app.client()).tickets.submit({ params: { id: refOf(ref) } })))

  ticket
    .command('approve <ticket>')
    .description('Approve a ticket that somebody else opened')
    .option(
      '--digest <digest>',
      'approve only the version with this digest, all 64 digits; "ticket show -o json" has it',
    )
    .option('--reason <text>', 'why')
    .addHelpText('after', '\nExample:\n  writ ticket approve 7 --reason "window agreed"')
    .action(async (ref: string, { digest, reason }: { digest?: string; reason?: string }) =>
      show(app, await (await app.client()).tickets.approve({ params: { id: refOf(ref) }, body: { digest, reason } })),
    )

  ticket
    .command('changes <ticket>')
    .description('Show what was changed since the last approval, for whoever may approve')
    .action(async (ref: string) => {
      const found = await (await app.client()).tickets.changes({ params: { id: refOf(ref) } })
      const { approval, unreadable } = found
      if (approval === null) app.out().note('Nobody has approved an earlier version: all of it is new.')
      else app.out().note(`Version ${approval.ticket_version} was approved at ${timeText(approval.created_at)}.`)
      if (unreadable > 0) app.out().note(`${unreadable} edits since were erased.`)
      app.out().list(found.changes, changeColumns, (one) => one.field)
    })

  ticket
    .command('reject <ticket>')
    .description('Send a ticket back to its author')
    .requiredOption('--reason <text>', 'what is missing')
    .action(async (ref: string, { reason }: { reason: string }) =>
      show(app, await (await app.client()).tickets.reject({ params: { id: refOf(ref) }, body: { reason } })),
    )

  for (const [verb, description] of [
    ['close', 'Close a ticket'],
    ['reopen', 'Reopen a ticket that is closed, done or failed'],
  ] as const) {
    ticket
      .command(`${verb} <ticket>`)
      .description(description)
      .option('--reason <text>', 'why')
      .action(async (ref: string, { reason }: { reason?: string }) =>
        show(app, await (await app.client()).tickets[verb]({ params: { id: refOf(ref) }, body: { reason } })),
      )
  }

  ticket
    .command('comment <ticket> <text>')
    .description('Comment on a ticket')
    .action(async (ref: string, body: string) => {
      const comment = await (await app.client()).tickets.comment({ params: { id: refOf(ref) }, body: { body } })
      app.out().item(comment, [['Commented', timeText(comment.created_at)]], comment.id)
    })
}

/** `removable` says how what is there is taken away, where something is. */
const withFields = (command: Command, removable = '') =>
  command
    .option('-d, --description <text>', 'what is to be done; @file reads it from a file')
    .option('-a, --asset <asset>', `the asset that it touches, by number or id${removable}`)
    .option('--assignee <user>', `who is to do it, by name, number or id${removable}`)
    .option('--due <date>', `by when: 2026-12-01, or with a time 2026-12-01T18:00:00Z${removable}`)

async function fieldsOf(app: App, given: Given) {
  const ref = (value: string) => (value === 'none' ? null : refOf(value))
  const { description, asset, assignee, due } = given
  return {
    ...(description === undefined ? {} : { description: await textOf(description) }),
    ...(asset === undefined ? {} : { asset_id: ref(asset) }),
    ...(assignee === undefined ? {} : { assignee_id: assignee === 'none' ? null : await userRef(app, assignee) }),
    ...(due === undefined ? {} : { due_at: due === 'none' ? null : timeOf(due) }),
  }
}

const textOf = async (text: string) =>
  text.startsWith('@') ? await readGiven(text.slice(1), { mayBeEmpty: true }) : text

/** A day or a time as RFC 3339 UTC. Throws a usage failure on anything else. */
export function timeOf(text: string): string {
  const valid = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
  const at = valid ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw usage(`"${text}" is no time`, 'It looks like 2026-12-01 or 2026-12-01T18:00:00Z.')
  return new Date(at).toISOString()
}

function show(app: App, ticket: Ticket): void {
  const out = app.out()
  out.item(ticket, ticketFields(ticket), ticket.number)
  noteWarnings(out, ticket)
}

async function showAll(app: App, id: string): Promise<void> {
  const client: Client = await app.client()
  const params = { id }
  const ticket = await client.tickets.get({ params })
  const out = app.out()
  if (out.quiet) return out.item(ticket, [], ticket.number)
  const [approvals, comments, person] = await Promise.all([
    client.all('tickets.approvals', { params }),
    client.all('tickets.comments', { params }),
    openNames(app),
  ])
  out.item({ ...ticket, approvals, comments }, ticketFields(ticket, person), ticket.number)
  noteWarnings(out, ticket)
  for (const a of approvals) {
    const state = a.voided_at ? ', void since the ticket changed' : a.consumed_at ? ', used' : ''
    const who = person(a.decided_by_number)
    out.say(`\n${timeText(a.created_at)}  ${who} ${a.decision} version ${a.ticket_version}${state}`)
    if (a.auth_time)
      out.say(
        `  had logged in at ${timeText(a.auth_time)}${a.amr.length === 0 ? '' : ` with ${a.amr.map(safeText).join(' + ')}`}`,
      )
    if (a.reason) out.say(`  ${safeText(a.reason)}`)
  }
  for (const c of comments) {
    out.say(`\n${timeText(c.created_at)}  ${safeText(c.author_username)}`)
    out.say(`  ${safeText(c.body).split('\n').join('\n  ')}`)
  }
}
