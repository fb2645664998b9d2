import { createHash } from 'node:crypto'
import { type Actor, append, listEventsAbout, readLine } from '../audit/index.ts'
import { createAccount, findUserByName, type Identity, oneTimePassword } from '../identity/index.ts'
import { BlobStoreUnavailable, type Blobs, endComing, expectBytes } from '../platform/blobs/index.ts'
import { INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { jsonOrNull } from '../platform/json.ts'
import { redactor } from '../platform/redact/index.ts'
import { ticketDigest } from '../tickets/index.ts'
import { accountName, type Flaw, flawOf, hashFlaw, lostAsset, openFile, timeOf } from './import-flaws.ts'
import type { Imported, Password } from './import-from.ts'
import { OperationRefused } from './place.ts'
import type { Numbered, Source, SourceRow, SourceTable } from './store.ts'
import * as store from './store.ts'

interface Importing {
  readonly source: Source
  readonly artifacts?: string | undefined
  readonly identity: Identity
  readonly blobs: Blobs
  readonly project: { readonly id: string; readonly slug: string }
  readonly by: Actor
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
  readonly onPassword?: ((made: Password) => void) | undefined
}

/** Where a row of the source went: its id and number here. */
type Here = { readonly id: string; readonly number: number }
type Places = Record<SourceTable, Map<number, Here>>

/** Every table in the order of its references, row by row; each row and its audit event are one transaction. */
export async function importRows(on: Importing): Promise<Imported> {
  const imported = { users: 0, assets: 0, tickets: 0, runs: 0, artifacts: 0 }
  const already: Record<SourceTable, number[]> = { users: [], assets: [], tickets: [], runs: [], artifacts: [] }
  const skipped: (Flaw & { what: string })[] = []
  const changed: (Flaw & { what: string })[] = []
  const passwords: Password[] = []
  const places: Places = {
    users: new Map(),
    assets: new Map(),
    tickets: new Map(),
    runs: new Map(),
    artifacts: new Map(),
  }
  const skip = (table: SourceTable, row: SourceRow, flaw: Flaw) => skipped.push({ what: `${table} ${row.id}`, ...flaw })
  const change = (table: SourceTable, row: SourceRow, flaw: Flaw) =>
    changed.push({ what: `${table} ${row.id}`, ...flaw })
  const isThere = (table: SourceTable, id: number) => places[table].has(id)
  const people = new Set<string>()
  const months = new Set<string>()

  /** Takes one row over unless it was before. `make` answers the reason when it cannot be. */
  async function takeRow(
    table: Numbered,
    row: SourceRow,
    make: (tx: Tx, here: Here) => Promise<Flaw | undefined>,
  ): Promise<void> {
    const created = timeOf(row.created_at)
    const month = new Date(created).toISOString().slice(0, 7)
    // Rows keep the time at which they were made, and on PostgreSQL old months have no partition yet.
    if (!months.has(month)) await on.identity.db.prepareMonths(created)
    months.add(month)
    const id = importedId(created, table, row.id)
    const flaw = await inProject(on.project.id, () =>
      on.identity.db.write(async (tx) => {
        const before = await store.findImported(tx, table, id)
        if (before !== undefined) {
          places[table].set(row.id, { id, number: before })
          already[table].push(row.id)
          return undefined
        }
        const here = { id, number: await store.takeNumber(tx, table, row.id) }
        const reason = await make(tx, here)
        if (reason !== undefined) throw new Skipped(reason)
        places[table].set(row.id, here)
        imported[table]++
        return undefined
      }),
    ).catch((error: unknown) => {
      if (error instanceof Skipped) return error.flaw
      throw error
    })
    if (flaw !== undefined) skip(table, row, flaw)
  }

  const makers: Record<SourceTable, (row: SourceRow) => Promise<void>> = {
    users: async (row) => {
      const { name, flaw } = accountName(row, (one) => people.has(one.toLowerCase()))
      people.add(name.toLowerCase())
      const made = await takeUser(on, row, name)
      places.users.set(row.id, made.here)
      if (made.password === undefined) {
        if (await wasTakenOver(on, made.here.id, row)) return void already.users.push(row.id)
        const why = `a user "${name}" is here already; what the one there made belongs to this one`
        return void skip('users', row, { code: 'IMPORT_EXISTS', field: 'username', why })
      }
      imported.users++
      passwords.push({ username: name, password: made.password })
      on.onPassword?.({ username: name, password: made.password })
      if (flaw) change('users', row, flaw)
      if (made.withoutEmail) {
        const why = 'its address is that of another account; it has none here'
        change('users', row, { code: 'IMPORT_EMAIL_TAKEN', field: 'email', why })
      }
    },
    assets: (row) => takeRow('assets', row, (tx, here) => takeAsset(tx, on, places, row, here)),
    tickets: async (row) => {
      const before = imported.tickets
      await takeRow('tickets', row, (tx, here) => takeTicket(tx, on, places, row, here))
      const lost = imported.tickets > before ? lostAsset(row, isThere) : undefined
      if (lost) change('tickets', row, lost)
    },
    runs: (row) => takeRow('runs', row, (tx, here) => takeRun(tx, on, places, row, here)),
    artifacts: async (row) => {
      const stored = await storeBytes(on, row)
      if ('why' in stored) return void skip('artifacts', row, stored)
      await takeRow('artifacts', row, (tx, here) => takeArtifact(tx, on, places, row, here, stored))
    },
  }
  for (const table of store.sourceTables) {
    const size = await on.source.count(table)
    let done = 0
    for await (const row of on.source.rows(table)) {
      on.signal?.throwIfAborted()
      const flaw = flawOf(table, row, isThere)
      if (flaw !== undefined) skip(table, row, flaw)
      else await makers[table](row).catch((cause: Error) => refuseRow(table, row, cause))
      on.onProgress?.({ done: ++done, size, what: table })
    }
  }
  return { imported, already, skipped, changed, passwords }
}

/** Undoes a row whose flaw was found within its transaction. */
class Skipped extends Error {
  readonly flaw: Flaw
  constructor(flaw: Flaw) {
    super(flaw.why)
    this.flaw = flaw
  }
}

/** Stopped here, what came before is kept; an import that is called again goes on with this row. */
function refuseRow(table: SourceTable, row: SourceRow, cause: Error): never {
  if (cause instanceof OperationRefused) throw cause
  const text = `${table} ${row.id} could not be kept: ${cause.message}. Import again when that is mended.`
  throw new OperationRefused(text, { cause, code: 'IMPORT_ROW_FAILED' })
}

const isSaid = (value: unknown): boolean => value !== null && value !== undefined
/** Where a row is that `flawOf` found to be there. */
function placeOf(places: Places, table: SourceTable, id: unknown): Here {
  const here = places[table].get(Number(id))
  if (here === undefined) throw new Error(`${table} ${id} was not taken over`)
  return here
}
const textOf = (value: unknown): string | null => (value === null || value === undefined ? null : String(value))
const source = (row: SourceRow) => ({ imported_from: 'tep', imported_id: row.id })

/** A UUIDv7 of the row's own time whose other bits follow from the source's id: the same row, the same id, always. */
function importedId(created: number, table: string, id: number): string {
  const bits = createHash('sha256').update(`writ import tep ${table} ${id} ${created}`).digest('hex')
  const time = Math.max(0, created).toString(16).padStart(12, '0')
  const variant = '89ab'[Number.parseInt(bits[3]!, 16) & 3]
  return `${time.slice(0, 8)}-${time.slice(8)}-7${bits.slice(0, 3)}-${variant}${bits.slice(4, 7)}-${bits.slice(7, 19)}`
}

/** Whether an account here was made of this row by an earlier import: its ids say nothing of it, the event of its creation does. */
async function wasTakenOver({ identity: { db } }: Importing, account: string, row: SourceRow): Promise<boolean> {
  const told = await inProject(INSTANCE, () => db.read((tx) => listEventsAbout(tx, account, ['user.created'])))
  const { imported_from, imported_id } = source(row)
  // Where it was erased, nobody knows whose account that was.
  return told.some(({ event }) => {
    const details = readLine(event)?.details as Partial<ReturnType<typeof source>> | null | undefined
    return details?.imported_from === imported_from && details?.imported_id === imported_id
  })
}

async function takeUser(
  on: Importing,
  row: SourceRow,
  username: string,
): Promise<{ here: Here; password?: string; withoutEmail?: boolean }> {
  const { db, clock, passwords } = on.identity
  const known = await findUserByName(db, username)
  if (known) return { here: { id: known.id, number: known.number } }
  const password = oneTimePassword()
  const passwordHash = await passwords.hash(password)
  let withoutEmail = false
  const made = await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      const email = textOf(row.email)
      withoutEmail = email !== null && (await store.hasEmail(tx, email))
      const user = await createAccount(tx, clock.now(), on.by, {
        username,
        email: withoutEmail ? null : email,
        fullName: textOf(row.full_name),
        passwordHash,
        role: row.is_admin === true ? 'admin' : 'employee',
        project: on.project,
        mustChangePassword: true,
        how: source(row),
      })
      if (row.is_active === false) await store.deactivate(tx, user.id, clock.now())
      return user
    }),
  )
  return { here: { id: made.id, number: made.number }, password, withoutEmail }
}

