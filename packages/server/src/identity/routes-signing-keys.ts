import type { EnrolSigningKey, SigningKey, signingKeysApi } from '@writ/api'
import {
  algorithmOf,
  fromBase64Url,
  type KeyAlgorithm,
  parseSigningKey,
  parseSshKey,
  SIGNING_KEY_NAMESPACE,
  type SigningKeyClaim,
  signingKeyStatement,
  sshFingerprint,
  statementBytes,
  toBase64,
  toBase64Url,
  toHex,
  toUtf8,
} from '@writ/tlog'
import { type Attest, append, sha256 } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { isUuid, uuidv7 } from '../platform/ids.ts'
import { consume, recordApproval, SIGN_WITHIN_MS } from './approval.ts'
import { type Caller, personOf } from './caller.ts'
import { claimOf, keptForm, type RelyingParty, verifyGiven } from './personal-signature.ts'
import { mustBeInPerson } from './policy.ts'
import { mustStillStand } from './standing.ts'
import { loadPolicy, lockProjects } from './store-projects.ts'
import * as store from './store-signing-keys.ts'

/**
 * Keys with which people sign what they approve. The platform never holds the private half. A key is proposed by its
 * owner, who proves to have it, and counts once another admin has approved it: whoever can only write to the database
 * cannot make somebody's signature, and whoever enrols a key is in the log together with a second person.
 */
export const signingKeyHandlers = (on: {
  attest: Attest
  party: RelyingParty
}): Handlers<typeof signingKeysApi, Caller> => ({
  list: (ask) => ask.page({ rows: store.listSigningKeys, total: store.countSigningKeys, key: ({ id }) => id, show }),

  async statement({ body, caller }) {
    const { spki } = keyOf(body)
    const claim: SigningKeyClaim = {
      id: uuidv7(caller.at),
      project: caller.project!,
      owner: personOf(caller),
      type: body.type,
      sha256: toHex(sha256(spki)),
      rpId: body.type === 'passkey' ? on.party.id : null,
      issuedAt: rfc3339(caller.at),
      signBefore: rfc3339(caller.at + SIGN_WITHIN_MS),
    }
    const bytes = statementBytes(signingKeyStatement(claim))
    return {
      statement: Buffer.from(bytes).toString(),
      challenge: toBase64Url(sha256(bytes)),
      namespace: SIGNING_KEY_NAMESPACE,
      sign_before: claim.signBefore,
    }
  },

  async enrol(ask) {
    const { body, caller } = ask
    const key = keyOf(body)
    const claim = claimOf(() => parseSigningKey(toUtf8(body.statement)))
    await verifyGiven(
      { ...key, type: body.type, rpId: claim.rpId },
      on.party,
      SIGNING_KEY_NAMESPACE,
      body.statement,
      body,
    )
    const issuedAt = Date.parse(claim.issuedAt)
    const fits =
      isUuid(claim.id) &&
      claim.owner === personOf(caller) &&
      claim.project === caller.project &&
      claim.type === body.type &&
      claim.sha256 === toHex(sha256(key.spki)) &&
      claim.rpId === (body.type === 'passkey' ? on.party.id : null) &&
      // The server attests the very text, so that it is one that the server writes: a date can be read from many more.
      issuedAt <= caller.at &&
      claim.issuedAt === rfc3339(issuedAt) &&
      claim.signBefore === rfc3339(issuedAt + SIGN_WITHIN_MS)
    if (!fits) throw new AppError('SIGNATURE_INVALID', { reason: 'the statement was issued for something else' })
    if (Date.parse(claim.signBefore) <= caller.at) throw new AppError('SIGNATURE_LATE', { time: claim.signBefore })
    return ask.change((tx) => propose(tx, on.attest, caller, body, key, claim))
  },

  approve: (ask) =>
    ask.change(async (tx) => {
      const { caller, params } = ask
      await lockProjects(tx, [tx.project])
      await mustStillStand(tx, caller)
      const key = await mustBe(tx, params.id, 'proposed')
      const approver = personOf(caller)
      if (key.user_id === approver)
        throw new AppError('APPROVER_EXCLUDED', { reason: 'who proposed the key cannot approve it' })
      mustBeInPerson(caller, await loadPolicy(tx), false)
      const { id, att, details } = await recordApproval(tx, on.attest, caller, {
        subject: {
          type: 'signing_key',
          id: key.id,
          version: 1,
          sha256: toHex(sha256(Buffer.from(key.public_key, 'base64'))),
        },
        decision: 'approved',
        reason: null,
        ttlMs: null,
      })
      await move(tx, key, { state: 'enrolled', decided_by_id: approver, decided_at: caller.at })
      await consume(tx, id, caller, caller.at, `signing_key:${key.id}`)
      await recordEnrolment(tx, caller, key, { ...details, bootstrap: false }, att)
      return show((await store.findNamedSigningKey(tx, key.id))!)
    }),

  reject: (ask) =>
    ask.change(async (tx) => {
      const { caller, params } = ask
      const key = await mustBe(tx, params.id, 'proposed')
      mustOwnOrRule(caller, key)
      await move(tx, key, { state: 'rejected', decided_by_id: personOf(caller), decided_at: caller.at })
      await append(tx, caller.at, caller, {
        type: 'signing_key.rejected',
        resource: { type: 'signing_key', id: key.id },
        action: key.user_id === personOf(caller) ? 'Withdrew a signing key' : 'Rejected a signing key',
        details: { ...aboutKey(key), reason: ask.body?.reason ?? null },
      })
      return show((await store.findNamedSigningKey(tx, key.id))!)
    }),

  revoke: (ask) =>
    ask.change(async (tx) => {
      const { caller, params } = ask
      const key = await mustBe(tx, params.id, 'enrolled')
      mustOwnOrRule(caller, key)
      await move(tx, key, { state: 'revoked', revoked_at: caller.at, revoked_by_id: personOf(caller) })
      await append(tx, caller.at, caller, {
        type: 'signing_key.revoked',
        resource: { type: 'signing_key', id: key.id },
        action: 'Revoked a signing key',
        details: { ...aboutKey(key), reason: ask.body?.reason ?? null },
      })
      return show((await store.findNamedSigningKey(tx, key.id))!)
    }),
})

