import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { access, constants, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sealedColumns } from '../app.ts'
import { findLogsAhead, listEvents, listLogs, readLogText, sizeOfNote } from '../audit/index.ts'
import { type Config, loadConfig } from '../config.ts'
import { countSealed, listProjects, sealMark } from '../identity/index.ts'
import { openBlobs } from '../platform/blobs/index.ts'
import { rfc3339, systemClock } from '../platform/clock.ts'
import {
  attachDatabase,
  type Database,
  INSTANCE,
  inProject,
  inspectStore,
  type StoreState,
} from '../platform/db/index.ts'
import { ifThere } from '../platform/if-there.ts'
import { lockDataDir } from '../platform/lock.ts'
import { loadArguments, type OpenPlace, openPlace, type Place } from './place.ts'

/** One thing that was looked at. Codes are stable; docs/operate.md lists them. */
export interface Finding {
  readonly name: string
  /** False only when something has to be done. */
  readonly ok: boolean
  readonly level: 'ok' | 'warn' | 'fail'
  readonly code: string
  readonly detail: string
  /** What to do about it; null when there is nothing to do. */
  readonly advice: string | null
}

export interface Diagnosis {
  readonly ok: boolean
  readonly checks: readonly Finding[]
}

const GIB = 1024 ** 3
const MINUTE = 60_000

/**
 * Looks for what is wrong with an installation, with its server stopped or running, and says what to do. A check that
 * cannot be made because another failed, or because nothing is there yet, is left out. Writes nothing but a probe file that it
 * removes: whoever runs it is often root, whose folders the server's user could not write to.
 */
export async function doctor(on: Place = {}): Promise<Diagnosis> {
  const checks: Finding[] = [checkNode()]
  const config = on.config ?? loadForDoctor(on, checks)
  if (config) {
    const place = openPlace({ ...on, config })
    checks.push(await checkDataDir(config), checkServer(config))
    if (existsSync(config.dataDir)) checks.push(await checkDisk(config))
    checks.push(...(await checkKeys(place)), await checkBlobs(config), ...(await checkDatabase(place)))
  }
  return { ok: checks.every((check) => check.ok), checks }
}

const fine = (name: string, code: string, detail: string): Finding => ({
  name,
  code,
  detail,
  ok: true,
  level: 'ok',
  advice: null,
})
const warn = (name: string, code: string, detail: string, advice: string): Finding => ({
  name,
  code,
  detail,
  ok: true,
  level: 'warn',
  advice,
})
const fail = (name: string, code: string, detail: string, advice: string): Finding => ({
  name,
  code,
  detail,
  ok: false,
  level: 'fail',
  advice,
})
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function checkNode(): Finding {
  const major = Number(process.versions.node.split('.')[0])
  return major >= 24
    ? fine('Node.js', 'NODE_VERSION', `version ${process.versions.node}`)
    : fail('Node.js', 'NODE_VERSION', `version ${process.versions.node}`, 'Run Writ with Node.js 24 or newer.')
}

function loadForDoctor(on: Place, checks: Finding[]): Config | undefined {
  const { config, problems } = loadConfig(loadArguments(on))
  for (const problem of problems ?? [])
    checks.push(
      fail(
        'configuration',
        'CONFIG_INVALID',
        problem,
        'Correct it; "writ config check" shows every setting and where it comes from.',
      ),
    )
  if (config) checks.push(fine('configuration', 'CONFIG_INVALID', 'every setting has a valid value'))
  return config
}

async function checkDataDir({ dataDir }: Config): Promise<Finding> {
  const probe = join(dataDir, `.probe-${randomUUID()}`)
  try {
    if (!existsSync(dataDir)) {
      await access(firstThere(dataDir), constants.W_OK)
      return fine('data directory', 'DATA_DIR_UNWRITABLE', `${dataDir} is not there yet: the first start makes it`)
    }
    await writeFile(probe, 'probe')
    await rm(probe)
  } catch (error) {
    return fail(
      'data directory',
      'DATA_DIR_UNWRITABLE',
      reasonOf(error),
      `Let the server's user write to ${dataDir}, or set WRIT_DATA_DIR.`,
    )
  }
  const others = (await stat(dataDir)).mode & 0o007
  return others === 0 || process.platform === 'win32'
    ? fine('data directory', 'DATA_DIR_UNWRITABLE', `${dataDir} can be written`)
    : warn(
        'data directory',
        'DATA_DIR_OPEN',
        `${dataDir} can be read by every user of this machine`,
        `chmod 700 ${dataDir}`,
      )
}

/** The folder itself, or the nearest one above it that is there. */
const firstThere = (folder: string): string => (existsSync(folder) ? folder : firstThere(dirname(folder)))

/** Whether a server runs is no fault either way; the other findings are read with it in mind. */
function checkServer(config: Config): Finding {
  if (config.database.kind === 'postgres')
    return fine('server', 'SERVER_STATE', 'PostgreSQL: any number of servers may run')
  // Taking the lock would make its file.
  if (!existsSync(join(config.dataDir, 'server.lock')))
    return fine('server', 'SERVER_STATE', 'no server has used this data directory yet')
  try {
    lockDataDir(config.dataDir).release()
    return fine('server', 'SERVER_STATE', 'no server uses this data directory now')
  } catch {
    return fine('server', 'SERVER_STATE', 'a server is running on this data directory')
  }
}

