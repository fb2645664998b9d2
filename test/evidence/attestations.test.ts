// Attestations, checked by programs that we did not write: @sigstore/verify, and openssl with jq.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type BundleWithDsseEnvelope, toDSSEBundle } from '@sigstore/bundle'
import { toSignedEntity, Verifier } from '@sigstore/verify'
import type { VerifyReport } from '@writ/api'
import { parseEnvelope, parseStatement } from '@writ/tlog'
import { TestSystem } from '../test-system.ts'
import { exportBundle, folderFiles, makeTicket, unpack } from './scene.ts'

const run = promisify(execFile)

/** As sigstore sees it: a bare key, no transparency log of theirs, no time stamps. */
function sigstoreAccepts(pem: string, { payload, signatures }: ReturnType<typeof parseEnvelope>): boolean {
  const verifier = new Verifier(
    {
      certificateAuthorities: [],
      timestampAuthorities: [],
      tlogs: [],
      ctlogs: [],
      publicKey: () => ({ publicKey: createPublicKey(pem), validFor: () => true }),
    },
    { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 },
  )
  const bundle: BundleWithDsseEnvelope = toDSSEBundle({
    artifact: Buffer.from(payload),
    artifactType: 'application/vnd.in-toto+json',
    signature: Buffer.from(signatures[0]!.sig),
    keyHint: signatures[0]!.keyid,
  })
  try {
    verifier.verify(toSignedEntity(bundle))
    return true
  } catch {
    return false
  }
}

async function opensslAccepts(folder: string, pem: string, envelope: string): Promise<boolean> {
  const file = path.join(folder, 'envelope.json')
  await writeFile(file, envelope)
  await writeFile(path.join(folder, 'key.pem'), pem)
  const script = `
    jq -r .payload "$1" | openssl base64 -d -A > payload
    jq -r '.signatures[0].sig' "$1" | openssl base64 -d -A > sig
    type=$(jq -r .payloadType "$1")
    { printf 'DSSEv1 %d %s %d ' "\${#type}" "$type" "$(wc -c < payload)"; cat payload; } > pae
    openssl dgst -sha256 -verify key.pem -signature sig pae`
  return run('sh', ['-euc', script, 'sh', file], { cwd: folder }).then(
    () => true,
    () => false,
  )
}

test('each attestation is accepted by sigstore and openssl, and rejected with one byte flipped', async () => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  await exportBundle(system, path.join(system.folder, 'b.zip'), { subject: 'ticket', id: 1 })
  const folder = path.join(system.folder, 'b')
  await unpack(path.join(system.folder, 'b.zip'), folder)
  const files = await folderFiles(folder)
  const text = async (name: string) => Buffer.from(await files.read(name)).toString()
  const pem = await text(files.names.find((name) => name.startsWith('keys/attestation-'))!)
  const names = files.names.filter((name) => name.startsWith('attestations/'))
  const predicates: string[] = []
  for (const name of names) {
    const whole = await text(name)
    const envelope = parseEnvelope(whole)
    const { predicateType, predicate, subject } = parseStatement(envelope.payload)
    predicates.push(
      `${predicateType} ${String(predicate.result ?? predicate.decision ?? '')} ${subject[0]!.name.split(':')[0]}`,
    )
    assert.ok(sigstoreAccepts(pem, envelope), name)
    // cosign and securesystemslib skip a signature whose keyid is not the one that they compute (test/foreign).
    assert.deepEqual(
      envelope.signatures.map(({ keyid }) => keyid),
      [''],
    )
    assert.ok(await opensslAccepts(system.folder, pem, whole), name)
    const payload = Buffer.from(envelope.payload)
    payload[40]! ^= 1
    assert.ok(!sigstoreAccepts(pem, { ...envelope, payload }), name)
    const forged = whole.replace(Buffer.from(envelope.payload).toString('base64'), payload.toString('base64'))
    assert.ok(!(await opensslAccepts(system.folder, pem, forged)), name)
  }
  assert.deepEqual(predicates.sort(), [
    'https://in-toto.io/attestation/test-result/v0.1 FAILED artifact',
    'https://in-toto.io/attestation/test-result/v0.1 PASSED artifact',
    'urn:writ:attestation:approval:v1 approved ticket',
    'urn:writ:attestation:signing-key:v1  signing_key',
  ])
})

test('an attestation that was changed or deleted in the database is found and named', async () => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  await system.check()
  const database = new DatabaseSync(path.join(system.folder, 'data/writ.db'))
  const verify = async () => (await system.admin.post<VerifyReport>('/audit/verify', {})).body
  const whole = database.prepare('select digest, envelope from attestations order by digest').get() as {
    digest: string
    envelope: string
  }
  const put = database.prepare('update attestations set envelope = ? where digest = ?')
  put.run(whole.envelope.replace(/"payload":"e/, '"payload":"f'), whole.digest)
  const changed = await verify()
  assert.deepEqual([changed.ok, changed.code], [false, 'ATTESTATION_CHANGED'])
  put.run(whole.envelope, whole.digest)
  assert.equal((await verify()).ok, true)
  database.prepare('delete from attestations where digest = ?').run(whole.digest)
  const gone = await verify()
  assert.deepEqual([gone.code, typeof gone.index], ['ATTESTATION_MISSING', 'number'])
  database.close()
})
