import { createHmac } from 'node:crypto'
import { append, SYSTEM } from '../../../audit/index.ts'
import type { Seal, SealedColumn } from '../../../identity/index.ts'
import { AppError } from '../../../platform/app-error.ts'
import type { Clock } from '../../../platform/clock.ts'
import { type Database, inProject } from '../../../platform/db/index.ts'
import { type EgressOf, EgressRefused, type Incoming } from '../../../platform/egress.ts'
import { TaskError } from '../handler.ts'
import * as store from './store.ts'

// Source of the call: open.feishu.cn, "Get custom app's tenant_access_token" (auth/v3/tenant_access_token/internal).
const PATH = '/open-apis/auth/v3/tenant_access_token/internal'
/** Another try would come to the same. */
const NEVER = { retryable: false }
const TIMEOUT_MS = 5_000
/** A token that ends sooner than this is fetched anew, as Feishu advises not to use one to its last second. */
const MARGIN_MS = 60_000

export interface TenantToken {
  readonly tenant_access_token: string
  /** Seconds that it is good for, from now. */
  readonly expire: number
}

/** Which application: its id with its secret, the handle of a registered one, or the one of the settings. */
export interface AppChoice {
  readonly app_id?: string | undefined
  readonly app_secret?: string | undefined
  readonly app_hash?: string | undefined
}

export interface Feishu {
  /**
   * A tenant access token: one that was set by hand and still holds, the one fetched before, or a new one.
   * Throws TaskError: FEISHU_NOT_CONFIGURED, FEISHU_APP_UNKNOWN, FEISHU_REFUSED (by Feishu), FEISHU_UNREACHABLE.
   */
  token(project: string, app: AppChoice, signal?: AbortSignal): Promise<TenantToken>
  /** Keeps the application's secret, sealed, and answers the handle that stands for it. */
  register(project: string, app: { app_id: string; app_secret: string }): Promise<{ app_hash: string }>
  /** Keeps a token that was fetched elsewhere, for `expire` seconds. */
  setToken(project: string, app: { app_id: string; token: string; expire: number }): Promise<void>
}

export interface FeishuSettings {
  /** Where Feishu's API is, without a slash at the end; Lark's is https://open.larksuite.com. */
  readonly url: string
  readonly appId?: string | undefined
  readonly appSecret?: { reveal(): string } | undefined
}

const about = (project: string, appId: string, part: 'secret' | 'token') => `${project} ${appId} ${part}`

/** Where sealed secrets and tokens of applications are. */
export const sealedOfApps: readonly SealedColumn[] = (['secret', 'token'] as const).map((part) => ({
  table: 'feishu_apps',
  column: `sealed_${part}`,
  key: 'app_id',
  purpose: 'feishu',
  about: ({ project, key }) => about(project, key, part),
}))

