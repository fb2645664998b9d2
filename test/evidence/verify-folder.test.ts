// What an auditor sees who has the data folder of a server and not the server.
import assert from 'node:assert/strict'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { TestSystem } from '../test-system.ts'
import { writ } from './command-line.ts'

test('every log of a data folder is verified and named, and so is the one that was changed', async () => {
  await using system = await TestSystem.start()
  const { admin, employee } = system
  assert.equal((await admin.post('/projects', { slug: 'factory-a', name: 'A' })).status, 201)
  assert.equal((await employee.post('/tickets', { title: 'Replace the main switch' })).status, 200)
  await system.settle()
  const data = path.join(system.folder, 'data')
  const verify = () => writ(system, system.folder, 'audit', 'verify', '--data-dir', data)

  const sound = await verify()
  assert.equal(sound.code, 0, sound.err)
  for (const place of ['the instance', 'the project default', 'the project factory-a'])
    assert.match(sound.out, new RegExp(`Verified +\\d+ entries of ${place}: writ\\.log/[0-9a-f]{32}\n`))

  const database = new DatabaseSync(path.join(data, 'writ.db'))
  database.exec(`update audit_events set event = replace(event, 'main', 'other') where event_type = 'ticket.created'`)
  database.close()
  const changed = await verify()
  assert.equal(changed.code, 5)
  assert.match(
    changed.err,
    /\(writ\.log\/[0-9a-f]{32}, log of the project default, first bad entry \d+\).*\[PAYLOAD_CHANGED\]/,
  )
})
