import { homedir, hostname } from 'node:os'
import { join } from 'node:path'

/** What the surroundings say; flags of a command win over it. */
export interface Settings {
  /** WRIT_URL */
  readonly url: string | undefined
  /** WRIT_TOKEN: an API token, for jobs without a login. */
  readonly token: string | undefined
  /** WRIT_PROJECT */
  readonly project: string | undefined
  /** WRIT_CONTEXT */
  readonly context: string | undefined
  /** Contexts with their tokens. */
  readonly configFolder: string
  /** Kept checkpoints. */
  readonly stateFolder: string
  readonly noColor: boolean
  /** Goes into the name of the token that a login makes. */
  readonly host: string
}

/**
 * Reads the environment; the only file of this package that does. Folders follow the XDG Base Directory Specification.
 * Empty variables count as unset. NO_COLOR: https://no-color.org
 */
export function loadSettings(env: NodeJS.ProcessEnv = process.env): Settings {
  const home = homedir()
  return {
    url: env.WRIT_URL || undefined,
    // From a file it comes with the end of its line.
    token: env.WRIT_TOKEN?.trim() || undefined,
    project: env.WRIT_PROJECT || undefined,
    context: env.WRIT_CONTEXT || undefined,
    configFolder: join(env.XDG_CONFIG_HOME || join(home, '.config'), 'writ'),
    stateFolder: join(env.XDG_STATE_HOME || join(home, '.local', 'state'), 'writ'),
    noColor: Boolean(env.NO_COLOR) || env.TERM === 'dumb',
    host: hostname(),
  }
}
