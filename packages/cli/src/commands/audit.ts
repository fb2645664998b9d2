import type { api, ReplyOf } from '@writ/api'
import type { Client, VerifyProgress } from '@writ/sdk'
import { saveDownload } from '@writ/sdk/node'
import { type Command, Option } from 'commander'
import { loadAnchoredState, loadPolicy } from '../anchors.ts'
import { type App, normalUrl } from '../app.ts'
import { eventColumns } from '../columns.ts'
import { createRunWatch } from '../entry-runs.ts'
import { createTimeWatch, type StrangeTimes } from '../entry-times.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure } from '../failure.ts'
import { type KeptCheckpoint, keepCheckpoint, loadKeptCheckpoint } from '../kept-checkpoints.ts'
import { allOption, type ListOptions, limitOption, listSome } from '../listing.ts'
import { loadOperation } from '../operations.ts'
import type { Field } from '../output.ts'
import { pipeChecked } from '../pipe-checked.ts'
import type { Progress } from '../progress.ts'
import { followLogs, loadKeyChanges, verifyWhileKeysChange } from '../served-log.ts'
import { counted, entriesText, safeLine, timeText } from '../text.ts'
import { userRef } from '../who.ts'

type Log = ReplyOf<typeof api.audit.log>
type Report = ReplyOf<typeof api.audit.verify>

interface Filters {
  event?: string
  actor?: string
  resource?: string
  from?: string
  until?: string
  failed?: boolean
}

export function addAuditCommands(program: Command, app: App): void {
  const audit = program
    .command('audit')
    .description('The audit log: who did what, and the proof that nobody changed it since')
    .addHelpText(
      'after',
      '\nExamples:\n  writ audit list --event ticket.approved\n  writ audit verify\n  writ audit export --format csv --to events.csv',
    )

  withFilters(audit.command('list').description('List events, newest first; reading is itself recorded'))
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions & Filters) => {
      await listSome(app, 'audit.events', await queryOf(app, o), o, eventColumns, (e) => e.id)
    })

  withFilters(audit.command('export').description('Export all matching events, oldest first'))
    .addOption(
      new Option('--format <format>', 'one JSON object a line, or CSV').choices(['jsonl', 'csv']).default('jsonl'),
    )
    .option('--to <file>', 'a new file; standard output otherwise')
    .action(async (o: Filters & { format: 'jsonl' | 'csv'; to?: string }) => {
      const file = await (await app.client()).audit.export({ query: { ...(await queryOf(app, o)), format: o.format } })
      if (o.to === undefined) return pipeChecked(file.stream, app.terminal.stdout, undefined)
      const saved = await saveDownload(file, o.to, { signal: app.terminal.signal })
      app.out().note(`Wrote ${counted(saved.bytes, 'byte')} to ${o.to}.`)
    })

  audit
    .command('log')
    .description('Describe the log: its name, its key, its size, its root')
    .action(async () => {
      const info = await (await app.client()).audit.log()
      app.out().item(
        info,
        [
          ['Origin', info.origin, 'bold'],
          ['Verifier key', info.vkey],
          ['Size', `${entriesText(info.size)}, ${info.pending} to be added`],
          ['Root', info.root],
          ['Anchored', anchoredText(info)],
          [
            'Not anchored',
            info.anchored && `${entriesText(info.size - info.anchored.size)} from ${info.anchored.size} on`,
          ],
          ['Open to', info.access === 'public' ? `everybody, at ${info.door}` : `members, at ${info.door}`],
          ['Files', info.folder],
          ['Day files', info.audit_folder],
        ],
        info.origin,
      )
    })

  audit
    .command('verify')
    .description('Verify the whole log here, without trusting the server; exits with 5 when anything is wrong')
    .option('--data-dir <folder>', "verify a server's data folder instead; needs no running server")
    .option('--vkey <key>', 'the key that the log must be signed with, as an auditor wrote it down')
    .option(
      '--trust-new-log',
      'accept that the log is another one than before, as after "writ restore"; a rotation is followed without',
    )
    .option('--policy <file>', 'a C2SP tlog-policy: the witnesses that must have cosigned')
    .option('--no-rows', 'verify only the published log, not the rows and day files of the server')
    .addHelpText(
      'after',
      `
Downloads every entry, recomputes every hash and compares the signed state. The newest state is kept on this machine;
next time the log must continue from it, so that not even the holder of its key can rewrite what was seen.

Examples:
  writ audit verify
  writ audit verify --policy witnesses.policy
  writ audit verify --data-dir ./data`,
    )
    .action((o: VerifyOptions) => (o.dataDir === undefined ? verifyServed(app, o) : verifyFolder(app, o.dataDir)))
  addSelfCheck(audit, app)
}

