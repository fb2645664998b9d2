import { createHmac, generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import {
  BUNDLE_FORMAT,
  BUNDLE_NAMESPACE,
  type BundleFiles,
  type BundlePrimitives,
  type Entry,
  encodeEntry,
  formatEnvelope,
  formatLogProof,
  formatPem,
  formatSshKey,
  formatSshSignature,
  fromUtf8,
  MANIFEST_SIGNER,
  preAuthEncoding,
  proveInclusion,
  STATEMENT_TYPE,
  type Statement,
  spkiOf,
  sshSigned,
  statementBytes,
  toHex,
  toUtf8,
} from '../src/index.ts'
import { buildLog, makeKey, sha256, tileReader } from './memory-log.ts'

// A bundle in a Map, made the obvious way: for what a real server does not do on demand, such as erasing a payload.

export const primitives: BundlePrimitives = {
  sha256,
  sha512: (bytes) => hash('sha512', bytes, 'buffer'),
  verify: ({ algorithm, spki }, message, signature) =>
    verify(
      algorithm === 'ed25519' ? null : 'sha256',
      message,
      { key: Buffer.from(spki), format: 'der', type: 'spki' },
      signature,
    ),
}

export type BundleEvent = {
  act: string
  res: string
  details?: object
  erasedBy?: number
  /** The run that it is an event of, and which one. */
  run?: string
  seq?: number
  actor?: Entry['actor']
  /** What the server attested with it. */
  statement?: Statement
}

export const ORIGIN = 'example.org/project'
export const logKey = makeKey(ORIGIN)
const attestation = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const manifest = generateKeyPairSync('ed25519')
const manifestSpki = new Uint8Array(manifest.publicKey.export({ type: 'spki', format: 'der' }))

/** Id of the entry at a place of such a log. */
export const entryId = (index: number): string => `01a214fe-3541-7583-8b2e-${String(index).padStart(12, '0')}`

/** The files of a bundle over a log with exactly these events, without a manifest. */
export async function makeBundle(events: readonly BundleEvent[]): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  const put = (name: string, text: string | Uint8Array) =>
    files.set(name, typeof text === 'string' ? toUtf8(text) : text)
  const entries = events.map(({ act, res, details, run, seq = 0, actor, statement }, i) => {
    const payload = JSON.stringify({ event_type: act, resource_id: res, details: details ?? null })
    const salt = Buffer.alloc(32, i + 1)
    const t = new Date(Date.UTC(2026, 10, 22) + i * 1000).toISOString()
    const c = `hmac-sha256:${createHmac('sha256', salt).update(payload).digest('hex')}`
    const entry: Entry = {
      v: 1,
      id: entryId(i),
      t,
      seq,
      run,
      actor: actor ?? { kind: 'user', id: 'somebody' },
      act,
      res,
      ...(statement ? { att: [`sha256:${toHex(sha256(statementBytes(statement)))}`] } : {}),
      pl: [{ n: 'event', c, len: payload.length }],
    }
    return { bytes: encodeEntry(entry), payload, salt }
  })
  const log = await buildLog(
    entries.map(({ bytes }) => bytes),
    logKey,
  )
  const note = fromUtf8(log.get('checkpoint')!)
  put('logs/project-0/checkpoint', note)
  put('logs/project-0/log.pem', formatPem(spkiOf(logKey.publicKey)))
  put('policy', `log ${logKey.vkey}\nquorum none\n`)
  for (const [index, { bytes, payload, salt }] of entries.entries()) {
    const readTile = tileReader(log)
    const hashes = await proveInclusion({ size: entries.length, index, readTile, hash: sha256 })
    put(`logs/project-0/entries/${index}.json`, bytes)
    put(`logs/project-0/entries/${index}.tlog-proof`, formatLogProof({ index, hashes, checkpoint: note }))
    const { erasedBy } = events[index]!
    if (erasedBy !== undefined) put(`logs/project-0/payloads/${index}.erased`, `erased, see ${erasedBy}\n`)
    else {
      put(`logs/project-0/payloads/${index}.json`, payload)
      put(`logs/project-0/payloads/${index}.salt`, `${salt.toString('hex')}\n`)
    }
  }
  for (const { statement } of events) if (statement) attest(put, statement)
  const described = {
    format: BUNDLE_FORMAT,
    version: 1,
    subject: { type: 'ticket', id: 't', number: 1 },
    exported_at: '2026-11-22T00:00:00.000Z',
    logs: [{ name: 'project-0', role: 'project', origin: ORIGIN, vkeys: [logKey.vkey] }],
    artifacts: [],
  }
  put('bundle.json', JSON.stringify(described))
  put('keys/allowed_signers', `${MANIFEST_SIGNER} ${formatSshKey(manifestSpki)} comment\n`)
  return files
}

function attest(put: (name: string, text: string) => void, statement: Statement): void {
  const payload = statementBytes(statement)
  const sig = sign('sha256', preAuthEncoding(STATEMENT_TYPE, payload), attestation.privateKey)
  const envelope = formatEnvelope({ payloadType: STATEMENT_TYPE, payload, signatures: [{ keyid: '', sig }] })
  put(`attestations/${toHex(sha256(payload))}.dsse.json`, envelope)
  const spki = attestation.publicKey.export({ type: 'spki', format: 'der' })
  put(`keys/attestation-${toHex(sha256(spki))}.pem`, formatPem(spki))
}

/** The files with a manifest over them as they are now. */
export function signed(files: ReadonlyMap<string, Uint8Array>): BundleFiles {
  const sums = toUtf8([...files].map(([name, bytes]) => `${toHex(sha256(bytes))}  ${name}\n`).join(''))
  const message = sshSigned(sums, BUNDLE_NAMESPACE, primitives, 'sha512')
  const signature = sign(null, message, manifest.privateKey)
  const about = { spki: manifestSpki, namespace: BUNDLE_NAMESPACE, hashAlgorithm: 'sha512' as const }
  const sig = toUtf8(formatSshSignature({ ...about, signature }))
  const all = new Map([...files, ['SHA256SUMS', sums], ['SHA256SUMS.sig', sig]])
  return {
    names: [...all.keys()],
    read: async (name) => all.get(name)!,
    sha256: async (name) => toHex(sha256(all.get(name)!)),
  }
}
