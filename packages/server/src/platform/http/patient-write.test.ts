import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { writePatiently } from './patient-write.ts'

const never = new AbortController().signal

test('a reader that does not read is given up, and what is kept for it stays small', async (t) => {
  const outcome = Promise.withResolvers<{ written: number; kept: number }>()
  const server = createServer(async (_request, response) => {
    let written = 0
    while (await writePatiently(response, 'x'.repeat(65_536), 100, never)) written += 65_536
    outcome.resolve({ written, kept: response.writableLength })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const asking = request({ port: (server.address() as AddressInfo).port })
  asking.on('response', (response) => response.pause())
  asking.on('error', () => {})
  asking.end()
  t.after(() => {
    asking.destroy()
    server.closeAllConnections()
    server.close()
  })
  const { written, kept } = await outcome.promise
  assert.ok(written > 0)
  // One chunk and its framing; what the kernel holds is the kernel's.
  assert.ok(kept <= 2 * 65_536, `${kept} bytes are kept`)
})

test('a reader that reads slowly gets everything', async (t) => {
  const server = createServer(async (_request, response) => {
    for (let i = 0; i < 100; i++) if (!(await writePatiently(response, 'x'.repeat(65_536), 5_000, never))) return
    response.end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => server.close())
  let size = 0
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  for await (const chunk of response.body!) {
    size += chunk.length
    await new Promise((later) => setImmediate(later))
  }
  assert.equal(size, 6_553_600)
})
