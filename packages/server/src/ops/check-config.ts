import { describe, listSettings, loadConfig, type ShownSetting } from '../config.ts'
import { loadArguments, type Place } from './place.ts'

/** What the server would start with, or everything that keeps it from starting. */
export interface ConfigReport {
  readonly ok: boolean
  readonly problems: string[]
  readonly settings: ShownSetting[]
  /** The settings as a text, one a line; empty when there are problems. */
  readonly text: string
}

/** Loads the configuration as a server would and describes it, secrets masked. Opens and writes nothing. */
export async function checkConfig(on: Omit<Place, 'config'> & { argv?: string[] } = {}): Promise<ConfigReport> {
  const from = loadArguments(on)
  const { config, problems } = loadConfig({ ...from, argv: [...from.argv, ...(on.argv ?? [])] })
  return config
    ? { ok: true, problems: [], settings: listSettings(config), text: describe(config) }
    : { ok: false, problems, settings: [], text: '' }
}
