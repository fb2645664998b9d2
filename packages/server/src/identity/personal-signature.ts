import type { SignedStatement } from '@writ/api'
import {
  APPROVAL_NAMESPACE,
  type ApprovalClaim,
  fromBase64,
  fromBase64Url,
  parseApproval,
  parseSshSignature,
  toUtf8,
  verifyPasskey,
  verifySshSignature,
} from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { type Caller, personOf } from './caller.ts'
import { findSigningKey, type SigningKeyRow } from './store-signing-keys.ts'

/** Where passkeys of this server belong: the relying party of WebAuthn. */
export interface RelyingParty {
  readonly id: string
  /** Whether a page of this origin may have asked for the signature. */
  allows(origin: string): boolean
}

/** From WRIT_PUBLIC_URL; without it passkeys work on http://localhost alone, whatever the port. */
export function relyingPartyOf(publicUrl: string | undefined): RelyingParty {
  if (publicUrl !== undefined) {
    const { hostname, origin } = new URL(publicUrl)
    return { id: hostname, allows: (asked) => asked === origin }
  }
  return {
    id: 'localhost',
    allows: (asked) => URL.canParse(asked) && new URL(asked).hostname === 'localhost',
  }
}

/** A person's signature as it comes in: by SSH key or by passkey. */
export type GivenSignature = Pick<SignedStatement, 'ssh' | 'passkey'>

/** An approval statement whose signature was verified. */
export interface SignedApproval {
  readonly key: SigningKeyRow
  readonly claim: ApprovalClaim
  readonly statement: string
  /** The signature as it is kept: JSON of a passkey's assertion, or the armored text of an SSH signature. */
  readonly signature: string
}

/**
 * Verifies that the caller's own enrolled key signed this approval statement. Whether the statement is about the right
 * thing is `recordApproval`'s to decide, in the transaction. Throws SIGNING_KEY_NOT_FOUND, SIGNING_KEY_NOT_ENROLLED,
 * SIGNATURE_INVALID.
 */
export async function openSigned(
  read: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>,
  caller: Caller,
  party: RelyingParty,
  signed: SignedStatement,
): Promise<SignedApproval> {
  const key = await read((tx) => findSigningKey(tx, signed.key_id))
  if (!key) throw new AppError('SIGNING_KEY_NOT_FOUND')
  mustBeUsable(key, personOf(caller))
  const spki = fromBase64(key.public_key)
  await verifyGiven({ type: key.type, spki, rpId: key.rp_id }, party, APPROVAL_NAMESPACE, signed.statement, signed)
  const claim = claimOf(() => parseApproval(toUtf8(signed.statement)))
  return { key, claim, statement: signed.statement, signature: keptForm(signed) }
}

/** Throws SIGNING_KEY_NOT_ENROLLED unless the key is enrolled and this person's. */
export function mustBeUsable(key: SigningKeyRow, person: string): void {
  if (key.user_id !== person) throw new AppError('SIGNING_KEY_NOT_ENROLLED', { state: "somebody else's" })
  if (key.state !== 'enrolled') throw new AppError('SIGNING_KEY_NOT_ENROLLED', { state: key.state })
}

/** The claim in a statement that came back. Throws SIGNATURE_INVALID for any other text. */
export function claimOf<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error))
  }
}

/** A signature as it is kept, and as the log commits to it: one text, whatever order a client wrote it in. */
export function keptForm({ ssh, passkey }: GivenSignature): string {
  if (passkey === undefined) return ssh ?? ''
  const { client_data_json, authenticator_data, signature } = passkey
  return JSON.stringify({ authenticator_data, client_data_json, signature })
}

/** Throws SIGNATURE_INVALID with the reason unless the key signed exactly these bytes, in its own way. */
export async function verifyGiven(
  key: { type: 'passkey' | 'ssh'; spki: Uint8Array; rpId: string | null },
  party: RelyingParty,
  namespace: string,
  statement: string,
  given: GivenSignature,
): Promise<void> {
  if (key.type === 'ssh') return verifySsh(key.spki, namespace, statement, given.ssh)
  if (given.passkey === undefined || key.rpId === null) throw invalid('a passkey answers with "passkey"')
  const { client_data_json, authenticator_data, signature } = given.passkey
  const verdict = await verifyPasskey({
    assertion: claimOf(() => ({
      clientDataJson: fromBase64Url(client_data_json),
      authenticatorData: fromBase64Url(authenticator_data),
      signature: fromBase64Url(signature),
    })),
    statement: toUtf8(statement),
    spki: key.spki,
    rpId: key.rpId,
    sha256,
    verify: verifySignature,
  })
  if (!verdict.ok) throw invalid(verdict.reason)
  if (!party.allows(verdict.origin)) throw invalid(`it was asked for by ${verdict.origin}`)
}

async function verifySsh(spki: Uint8Array, namespace: string, statement: string, text: string | undefined) {
  if (text === undefined) throw invalid('an SSH key answers with "ssh"')
  const parsed = claimOf(() => parseSshSignature(text))
  if (!Buffer.from(parsed.spki).equals(Buffer.from(spki))) throw invalid('it was made with another key')
  const on = { sha256, sha512, verify: verifySignature }
  if (!(await verifySshSignature(parsed, toUtf8(statement), namespace, on)))
    throw invalid(`it is not over this statement in the namespace ${namespace}`)
}

const invalid = (reason: string) => new AppError('SIGNATURE_INVALID', { reason: reason.slice(0, 200) })
