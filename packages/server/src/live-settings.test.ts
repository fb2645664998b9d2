import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { loadConfig } from './config.ts'
import { followSettings } from './live-settings.ts'
import { createLog } from './platform/log.ts'

async function open(t: TestContext) {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-settings-'))
  t.after(() => rm(folder, { recursive: true }))
  const lines: { level: string; msg: string; settings?: string[]; problems?: string[] }[] = []
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const load = () => loadConfig({ argv: [], env: { LOG_LEVEL: 'debug', RATE_LIMIT_WINDOW: '9' }, cwd: folder })
  return {
    // In one step, so that no look falls between.
    async write(name: string, text: string) {
      await writeFile(path.join(folder, 'new'), text)
      await rename(path.join(folder, 'new'), path.join(folder, name))
    },
    follow() {
      const followed = followSettings({
        config: load().config!,
        log: createLog({ level: 'info', format: 'json', destination }),
        load,
        lookMs: 5,
      })
      t.after(() => followed.close())
      return followed
    },
    /** The next thing that is said. */
    async said() {
      const end = performance.now() + 60_000
      while (lines.length === 0) {
        assert.ok(performance.now() < end, 'nothing was said')
        await new Promise((later) => setTimeout(later, 5))
      }
      const { level, msg, settings, problems } = lines.shift()!
      return [level, msg, settings ?? problems]
    },
  }
}

test('what is changed in a file counts while the server runs, unless the environment says otherwise', async (t) => {
  const { write, follow, said } = await open(t)
  const followed = follow()
  assert.deepEqual(followed.settings, { allowedIps: '*', rateLimit: { max: 30, windowMs: 9_000 } })
  await write('.env', 'RATE_LIMIT_MAX=5\nRATE_LIMIT_WINDOW=7\nALLOWED_IPS=10.0.0.0/8\n')
  assert.deepEqual(await said(), [
    'info',
    'changed settings count from now on',
    ['network.allowed_ips', 'dispatch.rate_limit_max'],
  ])
  assert.deepEqual(followed.settings, { allowedIps: ['10.0.0.0/8'], rateLimit: { max: 5, windowMs: 9_000 } })
  // `.env` goes before it.
  await write('writ.yaml', 'dispatch:\n  rate_limit_max: 6\n  max_concurrent_scripts: 2\n')
  assert.deepEqual(await said(), [
    'warn',
    'changed settings count from the next start on',
    ['dispatch.max_concurrent_scripts'],
  ])
  assert.equal(followed.settings.rateLimit.max, 5)
})

test('a file with a mistake changes nothing, and is told of; also one with a secret that changed', async (t) => {
  const { write, follow, said } = await open(t)
  const followed = follow()
  await write('.env', 'RATE_LIMIT_MAX=7\nALLOWED_IPS=here\n')
  const wrong = await said()
  assert.deepEqual(wrong.slice(0, 2), ['error', 'the settings were changed and are wrong, those of before count on'])
  assert.match(String(wrong[2]), /^ALLOWED_IPS \(\.env\): expected .*, found "here"$/)
  assert.deepEqual(followed.settings, { allowedIps: '*', rateLimit: { max: 30, windowMs: 9_000 } })
  await write('.env', 'SECRET_KEY=0123456789abcdef0123456789abcdef\n')
  assert.deepEqual((await said()).slice(1), ['changed settings count from the next start on', ['auth.secret_key']])
  await write('.env', 'SECRET_KEY=fedcba9876543210fedcba9876543210\nRATE_LIMIT_MAX=8\n')
  assert.deepEqual((await said()).slice(1), ['changed settings count from now on', ['dispatch.rate_limit_max']])
  assert.deepEqual((await said()).slice(1), ['changed settings count from the next start on', ['auth.secret_key']])
})

test('with CONFIG_HOT_RELOAD off nothing is read again', async (t) => {
  const { write, follow, said } = await open(t)
  await write('.env', 'CONFIG_HOT_RELOAD=0\n')
  const off = follow()
  await write('.env', '')
  const on = follow()
  await write('.env', 'RATE_LIMIT_MAX=7\n')
  assert.deepEqual((await said()).slice(1), ['changed settings count from now on', ['dispatch.rate_limit_max']])
  assert.deepEqual([off.settings.rateLimit.max, on.settings.rateLimit.max], [30, 7])
})
