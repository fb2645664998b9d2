import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { rfc3339 } from '../platform/clock.ts'
import type { RequestMark } from '../platform/db/index.ts'
import { type AfterStep, replaceFile, syncDirectory } from './durable-file.ts'
import { createFileOnce, createKeyFile, readKeyFile, readTextFile } from './key-file.ts'
import { LogError } from './log-error.ts'

// Beside the log keys, which belong to their logs (signer.ts), an instance has two keys for what it hands out: a P-256 key
// for attestations, because every verifier of DSSE takes it, and an Ed25519 key for manifests, because ssh-keygen does.
//
// `<name>.json` lists all public keys that there ever were, and is the commit point: whichever it names last is the key
// in use. A private key file that it does not name was never used.

/** What a key is for. */
export type KeyPurpose = 'attestation' | 'manifest'

/** A public key with the time in which it signed. Kept for ever, so that old evidence can be verified. */
export interface PublicKeyRecord {
  readonly purpose: KeyPurpose
  /** Lower-case hexadecimal SHA-256 of the SubjectPublicKeyInfo in DER: what the API and the log call the key. */
  readonly keyid: string
  /** SubjectPublicKeyInfo, PEM. */
  readonly public_pem: string
  /** RFC 3339. */
  readonly valid_from: string
  /** RFC 3339; null for the key in use. */
  readonly valid_until: string | null
  /** The request that asked for this key, if it had an Idempotency-Key: found again when it was stopped before its answer. */
  readonly asked_by?: RequestMark
}

export interface AttestationKey {
  readonly keyid: string
  readonly publicPem: string
  /** ECDSA over P-256 and SHA-256 of the bytes, DER-encoded: what `openssl dgst -sha256 -verify` takes. */
  sign(bytes: Uint8Array): Uint8Array
}

export interface ManifestKey {
  readonly keyid: string
  readonly publicPem: string
  /** One line as in an `authorized_keys` file: `ssh-ed25519 AAAA... writ-manifest`. */
  readonly publicOpenSsh: string
  /** `SHA256:...`, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string
  /** Raw Ed25519, 64 bytes; the SSHSIG envelope is the caller's to make. */
  sign(bytes: Uint8Array): Uint8Array
}

export interface Keys {
  /** The key in use; another one after a rotation, here or by another server that shares the folder, so do not keep it. */
  readonly attestation: AttestationKey
  readonly manifest: ManifestKey
  /** Every public key that there ever was, the oldest first. */
  list(): readonly PublicKeyRecord[]
  /**
   * Makes a new key and takes it into use; `now` in milliseconds. The old private key is destroyed and the old public key
   * stays listed. Crash-safe: the key in use is the old or the new one, never none. What another process has rotated meanwhile
   * stays listed too; two at once are the caller's to keep apart.
   */
  rotate(purpose: KeyPurpose, now: number, mark?: RequestMark | null): Promise<PublicKeyRecord>
  /** The key that a request has asked for before, here or in another process, and the one that it replaced. */
  rotated(
    purpose: KeyPurpose,
    is: (mark: RequestMark | undefined) => boolean,
  ): Promise<{ record: PublicKeyRecord; old: string } | undefined>
}

/** Who signs manifests, as an allowed_signers file names them. */
const MANIFEST_PRINCIPAL = 'writ-manifest'

const purposes: readonly KeyPurpose[] = ['attestation', 'manifest']

/**
 * The keys for attestations and manifests in `keysDir`, made on the first start at `now` (milliseconds). Throws
 * SIGNER_REFUSED if a private key is gone or can be read by others. `after` is for tests only.
 */
