import type { Invite, Role } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { userColumns, userFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { allOption, countOf, type ListOptions, limitOption, listSome } from '../listing.ts'
import { safeLine, timeText } from '../text.ts'
import { userRef } from '../who.ts'

export const roleOption = (text: string) =>
  new Option('--role <role>', text).choices(['admin', 'ops', 'dev', 'employee', 'auditor'])

export function addUserCommands(program: Command, app: App): void {
  const user = program
    .command('user')
    .description('Users: who may ask, and as what')
    .addHelpText(
      'after',
      `
Roles: employee (own tickets and evidence), dev (own tasks too), ops (all runs), auditor (reads everything, writes
nothing), admin (approves, users, tokens, policy).

Examples:
  writ user add li.na --email li.na@example.com --role employee
  writ user reset-password li.na`,
    )

  user
    .command('list')
    .description('List users')
    .addOption(roleOption('only with this role'))
    .option('--search <text>', 'only those with this text in the name')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (options: ListOptions & { role?: Role; search?: string }) => {
      const query = { role: options.role, q: options.search }
      await listSome(app, 'users.list', query, options, userColumns, (u) => u.number)
    })

  user
    .command('show <user>')
    .description('Show a user, by name, number or id')
    .action(async (ref: string) => {
      const found = await (await app.client()).users.get({ params: { id: await userRef(app, ref) } })
      app.out().item(found, userFields(found), found.number)
    })

  user
    .command('add <username>')
    .description('Add a user; the one-time password is shown once')
    .option('--email <address>', 'where mail reaches the user')
    .option('--full-name <name>', 'as people call the user')
    .addOption(roleOption('in this project').default('employee'))
    .action(async (username: string, options: { email?: string; fullName?: string; role: Role }) => {
      const made = await (await app.client()).users.create({
        body: { username, email: options.email, full_name: options.fullName, role: options.role },
      })
      const once = made.one_time_password
      app.out().item(made, [...userFields(made), ['One-time password', once, 'yellow']], once ?? made.number)
      if (once) app.out().note('The password is not shown again; it must be changed at the first login.')
    })

  user
    .command('edit <user>')
    .description('Change a user, by name, number or id')
    .option('--email <address>', 'another address for mail')
    .option('--full-name <name>', 'another name for people')
    .addOption(roleOption('another role in this project'))
    .option('--activate', 'let a deactivated user in again')
    .action(async (ref: string, o: { email?: string; fullName?: string; role?: Role; activate?: boolean }) => {
      const body = {
        ...(o.email === undefined ? {} : { email: o.email }),
        ...(o.fullName === undefined ? {} : { full_name: o.fullName }),
        ...(o.role === undefined ? {} : { role: o.role }),
        ...(o.activate ? { is_active: true } : {}),
      }
      if (Object.keys(body).length === 0) throw usage('Nothing to change was given')
      const changed = await (await app.client()).users.update({ params: { id: await userRef(app, ref) }, body })
      app.out().item(changed, userFields(changed), changed.number)
    })

  user
    .command('reset-password <user>')
    .description('Give a user a one-time password; ends all sessions of the user')
    .action(async (ref: string) => {
      const answer = await (await app.client()).users.resetPassword({ params: { id: await userRef(app, ref) } })
      app.out().item(answer, [['One-time password', answer.one_time_password, 'yellow']], answer.one_time_password)
    })

  user
    .command('deactivate <user>')
    .description('Let a user in no longer, at once; nothing of what the user did is lost')
    .action(async (ref: string) => {
      const params = { id: await userRef(app, ref) }
      const changed = await (await app.client()).users.update({ params, body: { is_active: false } })
      app.out().item(changed, userFields(changed), changed.number)
    })

  addInviteCommands(program, app)
}

function addInviteCommands(program: Command, app: App): void {
  const invite = program
    .command('invite [email]')
    .description('Invite somebody to register; the code is shown once')
    .addOption(roleOption('the role that the invited will have').default('employee'))
    .option('--hours <count>', 'how long the code works; 168 otherwise', countOf)
    .addHelpText('after', '\nExample:\n  writ invite wang.li@example.com --role dev')
    .action(async (email: string | undefined, { role, hours }: { role: Role; hours?: number }) => {
      const made = await (await app.client()).users.invite({ body: { email, role, expires_in_hours: hours } })
      app.out().item(
        made,
        [
          ['Invitation', made.invite, 'yellow'],
          ['For', made.email],
          ['Role', made.role],
          ['Works until', timeText(made.expires_at)],
        ],
        made.invite,
      )
    })

  invite
    .command('list')
    .description('List the invitations of this project, the newest first, those that were used or revoked too')
    .action(async () =>
      app.out().list(
        await (await app.client()).all('users.invites'),
        [
          { head: 'FOR', value: (i) => i.email ?? 'anybody' },
          { head: 'ROLE', value: (i) => i.role },
          { head: 'STATE', value: (i) => stateOf(i, app.terminal.now()) },
          { head: 'WORKS UNTIL', value: (i) => timeText(i.expires_at) },
          { head: 'ID', value: (i) => i.id },
        ],
        (i) => i.id,
      ),
    )

  invite
    .command('revoke <invitation>')
    .description('Make an invitation useless, by its id or by the address it is for')
    .action(async (ref: string) => {
      const client = await app.client()
      const open = (await client.all('users.invites')).filter((one) => stateOf(one, app.terminal.now()) === 'open')
      const meant = open.filter(({ id, email }) => id === ref || email?.toLowerCase() === ref.toLowerCase())
      if (meant.length > 1) throw usage(`${meant.length} invitations are for ${ref}`, 'Give the id of one.')
      if (!meant[0]) throw usage(`No open invitation is ${ref}, or is for it`, '"writ invite list" shows them.')
      await client.users.revokeInvite({ params: { id: meant[0].id } })
      app.out().note(`Revoked: the invitation for ${safeLine(meant[0].email ?? 'anybody')} cannot be used any more.`)
    })
}

function stateOf({ used_at, revoked_at, expires_at }: Invite, now: Date): string {
  if (used_at !== null) return 'used'
  if (revoked_at !== null) return 'revoked'
  return Date.parse(expires_at) > now.getTime() ? 'open' : 'expired'
}
