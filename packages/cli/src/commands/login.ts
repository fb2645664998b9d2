import { type Client, WritError } from '@writ/sdk'
import type { Command } from 'commander'
import { type App, normalUrl, openClient } from '../app.ts'
import { type Context, contextName, loadContexts, saveContexts } from '../contexts.ts'
import { usage } from '../failure.ts'
import { ask, readSecret } from '../prompt.ts'
import { timeText } from '../text.ts'

interface LoginOptions {
  username?: string
  passwordStdin?: boolean
  totp?: string
  tokenStdin?: boolean
  name?: string
}

export function addLoginCommands(program: Command, app: App): void {
  program
    .command('login [server]')
    .description('Log in to a server and remember it')
    .option('-u, --username <name>', 'asked for when left out')
    .option('--password-stdin', 'read the password from a pipe')
    .option('--totp <code>', 'one-time code, for accounts that need one')
    .option('--token-stdin', 'read an API token that you have already, instead of making one')
    .option('--name <context>', 'call the saved login so; host and project otherwise')
    .addHelpText(
      'after',
      `
Makes an API token called "cli on <host>" in your name and keeps it in contexts.json, readable by you only.
The password is kept nowhere. "writ logout" revokes the token.

Examples:
  writ login
  writ login https://writ.example.com --project factory-a -u li.na
  pass show writ | writ login https://writ.example.com -u li.na --password-stdin`,
    )
    .action((server: string | undefined, options: LoginOptions) => logIn(app, server, options))

  program
    .command('logout')
    .description('Revoke the token of this login and forget it')
    .action(() => logOut(app))

  const context = program
    .command('context')
    .description('Saved logins: several servers or projects')
    .addHelpText('after', '\nExamples:\n  writ context list\n  writ context use writ.example.com/factory-a')
  context
    .command('list')
    .description('List the saved logins')
    .action(async () => {
      const { current, contexts } = await loadContexts(app.settings.configFolder)
      // Tokens are not shown: they would end up in terminals' histories and tickets.
      const rows = Object.entries(contexts).map(([name, { url, project, username, expires_at }]) => ({
        name,
        current: name === current,
        url,
        project,
        username,
        expires_at,
      }))
      app.out().list(
        rows,
        [
          { head: '', value: (r) => (r.current ? '*' : '') },
          { head: 'NAME', value: (r) => r.name },
          { head: 'URL', value: (r) => r.url, shrink: true },
          { head: 'PROJECT', value: (r) => r.project, spare: true },
          { head: 'USER', value: (r) => r.username },
          { head: 'EXPIRES', value: (r) => timeText(r.expires_at) },
        ],
        (r) => r.name,
      )
    })
  context
    .command('use <name>')
    .description('Use this login from now on')
    .action(async (name: string) => {
      const known = await loadContexts(app.settings.configFolder)
      if (!known.contexts[name]) throw usage(`There is no context "${name}"`, '"writ context list" shows them.')
      await saveContexts(app.settings.configFolder, { ...known, current: name })
      app.out().note(`Using ${name}.`)
    })

  program
    .command('whoami')
    .description('Say who you are to the server, and what you may do')
    .action(async () => {
      const me = await (await app.client()).auth.me()
      const { url } = await app.target()
      app.out().item(
        me,
        [
          ['User', `#${me.number}  ${me.username}`, 'bold'],
          ['Full name', me.full_name],
          ['Server', url],
          ['Project', me.project],
          ['Role', me.role ?? 'none in this project'],
          ['Instance', me.is_instance_admin ? 'administrator' : null],
          ['One-time codes', me.totp_enabled ? 'on' : 'off'],
          ['May', sayMany(me.permissions)],
        ],
        me.username,
      )
    })
}

/** What requests somebody may send, by what they are about; `-o json` names each. */
function sayMany(permissions: readonly string[]): string {
  const about = Map.groupBy(permissions, (one) => one.split('.')[0]!)
  return [...about].map(([what, all]) => `${what} (${all.length})`).join(', ')
}

async function logIn(app: App, server: string | undefined, options: LoginOptions): Promise<void> {
  const { terminal, settings } = app
  const { url: urlFlag, project: projectFlag } = app.globals()
  const known = await loadContexts(settings.configFolder)
  const before = known.current === null ? undefined : known.contexts[known.current]
  const guess = before?.url ?? 'http://localhost:8000'
  if (server !== undefined && urlFlag !== undefined && normalUrl(server) !== normalUrl(urlFlag))
    throw usage(`Two servers are named: "${server}" and "${urlFlag}"`, 'Give one of them.')
  const given = server ?? urlFlag ?? settings.url
  const url = normalUrl(given ?? (await ask(terminal, `Server [${guess}]: `, { instead: '--url', fallback: guess })))
  if (!URL.canParse(url)) throw usage(`"${url}" is not a url of a server`, 'It looks like https://writ.example.com.')
  warnOfPlainHttp(app, url)
  const asked = projectFlag ?? settings.project

  const context = options.tokenStdin
    ? await takeToken(app, url, asked)
    : await makeToken(app, url, asked, await credentials(app, options))
  const name = options.name ?? contextName(url, context.project)
  await saveContexts(settings.configFolder, { current: name, contexts: { ...known.contexts, [name]: context } })
  app.out().note(`Logged in to ${url} as ${context.username}, project ${context.project}; saved as ${name}.`)
}

