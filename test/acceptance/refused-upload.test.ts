import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { prepareWrit } from '../servers/writ.ts'

test('an upload that is refused early does not hold up the next request on its connection', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-refused-'))
  const writ = await prepareWrit({ folder })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (method: string, route: string, headers: http.OutgoingHttpHeaders, body?: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const request = http.request(
        `${writ.url}/api/v1${route}`,
        { method, agent, headers, timeout: 10_000 },
        (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0)),
      )
      request.on('timeout', () => request.destroy(new Error(`${method} ${route} was not answered`)))
      request.on('error', reject).end(body)
    })
  try {
    await writ.start()
    await writ.login()
    const body = Buffer.concat([
      Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'),
      Buffer.alloc(3_000_000, 'a'),
      Buffer.from('\r\n--b--\r\n'),
    ])
    const upload = { ...writ.authorised(), 'content-type': 'multipart/form-data; boundary=b' }
    assert.equal(await ask('POST', '/artifacts?run_id=77', { ...upload, 'content-length': body.length }, body), 404)
    assert.equal(await ask('GET', '/tickets', writ.authorised()), 200)
  } finally {
    agent.destroy()
    await writ.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
