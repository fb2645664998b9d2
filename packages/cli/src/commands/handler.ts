import type { HandlerInfo } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { usage } from '../failure.ts'
import { readGiven } from '../given-file.ts'
import { objectOf } from '../json-option.ts'
import { lengthText, secondsOf } from '../length-of-time.ts'
import { countOf } from '../listing.ts'
import type { Field } from '../output.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'

const stateOf = (h: HandlerInfo) => (h.fault === null ? (h.enabled ? 'enabled' : 'disabled') : 'faulty')

const columns: Column<HandlerInfo>[] = [
  { head: 'HANDLER', value: (h) => h.name },
  { head: 'SOURCE', value: (h) => h.source },
  { head: 'STATE', value: stateOf, paint: (h) => (stateOf(h) === 'enabled' ? undefined : 'yellow') },
  { head: 'WHAT IT DOES', value: (h) => (h.fault === null ? h.title : `${h.title}: ${h.fault}`), shrink: true },
  { head: 'QUEUE', value: (h) => h.queue },
  { head: 'ATTEMPTS', value: (h) => h.max_attempts, right: true, spare: true },
  { head: 'LIMIT', value: (h) => (h.timeout_ms === 0 ? null : `${h.timeout_ms / 1_000} s`), right: true },
  { head: 'SIDE EFFECT', value: (h) => h.side_effect, spare: true },
]

function perKeyOf(h: HandlerInfo): string | null {
  if (h.per_key === null) return null
  const { concurrency, rate } = h.per_key
  return [
    ...(concurrency === null ? [] : [`${concurrency} at once`]),
    ...(rate === null ? [] : [`${rate.limit} starts in ${rate.period_ms / 1_000} s`]),
  ].join(', ')
}

const fields = (h: HandlerInfo): Field[] => [
  ['Handler', h.name, 'bold'],
  ['What it does', h.title],
  ['Source', h.source],
  ['State', h.disabled_at === null ? stateOf(h) : `${stateOf(h)} since ${timeText(h.disabled_at)}`],
  ['Because', h.disabled_reason],
  ['Calls', h.url],
  ['Queue', h.queue],
  ['Attempts', h.max_attempts],
  ['Limit of each', `${h.timeout_ms / 1_000} s`],
  ['Ends within', lengthText(h.ttl_ms)],
  ['At once', h.concurrency],
  ['Under one key', perKeyOf(h)],
  ['Side effect', h.side_effect],
  ['Last seen', timeText(h.last_seen_at)],
  ['Fault', h.fault, 'red'],
]

interface AddOptions {
  title?: string
  inputSchema?: string
  outputSchema?: string
  queue?: string
  attempts?: number
  limit?: number
  ttl?: string
  sideEffect?: HandlerInfo['side_effect']
  keyConcurrency?: number
}

export function addHandlerCommands(program: Command, app: App): void {
  const handler = program
    .command('handler')
    .description('Handlers: what tasks may name')
    .addHelpText(
      'after',
      `
Examples:
  writ handler list
  writ handler add vlan.add https://hooks.example.com/vlan --input-schema vlan.json --attempts 5
  writ handler disable script.execute --reason 'its interpreter is being replaced'`,
    )
  handler
    .command('list')
    .description('List handlers')
    .action(async () => app.out().list(await (await app.client()).all('tasks.handlers'), columns, (h) => h.name))
  handler
    .command('show <handler>')
    .description('Show a handler with its contract')
    .action(async (name: string) => show(app, await (await app.client()).handlers.get({ params: { name } })))
  handler
    .command('add <name> <url>')
    .description('Add a handler that is called over HTTP: each attempt is a signed POST, what it answers is the result')
    .option('--title <text>', 'what it does; its name otherwise')
    .option('--input-schema <file>', 'JSON Schema of what it takes')
    .option('--output-schema <file>', 'JSON Schema of what it answers')
    .option('--queue <queue>', 'where its tasks wait; "api" otherwise')
    .option('--attempts <n>', 'how often it may be tried; once otherwise', countOf)
    .option('--limit <seconds>', 'how long one attempt may take; 60 otherwise', countOf)
    .option('--ttl <time>', 'its tasks have to end so long after they were due: 90s, 15m, 6h or 7d; whenever otherwise')
    .option('--key-concurrency <n>', 'how many run at once under one concurrency key; any number otherwise', countOf)
    .addOption(
      new Option(
        '--side-effect <effect>',
        'what cannot be taken back is announced in the log first; "none" otherwise',
      ).choices(['none', 'reversible', 'irreversible']),
    )
    .action(async (name: string, url: string, o: AddOptions) => {
      // Not an option of its own: --url is the server's, whatever command it stands with.
      if (!URL.canParse(url)) throw usage(`"${url}" is not a url`)
      const added = await (await app.client()).handlers.add({
        body: {
          name,
          url,
          ...(o.title ? { title: o.title } : {}),
          ...(o.inputSchema ? { input: await schemaOf(o.inputSchema) } : {}),
          ...(o.outputSchema ? { output: await schemaOf(o.outputSchema) } : {}),
          ...(o.queue ? { queue: o.queue } : {}),
          ...(o.attempts ? { max_attempts: o.attempts } : {}),
          ...(o.limit ? { timeout_ms: o.limit * 1_000 } : {}),
          ...(o.ttl ? { ttl_ms: secondsOf(o.ttl) * 1_000 } : {}),
          ...(o.sideEffect ? { side_effect: o.sideEffect } : {}),
          ...(o.keyConcurrency ? { per_key: { concurrency: o.keyConcurrency } } : {}),
        },
      })
      app
        .out()
        .item(added, [...fields(added), ['Secret', added.secret], ['Keep it', 'it is not shown again']], added.secret)
    })
  handler
    .command('enable <handler>')
    .description('Let tasks name it again, and start those that wait')
    .action(async (name: string) => show(app, await (await app.client()).handlers.enable({ params: { name } })))
  handler
    .command('disable <handler>')
    .description('Let no task name it, and start none that waits')
    .option('--reason <text>', 'why; it stands beside the handler, and in the audit log')
    .action(async (name: string, { reason }: { reason?: string }) =>
      show(app, await (await app.client()).handlers.disable({ params: { name }, body: reason ? { reason } : null })),
    )
  handler
    .command('rotate-secret <handler>')
    .description('Make a new secret for a handler that is called over HTTP; both sign for a day')
    .action(async (name: string) => {
      const made = await (await app.client()).handlers.rotateSecret({ params: { name } })
      app
        .out()
        .item(
          made,
          [['Secret', made.secret, 'yellow'], ['Keep it', 'it is not shown again'], ...fields(made)],
          made.secret,
        )
    })
  handler
    .command('remove <handler>')
    .description('Remove a handler that is called over HTTP; tasks that wait for it fail')
    .action(async (name: string) => {
      await (await app.client()).handlers.remove({ params: { name } })
      app.out().item({ removed: name }, [['Removed', name]], name)
    })
}

const show = (app: App, found: HandlerInfo): void => app.out().item(found, fields(found), found.name)

async function schemaOf(file: string): Promise<Record<string, unknown>> {
  return objectOf(file, await readGiven(file, { advice: 'Give a JSON Schema.' }), {
    what: 'JSON Schema',
    advice: 'A JSON object, as {"type": "object", "required": ["name"]}.',
  })
}
