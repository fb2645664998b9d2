import type { tokensApi } from '@writ/api'
import { append, type NewEvent } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { createAddressSet, isWithin } from '../platform/http/client-address.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createApiToken } from './api-token.ts'
import { type Caller, personOf } from './caller.ts'
import { isConfigured } from './configured.ts'
import type { Identity } from './identity.ts'
import { coversScope, faultOfScope, mayLend } from './permissions.ts'
import { mustStillStand } from './standing.ts'
import {
  countTokens,
  findToken,
  insertToken,
  listTokens,
  lockToken,
  revokeToken,
  shortenToken,
  type TokenRow,
} from './store-tokens.ts'

const LIFETIME_MS = 90 * 86_400_000
const OVERLAP_MS = 3_600_000

/** Handlers of API tokens. They belong to one person in one project. */
export const tokensHandlers = (_identity: Identity) =>
  ({
    async list(ask) {
      const owner = ask.caller.role === 'admin' ? null : personOf(ask.caller)
      return ask.page({
        rows: (tx, page) => listTokens(tx, owner, page),
        total: (tx) => countTokens(tx, owner),
        key: ({ id }) => id,
        show: (row) => show(row, ask.caller),
      })
    },

    async create(ask) {
      const { caller, body } = ask
      const expiresAt = body.expires_at === undefined ? caller.at + LIFETIME_MS : Date.parse(body.expires_at)
      // Not-a-number, from a leap second, is no time in the future either.
      if (!(expiresAt > caller.at)) throw invalidField('body.expires_at', 'must be in the future')
      const ranges = body.ip_ranges ?? []
      for (const [i, range] of ranges.entries())
        if (!isRange(range)) throw invalidField(`body.ip_ranges.${i}`, 'must be an address or a CIDR range')
      const role = body.role ?? caller.role ?? 'employee'
      const scopes = body.scopes ?? []
      for (const [i, scope] of scopes.entries()) {
        const fault = faultOfScope(scope)
        if (fault !== undefined) throw invalidField(`body.scopes.${i}`, fault)
      }
      mustLend(caller, role, scopes)
      return ask.change(async (tx) => {
        await mustStillStand(tx, caller)
        const own = await lender(tx, caller)
        if (own && body.expires_at !== undefined && expiresAt > own.expires_at)
          throw invalidField(
            'body.expires_at',
            `must be at most ${rfc3339(own.expires_at)}, when the token that asks ends`,
          )
        const from = ranges.length === 0 && own ? rangesOf(own) : ranges
        const outside = own ? outsideOf(own, from) : -1
        if (outside >= 0)
          throw invalidField(`body.ip_ranges.${outside}`, 'must lie within the addresses of the token that asks')
        return make(
          tx,
          caller,
          { name: body.name, role, scopes: JSON.stringify(scopes), ip_ranges: JSON.stringify(from), family_id: null },
          endingWith(own, expiresAt),
          {
            type: 'token.created',
            action: `Created token named: ${body.name}`,
          },
        )
      })
    },

    async rotate(ask) {
      const { caller, params } = ask
      return ask.change(async (tx) => {
        await mustStillStand(tx, caller)
        const old = await findToken(tx, params.id)
        // Nobody gets a token that speaks for somebody else, an admin neither.
        const usable = old && old.user_id === personOf(caller) && old.revoked_at === null && old.expires_at > caller.at
        if (!usable) throw new AppError('TOKEN_NOT_FOUND')
        mustLend(caller, old.role, JSON.parse(old.scopes) as string[])
        // A token that replaces itself gets no more than it had.
        const own = old.id === caller.tokenId ? undefined : await lender(tx, caller)
        const ranges = rangesOf(old)
        if (own && rangesOf(own).length > 0 && (ranges.length === 0 || outsideOf(own, ranges) >= 0))
          throw invalidField(
            'params.id',
            'must be of a token that works from no other addresses than the one that asks',
          )
        if (!(await shortenToken(tx, old.id, Math.min(old.expires_at, caller.at + OVERLAP_MS))))
          throw new AppError('TOKEN_NOT_FOUND')
        const next = { ...old, family_id: old.family_id ?? old.id }
        return make(tx, caller, next, endingWith(own, caller.at + (old.expires_at - old.created_at)), {
          type: 'token.rotated',
          action: `Rotated token named: ${old.name}`,
          details: { replaces: old.id },
        })
      })
    },

    async revoke(ask) {
      const { caller, params } = ask
      await ask.change(async (tx) => {
        const token = await findToken(tx, params.id)
        if (!token || (token.user_id !== personOf(caller) && caller.role !== 'admin'))
          throw new AppError('TOKEN_NOT_FOUND')
        if (!(await revokeToken(tx, token.id, caller.at))) throw new AppError('TOKEN_NOT_FOUND')
        await append(tx, caller.at, caller, {
          type: 'token.revoked',
          resource: { type: 'token', id: token.id },
          action: `Revoked token named: ${token.name}`,
          details: { owner_id: token.user_id },
        })
      })
      return undefined
    },
  }) satisfies Handlers<typeof tokensApi, Caller>

