import type { Role } from '@writ/api'
import type { Command } from 'commander'
import type { App } from '../app.ts'
import { tokenColumns } from '../columns.ts'
import { countOf } from '../listing.ts'
import type { Field } from '../output.ts'
import { timeText } from '../text.ts'
import { tokenRef } from '../who.ts'
import { timeOf } from './ticket.ts'
import { roleOption } from './user.ts'

const DAY = 86_400_000

interface TokenOptions {
  role?: Role
  scope?: string[]
  days?: number
  expires?: string
  ip?: string[]
}

export function addTokenCommands(program: Command, app: App): void {
  const token = program
    .command('token')
    .description('API tokens: keys for programs that act in your name')
    .addHelpText(
      'after',
      '\nExample:\n  writ token create "nightly upload" --scope artifacts.upload runs.get --days 30',
    )

  token
    .command('create <name>')
    .description('Make a token; it is shown once and belongs to this project')
    .addOption(roleOption('at most your own, which is the default'))
    .option('--scope <scope...>', 'only these operations, such as runs.get or tickets.*; all of the role otherwise')
    .option('--days <count>', 'works for so many days; 90 otherwise', countOf)
    .option('--expires <time>', 'works until then')
    .option('--ip <range...>', 'only from these addresses or ranges')
    .action(async (name: string, { role, scope, days, expires, ip }: TokenOptions) => {
      const until = expires
        ? timeOf(expires)
        : days && new Date(app.terminal.now().getTime() + days * DAY).toISOString()
      const made = await (await app.client()).tokens.create({
        body: { name, role, scopes: scope, ip_ranges: ip, ...(until ? { expires_at: until } : {}) },
      })
      app.out().item(made, secretFields(made), made.token)
    })

  token
    .command('list')
    .description('List your tokens; an admin sees all of the project')
    .action(async () => app.out().list(await (await app.client()).all('tokens.list'), tokenColumns, (t) => t.id))

  token
    .command('rotate <token>')
    .description('Replace a token, by name or id, by a new one with the same rights; the old works one hour longer')
    .action(async (ref: string) => {
      const { id } = await tokenRef(app, ref)
      const made = await (await app.client()).tokens.rotate({ params: { id } })
      app.out().item(made, secretFields(made), made.token)
    })

  token
    .command('revoke <token>')
    .description('Make a token useless at once, by name or id')
    .action(async (ref: string) => {
      const { id, said } = await tokenRef(app, ref)
      await (await app.client()).tokens.revoke({ params: { id } })
      app.out().note(`Revoked ${said}.`)
    })
}

const secretFields = (made: { token: string; name: string; id: string; role: string; expires_at: string }): Field[] => [
  ['Token', made.token, 'yellow'],
  ['Name', made.name],
  ['Role', made.role],
  ['Works until', timeText(made.expires_at)],
  ['Id', made.id],
]
