/** Whoever holds the key of the manifest can sign whatever: what is changed behind it is named, by both verifiers. */
import assert from 'node:assert/strict'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { verifyBundle } from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { openKeys } from '../../packages/server/src/audit/index.ts'
import { TestSystem } from '../test-system.ts'
import { exportBundle, folderFiles, makeTicket, signFolder, unpack, verifySh } from './scene.ts'

const on = { sha256, sha512, verify: verifySignature }

test('a bundle that was changed and signed again is refused, or says what is not in it', async (t) => {
  await using system = await TestSystem.start()
  const ticket = await makeTicket(system)
  const zip = path.join(system.folder, 'bundle.zip')
  const good = path.join(system.folder, 'good')
  const folder = path.join(system.folder, 'changed')
  await exportBundle(system, zip, { subject: 'ticket', id: ticket.number })
  await unpack(zip, good)
  const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
  const { names } = await folderFiles(good)
  const named = (pattern: RegExp) => names.find((name) => pattern.test(name))!
  const text = (name: string) => readFile(path.join(good, name), 'utf8')
  const described = JSON.parse(await text('bundle.json'))

  /** The bundle with these files instead of its own; null for none. */
  async function changed(files: Readonly<Record<string, string | null>>) {
    await rm(folder, { recursive: true, force: true })
    await cp(good, folder, { recursive: true })
    for (const [name, content] of Object.entries(files)) {
      if (content === null) await rm(path.join(folder, name), { recursive: true })
      else await writeFile(path.join(folder, name), content)
    }
    await signFolder(folder, keys)
    return { report: await verifyBundle(await folderFiles(folder), on), script: await verifySh(folder) }
  }
  const about = (more: object) => ({ 'bundle.json': JSON.stringify({ ...described, ...more }) })
  const [record, outputs, rules] = [named(/^tickets\//), named(/^runs\/.*outputs/), named(/^runs\/.*rules/)]
  const envelope = named(/^attestations\//)
  const approval = path.dirname(named(/^approvals\//))
  const artifact = described.artifacts[0]
  const without = { ...artifact, path: null, left_out: 'deleted' }
  const { signatures, ...signed } = JSON.parse(await text(envelope))
  const other = { keyid: 'another', sig: signatures[0].sig.replace(/^..../, 'AAAA') }

  const refusals: [string, Readonly<Record<string, string | null>>, string, RegExp][] = [
    [
      'another subject',
      about({ subject: { ...described.subject, id: described.project.id } }),
      'BUNDLE_MALFORMED',
      /bundle\.json: no entry tells of its subject/,
    ],
    [
      'two names that a system may take for one',
      { [artifact.path.replace('core', 'Core')]: 'x' },
      'MANIFEST_MALFORMED',
      /SHA256SUMS: artifacts\/1-core_switch\.json is named twice/,
    ],
    ['no signature of the approver', { [approval]: null }, 'APPROVAL_INVALID', /the person's signature is not here/],
    [
      'another text of the ticket',
      { [record]: (await text(record)).replace('hall 3', 'hall 4') },
      'RECORD_CHANGED',
      /tickets\/.*: no entry names this version/,
    ],
    ['other findings', { [outputs]: '{}' }, 'RECORD_CHANGED', /outputs\.json: not the one that was attested/],
    ['other rules', { [rules]: '{}' }, 'RECORD_CHANGED', /rules\.json: not the one that was attested/],
    [
      'a file of nobody',
      { 'artifacts/9-x.txt': 'x' },
      'ARTIFACT_CHANGED',
      /9-x\.txt: bundle\.json does not describe it/,
    ],
    [
      'no signature of the server',
      { [envelope]: JSON.stringify({ ...signed, signatures: [other] }) },
      'ATTESTATION_INVALID',
      /the signature is not valid/,
    ],
  ]
  for (const [title, files, code, said] of refusals)
    await t.test(title, async () => {
      const { report, script } = await changed(files)
      assert.equal(report.fault?.code, code)
      assert.equal(script.code, 1, script.out)
      assert.match(script.err, said)
    })

  await t.test('what is left out is said', async () => {
    const files = { [record]: null, [outputs]: null, [artifact.path]: null, 'remarks.txt': 'trust me' }
    const artifacts = [without, ...described.artifacts.slice(1)]
    const { report, script } = await changed({ ...files, ...about({ artifacts }) })
    assert.equal(report.fault, undefined)
    const lines = report.checks.flatMap((check) => [check, ...(check.parts ?? [])])
    assert.deepEqual(
      lines.filter(({ state, code }) => state === 'left out' || code === 'unknown_file').map(({ code }) => code),
      ['unknown_file', 'artifact_untold', 'record_left_out', 'record_left_out'],
    )
    assert.equal(script.code, 0, script.err)
    assert.match(
      script.out,
      /^artifact 1: not here, deleted as only the maker of this bundle says; no entry of the log does$/m,
    )
  })

  await t.test('of several signatures one has to be good', async () => {
    const { report, script } = await changed({
      [envelope]: JSON.stringify({ ...signed, signatures: [other, ...signatures] }),
    })
    assert.equal(report.fault, undefined)
    assert.equal(script.code, 0, script.err)
  })
})
