import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { prepareWrit } from '../servers/writ.ts'

test('evidence is downloaded as it is, whatever its first bytes look like', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-bytes-'))
  const writ = await prepareWrit({ folder })
  try {
    await writ.start()
    await writ.login()
    await writ.call('POST', '/tickets', { title: 'exact bytes' })
    await writ.call('POST', '/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' })
    // "80" is a valid zlib header (RFC 1950), "PK" that of a zip: a compressor may take both for compressed.
    for (const [number, start] of ['80', 'PK\u0003\u0004', 'hostname'].entries()) {
      const sent = start + 'x'.repeat(5_000)
      assert.equal((await writ.upload(1, `${number}.txt`, sent)).status, 200)
      const answer = await writ.call('GET', `/artifacts/${number + 1}/download`, undefined, {
        'accept-encoding': 'gzip',
      })
      assert.equal(answer.body.text, sent)
    }
  } finally {
    await writ.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
