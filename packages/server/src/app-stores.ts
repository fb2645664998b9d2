import { join } from 'node:path'
import { type AuditFolders, append, listEvents, readLine, SYSTEM } from './audit/index.ts'
import { sealedOfWebhooks } from './channels/index.ts'
import { blobSettings, type Config } from './config.ts'
import {
  countSealed,
  loadSecretKey,
  redactionKey,
  type SealedColumn,
  type SecretKeys,
  sealedOfUsers,
  sealMark,
} from './identity/index.ts'
import { sealedOfApps, sealedOfHandlers, sealedOfTasks } from './kinds/task/index.ts'
import type { Clock } from './platform/clock.ts'
import { type Database, type DatabaseSettings, INSTANCE, inProject, type Shared } from './platform/db/index.ts'
import { folderId } from './platform/folder-id.ts'
import {
  configureRedaction,
  liveSecrets,
  REDACTION_VERSION,
  type RedactionKind,
  redactionKinds,
} from './platform/redact/index.ts'
import { Secret } from './platform/secret.ts'
import { sealedOfSchedules } from './schedules/index.ts'

/** Where the audit log and its keys are. */
export const auditFolders = (config: Config): AuditFolders => ({
  log: join(config.dataDir, 'log'),
  keys: join(config.dataDir, 'keys'),
  signer: join(config.dataDir, 'signer'),
  days: config.auditPath,
  ...(config.logStorage === 'local' ? {} : { tiles: tileStore(config, config.logStorage) }),
})

function tileStore(config: Config, type: 'minio' | 's3'): NonNullable<AuditFolders['tiles']> {
  const settings = blobSettings(config, type)
  if (settings.type === 'local') throw new Error('a local store is no store for tiles')
  const { endpoint, region, bucket, accessKey, secretKey } = settings
  return { endpoint, region, bucket, accessKey: accessKey?.reveal(), secretKey: secretKey?.reveal() }
}

/** The store that a configuration names. */
export const databaseSettings = (config: Pick<Config, 'database' | 'migrationUrl'>): DatabaseSettings => ({
  url: config.database.kind === 'sqlite' ? `sqlite:${config.database.file}` : config.database.url.reveal(),
  migrationUrl: config.migrationUrl?.reveal(),
})

/**
 * What servers of one database have to have in common: an upload of one is checked by another, a log that one writes is served by the next,
 * and what one seals the others open. A key that is being replaced gets along with the one before.
 */
export async function sharedSettings(config: Config): Promise<Shared[]> {
  const [key, before] = await loadSecretKey(config)
  const { blobs } = config
  const shared: Shared[] = [
    {
      name: 'artifacts',
      value: blobs.type === 'local' ? await folderId(blobs.dir, 0o750) : `bucket ${blobs.bucket}`,
      differs:
        'another store of artifacts (ARTIFACT_STORAGE_TYPE with its settings, WRIT_DATA_DIR): evidence that one takes the other does not find, and judges as unreadable',
    },
    {
      name: 'secret key',
      value: sealMark(key),
      ...(before === undefined ? {} : { also: [sealMark(before)] }),
      differs: 'another key in SECRET_KEY, and what one seals the other cannot open',
    },
    {
      name: 'queue',
      value: config.queueBackend,
      differs: 'another QUEUE_BACKEND: tasks that one puts into the queue the other does not see',
    },
  ]
  if (config.roles.includes('api') || config.roles.includes('sequencer'))
    shared.push({
      name: 'log',
      value:
        config.logStorage === 'local'
          ? await folderId(config.dataDir, 0o700)
          : `bucket ${tileStore(config, config.logStorage).bucket}`,
      differs:
        'another folder of log files (WRIT_DATA_DIR, WRIT_LOG_STORAGE): what one publishes the other does not serve',
    })
  return shared
}

/** Every column of values that are sealed under SECRET_KEY. */
export const sealedColumns: readonly SealedColumn[] = [
  ...sealedOfUsers,
  ...sealedOfWebhooks,
  ...sealedOfHandlers,
  ...sealedOfApps,
  ...sealedOfTasks,
  ...sealedOfSchedules,
]

/**
 * What to say at the start about secrets that the keys do not open: null if there are none. Those of tasks are not counted, for that would
 * read every one: they say so themselves, and `writ doctor` counts them.
 */
export async function strangeSeals(db: Database, config: Config, keys: SecretKeys): Promise<string | null> {
  if (keys[1] !== undefined) return null
  const columns = sealedColumns.filter(({ table }) => table !== 'runs' && table !== 'steps')
  const count = await countSealed(db, columns, sealMark(keys[0]), true)
  if (count === 0) return null
  const [key, advice] =
    config.secretKey === undefined
      ? ['that of keys/secret.key', 'Set SECRET_KEY to it, or put its keys/secret.key back']
      : ['SECRET_KEY', 'Give it in SECRET_KEY_PREVIOUS, or in SECRET_KEY again']
  return `${count} secrets (of one-time codes, webhooks, handlers, schedules) were sealed under another key than ${key}, and open no more: nothing is lost. ${advice}.`
}

/**
 * Tells the redactor the secrets of this process and the key of this installation. Before anything is written or logged.
 * @param replaced is called with the kind of each secret that is replaced
 */
export async function setUpRedaction(config: Config, replaced: (kind: RedactionKind) => void): Promise<void> {
  const keys = await loadSecretKey(config)
  const settings: string[] = []
  const collect = (value: unknown) => {
    if (value instanceof Secret) settings.push(String(value.reveal()))
    else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) collect(one)
  }
  collect(config)
  configureRedaction({
    key: redactionKey(keys),
    live: liveSecrets([...keys.filter((key) => key !== undefined), ...settings]),
    replaced,
  })
}

/** Puts on record by which list texts are redacted from now on, so that it is known of every stored text. */
export async function recordRedaction(db: Database, clock: Clock): Promise<void> {
  await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      const [last] = await listEvents(tx, { event_type: 'redaction.changed' }, { limit: 1 })
      const said = readLine(last?.event ?? '')?.details as { version?: number } | null | undefined
      if (said?.version === REDACTION_VERSION) return
      await append(tx, clock.now(), SYSTEM, {
        type: 'redaction.changed',
        action: `Texts are redacted by list ${REDACTION_VERSION}`,
        details: { version: REDACTION_VERSION, kinds: redactionKinds },
      })
    }),
  )
}
