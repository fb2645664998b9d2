// What earlier versions wrote still verifies, and what was changed in it still does not: evidence outlives the version that made it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { type BundleCheck, followKeyChanges, keyChangePath, parsePolicy, verifyBundle, verifyLog } from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { verifyEd25519 } from '../../packages/server/src/audit/index.ts'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import type { About } from './earlier/make.ts'
import { folderFiles, unpack, verifySh, verifyZipFile } from './scene.ts'

const run = promisify(execFile)
const on = { sha256, sha512, verify: verifySignature }
const MAIN = path.resolve(import.meta.dirname, '../../packages/cli/src/main.ts')
const KEPT = path.join(import.meta.dirname, 'earlier')

const scratch = await mkdtemp(path.join(tmpdir(), 'writ-earlier-'))
after(() => rm(scratch, { recursive: true, force: true }))
const versions = (await readdir(KEPT)).filter((name) => /^\d{4}-\d{2}-\d{2}-[0-9a-f]+$/.test(name)).sort()
assert.ok(versions.length >= 4)

let built: ReturnType<typeof buildVerifier> | undefined

const codesOf = (checks: readonly BundleCheck[]): string[] =>
  checks.flatMap(({ code, parts = [] }) => [code, ...codesOf(parts)])

/** What a version that could do this has to be told of in its bundle of the ticket. */
const TOLD: Readonly<Record<string, BundleCheck['code']>> = {
  approval: 'approved_by_ssh',
  'proof runs': 'judged',
  'artifact deleted': 'artifact_left_out',
  'payload erased': 'payload_erased',
  cosigned: 'quorum',
}

for (const version of versions) {
  const kept = path.join(KEPT, version)
  const about = JSON.parse(await readFile(path.join(kept, 'about.json'), 'utf8')) as About
  const zips = (await readdir(kept)).filter((name) => name.endsWith('.zip'))
  const policyFile = path.join(kept, 'witnesses.policy')
  const policy = parsePolicy(await readFile(policyFile, 'utf8'), sha256)
  const vkeys = Object.values(about.logs).flat()

  for (const zip of zips)
    test(`${zip} of ${version} verifies, by the library, the command and its own script`, async () => {
      const file = path.join(kept, zip)
      const report = await verifyZipFile(file, { vkeys, policy })
      assert.equal(report.fault, undefined, JSON.stringify(report.fault))
      const codes = codesOf(report.checks)
      if (zip === 'task.zip') assert.ok(codes.includes('task'), codes.join())
      else if (zip === 'passkey.zip')
        for (const code of ['approved_by_passkey', 'key_enrolled_by', 'quorum'])
          assert.ok(codes.includes(code as never), code)
      else
        for (const did of about.did) if (did in TOLD) assert.ok(codes.includes(TOLD[did]!), `${did}: ${codes.join()}`)
      assert.equal(codes.includes('whole_log'), zip === 'whole.zip')

      const fingerprint = report.rests.find(({ code }) => code === 'manifest_key')!.value
      const flags = ['--fingerprint', fingerprint, '--policy', policyFile]
      const { stdout } = await run(process.execPath, [MAIN, 'verify', file, ...flags])
      assert.match(stdout, /\nverified {2}\S+\.zip\n$/)
      const folder = path.join(scratch, `${version}-${zip}`)
      await unpack(file, folder)
      // Neither that script nor the files that it reads can change any more, only what it is run by: once of each kind is enough.
      const scripted = version === versions.at(-1)
      if (scripted) {
        const script = await verifySh(folder, fingerprint)
        assert.deepEqual([script.code, script.err], [0, ''], script.err)
        assert.match(script.out, /\nOK\. Compare SHA256:/)
      }

      // An entry of each log, changed.
      const { names } = await folderFiles(folder)
      const entryOf = (log: string) =>
        names.find((one) => one.startsWith(`logs/${log}-0/entries/`) && one.endsWith('.json'))
      for (const name of [entryOf('project'), entryOf('instance')]) {
        assert.ok(name)
        const changed = path.join(scratch, 'changed')
        await rm(changed, { recursive: true, force: true })
        await cp(folder, changed, { recursive: true })
        await writeFile(
          path.join(changed, name),
          (await readFile(path.join(folder, name), 'utf8')).replace('"v":1', '"v":2'),
        )
        assert.equal((await verifyBundle(await folderFiles(changed), on)).fault?.code, 'FILE_CHANGED')
        if (scripted) assert.equal((await verifySh(changed)).code, 1)
      }
    })

  for (const [name, keys] of Object.entries(about.logs))
    test(`the ${name} log of ${version} verifies with the keys that sign it, which follow from its first, and with nobody else's`, async () => {
      const folder = path.join(kept, 'logs', name)
      const verify = (trusted: readonly string[]) =>
        verifyLog({
          read: (file) =>
            readFile(path.join(folder, file)).then(
              (bytes) => new Uint8Array(bytes),
              () => null,
            ),
          vkeys: trusted,
          origin: keys[0]!.split('+')[0]!,
          hash: sha256,
          verify: verifyEd25519,
        })
      const verdict = await verify(keys)
      assert.ok(verdict.ok, JSON.stringify(verdict))
      assert.ok((await verify(keys.slice(-1))).ok)
      const others = vkeys.filter((vkey) => !keys.includes(vkey))
      assert.equal((await verify(others)).ok, false)
      // Whoever knows the first key follows to the newest.
      const files = await Promise.all(
        keys.slice(1).map((_, n) => readFile(path.join(folder, keyChangePath(n)), 'utf8')),
      )
      const origin = keys[0]!.split('+')[0]!
      const followed = await followKeyChanges({ vkeys: [keys[0]!], files, origin, hash: sha256, verify: verifyEd25519 })
      assert.deepEqual([followed.ok, followed.vkeys], [true, keys])
    })

  test(`the logs of ${version} verify in Go`, { skip: missingBackend('Go', missingGo()) }, async () => {
    built ??= buildVerifier(scratch)
    const independent = await built
    for (const [name, keys] of Object.entries(about.logs)) {
      const { ok, said } = await independent.verify(path.join(kept, 'logs', name), keys.at(-1)!)
      assert.ok(ok, `${name}: ${said}`)
    }
  })
}
