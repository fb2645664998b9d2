// The verification of a bundle inside a page: packages/tlog as it is published, with primitives of the browser.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { BundleReport } from '@writ/tlog'
import { buildPackages } from '../../packages/build.ts'
import { missingChromium, startChromium } from '../servers/chromium.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { TestSystem } from '../test-system.ts'
import { exportBundle, folderFiles, makeTicket, unpack } from './scene.ts'

const page = `<!doctype html><meta charset="utf-8">
<script type="importmap">{"imports": {"@writ/tlog": "/tlog/src/index.js", "@noble/hashes/": "/hashes/"}}</script>
<script type="module">
import { createSubtleVerify, verifyBundle } from '@writ/tlog'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
const read = async (name) => new Uint8Array(await (await fetch('/bundle/' + name)).arrayBuffer())
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
const files = { names: await (await fetch('/names')).json(), read, sha256: async (name) => hex(sha256(await read(name))) }
const on = { sha256, sha512, verify: createSubtleVerify(crypto.subtle) }
const changed = { ...files, read: async (name) => (name.endsWith('.sig') ? (await read(name)).map((b, i) => b ^ (i === 150 ? 1 : 0)) : read(name)) }
window.report = { good: await verifyBundle(files, on), bad: await verifyBundle(changed, on) }
</script>`

const skip = missingBackend('Chromium', missingChromium())

test('a page verifies a bundle, and sees a changed signature', { skip }, async () => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  await exportBundle(system, path.join(system.folder, 'b.zip'), { subject: 'ticket', id: 1 })
  const folder = path.join(system.folder, 'b')
  await unpack(path.join(system.folder, 'b.zip'), folder)
  const { names } = await folderFiles(folder)
  const built = path.join(system.folder, 'packages')
  await buildPackages(built)
  const roots: Record<string, string> = {
    tlog: path.join(built, 'tlog'),
    hashes: path.dirname(fileURLToPath(import.meta.resolve('@noble/hashes/sha2.js'))),
    bundle: folder,
  }
  const server = createServer(async (request, reply) => {
    const [, root = '', ...rest] = (request.url ?? '/').split('/')
    if (root === '') return reply.setHeader('content-type', 'text/html').end(page)
    if (root === 'names') return reply.end(JSON.stringify(names))
    const bytes = await readFile(path.join(roots[root] ?? '', rest.join('/'))).catch(() => null)
    if (!bytes) return reply.writeHead(404).end()
    if (rest.at(-1)!.endsWith('.js')) reply.setHeader('content-type', 'text/javascript')
    return reply.end(bytes)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const browser = await startChromium()
  try {
    const tab = await browser.newPage()
    const broken: string[] = []
    tab.on('pageerror', (error) => broken.push(error.message))
    const { port } = server.address() as { port: number }
    await tab.goto(`http://localhost:${port}/`)
    await tab.waitForFunction('window.report !== undefined').catch(() => {})
    assert.deepEqual(broken, [])
    const { good, bad } = (await tab.evaluate('window.report')) as { good: BundleReport; bad: BundleReport }
    assert.deepEqual(good.fault, undefined)
    assert.ok(good.ok)
    assert.equal(bad.fault?.code, 'MANIFEST_SIGNATURE')
  } finally {
    await browser.close()
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
})