/** The key that a body names. Throws SIGNING_KEY_UNSUPPORTED. */
function keyOf(body: Pick<EnrolSigningKey, 'type' | 'public_key'>): {
  spki: Uint8Array
  algorithm: KeyAlgorithm
  fingerprint: string
} {
  try {
    const spki = body.type === 'ssh' ? parseSshKey(body.public_key) : fromBase64Url(body.public_key)
    const algorithm = algorithmOf(spki)
    if (!algorithm) throw new Error('Ed25519, ECDSA on P-256 and RSA are')
    return {
      spki,
      algorithm,
      fingerprint: body.type === 'ssh' ? sshFingerprint(spki, sha256) : `sha256:${toHex(sha256(spki))}`,
    }
  } catch (error) {
    throw new AppError('SIGNING_KEY_UNSUPPORTED', { reason: error instanceof Error ? error.message : String(error) })
  }
}

async function propose(
  tx: Tx,
  attest: Attest,
  caller: Caller,
  body: EnrolSigningKey,
  { spki, algorithm, fingerprint }: ReturnType<typeof keyOf>,
  claim: SigningKeyClaim,
): Promise<SigningKey> {
  // Two first keys at once: the second waits here and then is not the first.
  await lockProjects(tx, [tx.project])
  await mustStillStand(tx, caller)
  if ((await store.isLive(tx, fingerprint)) || (await store.findSigningKey(tx, claim.id)))
    throw new AppError('SIGNING_KEY_TAKEN')
  const bootstrap = caller.role === 'admin' && !(await store.everEnrolled(tx))
  const key: Omit<store.SigningKeyRow, 'project_id'> = {
    id: claim.id,
    user_id: personOf(caller),
    name: body.name,
    type: body.type,
    algorithm,
    public_key: toBase64(spki),
    fingerprint,
    credential_id: body.type === 'passkey' ? (body.credential_id ?? null) : null,
    rp_id: claim.rpId,
    statement: body.statement,
    signature: keptForm(body),
    state: bootstrap ? 'enrolled' : 'proposed',
    bootstrap: bootstrap ? 1 : 0,
    decided_by_id: null,
    created_at: caller.at,
    decided_at: bootstrap ? caller.at : null,
    revoked_at: null,
    revoked_by_id: null,
  }
  await store.insertSigningKey(tx, key)
  const att = await attest(tx, { type: 'signing_key', id: key.id }, signingKeyStatement(claim), caller.at)
  await append(tx, caller.at, caller, {
    type: 'signing_key.proposed',
    resource: { type: 'signing_key', id: key.id },
    action: 'Proposed a signing key',
    details: aboutKey(key),
    att: [att],
  })
  if (bootstrap) await recordEnrolment(tx, caller, key, { bootstrap: true }, undefined)
  return show((await store.findNamedSigningKey(tx, key.id))!)
}

