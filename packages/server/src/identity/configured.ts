import type { Role } from '@writ/api'
import { append, SYSTEM } from '../audit/index.ts'
import { INSTANCE, inProject, UniqueViolation } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import type { Secret } from '../platform/secret.ts'
import { createAccount } from './accounts.ts'
import { secretHash } from './api-token.ts'
import type { Identity } from './identity.ts'
import { findUserByName } from './store.ts'
import type { ProjectRow } from './store-projects.ts'
import { insertToken, type TokenRow } from './store-tokens.ts'

/**
 * API tokens of the configuration. A server takes those that its own configuration has, by their hashes in memory; the row beside
 * them gives each an id of its own for the audit log, and lets an administrator see and revoke it. A row alone opens nothing: a token
 * that left the configuration of all servers is over.
 */

/** One token, as the configuration has it. */
export interface ConfiguredToken {
  readonly token: Secret<string>
  readonly word: string
  readonly role: Role
  readonly scopes: readonly string[]
}

export interface Configured {
  find(token: string): { readonly prefix: string; readonly role: Role } | undefined
  readonly rows: readonly (Pick<TokenRow, 'prefix' | 'name' | 'secret_hash' | 'role'> & {
    readonly scopes: readonly string[]
  })[]
}

/** No person has a name with a space. */
const OWNER = 'API tokens'
/** No hash: nobody logs in with it. */
const NO_PASSWORD = '!'
const FOR_GOOD = Date.UTC(9999, 11, 31)
const PREFIX = 'env-'

export const isConfigured = ({ prefix }: Pick<TokenRow, 'prefix'>): boolean => prefix.startsWith(PREFIX)

export function createConfigured(tokens: readonly ConfiguredToken[]): Configured {
  const rows = tokens.map(({ token, word, role, scopes }) => ({
    // Another role is another token: what the log says of one stays true.
    prefix: PREFIX + secretHash(`${word}\n${token.reveal()}`).slice(0, 16),
    name: `configured: ${word}`,
    secret_hash: secretHash(token.reveal()),
    role,
    scopes,
  }))
  const byHash = new Map(rows.map((row) => [row.secret_hash, row]))
  // Nothing is hashed where none is configured.
  return { rows, find: (token) => (rows.length === 0 ? undefined : byHash.get(secretHash(token))) }
}

/** Writes the rows that are missing; of two servers that start together one writes each. */
export async function recordConfigured(identity: Identity, project: ProjectRow): Promise<void> {
  const { rows } = identity.configured
  if (rows.length === 0) return
  const owner = await findOwner(identity, project)
  for (const row of rows) {
    const at = identity.clock.now()
    const token: TokenRow = {
      ...row,
      id: uuidv7(at),
      project_id: project.id,
      user_id: owner,
      scopes: JSON.stringify(row.scopes),
      ip_ranges: '[]',
      created_at: at,
      expires_at: FOR_GOOD,
      last_used_at: null,
      revoked_at: null,
      family_id: null,
    }
    await unlessThere(() =>
      inProject(project.id, () =>
        identity.db.write(async (tx) => {
          await insertToken(tx, token)
          await append(tx, at, SYSTEM, {
            type: 'token.created',
            resource: { type: 'token', id: token.id },
            action: `Took token from the configuration: ${row.name}`,
            details: { role: row.role, scopes: row.scopes, configured: true },
          })
        }),
      ),
    )
  }
}

async function findOwner({ db, clock }: Identity, project: ProjectRow): Promise<string> {
  const find = () => findUserByName(db, OWNER)
  await unlessThere(async () => {
    if (await find()) return
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        createAccount(tx, clock.now(), SYSTEM, {
          username: OWNER,
          email: null,
          fullName: 'API tokens of the configuration',
          passwordHash: NO_PASSWORD,
          // Of what their tasks dispatch it is who asks.
          role: 'dev',
          project,
          how: { configured: true },
        }),
      ),
    )
  })
  return (await find())!.id
}

async function unlessThere(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof UniqueViolation)) throw error
  }
}