function addSelfCheck(audit: Command, app: App): void {
  audit
    .command('selfcheck')
    .description('Have the server compare its rows, log and day files now; exits with 5 when anything is wrong')
    .option('--full', 'everything, not only what is new and a share of the old')
    .action(async ({ full }: { full?: boolean }) => {
      const client = await app.client()
      const bar = app.progress('Checking', 'entries')
      const report = await client
        .selfCheck({ full: full ?? false, onProgress: (done) => showProgress(bar, done), signal: app.terminal.signal })
        .finally(() => bar.end())
      if (!report.ok) throw damaged(report, undefined, report.origin)
      app.out().item(report, [['Compared', `${agree(report.entries)} with log and day files`, 'green']], report.entries)
    })
}

function anchoredText({ anchored }: Log): string {
  if (!anchored) return 'nothing: no witness stands for this log'
  const who = anchored.witnesses.map(({ name, time }) => `${name} at ${time}`).join(', ')
  return `entries below ${anchored.size}${who === '' ? '' : `, by ${who}`}`
}

const withFilters = (command: Command) =>
  command
    .option('-e, --event <type>', 'only events of this type, such as ticket.approved')
    .option('--actor <user>', 'only what this user did, by name, number or id')
    .option('--resource <type>', 'only about this sort of thing: ticket, run, artifact, ...')
    .option('--from <date>', 'from this day or time on')
    .option('--until <date>', 'up to this day (included) or time (not included)')
    .option('--failed', 'only what failed or was refused')

const queryOf = async (app: App, o: Filters) => ({
  event_type: o.event,
  actor_id: o.actor && (await userRef(app, o.actor)),
  resource_type: o.resource,
  start_date: o.from,
  end_date: o.until,
  success: o.failed ? false : undefined,
})

interface VerifyOptions {
  dataDir?: string
  vkey?: string
  policy?: string
  trustNewLog?: boolean
  rows: boolean
}

async function verifyServed(app: App, o: VerifyOptions): Promise<void> {
  const policy = o.policy === undefined ? undefined : await loadPolicy(o.policy)
  const client = await app.client()
  const target = await app.target()
  const { stateFolder } = app.settings
  const place = { url: normalUrl(target.url), project: target.project ?? 'default' }
  const [info, before] = await Promise.all([client.audit.log(), loadKeptCheckpoint(stateFolder, place)])
  const { signal } = app.terminal
  const isTrustedAnew = o.trustNewLog === true && before !== undefined && differs(info, before)
  const followed = isTrustedAnew || !before ? undefined : await follow(app, client, before, info)
  const kept = isTrustedAnew || followed ? undefined : before
  if (info.size === 0 && !before) return app.out().note('The log has no entries yet: there is nothing to verify.')

  // What was trusted before leads to the key in use, if the log itself says so.
  const trusted = o.vkey ?? followed?.vkey ?? kept?.vkey ?? info.vkey
  const known = await loadKeyChanges(client, { origin: info.origin, trusted }, signal)
  // What witnesses cosigned last may be signed with an earlier key: they were not given the new one yet. The server may say which
  // keys those are, because the state itself is compared with every entry below it.
  const vkeys = [...new Set([...known.vkeys, ...(info.vkeys ?? [])])]
  // A policy that asks for nobody is met by everything: nobody was asked, and that is what is said.
  const asksNobody = policy?.quorum === 'none'
  const anchored =
    policy && !asksNobody ? await loadAnchoredState(client, { origin: info.origin, vkeys }, policy) : undefined
  const times = createTimeWatch({
    existed: [
      ...(kept ? [{ size: kept.size, at: Date.parse(kept.seen_at) }] : []),
      ...(anchored?.cosigners ?? []).map(({ time }) => ({ size: anchored!.size, at: time * 1_000 })),
    ],
    missing: kept ? [{ size: kept.size, at: Date.parse(kept.seen_at) }] : [],
  })
  const runs = createRunWatch()
  const bar = app.progress('Verifying', 'entries')
  const { verdict, checkpoint, keys } = await verifyWhileKeysChange(
    client,
    {
      origin: info.origin,
      trusted,
      keys: known,
      kept: kept?.checkpoint,
      // Every entry below is hashed anyway: so the anchored state is compared with the content, not with a proof.
      ...(anchored ? { pasts: [anchored] } : {}),
    },
    {
      onProgress: ({ entries, size }) => bar.update(entries, size),
      onEntry(index, entry) {
        times.look(index, entry)
        runs.look(index, entry)
      },
      signal,
    },
  ).finally(() => bar.end())
  signal.throwIfAborted()
  if (!verdict.ok && /^CHECKPOINT_(SIGNATURE|ORIGIN)$/.test(verdict.code) && !keys.vkeys.includes(info.vkey))
    throw otherKey(info, kept, o.vkey)
  if (!verdict.ok) throw damaged(verdict)
  if (runs.found) throw damaged(runs.found)

  const { size, root } = verdict.checkpoint
  if (checkpoint !== null && (kept === undefined || size >= kept.size)) {
    const seen_at = app.terminal.now().toISOString()
    const vkey = keys.vkeys.at(-1)!
    await keepCheckpoint(stateFolder, { ...place, origin: info.origin, vkey, size, checkpoint, seen_at })
  }
  const report = o.rows ? await compareRows(app, client, kept?.checkpoint) : undefined
  // It is about closed logs too, each of which has an entry 0.
  if (report && !report.ok) throw damaged(report, undefined, report.origin === info.origin ? undefined : report.origin)
  sayVerified(app, {
    origin: info.origin,
    size,
    root: Buffer.from(root).toString('base64'),
    continues: before && !isTrustedAnew ? { size: before.size, seen_at: before.seen_at } : null,
    followed: followed?.logs ?? [],
    checked: report?.checked ?? null,
    anchored: anchored
      ? { size: anchored.size, unanchored: size - anchored.size, witnesses: anchored.cosigners.map(cosignerText) }
      : null,
    asksNobody,
    times: times.found,
  })
  for (const vkey of anchored?.trusted ?? [])
    app.out().note(`The policy names no log: the key of the instance log was taken from the server (${vkey}).`)
}

