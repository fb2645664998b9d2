import assert from 'node:assert/strict'
import { mkdtemp, readdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { removeFolder } from '../../../../test/servers/guard.ts'
import { folderId } from './folder-id.ts'

test('a folder has one id, whoever asks first and whatever path leads to it', async () => {
  const above = await mkdtemp(path.join(tmpdir(), 'writ-id-'))
  try {
    const folder = path.join(above, 'data', 'blobs')
    const ids = await Promise.all(Array.from({ length: 20 }, () => folderId(folder, 0o750)))
    assert.match(ids[0]!, /^[0-9a-f-]{36}$/)
    assert.equal(new Set(ids).size, 1)
    await symlink(folder, path.join(above, 'mounted'))
    assert.equal(await folderId(path.join(above, 'mounted'), 0o750), ids[0])
    assert.notEqual(await folderId(path.join(above, 'other'), 0o750), ids[0])
    assert.deepEqual(await readdir(folder), ['.folder-id'])
  } finally {
    removeFolder(above)
  }
})