async function checkDisk({ dataDir, maxArtifactMb }: Config): Promise<Finding> {
  const { bavail, bsize, files, ffree } = await statfs(dataDir)
  const free = bavail * bsize
  const detail = `${(free / GIB).toFixed(1)} GiB free for ${dataDir}`
  const advice = 'Free some space: a full disk answers every change with 503 until there is room.'
  if (files > 0 && ffree < 10_000) return fail('disk', 'DISK_FULL', `only ${ffree} files can still be made`, advice)
  if (free < 2 * maxArtifactMb * 1024 * 1024) return fail('disk', 'DISK_FULL', detail, advice)
  return free < 5 * GIB ? warn('disk', 'DISK_LOW', detail, advice) : fine('disk', 'DISK_FULL', detail)
}

async function checkKeys({ folders }: OpenPlace): Promise<Finding[]> {
  const names = await ifThere(readdir(folders.keys), [])
  if (names.length === 0) return [fine('keys', 'KEYS_OPEN', 'none yet: the first start makes them')]
  const secret = names.filter((name) => !name.endsWith('.vkey'))
  const modes = await Promise.all(
    secret.map(async (name) => ({ name, mode: (await stat(join(folders.keys, name))).mode })),
  )
  const open = process.platform === 'win32' ? [] : modes.filter(({ mode }) => (mode & 0o077) !== 0)
  if (open.length === 0) return [fine('keys', 'KEYS_OPEN', `${secret.length} keys, readable by their owner alone`)]
  return open.map(({ name }) =>
    fail(
      'keys',
      'KEYS_OPEN',
      `${name} can be read by others than its owner`,
      `chmod 600 "${join(folders.keys, name)}"; if others use this machine, take the key for known to them.`,
    ),
  )
}

async function checkBlobs(config: Config): Promise<Finding> {
  // Opening it would make it.
  if (config.blobs.type === 'local' && !existsSync(config.blobs.dir))
    return fine(
      'artifact store',
      'STORAGE_UNAVAILABLE',
      `${config.blobs.dir} is not there yet: the first start makes it`,
    )
  try {
    const blobs = await openBlobs(config.blobs)
    await blobs.check().finally(() => blobs.close())
    return fine('artifact store', 'STORAGE_UNAVAILABLE', `${config.artifactStorage} can be written`)
  } catch (error) {
    return fail(
      'artifact store',
      'STORAGE_UNAVAILABLE',
      reasonOf(error),
      'Make the store reachable and writable: see ARTIFACT_STORAGE_TYPE and its settings.',
    )
  }
}

async function checkDatabase(place: OpenPlace): Promise<Finding[]> {
  let state: StoreState
  try {
    state = await inspectStore(place.database)
  } catch (error) {
    return [
      fail(
        'database',
        'DATABASE_UNAVAILABLE',
        reasonOf(error),
        'Start the database, or correct DATABASE_URL (or WRIT_MIGRATION_URL).',
      ),
    ]
  }
  const found = [fine('database', 'DATABASE_UNAVAILABLE', `${state.version} answers`), schemaFinding(state)]
  if (place.config.database.kind === 'postgres') found.push(...fenceFindings(state))
  if (state.schema === 0 || state.schema > state.known) return found
  const db = await attachDatabase(place.database)
  try {
    // An older schema lacks tables.
    const seals = state.schema < state.known ? [] : await checkSeals(place, db)
    return [...found, ...seals, ...(await checkLogs(place, db))]
  } catch (error) {
    return [
      ...found,
      fail('logs', 'LOG_UNREADABLE', reasonOf(error), 'See the server log; then run "writ audit verify".'),
    ]
  } finally {
    await db.close()
  }
}

function schemaFinding({ schema, known, foreign }: StoreState): Finding {
  if (foreign.length > 0)
    return fail(
      'schema',
      'SCHEMA_FOREIGN',
      `tables that Writ did not make: ${foreign.join(', ')}`,
      'Give Writ a database of its own in DATABASE_URL, or leave it out.',
    )
  if (schema > known)
    return fail(
      'schema',
      'SCHEMA_NEWER',
      `schema ${schema}, this version knows ${known}`,
      'Start the newer Writ that wrote it, or restore a backup made with this one.',
    )
  if (schema === 0) return fine('schema', 'SCHEMA_NEWER', 'empty: the first start makes it')
  return schema < known
    ? warn(
        'schema',
        'SCHEMA_OLDER',
        `schema ${schema}, this version has ${known}`,
        'The next start brings it up to date; back up first.',
      )
    : fine('schema', 'SCHEMA_NEWER', `schema ${schema}, the newest`)
}