/** Of the work of the server the hashing of its files is one half, the comparing of rows the other. */
const showProgress = (bar: Progress, { entries, rows, size }: VerifyProgress) =>
  bar.update(Math.min(Math.floor((entries + rows) / 2), size), size)

/** What the server finds in its rows and day files. */
async function compareRows(app: App, client: Client, kept: string | undefined) {
  const bar = app.progress('Comparing rows', 'entries')
  return client
    .verifyLog({
      kept_checkpoint: kept,
      onProgress: (done) => showProgress(bar, done),
      signal: app.terminal.signal,
    })
    .finally(() => bar.end())
}

const cosignerText = ({ name, time }: { name: string; time: number }) =>
  `${name} at ${new Date(time * 1_000).toISOString()}`

const differs = (info: Log, kept: KeptCheckpoint) => info.origin !== kept.origin || info.vkey !== kept.vkey

/** Logs between the one that was kept and the one that is open, if they are not the same: each names the next. */
async function follow(app: App, client: Client, kept: KeptCheckpoint, info: Log) {
  if (info.origin === kept.origin) return undefined
  const bar = app.progress('Verifying the log before', 'entries')
  const found = await followLogs(client, kept, info.origin, {
    onProgress: ({ entries, size }) => bar.update(entries, size),
    signal: app.terminal.signal,
  }).finally(() => bar.end())
  if (found.ok) return found
  const dropped = (await client.all('privacy.logs')).find(
    ({ origin, dropped_at }) => origin === found.origin && dropped_at,
  )
  if (found.fault && !dropped)
    throw damaged(
      found.fault,
      undefined,
      found.origin,
      // Of a backup that was made before the key that is trusted came into use, the log is signed with the one before alone.
      /^(LOG_TRUNCATED|CHECKPOINT_SIGNATURE)$/.test(found.fault.code) ? AFTER_RESTORE : undefined,
    )
  throw new Failure(`This is another log than on ${kept.seen_at}: ${info.origin}, not ${kept.origin}`, {
    exit: exitCodes.verificationFailed,
    code: 'LOG_REPLACED',
    advice: dropped
      ? `${found.origin} was dropped on ${dropped.dropped_at}, so nothing shows what continues it. If that was to be: add --trust-new-log.`
      : `${found.origin} names no log that continues it. After "writ restore" the new one begins with "log.continued": then add --trust-new-log.`,
  })
}

const AFTER_RESTORE =
  'Was a backup restored that is older than what you saw? Then the new log begins with "log.continued", which says who did it and why: if that was to be, add --trust-new-log. Otherwise keep what you have, and tell the auditor.'

/** The log is signed with a key to which the one that is trusted does not lead. */
const otherKey = (info: Log, kept: KeptCheckpoint | undefined, vkey: string | undefined) =>
  new Failure(
    vkey !== undefined || !kept
      ? `The log is signed with another key: ${info.vkey}`
      : `The log ${info.origin} has another key than on ${kept.seen_at}, and does not name it itself`,
    {
      exit: exitCodes.verificationFailed,
      code: 'LOG_KEY_CHANGED',
      advice: 'A rotation by the operator stands in the log and is followed. Find out what this is.',
    },
  )

