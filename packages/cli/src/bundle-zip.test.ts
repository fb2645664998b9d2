import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openBundle } from './bundle-zip.ts'

const folder = await mkdtemp(join(tmpdir(), 'writ-zip-'))
after(() => rm(folder, { recursive: true, force: true }))
const KEPT = join(import.meta.dirname, '../../../test/evidence/earlier/2026-11-28-07ca6c5/ticket.zip')

test('a bundle with another archive before it, which other programs would unpack, is refused', async () => {
  const bundle = await readFile(KEPT)
  const both = join(folder, 'both.zip')
  await writeFile(both, Buffer.concat([bundle, bundle]))
  await assert.rejects(openBundle(both), /the archive has something around its directory/)
})

test('and so is one whose directory calls a file otherwise than the file itself', async () => {
  const bundle = await readFile(KEPT)
  const other = join(folder, 'other.zip')
  bundle.write('READYE', bundle.indexOf('README'))
  await writeFile(other, bundle)
  await assert.rejects(openBundle(other), /the archive says two things of README\.txt/)
})
