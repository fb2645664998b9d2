import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { prepareWrit } from '../servers/writ.ts'
import { holds, ok } from '../verifies.ts'

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

holds(
  'a form that is none, or that carries a second file, is refused and keeps nothing',
  async ({ base, employee }) => {
    const { token } = ok(await employee.post<{ token: string }>('/tokens', { name: 'raw', role: 'employee' }), 201)
    const ticket = ok(await employee.post<{ number: number }>('/tickets', { title: 'forms' }))
    const run = ok(
      await employee.post<{ number: number }>('/runs', {
        run_type: 'proof',
        ticket_id: ticket.number,
        finalize: 'manual',
      }),
    )
    const disposition = 'content-disposition: form-data; name='
    const file = (name: string, bytes = 'x') => `--b\r\n${disposition}"file"; filename="${name}"\r\n\r\n${bytes}\r\n`
    const field = (name: string, value: string) => `--b\r\n${disposition}"${name}"\r\n\r\n${value}\r\n`
    const send = async (body: string | Buffer, type = 'multipart/form-data; boundary=b', more = {}) => {
      const answer = await fetch(`${base}/api/v1/artifacts?run_id=${run.number}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': type, ...more },
        body,
      })
      const { code } = (await answer.json()) as { code?: string }
      return [answer.status, code]
    }
    const whole = `${file('a.cfg')}--b--\r\n`
    for (const [title, answer] of [
      ['no end', await send(file('a.cfg'))],
      ['ends within the file', await send(file('a.cfg').slice(0, -2))],
      ['a boundary that does not occur', await send(whole, 'multipart/form-data; boundary=other')],
      ['no boundary', await send(whole, 'multipart/form-data')],
      ['compressed', await send(gzipSync(whole), undefined, { 'content-encoding': 'gzip' })],
      ['a field of no JSON', await send(field('x"\r\ncontent-type: "application/json', '{'))],
      ['more fields than any client sends', await send(field('x', '1').repeat(30) + whole)],
      ['a name that all objects share', await send(field('__proto__', '1') + whole)],
    ] as const)
      assert.deepEqual(answer, [400, 'MULTIPART_INVALID'], title)
    assert.deepEqual(await send(`${file('a.cfg')}${whole}`), [422, 'FILES_TOO_MANY'])
    assert.deepEqual(await send(`${field('file', 'x')}--b--\r\n`), [422, 'FILE_MISSING'])
    assert.deepEqual(ok(await employee.get<unknown[]>(`/artifacts/run/${run.number}`)), [])
    assert.deepEqual(await send(`${field('note', 'x') + file('a.cfg') + field('note', 'y')}--b--\r\n`), [
      200,
      undefined,
    ])
  },
)