async function takeAsset(tx: Tx, on: Importing, places: Places, row: SourceRow, here: Here): Promise<Flaw | undefined> {
  const creator = placeOf(places, 'users', row.created_by_id)
  const serial = textOf(row.serial_number)
  if (serial !== null && (await store.hasSerial(tx, serial))) {
    const why = `an asset with the serial number ${serial} is here already`
    return { code: 'IMPORT_EXISTS', field: 'serial_number', why }
  }
  await store.insertImported(tx, 'assets', {
    ...here,
    name: String(row.name),
    asset_type: String(row.asset_type),
    serial_number: serial,
    location: textOf(row.location),
    description: textOf(row.description),
    created_by_id: creator.id,
    created_at: timeOf(row.created_at),
    updated_at: timeOf(row.updated_at),
  })
  await tell(tx, on, row, 'asset.created', 'asset', here, `Imported asset: ${row.name}`)
  return undefined
}

async function takeTicket(tx: Tx, on: Importing, places: Places, row: SourceRow, here: Here): Promise<undefined> {
  const creator = placeOf(places, 'users', row.created_by_id)
  const was = String(row.status).toLowerCase()
  // An approval there names no version of the ticket, and a run that was under way there goes on nowhere.
  const status = was === 'approved' || was === 'running' ? 'submitted' : was
  const promised = {
    version: 1,
    title: String(row.title),
    description: textOf(row.description),
    asset_id: isSaid(row.asset_id) ? (places.assets.get(Number(row.asset_id))?.id ?? null) : null,
    assignee_id: null,
    created_by_id: creator.id,
    due_at: null,
  }
  await store.insertImported(tx, 'tickets', {
    ...here,
    ...promised,
    status,
    approved_by_id:
      status === was && isSaid(row.approved_by_id) ? (places.users.get(Number(row.approved_by_id))?.id ?? null) : null,
    digest: ticketDigest({ project: tx.project, id: here.id, ...promised }),
    created_at: timeOf(row.created_at),
    updated_at: timeOf(row.updated_at),
  })
  await tell(tx, on, row, 'ticket.created', 'ticket', here, `Imported ticket: ${row.title}`, {
    status,
    status_there: was,
  })
  return undefined
}

