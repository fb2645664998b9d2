import { statSync } from 'node:fs'
import { type Config, type Loaded, listChanges, loadConfig } from './config.ts'
import type { Logger } from './platform/log.ts'

/** Settings that are asked for at each use. All others are read once and count from the next start on. */
export interface LiveSettings {
  readonly allowedIps: Config['allowedIps']
  /** Of the dispatch door. */
  readonly rateLimit: { readonly max: number; readonly windowMs: number }
}

const LIVE: readonly string[] = ['network.allowed_ips', 'dispatch.rate_limit_max', 'dispatch.rate_limit_window']
const LOOK_MS = 1_000

export const liveIn = ({ allowedIps, dispatch }: Config): LiveSettings => ({
  allowedIps,
  rateLimit: { max: dispatch.rateLimitMax, windowMs: dispatch.rateLimitWindow * 1_000 },
})

/** Changes when a file is written, replaced, made or removed. */
const stateOf = (files: readonly string[]): string => files.map(stateOfOne).join()

function stateOfOne(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch {
    // Not there, or out of reach: reading it says which.
    return 'none'
  }
}

/**
 * Follows the settings until the process ends: reads `.env` and writ.yaml again when they change. What is live counts at once, what is
 * not is named in the log, and files in which something is wrong change nothing. They are looked at, because events of the file system do
 * not reach every container. With `CONFIG_HOT_RELOAD` off nothing is.
 */
export function followSettings(on: { config: Config; log: Logger; load?: () => Loaded; lookMs?: number }): {
  readonly settings: LiveSettings
  close(): void
} {
  const { log, load = loadConfig, lookMs = LOOK_MS } = on
  let config = on.config
  let settings = liveIn(config)
  const read = () => {
    const { config: now, problems } = load()
    if (!now) {
      log.error({ problems }, 'the settings were changed and are wrong, those of before count on')
      return
    }
    const changed = listChanges(config, now)
    if (changed.length === 0) return
    config = now
    settings = liveIn(config)
    const at = (live: boolean) => changed.filter((key) => LIVE.includes(key) === live)
    if (at(true).length > 0) log.info({ settings: at(true) }, 'changed settings count from now on')
    if (at(false).length > 0) log.warn({ settings: at(false) }, 'changed settings count from the next start on')
  }
  // Editors empty a file and write it: it is read when it has been left alone from one look to the next. The first time it is read in any
  // case: it may have been changed since the server began to start.
  let seen = stateOf(config.files)
  let taken = ''
  const look = () => {
    const now = stateOf(config.files)
    if (now === seen && now !== taken) {
      taken = now
      read()
    }
    seen = now
  }
  const timer = config.dispatch.configHotReload ? setInterval(look, lookMs).unref() : undefined
  return {
    get settings() {
      return settings
    },
    close: () => clearInterval(timer),
  }
}
