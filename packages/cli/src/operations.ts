import type { api, ReplyOf } from '@writ/api'
import { Failure } from './failure.ts'

// What needs the data folder itself is done by the server's own code, which need not be installed where the CLI is.

type VerifyReport = ReplyOf<typeof api.audit.verify>

/** One finding of `doctor`. */
export interface Diagnosis {
  readonly name: string
  readonly ok: boolean
  readonly code?: string | null
  readonly detail: string
  /** What to do about it. */
  readonly advice?: string | null
}

/** A setting as it took effect; secrets are masked by whoever fills this in. */
export interface SettingShown {
  readonly name: string
  readonly value: string
  readonly source: string
}

/** What is the matter with a row of another system: table and id, column, a code that stays, and a sentence. */
export interface RowFlaw {
  readonly what: string
  readonly field: string
  readonly code: string
  readonly why: string
}

type OnStep = (step: { done: number; size: number; what: string }) => void

/** Common to all: `dataDir` undefined means that of the server's configuration. */
interface Place {
  readonly dataDir?: string | undefined
  readonly signal?: AbortSignal
}

export const storeTypes = ['local', 'minio', 's3'] as const
type StoreType = (typeof storeTypes)[number]

/** What `@writ/server/ops` exports. Each opens what it needs, closes it again, and throws an Error with a sentence. */
export interface Operations {
  verifyOffline(
    o: Place & { project?: string | undefined; kept?: string | undefined; onProgress?: OnStep },
  ): Promise<VerifyReport & { reports: readonly (VerifyReport & { project: string })[] }>
  checkConfig(o: Place & { argv?: string[] }): Promise<{ ok: boolean; problems: string[]; settings: SettingShown[] }>
  backup(
    o: Place & { to: string; onProgress?: OnStep },
  ): Promise<{ path: string; bytes: number; files: number; notes: readonly string[] }>
  restore(
    o: Place & { from: string | undefined; reason: string; acceptLoss: boolean; allLogs: boolean; onProgress?: OnStep },
  ): Promise<{ dataDir: string; size: number; old_origin: string; new_origin: string; notes: readonly string[] }>
  initSample(o: Place): Promise<{ created: string[]; notes: string[] }>
  moveArtifacts(
    o: Place & {
      to: StoreType
      from?: StoreType | undefined
      deleteSource?: boolean | undefined
      onProgress?: OnStep
    },
  ): Promise<{
    ok: boolean
    from: StoreType
    to: StoreType
    blobs: number
    bytes: number
    copied: number
    skipped: number
    deleted: number
    removed: number
    problems: readonly string[]
    advice: string
  }>
  doctor(o: Place): Promise<{ ok: boolean; checks: Diagnosis[] }>
  importFrom(
    o: Place & {
      source: string
      from: string
      artifacts?: string | undefined
      dryRun: boolean
      onProgress?: OnStep
      onPassword?: (made: { username: string; password: string }) => void
    },
  ): Promise<{
    imported: Record<string, number>
    already: Record<string, readonly number[]>
    skipped: readonly RowFlaw[]
    changed: readonly RowFlaw[]
    passwords: readonly { username: string; password: string }[]
  }>
}

// A name that is computed is not resolved before it is needed, nor by the type checker.
const MODULE: string = '@writ/server/ops'

/** One operation of the server's module. Throws a Failure that says what is missing. */
export async function loadOperation<N extends keyof Operations>(
  name: N,
  load: (module: string) => Promise<unknown> = (module) => import(module),
): Promise<Operations[N]> {
  let found: unknown
  try {
    found = await load(MODULE)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    const about = error instanceof Error && error.message.includes('@writ/server')
    if (about && code === 'ERR_MODULE_NOT_FOUND') {
      throw new Failure('This command works on the data folder and needs @writ/server beside the CLI', {
        advice: 'Run it on the host of the server, with the writ that was installed there.',
        code,
      })
    }
    if (code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error
    found = {}
  }
  // The module's own types are the server's; the call is checked against Operations at its use.
  const operation: unknown = (found as Record<string, unknown>)[name]
  if (typeof operation !== 'function') {
    throw new Failure(`The installed @writ/server has no operation "${name}"`, {
      advice: 'Install the CLI and the server in the same version.',
      code: 'OPERATION_MISSING',
    })
  }
  return operation as Operations[N]
}