/** How a run ended there, in the words of the run contract. What had not ended there ends here. */
const endings: Record<string, { state: string; verdict: string | null; error_code: string | null }> = {
  success: { state: 'completed', verdict: 'passed', error_code: null },
  failed: { state: 'failed', verdict: null, error_code: 'IMPORTED_FAILED' },
  timeout: { state: 'timeout', verdict: null, error_code: 'RUN_TIMEOUT' },
}

async function takeRun(tx: Tx, on: Importing, places: Places, row: SourceRow, here: Here): Promise<undefined> {
  const ticket = placeOf(places, 'tickets', row.ticket_id)
  const executor = placeOf(places, 'users', row.executed_by_id)
  const was = String(row.status).toLowerCase()
  const kind = String(row.run_type).toLowerCase() === 'action' ? 'action' : 'proof'
  const ending = endings[was] ?? { state: 'cancelled', verdict: null, error_code: 'IMPORTED_UNFINISHED' }
  const script = textOf(row.script_id)
  await store.insertImported(tx, 'runs', {
    ...here,
    kind,
    handler: script ?? 'imported',
    run_type: kind,
    script_id: script,
    ...ending,
    verdict: kind === 'proof' ? ending.verdict : null,
    ticket_id: ticket.id,
    executed_by_id: executor.id,
    root_run_id: here.id,
    finalize: 'auto',
    trigger: JSON.stringify({ trigger_type: 'api', triggered_by: executor.id }),
    trace_id: createHash('sha256').update(here.id).digest('hex').slice(0, 32),
    execution_context: jsonOrNull(row.execution_context),
    validator_version: textOf(row.validator_version),
    rules_version: textOf(row.rules_version),
    inputs_manifest: jsonOrNull(row.inputs_manifest),
    outputs_manifest: jsonOrNull(row.outputs_manifest),
    result_summary: textOf(row.result_summary),
    stdout_log: textOf(row.stdout_log),
    stderr_log: textOf(row.stderr_log),
    exit_code: isSaid(row.exit_code) ? Number(row.exit_code) : null,
    step_count: 1,
    event_count: 1,
    created_at: timeOf(row.created_at),
    updated_at: timeOf(row.updated_at),
    started_at: timeOf(row.created_at),
    completed_at: timeOf(row.updated_at),
  })
  const details = { status_there: was, state: ending.state, ticket_id: ticket.id, script_id: script }
  await tell(tx, on, row, 'run.created', 'run', here, `Imported ${kind} run of ticket ${ticket.number}`, details, {
    id: here.id,
    seq: 0,
  })
  return undefined
}

