import type { Me, SigningKey } from '@writ/api'
import type { Client } from '@writ/sdk'
import { instanceName, passkeyHost } from './page-settings.ts'

/**
 * The words for why passkeys can be neither made nor used here; null if they can: on HTTPS, or on localhost by name, and at the host
 * that the server takes them of. At another a browser makes one that is refused then, or says no in words of its own.
 */
export function whyNoPasskeys(): 'approve.noPasskeys' | 'approve.otherHost' | null {
  if (location.hostname !== passkeyHost) return 'approve.otherHost'
  return window.PublicKeyCredential === undefined ? 'approve.noPasskeys' : null
}

const toText = (buffer: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
const toBytes = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))

/** Asks the authenticator to sign the digest of a statement. Throws NotAllowedError when the person says no, AbortError when the page does. */
async function sign(challenge: string, credentialIds: readonly string[], stop: AbortSignal) {
  // `get` with `publicKey` answers a PublicKeyCredential with an assertion. Source: WebAuthn Level 2, 5.1.4.
  const made = (await navigator.credentials.get({
    publicKey: {
      challenge: toBytes(challenge),
      allowCredentials: credentialIds.map((id) => ({ type: 'public-key' as const, id: toBytes(id) })),
      userVerification: 'required',
    },
    signal: stop,
  })) as PublicKeyCredential
  const response = made.response as AuthenticatorAssertionResponse
  return {
    credentialId: toText(made.rawId),
    passkey: {
      client_data_json: toText(response.clientDataJSON),
      authenticator_data: toText(response.authenticatorData),
      signature: toText(response.signature),
    },
  }
}

/** Makes a passkey, and has it sign "this key is mine". Another admin approves it, unless it is the project's first. */
export async function enrolPasskey(client: Client, me: Me, name: string, stop: AbortSignal): Promise<SigningKey> {
  const made = (await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      rp: { name: instanceName },
      user: { id: new TextEncoder().encode(me.id), name: me.username, displayName: me.full_name ?? me.username },
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key' as const, alg })),
      authenticatorSelection: { userVerification: 'required', residentKey: 'preferred' },
      attestation: 'none',
    },
    signal: stop,
  })) as PublicKeyCredential
  const key = (made.response as AuthenticatorAttestationResponse).getPublicKey()
  if (!key) throw new Error('The authenticator made a key of a kind that this browser cannot hand over.')
  const public_key = toText(key)
  const credential_id = toText(made.rawId)
  const issued = await client.signingKeys.statement({ body: { type: 'passkey', public_key } })
  const { passkey } = await sign(issued.challenge, [credential_id], stop)
  return client.signingKeys.enrol({
    body: { type: 'passkey', public_key, credential_id, name, statement: issued.statement, passkey },
  })
}

/** The server issued a statement about another version than the one on the page: nothing was signed. */
export class OtherVersion extends Error {}

/** Approves exactly the version with this digest, signed with one of the person's passkeys. */
export async function approveSigned(
  client: Client,
  ticket: { id: string; digest: string },
  keys: readonly SigningKey[],
  reason: string | undefined,
  stop: AbortSignal,
): Promise<void> {
  const issued = await client.tickets.approvalStatement({ params: { id: ticket.id } })
  const { subject } = JSON.parse(issued.statement) as { subject: { digest: { sha256: string } }[] }
  // What is signed is what was read on this page, or nothing is.
  if (subject[0]?.digest.sha256 !== ticket.digest) throw new OtherVersion()
  const { credentialId, passkey } = await sign(
    issued.challenge,
    keys.map((key) => key.credential_id ?? ''),
    stop,
  )
  // Closed while the answer was on its way: then nothing is approved.
  stop.throwIfAborted()
  const key = keys.find((one) => one.credential_id === credentialId)
  if (!key) throw new Error('The authenticator signed with a key that is not enrolled here.')
  const signed = { key_id: key.id, statement: issued.statement, passkey }
  await client.tickets.approve({
    params: { id: ticket.id },
    body: { digest: ticket.digest, signed, ...(reason ? { reason } : {}) },
  })
}
