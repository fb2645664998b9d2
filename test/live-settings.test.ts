// Settings that are changed in a file while a server runs.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { TestSystem, until } from './test-system.ts'
import { ok } from './verifies.ts'

test('limits and addresses in .env count without a restart', async () => {
  await using system = await TestSystem.start({ process: true })
  const write = (text: string) => writeFile(path.join(system.folder, '.env'), text)
  const made = await system.admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' })
  const { token } = ok(made, 201)
  const dispatch = async () => {
    const answer = await fetch(`${system.base}/dispatch`, {
      method: 'POST',
      headers: { 'x-api-token': token, 'content-type': 'application/json' },
      body: JSON.stringify({ task: 'system.ping', taskData: {} }),
    })
    await answer.arrayBuffer()
    return answer.status
  }
  assert.deepEqual([await dispatch(), await dispatch()], [200, 200])
  await write('RATE_LIMIT_MAX=2\n')
  await until('two are the limit', async () => (await dispatch()) === 429)
  await write('RATE_LIMIT_MAX=0\nALLOWED_IPS=10.0.0.1\n')
  await until('nobody here may connect', async () => (await dispatch()) === 403)
  await write('RATE_LIMIT_MAX=0\n')
  await until('there is no limit', async () => (await dispatch()) === 200)
})

test('a stream ends within a heartbeat when its address may not connect any more', async () => {
  await using system = await TestSystem.start({ process: true, env: { WRIT_STREAM_HEARTBEAT_SECONDS: '1' } })
  const write = (text: string) => writeFile(path.join(system.folder, '.env'), text)
  const authorization = `Bearer ${await system.admin.token()}`
  const stream = await fetch(`${system.base}/api/v1/events`, {
    headers: { accept: 'text/event-stream', authorization },
  })
  assert.equal(stream.status, 200)
  await write('ALLOWED_IPS=10.0.0.1\n')
  await stream.text()
  // It was for the address and not for the session.
  await write('')
  await until('everybody may connect', async () => (await system.admin.get('/auth/me')).status === 200)
})