/** A token gives at most what its maker has, and a scoped token makes none that is wider than itself. For its time and addresses see `lender`. */
function mustLend(caller: Caller, role: TokenRow['role'], scopes: readonly string[]): void {
  if (caller.role === null || !mayLend(caller.role, role)) throw new AppError('ROLE_NOT_ALLOWED')
  const own = caller.scopes ?? []
  const missing = own.length === 0 || own.includes('*') ? [] : scopes.length === 0 ? ['*'] : scopes
  for (const scope of missing) if (!coversScope(own, scope)) throw new AppError('SCOPE_NOT_ALLOWED', { scope })
}

/**
 * The token that asks, whose time and addresses are all that it can give; undefined for a person, who has both without end. Throws
 * CREDENTIALS_INVALID for one that was revoked since the request came: whoever revoked it has looked through what it made.
 */
async function lender(tx: Tx, caller: Caller): Promise<TokenRow | undefined> {
  if (caller.tokenId === null) return undefined
  const own = await lockToken(tx, caller.tokenId)
  if (own?.revoked_at !== null)
    throw new AppError('CREDENTIALS_INVALID', {}, { headers: { 'www-authenticate': 'Bearer' } })
  return own
}

const endingWith = (own: TokenRow | undefined, expiresAt: number): number =>
  Math.min(expiresAt, own?.expires_at ?? Number.POSITIVE_INFINITY)

// Written by `make` alone: arrays of strings.
const rangesOf = (row: TokenRow): string[] => JSON.parse(row.ip_ranges) as string[]

/** The first of some ranges that reaches further than those of a token, as its index; -1 if none does. */
function outsideOf(own: TokenRow, ranges: readonly string[]): number {
  const wider = rangesOf(own)
  return wider.length === 0 ? -1 : ranges.findIndex((range) => !isWithin(range, wider))
}

async function make(
  tx: Tx,
  caller: Caller,
  from: Pick<TokenRow, 'name' | 'role' | 'scopes' | 'ip_ranges' | 'family_id'>,
  expiresAt: number,
  event: Pick<NewEvent, 'type' | 'action' | 'details'>,
) {
  const fresh = createApiToken()
  const row: TokenRow = {
    id: uuidv7(caller.at),
    project_id: tx.project,
    user_id: personOf(caller),
    name: from.name,
    prefix: fresh.prefix,
    secret_hash: fresh.secretHash,
    role: from.role,
    scopes: from.scopes,
    ip_ranges: from.ip_ranges,
    created_at: caller.at,
    expires_at: expiresAt,
    last_used_at: null,
    revoked_at: null,
    family_id: from.family_id,
  }
  await insertToken(tx, row)
  await append(tx, caller.at, caller, {
    ...event,
    resource: { type: 'token', id: row.id },
    details: {
      role: row.role,
      scopes: JSON.parse(row.scopes) as string[],
      expires_at: rfc3339(row.expires_at),
      ...event.details,
    },
  })
  return { ...show(row, caller), token: fresh.token }
}

const invalidField = (path: string, message: string) =>
  new AppError('VALIDATION_FAILED', {}, { fields: [{ path, message }] })

function isRange(range: string): boolean {
  try {
    createAddressSet([range])
    return true
  } catch {
    return false
  }
}

const show = (row: TokenRow, caller: Caller) => ({
  id: row.id,
  name: row.name,
  prefix: isConfigured(row) ? row.prefix : `writ_${row.prefix}`,
  user_id: row.user_id,
  role: row.role,
  // Written by `make` alone: an array of strings.
  scopes: JSON.parse(row.scopes) as string[],
  ip_ranges: rangesOf(row),
  project: caller.projectSlug ?? '',
  created_at: rfc3339(row.created_at),
  expires_at: rfc3339(row.expires_at),
  last_used_at: rfc3339OrNull(row.last_used_at),
  revoked_at: rfc3339OrNull(row.revoked_at),
})