type KeyFacts = Pick<
  store.SigningKeyRow,
  'id' | 'user_id' | 'type' | 'algorithm' | 'fingerprint' | 'public_key' | 'rp_id'
>

/** What every event about a key says: a verifier compares the key that signed with it. */
const aboutKey = (key: KeyFacts) => ({
  user_id: key.user_id,
  key_type: key.type,
  algorithm: key.algorithm,
  fingerprint: key.fingerprint,
  public_key_sha256: toHex(sha256(Buffer.from(key.public_key, 'base64'))),
  rp_id: key.rp_id,
})

async function recordEnrolment(
  tx: Tx,
  caller: Caller,
  key: KeyFacts,
  more: Record<string, unknown>,
  att: readonly string[] | undefined,
): Promise<void> {
  await append(tx, caller.at, caller, {
    type: 'signing_key.enrolled',
    resource: { type: 'signing_key', id: key.id },
    action: more.bootstrap ? 'Enrolled the first signing key (bootstrap)' : 'Enrolled a signing key',
    details: { ...aboutKey(key), ...more },
    ...(att ? { att } : {}),
  })
}

function mustOwnOrRule(caller: Caller, key: store.SigningKeyRow): void {
  if (caller.role !== 'admin' && key.user_id !== personOf(caller)) throw new AppError('SIGNING_KEY_DENIED')
}

async function mustBe(tx: Tx, id: string, state: 'proposed' | 'enrolled'): Promise<store.SigningKeyRow> {
  const key = await store.findSigningKey(tx, id)
  if (!key) throw new AppError('SIGNING_KEY_NOT_FOUND')
  if (key.state !== state) throw new AppError('SIGNING_KEY_SETTLED', { state: key.state })
  return key
}

async function move(
  tx: Tx,
  key: store.SigningKeyRow,
  change: Parameters<typeof store.moveSigningKey>[3],
): Promise<void> {
  if (!(await store.moveSigningKey(tx, key.id, key.state, change)))
    throw new AppError('SIGNING_KEY_SETTLED', { state: 'decided about' })
}

const show = (row: store.NamedSigningKey): SigningKey => ({
  id: row.id,
  user_id: row.user_id,
  user_number: row.user_number,
  username: row.username,
  name: row.name,
  type: row.type,
  algorithm: row.algorithm,
  fingerprint: row.fingerprint,
  credential_id: row.credential_id,
  rp_id: row.rp_id,
  state: row.state,
  bootstrap: row.bootstrap === 1,
  decided_by_id: row.decided_by_id,
  created_at: rfc3339(row.created_at),
  decided_at: rfc3339OrNull(row.decided_at),
  revoked_at: rfc3339OrNull(row.revoked_at),
  revoked_by_id: row.revoked_by_id,
})