export function createFeishu(on: {
  db: Database
  clock: Clock
  egressOf: EgressOf
  seal: Seal
  /** Makes handles: the same application has the same one, and nobody can guess a secret from it. */
  handleKey: Uint8Array
  settings: FeishuSettings
}): Feishu {
  const { db, clock, egressOf, seal, settings } = on
  /** Until when by the steady clock: what was fetched says how long it lasts, not when it ends. */
  const fetched = new Map<string, { token: string; until: number }>()
  const handleOf = (id: string, secret: string) =>
    createHmac('sha256', on.handleKey).update(`${id}\n${secret}`).digest('hex').slice(0, 32)

  async function resolve(project: string, app: AppChoice): Promise<{ id: string; secret: string | null }> {
    if (app.app_id !== undefined && app.app_secret !== undefined) return { id: app.app_id, secret: app.app_secret }
    if (app.app_hash !== undefined || app.app_id !== undefined) {
      const by = app.app_hash === undefined ? { app_id: app.app_id! } : { app_hash: app.app_hash }
      const row = await inProject(project, () => db.read((tx) => store.findApp(tx, by)))
      if (!row)
        throw app.app_hash === undefined
          ? new TaskError('FEISHU_APP_UNKNOWN', `Feishu application ${app.app_id} is not registered`, NEVER)
          : new TaskError('FEISHU_APP_UNKNOWN', `Invalid or expired app_hash: ${app.app_hash}`, NEVER)
      const sealed = row.sealed_secret
      return { id: row.app_id, secret: sealed && seal.open(sealed, about(project, row.app_id, 'secret')) }
    }
    if (settings.appId !== undefined && settings.appSecret !== undefined)
      return { id: settings.appId, secret: settings.appSecret.reveal() }
    throw new TaskError(
      'FEISHU_NOT_CONFIGURED',
      'No Feishu application: set FEISHU_APP_ID and FEISHU_APP_SECRET, or give app_id and app_secret',
      NEVER,
    )
  }

  /** The handle that stands for this application with this secret already, made under whichever key: who was told of it goes on using it. */
  function keptHandle(project: string, row: store.FeishuAppRow | undefined, secret: string): string | null {
    if (!row?.sealed_secret) return null
    try {
      return seal.open(row.sealed_secret, about(project, row.app_id, 'secret')) === secret ? row.app_hash : null
    } catch (error) {
      if (error instanceof AppError && error.code === 'SECRETS_UNREADABLE') return null
      throw error
    }
  }

  /** A token that somebody set for the application. */
  async function tokenByHand(project: string, id: string): Promise<{ token: string; until: number } | undefined> {
    const row = await inProject(project, () => db.read((tx) => store.findApp(tx, { app_id: id })))
    if (!row?.sealed_token || row.token_until === null) return undefined
    return { token: seal.open(row.sealed_token, about(project, id, 'token')), until: row.token_until }
  }

  async function fetchToken(project: string, id: string, secret: string, signal?: AbortSignal): Promise<TenantToken> {
    let answer: Incoming
    try {
      const egress = await egressOf(project)
      answer = await egress.send({
        url: `${settings.url}${PATH}`,
        method: 'POST',
        headers: { 'content-type': 'application/json; charset=utf-8' },
        body: JSON.stringify({ app_id: id, app_secret: secret }),
        timeoutMs: TIMEOUT_MS,
        maxBytes: 65_536,
        ...(signal ? { signal } : {}),
      })
    } catch (error) {
      signal?.throwIfAborted()
      const message = error instanceof Error ? error.message : String(error)
      throw new TaskError('FEISHU_UNREACHABLE', `Feishu could not be asked: ${message}`, {
        retryable: !(error instanceof EgressRefused),
      })
    }
    const said = parse(answer.body.toString('utf8'))
    if (said?.code === 0 && typeof said.tenant_access_token === 'string' && typeof said.expire === 'number')
      return { tenant_access_token: said.tenant_access_token, expire: said.expire }
    throw new TaskError(
      'FEISHU_REFUSED',
      `Feishu gave no token: ${said?.msg ?? `status ${answer.status}`}${said?.code === undefined ? '' : ` (${said.code})`}`,
      { retryable: answer.status >= 500 || answer.status === 429 },
    )
  }

  return {
    async token(project, app, signal) {
      const { id, secret } = await resolve(project, app)
      const now = clock.now()
      const steady = clock.steady()
      const seconds = (ms: number) => Math.floor(ms / 1_000)
      const byHand = await tokenByHand(project, id)
      if (byHand && byHand.until - now > MARGIN_MS)
        return { tenant_access_token: byHand.token, expire: seconds(byHand.until - now) }
      if (secret === null)
        throw new TaskError('FEISHU_APP_UNKNOWN', `Feishu application ${id} has no secret here`, NEVER)
      // The secret is part of the key: a wrong one must not get what a right one fetched.
      const key = `${project} ${handleOf(id, secret)}`
      const before = fetched.get(key)
      if (before && before.until - steady > MARGIN_MS)
        return { tenant_access_token: before.token, expire: seconds(before.until - steady) }
      for (const [other, { until }] of fetched) if (until <= steady) fetched.delete(other)
      const token = await fetchToken(project, id, secret, signal)
      fetched.set(key, { token: token.tenant_access_token, until: steady + token.expire * 1_000 })
      return token
    },

    async register(project, { app_id, app_secret }) {
      const now = clock.now()
      const sealed_secret = seal.seal(app_secret, about(project, app_id, 'secret'))
      return inProject(project, () =>
        db.write(async (tx) => {
          const app_hash =
            keptHandle(project, await store.findApp(tx, { app_id }), app_secret) ?? handleOf(app_id, app_secret)
          await store.putApp(tx, { app_id, app_hash, sealed_secret, updated_at: now })
          await append(tx, now, SYSTEM, {
            type: 'feishu_app.registered',
            resource: { type: 'feishu_app', id: app_id },
            action: `Registered Feishu application ${app_id}`,
          })
          return { app_hash }
        }),
      )
    },

    async setToken(project, { app_id, token, expire }) {
      const now = clock.now()
      const sealed_token = seal.seal(token, about(project, app_id, 'token'))
      await inProject(project, () =>
        db.write(async (tx) => {
          await store.putApp(tx, { app_id, sealed_token, token_until: now + expire * 1_000, updated_at: now })
          await append(tx, now, SYSTEM, {
            type: 'feishu_app.token_set',
            resource: { type: 'feishu_app', id: app_id },
            action: `Set a token for Feishu application ${app_id}`,
            details: { expire },
          })
        }),
      )
    },
  }
}

type Said = { code?: number; msg?: string; tenant_access_token?: unknown; expire?: unknown }

function parse(text: string): Said | undefined {
  try {
    const said: unknown = JSON.parse(text)
    return typeof said === 'object' && said !== null ? said : undefined
  } catch {
    return undefined
  }
}
