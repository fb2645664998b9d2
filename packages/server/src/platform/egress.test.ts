import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createEgress, createEgressOf, EgressRefused, EgressTimeout, isPublic } from './egress.ts'

async function serve(
  handler: Parameters<typeof createServer>[1],
): Promise<AsyncDisposable & { port: number; server: Server }> {
  const server = createServer(handler)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    server,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const get = (url: string) => ({ url, method: 'GET' as const, timeoutMs: 2_000, maxBytes: 100 })
const post = (url: string) => ({ url, method: 'POST' as const, body: '{}', timeoutMs: 2_000, maxBytes: 100 })
const strict = createEgress({ allow: [], loopback: false })
const local = createEgress({ allow: [], loopback: true })

test('only addresses of the public internet are public', () => {
  for (const address of ['1.1.1.1', '8.8.8.8', '2606:4700:4700::1111', '::ffff:1.1.1.1'])
    assert.ok(isPublic(address), address)
  const others = [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
    '64:ff9b::a00:1',
    'fc00::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '2001:db8::1',
    '2002:a00:1::',
  ]
  for (const address of others) assert.ok(!isPublic(address), address)
})

test('what can be told from the url is refused before anything is sent', () => {
  const urls = [
    'ftp://example.com/',
    'https://user:password@example.com/',
    'https://10.0.0.1/',
    'https://[::1]/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://[::ffff:127.0.0.1]/',
    'http://1.1.1.1/',
    'https://1.1.1.1:25/',
  ]
  for (const url of urls) assert.throws(() => strict.check(url), EgressRefused, url)
  strict.check('https://1.1.1.1/')
  strict.check('https://example.com:8443/hook')
})

test('a name that has one private address among public ones is refused', async () => {
  const egress = createEgress({ allow: [], loopback: false }, async () => [
    { address: '1.1.1.1', family: 4 },
    { address: '10.0.0.7', family: 4 },
  ])
  await assert.rejects(egress.send(get('https://mixed.example/')), /mixed\.example is at 10\.0\.0\.7/)
})

test('the connection goes to the address that was checked, whatever the name says a moment later', async () => {
  await using server = await serve((request, response) => response.end(`hello ${request.headers.host}`))
  let asked = 0
  const egress = createEgress({ allow: ['rebound.example'], loopback: false }, async () => {
    asked++
    return asked === 1 ? [{ address: '127.0.0.1', family: 4 }] : [{ address: '192.0.2.1', family: 4 }]
  })
  const answer = await egress.send(get(`http://rebound.example:${server.port}/`))
  assert.equal(answer.body.toString(), `hello rebound.example:${server.port}`)
  assert.equal(asked, 1)
})

test('what may arrive twice goes over a connection that was kept, as long as the name has the same addresses', async () => {
  let connections = 0
  await using server = await serve((request, response) => request.resume().on('end', () => response.end('heard')))
  server.server.on('connection', () => connections++)
  let addresses = ['127.0.0.1']
  const egress = createEgress({ allow: [], loopback: true }, async () =>
    addresses.map((address) => ({ address, family: 4 })),
  )
  const url = `http://somewhere.test:${server.port}/`
  const send = async (more: object) => (await egress.send({ ...post(url), ...more })).body.toString()
  assert.equal(await send({ reuse: true }), 'heard')
  assert.equal(await send({ reuse: true }), 'heard')
  assert.equal(connections, 1)
  assert.equal(await send({}), 'heard')
  assert.equal(connections, 2)
  addresses = ['127.0.0.1', '127.0.0.2']
  assert.equal(await send({ reuse: true }), 'heard')
  assert.equal(connections, 3)
})

test('a message under which a kept connection is closed is sent again', async () => {
  const heard: string[] = []
  const seen = new Set<unknown>()
  await using server = await serve((request, response) => {
    request.resume().on('end', () => {
      heard.push(request.url!)
      const isKept = seen.has(request.socket)
      seen.add(request.socket)
      if (isKept) request.socket.destroy()
      else response.end('heard')
    })
  })
  const send = (name: string, more: object) =>
    local.send({ ...post(`http://127.0.0.1:${server.port}/${name}`), ...more })
  assert.equal((await send('first', { reuse: true })).status, 200)
  assert.equal((await send('second', { reuse: true })).status, 200)
  assert.deepEqual(heard, ['/first', '/second', '/second'])
  // One that is new and closed is one that failed.
  server.server.once('connection', (socket) => socket.destroy())
  await assert.rejects(send('third', { reuse: true }))
  assert.equal(heard.length, 3)
})

test('a redirect to a private address is refused', async () => {
  await using server = await serve((_request, response) => {
    response.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data' })
    response.end()
  })
  await assert.rejects(local.send(post(`http://127.0.0.1:${server.port}/`)), /169\.254\.169\.254/)
})

test('a redirect to another origin gets the message, not the credentials', async () => {
  const seen: (string | undefined)[] = []
  await using target = await serve((request, response) => {
    seen.push(request.headers.authorization, request.headers['webhook-id'] as string)
    request.resume().on('end', () => response.end('taken'))
  })
  await using server = await serve((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(308, { location: `http://127.0.0.1:${target.port}/` })
    response.end()
  })
  const answer = await local.send({
    ...post(`http://127.0.0.1:${server.port}/`),
    headers: { 'webhook-id': 'm' },
    credentials: { authorization: 'Bearer x' },
  })
  assert.equal(answer.body.toString(), 'taken')
  assert.deepEqual(seen, ['Bearer x', undefined, 'm'])
})

test('a POST does not become a GET, and a ring of redirects ends', async () => {
  let hits = 0
  await using server = await serve((request, response) => {
    hits++
    response.writeHead(request.url === '/see-other' ? 303 : 307, { location: '/' })
    response.end()
  })
  assert.equal((await local.send(post(`http://127.0.0.1:${server.port}/see-other`))).status, 303)
  assert.equal(hits, 1)
  await assert.rejects(local.send(post(`http://127.0.0.1:${server.port}/`)), /more than 3 redirects/)
  assert.equal(hits, 5)
})

test('an answer that does not end is cut, one that does not begin times out', async () => {
  await using server = await serve((request, response) => {
    if (request.url === '/silent') return
    response.write('x'.repeat(1_000))
  })
  const cut = await local.send(get(`http://127.0.0.1:${server.port}/`))
  assert.equal(cut.body.length, 100)
  await assert.rejects(local.send({ ...get(`http://127.0.0.1:${server.port}/silent`), timeoutMs: 50 }), EgressTimeout)
})

test('an answer that changes to another protocol is an answer, and nothing more is read', async () => {
  await using server = await serve(() => {})
  server.server.on('connection', (socket) => {
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n'),
    )
  })
  const url = `http://127.0.0.1:${server.port}/`
  for (const out of [get(url), post(url), { ...post(url), reuse: true as const }]) {
    const { status, body } = await local.send(out)
    assert.deepEqual([status, body.length], [101, 0])
  }
})