export async function openKeys(keysDir: string, now: number, after?: AfterStep): Promise<Keys> {
  await mkdir(keysDir, { recursive: true, mode: 0o700 })
  const rings: Record<KeyPurpose, Ring> = {
    attestation: await openRing(keysDir, 'attestation', now, after),
    manifest: await openRing(keysDir, 'manifest', now, after),
  }
  let attestation = attestationKey(rings.attestation)
  let manifest = manifestKey(rings.manifest)
  let turn: Promise<unknown> = Promise.resolve()

  async function rotate(purpose: KeyPurpose, at: number, mark?: RequestMark | null): Promise<PublicKeyRecord> {
    const ring = await rotateRing(keysDir, purpose, at, mark, after)
    use(purpose, ring)
    return ring.records.at(-1)!
  }

  function use(purpose: KeyPurpose, ring: Ring): void {
    rings[purpose] = ring
    if (purpose === 'attestation') attestation = attestationKey(ring)
    else manifest = manifestKey(ring)
  }

  /** Another server that shares the folder may have rotated a key: looked at whenever one is asked for, which costs a few microseconds. */
  function refresh(purpose: KeyPurpose): void {
    const stamp = stampOf(keysDir, purpose)
    // A folder that went away takes no key from a server that runs; the next start says that it is gone.
    if (stamp === null || stamp === rings[purpose].stamp) return
    use(purpose, readRingWithKey(keysDir, purpose))
  }

  return {
    get attestation() {
      refresh('attestation')
      return attestation
    },
    get manifest() {
      refresh('manifest')
      return manifest
    },
    list: () =>
      purposes.flatMap((purpose) => {
        refresh(purpose)
        return rings[purpose].records
      }),
    async rotated(purpose, is) {
      const listed = readRing(keysDir, purpose)
      const n = listed.findIndex((key) => is(key.asked_by))
      return n < 1 ? undefined : { record: listed[n]!, old: listed[n - 1]!.keyid }
    },
    rotate(purpose, at, mark) {
      // One at a time: two at once would each end the same key.
      const next = turn.then(() => rotate(purpose, at, mark))
      turn = next.catch(() => {})
      return next
    },
  }
}

/** An allowed_signers file (ssh-keygen(1)) with every manifest key that there ever was. */
export const allowedSigners = (keys: readonly PublicKeyRecord[]): string =>
  keys
    .filter((key) => key.purpose === 'manifest')
    .map((key) => `${MANIFEST_PRINCIPAL} ${openSshKey(createPublicKey(key.public_pem))}\n`)
    .join('')

interface Ring {
  readonly records: readonly PublicKeyRecord[]
  readonly key: KeyObject
  /** Of the list that this was read from. */
  readonly stamp: string | null
}

const ringFile = (dir: string, purpose: KeyPurpose) => join(dir, `${purpose}.json`)
const keyFile = (dir: string, purpose: KeyPurpose, keyid: string) =>
  join(dir, `${purpose}-${keyid.slice(0, 16)}.${purpose === 'attestation' ? 'p256' : 'ed25519'}.pem`)

async function openRing(dir: string, purpose: KeyPurpose, now: number, after?: AfterStep): Promise<Ring> {
  if (readTextFile(ringFile(dir, purpose)) === null) await createRing(dir, purpose, now, after)
  const ring = readRingWithKey(dir, purpose)
  // A file that the list does not name may be that of a rotation under way in another process, which puts its list in place next.
  const ended = ring.records.slice(0, -1).map(({ keyid }) => keyFile(dir, purpose, keyid))
  await removeUnused(dir, purpose, (file) => ended.includes(file))
  return ring
}

/** The list as it is on disk, with the private key that it names last. */
function readRingWithKey(dir: string, purpose: KeyPurpose): Ring {
  const seen = stampOf(dir, purpose)
  const records = readRing(dir, purpose)
  const { keyid } = records.at(-1)!
  const file = keyFile(dir, purpose, keyid)
  const pem = readKeyFile(file)
  if (pem === null && stampOf(dir, purpose) !== seen) return readRingWithKey(dir, purpose)
  if (pem === null) throw new LogError('SIGNER_REFUSED', `the key ${file} is gone; put it back from a backup`)
  const key = createPrivateKey(pem)
  if (keyidOf(createPublicKey(key)) !== keyid)
    throw new LogError('SIGNER_REFUSED', `${file} holds another key than ${purpose}.json names`)
  return { records, key, stamp: seen }
}

/** Another one for each list that was put in place; null while there is none. */
function stampOf(dir: string, purpose: KeyPurpose): string | null {
  const found = statSync(ringFile(dir, purpose), { throwIfNoEntry: false, bigint: true })
  return found ? `${found.ino} ${found.mtimeNs} ${found.size}` : null
}

/** Key first, list second: stopped in between, the key was never used, and the next start goes on with it. */
async function createRing(dir: string, purpose: KeyPurpose, now: number, after?: AfterStep): Promise<void> {
  const [waiting] = await keyFiles(dir, purpose)
  const left = waiting === undefined ? null : readKeyFile(join(dir, waiting))
  const key = left === null ? await makeKey(dir, purpose, after) : createPrivateKey(left)
  const text = formatRing([recordOf(purpose, createPublicKey(key), now)])
  // Two processes on their first start: one list is there in the end, and both go on with the key that it names.
  await createFileOnce(ringFile(dir, purpose), text, 0o600)
  after?.(`${purpose}-listed`)
}

const readRing = (dir: string, purpose: KeyPurpose) => parseRing(readTextFile(ringFile(dir, purpose)) ?? '', purpose)