// The password and all that follows travel readable on plain http beyond this machine.
function warnOfPlainHttp(app: App, url: string): void {
  const { protocol, hostname } = new URL(url)
  if (protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(hostname)) {
    app.out().note(`Warning: ${url} is not encrypted; anybody on the way can read the password.`)
  }
}

async function credentials(app: App, options: LoginOptions) {
  const username = options.username ?? (await ask(app.terminal, 'User name: ', { instead: '--username' }))
  const password = options.passwordStdin
    ? await readSecret(app.terminal, '--password-stdin')
    : await ask(app.terminal, 'Password: ', { secret: true, instead: '--password-stdin' })
  return { username, password, totp: options.totp }
}

async function takeToken(app: App, url: string, project: string | undefined): Promise<Context> {
  const token = await readSecret(app.terminal, '--token-stdin')
  const me = await openClient(app.terminal, { url, token, project }).auth.me()
  return {
    url,
    project: me.project ?? project ?? 'default',
    username: me.username,
    token,
    token_id: null,
    expires_at: null,
  }
}

async function makeToken(
  app: App,
  url: string,
  asked: string | undefined,
  given: { username: string; password: string; totp: string | undefined },
): Promise<Context> {
  const { terminal, settings } = app
  let { password } = given
  const session = await openSession(app, url, { ...given })
  const open = openClient(terminal, { url, token: session.access_token })
  const me = await open.auth.me()
  if (me.must_change_password) {
    app.out().note('This password was for one time only; choose your own.')
    const next = await ask(terminal, 'New password: ', { secret: true, instead: 'a terminal: run "writ login" there' })
    const again = await ask(terminal, 'Once more: ', { secret: true, instead: 'a terminal: run "writ login" there' })
    if (next !== again) throw usage('The two passwords differ', 'Run "writ login" again.')
    await open.auth.changePassword({ body: { current_password: password, new_password: next } })
    password = next
  }
  const project = asked ?? (await chooseProject(open))
  const here = openClient(terminal, { url, token: session.access_token, project })
  const made = await here.tokens.create({ body: { name: `cli on ${settings.host}`.slice(0, 100) } })
  // The session has done its work; stopped before this, it ends by itself within half an hour.
  await here.auth.logout().catch(() => undefined)
  return { url, project, username: me.username, token: made.token, token_id: made.id, expires_at: made.expires_at }
}

async function openSession(
  app: App,
  url: string,
  login: { username: string; password: string; totp: string | undefined },
) {
  const client = openClient(app.terminal, { url })
  const body = { username: login.username, password: login.password }
  try {
    return await client.auth.login({ body: login.totp ? { ...body, totp: login.totp } : body })
  } catch (error) {
    const needed = error instanceof WritError && error.code === 'TOTP_REQUIRED' && login.totp === undefined
    if (!needed || !app.terminal.stdin.isTTY) throw error
    const totp = await ask(app.terminal, 'One-time code: ', { instead: '--totp' })
    return client.auth.login({ body: { ...body, totp } })
  }
}

async function chooseProject(client: Client): Promise<string> {
  const mine = (await client.all('projects.list')).map(({ slug }) => slug)
  const [only] = mine
  if (mine.includes('default') || only === undefined) return 'default'
  if (mine.length === 1) return only
  throw usage(`You belong to several projects: ${mine.join(', ')}`, 'Choose one with --project.')
}

async function logOut(app: App): Promise<void> {
  const { configFolder } = app.settings
  const known = await loadContexts(configFolder)
  const { context } = await app.target()
  if (!context) throw usage('There is no login to end', '"writ context list" shows them.')
  let revoked = context.token_id !== null
  if (context.token_id !== null) {
    const client = openClient(app.terminal, context)
    try {
      await client.tokens.revoke({ params: { id: context.token_id } })
    } catch (error) {
      // Revoked or expired before: what was wanted. Anything else must not leave the token on disk as if it were gone.
      if (!(error instanceof WritError) || (error.status !== 401 && error.status !== 404)) throw error
      revoked = false
    }
  }
  const { [context.name]: _, ...contexts } = known.contexts
  const current = known.current === context.name ? null : known.current
  await saveContexts(configFolder, { current, contexts })
  app.out().note(`Forgot ${context.name}${revoked ? ' and revoked its token' : ''}.`)
}
