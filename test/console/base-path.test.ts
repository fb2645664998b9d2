/** The server below a path of a host that has others: behind a proxy that hands the path on, and behind one that takes it off. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as ask, createServer, type IncomingMessage } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import type { Ticket } from '@writ/api'
import WebSocket from 'ws'
import { openCommandLine } from '../../packages/cli/src/test-terminal.ts'
import { freePort } from '../servers/free-port.ts'
import { comesTo, openTab, skip, startConsole } from './scene.ts'

/** Answers `/writ` and what is below it from the server, nothing else; streams and sockets go through. */
async function startHost(port: number, target: () => number, takesOff: boolean) {
  const elsewhere: string[] = []
  const toServer = ({ method, url = '', headers }: IncomingMessage) =>
    ask({
      host: '127.0.0.1',
      port: target(),
      method,
      path: takesOff ? url.slice('/writ'.length) || '/' : url,
      headers,
    })
  const isOurs = ({ url = '' }: IncomingMessage) => /^\/writ(\/|\?|$)/.test(url) || !elsewhere.push(url)
  const host = createServer((request, reply) => {
    if (!isOurs(request)) return void reply.writeHead(404).end('another application')
    const far = toServer(request)
    far.on('response', (answer) => {
      reply.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(reply)
    })
    far.on('error', () => reply.destroy())
    reply.on('close', () => far.destroy())
    request.pipe(far)
  })
  host.on('upgrade', (request, socket, head) => {
    if (!isOurs(request)) return socket.destroy()
    const far = toServer(request)
    far.on('error', () => socket.destroy())
    far.on('response', () => socket.destroy())
    far.on('upgrade', (answer, other, rest) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}`)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
      socket.write(rest)
      other.write(head)
      socket.pipe(other).pipe(socket)
      for (const end of [socket, other]) end.on('error', () => {})
      socket.on('close', () => other.destroy())
      other.on('close', () => socket.destroy())
    })
    far.end()
  })
  host.listen(port, '127.0.0.1')
  await once(host, 'listening')
  return {
    /** What was asked for beside it. */
    elsewhere,
    async [Symbol.asyncDispose]() {
      host.closeAllConnections()
      await new Promise((done) => host.close(done))
    },
  }
}

for (const takesOff of [false, true])
  test(`all of the server works below a path that a proxy ${takesOff ? 'takes off' : 'hands on'}`, {
    skip,
  }, async (t) => {
    const port = await freePort()
    const url = `http://localhost:${port}/writ`
    await using system = await startConsole({ env: { WRIT_PUBLIC_URL: url } })
    await using host = await startHost(port, () => Number(new URL(system.base).port), takesOff)
    await system.employee.post<Ticket>('/tickets', { title: 'Below a path' })

    await t.test('pages, what they load later, what they hear, and the address bar', async () => {
      await using tab = await openTab(system)
      const { page, broken } = tab
      const at = (place: string) => comesTo(async () => page.url().slice(url.length), place)
      await page.goto(url)
      await page.locator('input[name=username]').fill(system.admin.username)
      await page.locator('input[name=password]').fill(system.admin.password)
      await page.locator('form button[type=submit]').click()
      await at('/app/default')
      await page.locator('nav.side').getByRole('link', { name: 'Tickets' }).click()
      await page.getByRole('link', { name: '#1 Below a path' }).click()
      await page.getByRole('heading', { name: '#1 Below a path' }).waitFor()
      await at('/app/default/tickets/1')
      await page.locator('.connection-ok').waitFor()
      await system.employee.post('/tickets/1/comments', { body: 'heard' })
      await page.locator('.said', { hasText: 'heard' }).waitFor()
      await page.reload()
      await page.locator('.said', { hasText: 'heard' }).waitFor()
      await page.locator('nav.side').getByRole('link', { name: 'Audit' }).click()
      // The verifier is a file of its own, beside the page.
      await page.locator('input[type=file]').setInputFiles(path.join(import.meta.dirname, 'base-path.test.ts'))
      await page.locator('.bundle .verdict', { hasText: 'Does not verify' }).waitFor()
      await page.goto(`${url}/app/no/such/page`)
      await page.goto(`${url}/api/v1/docs`)
      await page.locator('.swagger-ui .opblock').first().waitFor()
      await page.goto(`${url}/approve/1`)
      // Shown by its script.
      await page.locator('#login').waitFor()
      assert.deepEqual(broken, [])
    })

    await t.test('the command line, and a socket', async (sub) => {
      const { writ } = await openCommandLine(sub, undefined, { url, token: await system.admin.token() })
      const { code, out, err } = await writ(['ticket', 'list', '-o', 'json'])
      assert.deepEqual([code, err], [0, ''])
      assert.match(out, /Below a path/)
      const log = await writ(['audit', 'verify'])
      assert.equal(log.code, 0, log.err)
      const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws`, {
        headers: { authorization: `Bearer ${await system.admin.token()}` },
      })
      await once(socket, 'message')
      socket.terminate()
    })

    await t.test('addresses in answers', async () => {
      const { origin } = new URL(url)
      const get = async (place: string, headers: Record<string, string> = {}) =>
        fetch(`${origin}${place}`, { headers, redirect: 'manual' })
      assert.equal((await get('/writ', { accept: 'text/html' })).headers.get('location'), '/writ/app')
      assert.equal(((await (await get('/writ/')).json()) as { docs: string }).docs, '/writ/api/v1/docs')
      const problem = (await (await get('/writ/api/v1/tickets/1?x=1')).json()) as { type: string; instance: string }
      assert.equal(problem.instance, '/writ/api/v1/tickets/1')
      assert.equal((await get(problem.type.replace(/#.*/, ''))).status, 200)
      const document = (await (await get('/writ/api/v1/openapi.json')).json()) as { servers: { url: string }[] }
      assert.deepEqual(
        document.servers.map((one) => one.url),
        ['/writ'],
      )
      // A probe beside the server asks without the path.
      assert.equal((await fetch(`${system.base}/readyz`)).status, 200)
      assert.equal((await fetch(`${system.base}/writ/readyz`)).status, 200)
      assert.equal((await fetch(`${system.base}/writer/readyz`)).status, 404)
    })
    // Pages without an icon of their own are asked for that of the host.
    assert.deepEqual(
      host.elsewhere.filter((one) => one !== '/favicon.ico'),
      [],
    )
  })