const comingOf = (row: SourceRow, sha256: string) => ({ sha256, holder: `import ${row.id}` })

/** The bytes of an artifact in our store, or why they cannot be taken over. They must be those that were recorded. */
async function storeBytes(on: Importing, row: SourceRow): Promise<{ sha256: string; size: number } | Flaw> {
  const file = await openFile(on.artifacts, row)
  if ('why' in file) return file
  const stored = await on.blobs.put(on.project.id, file.createReadStream(), {
    maxBytes: Number.MAX_SAFE_INTEGER,
    coming: ({ sha256 }) => expectBytes(on.identity, on.project.id, comingOf(row, sha256)),
  })
  return hashFlaw(row, stored.sha256) ?? stored
}

async function takeArtifact(
  tx: Tx,
  on: Importing,
  places: Places,
  row: SourceRow,
  here: Here,
  stored: { sha256: string; size: number },
): Promise<undefined> {
  const run = placeOf(places, 'runs', row.run_id)
  const deleted = row.is_deleted === true
  if (!(await endComing(tx, comingOf(row, stored.sha256))))
    throw new BlobStoreUnavailable('the same bytes may have been removed meanwhile')
  await store.insertImported(tx, 'artifacts', {
    ...here,
    run_id: run.id,
    run_number: run.number,
    ...redactor.value({
      filename: String(row.filename),
      content_type: textOf(row.content_type),
      description: textOf(row.description),
    }),
    artifact_type: textOf(row.artifact_type),
    role: null,
    expected_sha256: null,
    size_bytes: stored.size,
    sha256: stored.sha256,
    store: 'default',
    uploaded_by_id: isSaid(row.uploaded_by_id) ? (places.users.get(Number(row.uploaded_by_id))?.id ?? null) : null,
    is_deleted: deleted ? 1 : 0,
    deleted_at: deleted ? timeOf(row.updated_at) : null,
    created_at: timeOf(row.created_at),
  })
  await store.insertEvidence(tx, run.id, here.id)
  const details = {
    run_id: run.id,
    number: here.number,
    filename: row.filename,
    size_bytes: stored.size,
    sha256_hash: stored.sha256,
  }
  await tell(tx, on, row, 'artifact.uploaded', 'artifact', here, `Imported artifact: ${row.filename}`, details)
  return undefined
}

const tell = (
  tx: Tx,
  on: Importing,
  row: SourceRow,
  type: 'asset.created' | 'ticket.created' | 'run.created' | 'artifact.uploaded',
  thing: string,
  here: Here,
  action: string,
  details: Record<string, unknown> = {},
  run?: { id: string; seq: number },
): Promise<void> =>
  append(tx, on.identity.clock.now(), on.by, {
    type,
    resource: { type: thing, ...here },
    action,
    details: { ...source(row), ...details },
    ...(run ? { run } : {}),
  })