function damaged(
  fault: {
    code: string | null
    reason: string | null
    index?: number | null
    path?: string | null
  },
  project?: string,
  origin?: string,
  advice = fault.code === 'DAY_FILES_BEHIND'
    ? 'Nothing that was written differs from the log; verify again then.'
    : 'Keep what you have, change nothing, and tell the auditor.',
): Failure {
  const where = [
    origin === undefined ? '' : origin,
    project === undefined ? '' : `log of ${placeText(project)}`,
    fault.index === undefined || fault.index === null ? '' : `first bad entry ${fault.index}`,
    fault.path ? `in ${fault.path}` : '',
  ].filter(Boolean)
  return new Failure(
    `The log does not verify: ${safeLine(fault.reason ?? 'no reason given')}${where.length > 0 ? ` (${where.join(', ')})` : ''}`,
    {
      advice,
      exit: exitCodes.verificationFailed,
      ...(fault.code ? { code: fault.code } : {}),
    },
  )
}

interface Verified {
  origin: string
  size: number
  root: string
  continues: { size: number; seen_at: string } | null
  /** Closed logs between the state that was kept and this log. */
  followed: readonly { origin: string; size: number }[]
  checked: Report['checked'] | null
  anchored: { size: number; unanchored: number; witnesses: string[] } | null
  /** The policy has `quorum none`. */
  asksNobody: boolean
  times: StrangeTimes
}

function sayVerified(app: App, { asksNobody, ...v }: Verified): void {
  const { checked, anchored } = v
  app.out().item(
    { ok: true, ...v },
    [
      ['Verified', `${entriesText(v.size)} of ${v.origin}`, 'green'],
      ['Root', v.root],
      [
        'Since before',
        v.continues
          ? `continues the ${entriesText(v.continues.size)} seen on ${timeText(v.continues.seen_at)}`
          : 'nothing was kept here before; from now on this state is',
      ],
      [
        'By way of',
        v.followed.map(({ origin, size }) => `${origin}, closed with ${entriesText(size)}`).join(', ') || null,
      ],
      ['Anchored', asksNobody ? 'nothing: the policy asks for no witness (quorum none)' : null, 'yellow'],
      ['Anchored', anchored && `entries below ${anchored.size}, by ${anchored.witnesses.join(', ')}`],
      ['Not anchored', anchored && `${entriesText(anchored.unanchored)} from ${anchored.size} on`],
      ['Times', timesText(v.times), 'yellow'],
      ['Server says', checked && comparedText(checked)],
    ],
    v.size,
  )
}

const agree = (rows: number) => `${counted(rows, 'row')} ${rows === 1 ? 'agrees' : 'agree'}`

const comparedText = ({ rows, day_files }: { rows: number; day_files: number }) =>
  `${counted(rows, 'row')} and ${counted(day_files, 'day file')} agree with the log`

const placeText = (project: string): string =>
  project === '_instance' ? 'the instance' : `the project ${safeLine(project)}`

function timesText({ early, late, first, by }: StrangeTimes): string | null {
  if (first === null) return null
  const said = [
    early > 0 && `${entriesText(early)} ${early === 1 ? 'is' : 'are'} dated too early`,
    late > 0 && `${late} too late`,
  ].filter(Boolean)
  return `${said.join(', ')}, by up to ${counted(Math.round(by / 60_000), 'minute')}; the first is ${first}. The clock of the server or of a witness was wrong, or what took long was placed late`
}

async function verifyFolder(app: App, dataDir: string): Promise<void> {
  const verifyOffline = await loadOperation('verifyOffline')
  const project = app.globals().project ?? app.settings.project
  const bar = app.progress('Verifying', 'entries')
  const report = await verifyOffline({
    dataDir,
    project,
    onProgress: ({ done, size }) => bar.update(done, size),
    signal: app.terminal.signal,
  }).finally(() => bar.end())
  const bad = report.reports.find(({ ok }) => !ok)
  if (!report.ok) throw damaged(report, bad?.project, bad?.origin)
  // Each by its name: in a data folder there is always more than one log.
  app.out().item(
    report,
    report.reports.flatMap(({ project, origin, size, root, checked }): Field[] => [
      ['Verified', `${entriesText(size)} of ${placeText(project)}: ${origin}`, 'green'],
      ['Root', root],
      ['Compared', comparedText(checked)],
    ]),
    report.size,
  )
}