function fenceFindings({ unfenced, mightyLogin, fencedOwner, schema }: StoreState): Finding[] {
  const found: Finding[] = []
  if (schema > 0 && unfenced.length > 0)
    found.push(
      fail(
        'fences',
        'RLS_OFF',
        `row-level security is not enforced for ${unfenced.join(', ')}`,
        'Somebody changed the schema by hand: enable and force it again, and find out who.',
      ),
    )
  else found.push(fine('fences', 'RLS_OFF', 'row-level security is enforced on every table of projects'))
  if (mightyLogin)
    found.push(
      warn(
        'database login',
        'LOGIN_MIGHTY',
        'the login of DATABASE_URL may bypass row-level security',
        'Give the owner in WRIT_MIGRATION_URL and a plain login in DATABASE_URL.',
      ),
    )
  if (fencedOwner !== null)
    found.push(
      warn(
        'backups',
        'BACKUP_FENCED',
        `"${fencedOwner}" sees the rows of one project at a time, so "writ backup" cannot dump the database`,
        `Let a superuser run once: alter role ${fencedOwner} bypassrls`,
      ),
    )
  return found
}

async function checkSeals({ config, folders }: OpenPlace, db: Database): Promise<Finding[]> {
  const name = 'sealed values'
  if (config.secretKey === undefined) {
    const own = await ifThere(readFile(join(folders.keys, 'secret.key'), 'utf8'), null)
    // No key, no value of it.
    const lost = await countSealed(db, sealedColumns, own === null ? 'none' : sealMark(own.trim()), true)
    return lost === 0
      ? [fine(name, 'SECRETS_UNREADABLE', 'none names another key than that of keys/secret.key')]
      : [
          warn(
            name,
            'SECRETS_UNREADABLE',
            `${lost} were sealed under another key than that of keys/secret.key`,
            'Set SECRET_KEY to that key, or put its keys/secret.key back; else set anew what was sealed under it.',
          ),
        ]
  }
  const mark = sealMark(config.secretKey.reveal())
  if (config.secretKeyPrevious === undefined) {
    const lost = await countSealed(db, sealedColumns, mark, true)
    return lost === 0
      ? [fine(name, 'SECRETS_UNREADABLE', 'none names another key than SECRET_KEY')]
      : [
          warn(
            name,
            'SECRETS_UNREADABLE',
            `${lost} were sealed under another key than SECRET_KEY`,
            'Give the server that key in SECRET_KEY_PREVIOUS, or set anew what was sealed under it.',
          ),
        ]
  }
  const left = await countSealed(db, sealedColumns, mark)
  return left === 0
    ? [
        fine(
          name,
          'SECRET_KEY_PREVIOUS',
          `none needs SECRET_KEY_PREVIOUS: it can go ${config.accessTokenMinutes} minutes after every server has the new key`,
        ),
      ]
    : [
        warn(
          name,
          'SECRET_KEY_PREVIOUS',
          `${left} are not sealed under SECRET_KEY yet`,
          'Leave SECRET_KEY_PREVIOUS where it is. A running server seals them anew; what stays is of tasks that have not ended, or opens with neither key.',
        ),
      ]
}

async function checkLogs({ folders }: OpenPlace, db: Database): Promise<Finding[]> {
  const ahead = await findLogsAhead(db, folders)
  if (ahead.length > 0)
    return ahead.map((log) =>
      fail(
        'logs',
        'LOG_AHEAD',
        `${log.origin} was published with ${log.published} entries, the database knows ${log.stored}`,
        'Put the newest database in place, or run "writ restore --accept-loss --reason <why>".',
      ),
    )
  const now = systemClock.now()
  const found: Finding[] = []
  const projects = [{ id: INSTANCE, slug: '_instance' }, ...(await listProjects(db))]
  let newest = 0
  let waiting = 0
  for (const { id } of projects) {
    const { logs, last } = await inProject(id, () =>
      db.read(async (tx) => ({ logs: await listLogs(tx), last: (await listEvents(tx, {}, { limit: 1 }))[0] })),
    )
    newest = Math.max(newest, last?.timestamp ?? 0)
    const open = logs.at(-1)
    const checkpoint = open && (await readLogText(folders, { project_id: id, shard: open.shard }, 'checkpoint'))
    const unpublished = last !== undefined && (last.log_index === null || last.log_index >= sizeOfNote(checkpoint))
    if (unpublished && now - last.timestamp > MINUTE) waiting++
  }
  found.push(
    waiting === 0
      ? fine('logs', 'CHECKPOINT_OLD', `${projects.length} logs, every event of more than a minute ago is published`)
      : warn(
          'logs',
          'CHECKPOINT_OLD',
          `${waiting} logs have events of more than a minute ago that are in no checkpoint`,
          'If the server runs, look for "audit events do not go into the log" in its log; if not, start it.',
        ),
  )
  found.push(
    newest > now + 5 * MINUTE
      ? fail(
          'clock',
          'CLOCK_BEHIND',
          `the last event is of ${rfc3339(newest)}, the clock says ${rfc3339(now)}`,
          'Correct the clock of this machine (NTP) before the server goes on writing times.',
        )
      : fine('clock', 'CLOCK_BEHIND', `${rfc3339(now)}, not before the last event`),
  )
  return found
}
