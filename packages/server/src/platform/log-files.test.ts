import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { createLog } from './log.ts'
import { openLogFiles } from './log-files.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'writ-logs-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const quiet = { write: () => true } as unknown as NodeJS.WritableStream

test('each part of the server has its file, with the whole time in each line', () => {
  const files = openLogFiles(dir, 1_000_000)
  const log = createLog({ level: 'info', format: 'text', destination: quiet, files })
  log.info('starting')
  log.child({ part: 'worker' }).warn({ run: 'r1' }, 'lease lost')
  log.debug('not at this level')
  files.end()
  assert.match(readFileSync(path.join(dir, 'api.log'), 'utf8'), /^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}starting\n$/)
  assert.match(readFileSync(path.join(dir, 'worker.log'), 'utf8'), /^\S+Z WARN {2}lease lost run=r1\n$/)
})

test('JSON lines stay JSON, and a secret comes into no file', () => {
  const files = openLogFiles(dir, 1_000_000)
  const log = createLog({ level: 'info', format: 'json', destination: quiet, files })
  log.info({ password: 'hunter2hunter2' }, 'somebody tried')
  files.end()
  const line = JSON.parse(readFileSync(path.join(dir, 'api.log'), 'utf8')) as Record<string, unknown>
  assert.deepEqual([line.msg, line.password], ['somebody tried', '[secret]'])
})

test('a full file is moved away, and only the newest twenty stay', () => {
  let second = 0
  const files = openLogFiles(dir, 100, () => Date.UTC(2026, 0, 1) + second++ * 1_000)
  for (let i = 0; i < 30; i++) files.write('api', `${String(i).padStart(59, '0')}\n`)
  files.end()
  const backups = readdirSync(path.join(dir, 'backup')).sort()
  assert.equal(backups.length, 20)
  assert.equal(backups.at(-1), 'api-2026-01-01_00-00-28.log')
  assert.equal(readFileSync(path.join(dir, 'backup', backups.at(-1)!), 'utf8'), `${'28'.padStart(59, '0')}\n`)
  assert.equal(readFileSync(path.join(dir, 'api.log'), 'utf8'), `${'29'.padStart(59, '0')}\n`)
})

test('processes that share a folder lose no line of each other, however often a file is full', () => {
  const at = () => Date.UTC(2026, 0, 1)
  const processes = [1, 2, 3].map(() => openLogFiles(dir, 200, at))
  const lines = Array.from({ length: 60 }, (_, i) => `line ${String(i).padStart(2, '0')} of sixty`)
  for (const [i, line] of lines.entries()) processes[(i * i) % 3]!.write('api', `${line}\n`)
  for (const files of processes) files.end()
  const backups = readdirSync(path.join(dir, 'backup')).map((name) => path.join('backup', name))
  const texts = ['api.log', ...backups].map((name) => readFileSync(path.join(dir, name), 'utf8'))
  assert.deepEqual(texts.flatMap((text) => text.trimEnd().split('\n')).sort(), lines)
  for (const text of texts) assert.ok(text.length <= 200)
})

test('a folder that went away does not stop the log', () => {
  const files = openLogFiles(dir, 10)
  files.write('api', 'before\n')
  rmSync(dir, { recursive: true })
  files.write('api', 'after, and longer than the limit\n')
  files.end()
})