test('a range or a name of the allow-list opens what is private, and nothing else', () => {
  const egress = createEgress({ allow: ['10.0.0.0/8', 'hooks.internal'], loopback: false })
  egress.check('http://10.1.2.3:25/')
  assert.throws(() => egress.check('http://192.168.0.1/'), EgressRefused)
  assert.throws(() => egress.check('http://127.0.0.1/'), EgressRefused)
})

test('what is allowed to one project is closed to the others', async () => {
  await using server = await serve((_, response) => response.end('heard'))
  const slugs = new Map([
    ['1', 'netops'],
    ['2', 'web'],
  ])
  const egressOf = createEgressOf(
    { allow: ['10.0.0.0/8', '127.0.0.0/8@netops', 'hooks.internal@web'], loopback: false },
    async (project) => slugs.get(project),
  )
  const url = `http://127.0.0.1:${server.port}/`
  const [netops, web, other] = [await egressOf('1'), await egressOf('2'), await egressOf('3')]
  assert.equal((await netops.send(get(url))).body.toString(), 'heard')
  for (const egress of [web, other]) await assert.rejects(egress.send(get(url)), EgressRefused)
  for (const egress of [netops, web, other]) egress.check('http://10.1.2.3/')
})

test('who has been told to stop resolves no name, whose failure nobody would hear', async () => {
  let asked = 0
  const egress = createEgress({ allow: [], loopback: false }, async () => {
    asked++
    throw new Error('no such name')
  })
  const stopped = { ...get('https://nowhere.example/'), signal: AbortSignal.abort(new Error('stop')) }
  await assert.rejects(egress.send(stopped), /stop/)
  assert.equal(asked, 0)
})
