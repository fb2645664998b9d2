import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { TestSystem } from '../test-system.ts'
import { ok } from '../verifies.ts'

test('whoever leaves in the middle of a download or a bundle is no failure of the server', async () => {
  await using sys = await TestSystem.start()
  const ticket = ok(await sys.admin.post<{ number: number }>('/tickets', { title: 'Large evidence' })).number
  const run = ok(
    await sys.admin.post<{ number: number }>('/runs', {
      run_type: 'proof',
      ticket_id: ticket,
      script_id: 'proof.file_hash',
    }),
  ).number
  // More than the buffers of both sides hold, and nothing that becomes smaller.
  const bytes = crypto.getRandomValues(new Uint8Array(65_536))
  const large = new Uint8Array(32 * 1024 * 1024)
  for (let at = 0; at < large.length; at += bytes.length)
    large.set(
      bytes.map((byte) => byte ^ (at >> 16)),
      at,
    )
  const { artifact } = ok(await sys.admin.upload(run, 'large.bin', large))
  const authorization = `Bearer ${await sys.admin.token()}`

  for (const [method, route, body] of [
    ['GET', `/artifacts/${artifact.id}/download`, ''],
    ['POST', '/evidence/export', JSON.stringify({ subject: 'ticket', id: ticket })],
  ] as const) {
    await new Promise<void>((left, lost) => {
      const asked = request(`${sys.base}/api/v1${route}`, {
        method,
        headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
      })
      asked.once('error', lost).once('response', (answer) => {
        answer
          .on('error', () => {})
          .once('data', () => {
            answer.destroy()
            left()
          })
      })
      asked.end(body)
    })
    // Answered after it, so that the server has seen that the reader left.
    for (let i = 0; i < 30; i++) ok(await sys.admin.get('/tickets'))
  }
  assert.doesNotMatch(sys.log(), /request failed|Reply was already sent/)
})