async function rotateRing(
  dir: string,
  purpose: KeyPurpose,
  now: number,
  mark?: RequestMark | null,
  after?: AfterStep,
): Promise<Ring> {
  // The list as it is now: a key that another process made must not be left out of it, or nothing verifies what that key signed.
  const listed = readRing(dir, purpose)
  const key = await makeKey(dir, purpose, after)
  // Stopped here, the new key is a file that no list names: the next rotation removes it, and the old key goes on.
  const ended = listed.map((record) =>
    record.valid_until === null ? { ...record, valid_until: rfc3339(now) } : record,
  )
  const record = { ...recordOf(purpose, createPublicKey(key), now), ...(mark && { asked_by: mark }) }
  const records = [...ended, record]
  await replaceFile(ringFile(dir, purpose), formatRing(records), {
    mode: 0o600,
    after: after && ((step) => after(`${purpose}-list-${step}`)),
  })
  // Stopped here, the old private key is still on disk, unused: the next start removes it.
  const stamp = stampOf(dir, purpose)
  // Whoever rotates is alone, so whatever else is there is left over.
  const used = keyFile(dir, purpose, record.keyid)
  await removeUnused(dir, purpose, (file) => file !== used)
  return { records, key, stamp }
}

async function makeKey(dir: string, purpose: KeyPurpose, after?: AfterStep): Promise<KeyObject> {
  const { privateKey } =
    purpose === 'attestation' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  await createKeyFile(keyFile(dir, purpose, keyidOf(createPublicKey(privateKey))), pem, after)
  return privateKey
}

async function removeUnused(dir: string, purpose: KeyPurpose, isUnused: (file: string) => boolean): Promise<void> {
  const unused = (await keyFiles(dir, purpose)).map((name) => join(dir, name)).filter(isUnused)
  if (unused.length === 0) return
  for (const file of unused) await rm(file, { force: true })
  await syncDirectory(dir)
}

const keyFiles = async (dir: string, purpose: KeyPurpose): Promise<string[]> =>
  (await readdir(dir)).filter((name) => name.startsWith(`${purpose}-`) && name.endsWith('.pem')).sort()

const recordOf = (purpose: KeyPurpose, key: KeyObject, now: number): PublicKeyRecord => ({
  purpose,
  keyid: keyidOf(key),
  public_pem: pemOf(key),
  valid_from: rfc3339(now),
  valid_until: null,
})

const formatRing = (keys: readonly PublicKeyRecord[]): string => `${JSON.stringify({ v: 1, keys }, null, 2)}\n`

function parseRing(text: string, purpose: KeyPurpose): PublicKeyRecord[] {
  try {
    // Our own file, checked below for what is relied upon.
    const { v, keys } = JSON.parse(text) as { v?: unknown; keys?: PublicKeyRecord[] }
    if (v !== 1 || !Array.isArray(keys) || keys.length === 0) throw new Error('not a list of keys')
    for (const [i, key] of keys.entries()) {
      if (key.purpose !== purpose || keyidOf(createPublicKey(key.public_pem)) !== key.keyid)
        throw new Error(`key ${i} is not what its id says`)
      if ((key.valid_until === null) !== (i === keys.length - 1)) throw new Error('not exactly the last key is in use')
    }
    return keys
  } catch (cause) {
    throw new LogError('SIGNER_REFUSED', `${purpose}.json is damaged: ${String(cause)}`, { cause })
  }
}

function attestationKey({ key, records }: Ring): AttestationKey {
  const { keyid, public_pem } = records.at(-1)!
  return { keyid, publicPem: public_pem, sign: (bytes) => sign('sha256', bytes, key) }
}

function manifestKey({ key, records }: Ring): ManifestKey {
  const { keyid, public_pem } = records.at(-1)!
  const publicKey = createPublicKey(key)
  const digest = hash('sha256', openSshBlob(publicKey), 'base64').replace(/=+$/, '')
  return {
    keyid,
    publicPem: public_pem,
    publicOpenSsh: openSshKey(publicKey),
    fingerprint: `SHA256:${digest}`,
    sign: (bytes) => sign(null, bytes, key),
  }
}

const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()
const keyidOf = (key: KeyObject): string => hash('sha256', key.export({ type: 'spki', format: 'der' }), 'hex')
const openSshKey = (key: KeyObject): string =>
  `ssh-ed25519 ${openSshBlob(key).toString('base64')} ${MANIFEST_PRINCIPAL}`

/** The key in SSH's wire format (RFC 8709, section 4): two strings, each behind its uint32 length. */
function openSshBlob(key: KeyObject): Buffer {
  const { x } = key.export({ format: 'jwk' })
  if (x === undefined) throw new Error('the key is not Ed25519')
  const parts = [Buffer.from('ssh-ed25519'), Buffer.from(x, 'base64url')]
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}
