/** Configuration -> open -> listen -> drain. */
import { type App, openApp } from './app.ts'
import { type Config, isStartedByNpm, loadConfig } from './config.ts'
import { followSettings } from './live-settings.ts'
import { DatabaseUnavailable } from './platform/db/index.ts'
import { createLog } from './platform/log.ts'
import { openLogFiles } from './platform/log-files.ts'
import { makeFolder } from './platform/make-folder.ts'
import { redactor } from './platform/redact/index.ts'
import { giveBackStartupMemory } from './platform/startup-memory.ts'
import { version } from './version.ts'

const loaded = loadConfig()
if (loaded.problems) {
  for (const problem of loaded.problems) process.stderr.write(`${problem}\n`)
  process.exit(2)
}
const config: Config = loaded.config
const { logDir, logMaxMb, logToFile } = config.dispatch
const log = createLog({
  level: config.logLevel === 'warning' ? 'warn' : config.logLevel,
  format: config.logFormat,
  files: openFiles(),
})

/** How long who asks by kept connections is let go when the server stops. */
const LEAVE_MS = 500

let app: App
try {
  app = await openApp({ config, log, live: followSettings({ config, log }), leaveMs: LEAVE_MS })
} catch (error) {
  explain(error)
}

const { port } = await app!.listen().catch(explain)

let stopping = false
function stop(why: object): void {
  stopping = true
  log.info(why, 'stopping')
  app.stop().then(
    () => process.exit(0),
    (err) => {
      log.error({ err }, 'stopped badly')
      process.exit(1)
    },
  )
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) process.exit(1)
    stop({ signal })
  })
}
// `npm start` puts a shell between npm and the server, and passes signals on to the shell alone, which ends with them: the server would
// go on, and keep its port.
if (isStartedByNpm()) {
  const shell = process.ppid
  setInterval(() => {
    if (process.ppid !== shell && !stopping) stop({ reason: 'npm has ended' })
  }, 250).unref()
}
// Whoever reads that it is ready may ask it to stop at once.
announce(app!, port)
// Without its log the server must not go on taking changes that it cannot prove.
app!.failed.catch(explain)
giveBackStartupMemory()

/**
 * Makes the data directory, which nobody but its owner may read, and in it the log's files. First of all: whatever else would make it on
 * the way to a folder of its own makes it with the mode of that folder.
 */
function openFiles() {
  try {
    makeFolder(config.dataDir, 0o700)
    return logToFile ? openLogFiles(logDir, logMaxMb * 1024 * 1024) : undefined
  } catch (error) {
    const where = `the data directory ${config.dataDir} (WRIT_DATA_DIR)${logToFile ? ` and the folder of log files ${logDir} (LOG_DIR)` : ''}`
    process.stderr.write(
      `Writ cannot go on: ${error instanceof Error ? error.message : String(error)}. Let the server's user write to ${where}, or name others.\n`,
    )
    process.exit(1)
  }
}

function announce(opened: App, at: number): void {
  const here = `http://localhost:${at}`
  const base = config.publicUrl ?? here
  const lines = [
    config.roles.includes('api')
      ? `Writ ${version} is ready at ${base} (API and docs: ${base}${config.apiPrefix}/docs)`
      : // What users type leads to another process.
        `Writ ${version} is ready at ${here} as ${config.roles.join(', ')} (no API there)`,
  ]
  for (const note of opened.notes) lines.push(`Note: ${note}`)
  if (opened.created) {
    const { username, password } = opened.created
    lines.push(
      password === undefined
        ? `Made the first administrator "${username}" with the password of WRIT_ADMIN_PASSWORD.`
        : `Made the first administrator "${username}". One-time password, shown only now: ${password}`,
    )
  }
  // In one piece: whoever stops reading at "is ready" has the password too, which is never shown again.
  process.stdout.write(`${lines.join('\n')}\n`)
}

function explain(error: unknown): never {
  const message = redactor.text(error instanceof Error ? error.message : String(error))
  const cause = error instanceof DatabaseUnavailable && error.cause instanceof Error ? `: ${error.cause.message}` : ''
  log.fatal({ err: error }, 'cannot go on')
  process.stderr.write(`Writ cannot go on: ${message}${cause}\n`)
  process.exit(1)
}
