/** How the server hands out the console, and what a page that was opened anew can ask for. Needs no browser. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { fastify } from 'fastify'
import { AppError } from '../../packages/server/src/platform/app-error.ts'
import { serveConsole } from '../../packages/server/src/platform/http/console.ts'
import type { TestSystem } from '../test-system.ts'
import { startConsole } from './scene.ts'

let system: TestSystem
before(async () => {
  system = await startConsole()
})
after(() => system[Symbol.asyncDispose]())

const get = (url: string, headers: Record<string, string> = {}) =>
  fetch(system.base + url, { headers, redirect: 'manual' })

test('a browser that asks for / is sent to the console, a program gets JSON', async () => {
  const browser = await get('/', { accept: 'text/html,application/xhtml+xml' })
  assert.equal(browser.status, 302)
  assert.equal(browser.headers.get('location'), '/app')
  assert.equal((await get('/', { accept: '*/*' })).headers.get('content-type'), 'application/json; charset=utf-8')
})

test('every address of a page answers the same page, never cached, under a policy with a nonce of its own', async () => {
  const [one, other] = await Promise.all([get('/app'), get('/app/default/tickets/12?tab=x')])
  const [text, deep] = [await one.text(), await other.text()]
  for (const answer of [one, other]) {
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('cache-control'), 'no-cache')
  }
  const policies = [one, other].map((answer) => answer.headers.get('content-security-policy') ?? '')
  const nonces = policies.map((policy) => /'nonce-([A-Za-z0-9_-]{22})'/.exec(policy)?.[1])
  assert.ok(nonces[0] && nonces[1] && nonces[0] !== nonces[1])
  assert.match(policies[0]!, /default-src 'none'; script-src 'self'; /)
  assert.doesNotMatch(policies[0]!, /unsafe/)
  assert.equal(text.replaceAll(nonces[0], '').length, deep.replaceAll(nonces[1], '').length)
  assert.ok(text.includes(nonces[0]))
})

test('files are named after their contents, kept for ever, and compressed for whoever takes that', async () => {
  const file = /src="(\/app\/-\/[^"]+\.js)"/.exec(await (await get('/app')).text())![1]!
  const zipped = await get(file, { 'accept-encoding': 'gzip' })
  assert.equal(zipped.headers.get('content-encoding'), 'gzip')
  assert.equal(zipped.headers.get('cache-control'), 'public, max-age=31536000, immutable')
  assert.equal(zipped.headers.get('content-type'), 'text/javascript; charset=utf-8')
  const best = await get(file, { 'accept-encoding': 'gzip, deflate, br' })
  assert.equal(best.headers.get('content-encoding'), 'br')
  const unwanted = await get(file, { 'accept-encoding': 'br;q=0, gzip' })
  assert.equal(unwanted.headers.get('content-encoding'), 'gzip')
  const plain = await get(file, { 'accept-encoding': 'identity' })
  assert.equal(plain.headers.get('content-encoding'), null)
  assert.equal(await plain.text(), await zipped.text())
})

test('nothing but the files of the bundle is served', async () => {
  for (const file of ['nothing.js', '', '..%2findex.html', '..%2f..%2fpackage.json', 'index.html'])
    assert.equal((await get(`/app/-/${file}`)).status, 404, file)
})

/** Nothing but a console, whose bundle is in this folder. */
async function serving(folder: string, name: string) {
  const app = fastify()
  app.setErrorHandler((error, _, reply) => reply.code(error instanceof AppError ? error.status : 500).send(''))
  await serveConsole(app, {
    folder,
    basePath: '',
    prefix: '/api/v1',
    name,
    identityProvider: false,
    passkeyHost: 'localhost',
  })
  return app
}

test('without a bundle the page says how to get one', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-no-console-'))
  t.after(() => rm(folder, { recursive: true }))
  const app = await serving(folder, 'A <b>')
  const answer = await app.inject('/app/default')
  assert.equal(answer.statusCode, 503)
  assert.match(answer.body, /The console was not built.*npm run build:console.*\/api\/v1\/docs/s)
  assert.match(answer.body, /<title>A &#60;b&#62;<\/title>/)
  assert.equal((await app.inject('/app/-/x.js')).statusCode, 404)
  await app.close()
})

test('a console that is built again under the server is served, and what it left behind is not there', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-console-'))
  t.after(() => rm(folder, { recursive: true }))
  const build = async (name: string, at: number) => {
    await rm(path.join(folder, '-'), { recursive: true, force: true })
    await mkdir(path.join(folder, '-'))
    await writeFile(path.join(folder, '-', name), `// ${name}`)
    await writeFile(path.join(folder, 'index.html'), `<script src="./-/${name}"></script>`)
    await utimes(path.join(folder, 'index.html'), at, at)
  }
  await build('old.js', 1_000)
  const app = await serving(folder, 'Writ')
  assert.match((await app.inject('/app')).body, /\/app\/-\/old\.js/)
  assert.equal((await app.inject('/app/-/old.js')).body, '// old.js')
  await build('new.js', 2_000)
  assert.match((await app.inject('/app/default')).body, /\/app\/-\/new\.js/)
  assert.equal((await app.inject('/app/-/new.js')).body, '// new.js')
  assert.equal((await app.inject('/app/-/old.js')).statusCode, 404)
  await app.close()
})

test('a page that was opened anew gets the token of its session; nobody else does', async () => {
  const base = system.base.replace('127.0.0.1', 'localhost')
  const api = (method: string, url: string, headers: Record<string, string>, body?: object) =>
    fetch(`${base}/api/v1${url}`, {
      method,
      headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
      body: body ? JSON.stringify(body) : null,
    })
  const { username, password } = system.admin
  const login = await api('POST', '/auth/session', {}, { username, password })
  const { csrf_token, expires_at } = (await login.json()) as { csrf_token: string; expires_at: string }
  const cookie = login.headers.get('set-cookie')!.split(';')[0]!
  const again = await api('GET', '/auth/session', { cookie })
  assert.equal(again.headers.get('cache-control'), 'no-store')
  assert.deepEqual(await again.json(), { csrf_token, expires_at })
  const ticket = { title: 'by cookie' }
  assert.equal((await api('POST', '/tickets', { cookie, 'x-csrf-token': csrf_token }, ticket)).status, 200)
  assert.equal((await api('POST', '/tickets', { cookie, 'x-csrf-token': 'guessed' }, ticket)).status, 403)
  assert.ok(!cookie.includes(csrf_token) && !csrf_token.includes(cookie.split('=')[1]!))

  assert.equal((await api('GET', '/auth/session', {})).status, 401)
  const bearer = await api('GET', '/auth/session', { authorization: `Bearer ${await system.admin.token()}` })
  assert.equal(((await bearer.json()) as { code: string }).code, 'SESSION_NOT_FOUND')
})
