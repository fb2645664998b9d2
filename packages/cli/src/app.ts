import type { Ticket } from '@writ/api'
import { type Client, type ClientOptions, createClient } from '@writ/sdk'
import type { Command } from 'commander'
import type { Settings } from './config.ts'
import { type Context, type Contexts, loadContexts } from './contexts.ts'
import { exitCodes } from './exit-codes.ts'
import { Failure, usage } from './failure.ts'
import { createOutput, type Output } from './output.ts'
import { createProgress, type Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

/** Options that every command takes. */
export interface Globals {
  output: 'table' | 'json' | 'yaml'
  quiet?: boolean
  url?: string
  project?: string
  context?: string
}

/** Which server, which project, as whom. */
export interface Target {
  readonly url: string
  readonly project: string | undefined
  readonly token: string | undefined
  /** The context that it comes from, if one fits. */
  readonly context: (Context & { name: string }) | undefined
}

/** What a command works with; one per invocation. */
export interface App {
  readonly terminal: Terminal
  readonly settings: Settings
  readonly program: Command
  globals(): Globals
  out(): Output
  progress(label: string, unit?: 'bytes' | 'entries' | 'files'): Progress
  target(): Promise<Target>
  client(): Promise<Client>
  /** Sets how the command exits when it ends without an error. */
  exit(code: number): void
}

export function createApp(program: Command, terminal: Terminal, settings: Settings): App & { exitCode(): number } {
  let code = 0
  const globals = () => program.opts<Globals & Record<string, unknown>>()
  const target = async () => chooseTarget(globals(), settings, await loadContexts(settings.configFolder))
  return {
    terminal,
    settings,
    program,
    globals,
    out: () => createOutput(terminal, settings, globals().output, globals().quiet === true),
    progress: (label, unit = 'bytes') => createProgress(terminal, label, { quiet: globals().quiet === true, unit }),
    target,
    async client() {
      const { url, project, token } = await target()
      return openClient(terminal, { url, project, token })
    },
    exit(set) {
      code = set
    },
    exitCode: () => code,
  }
}

/** A client that the audit log knows by name and that ends when the person interrupts. Throws a usage failure on what cannot be a token. */
export function openClient(terminal: Terminal, to: Pick<ClientOptions, 'url' | 'project' | 'token'>): Client {
  // A header takes no other; with blanks in it the server sees none at all, and says that somebody has to log in.
  if (typeof to.token === 'string' && !/^[\x21-\x7e]+$/.test(to.token))
    throw usage('What was given as a token is none', 'It is one word, as "writ token create" shows it: writ_…')
  return createClient({ ...to, headers: { 'user-agent': 'writ-cli/0.1.0' }, signal: terminal.signal })
}

/**
 * Flags win over the environment, and that over the context in use. A context's token goes to the context's own server
 * and to no other: with another url it is not sent.
 */
function chooseTarget(globals: Globals, settings: Settings, known: Contexts): Target {
  const named = globals.context ?? settings.context
  if (named !== undefined && !known.contexts[named]) {
    throw usage(`There is no context "${named}"`, '"writ context list" shows them.')
  }
  const asked = globals.url ?? settings.url
  const project = globals.project ?? settings.project
  const found = findContext(known, named, asked, project)
  const url = asked ?? found?.url
  if (url === undefined) {
    throw new Failure('No server is known yet', {
      advice: 'Run "writ login --url http://localhost:8000", or give --url or WRIT_URL.',
      exit: exitCodes.notAllowed,
    })
  }
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw usage(`"${url}" is not a url of a server`, 'It looks like https://writ.example.com.')
  }
  return {
    url,
    project: project ?? found?.project,
    token: settings.token ?? found?.token,
    context: found,
  }
}

function findContext(known: Contexts, named: string | undefined, url: string | undefined, project: string | undefined) {
  const all = Object.entries(known.contexts).map(([name, context]) => ({ name, ...context }))
  const fits = (context: Context) => url === undefined || sameServer(context.url, url)
  if (named !== undefined) return all.find(({ name, ...context }) => name === named && fits(context))
  const current = all.find(({ name }) => name === known.current)
  // Another project of the same server has a token of its own, if somebody logged in there.
  const server = url ?? current?.url
  const ofProject = all.find(
    (context) => server !== undefined && sameServer(context.url, server) && context.project === project,
  )
  if (project !== undefined && ofProject) return ofProject
  if (current && fits(current)) return current
  return url === undefined ? undefined : all.find(fits)
}

const sameServer = (a: string, b: string) => normalUrl(a) === normalUrl(b)

/** A url as it is kept: no trailing slash, host in lower case. */
export function normalUrl(url: string): string {
  if (!URL.canParse(url)) return url
  const { origin, pathname } = new URL(url)
  return origin + pathname.replace(/\/+$/, '')
}

/** An id or number for a path or body; a leading # is taken as people write it. Throws a usage failure on anything else. */
export function refOf(value: string): string {
  const ref = value.replace(/^#/, '').toLowerCase()
  if (/^([1-9][0-9]{0,14}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(ref)) return ref
  throw usage(`"${value}" is neither a number nor an id`)
}

/** "#7", or nothing. */
export const numberText = (number: number | null | undefined): string => (number ? `#${number}` : '')

/** What the server warns of beside a good answer. */
export function noteWarnings(out: Output, ticket: Pick<Ticket, 'warnings'>): void {
  for (const { code, text } of ticket.warnings ?? []) out.note(`Warning: ${text} [${code}]`)
}
