/**
 * npm test: types, style, then every test on real servers. Ends with one line, `N passed, N failed`, and exits 1 if anything failed.
 *
 * `npm test -- <pattern> …` runs only the test files whose path contains one of the patterns, or else the tests whose title matches one.
 * A backend that is not installed is skipped and named at the end; with CI set a skip is a failure, because a suite that silently
 * shrinks proves nothing.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buildConsole } from '../packages/console/build.ts'
import { missingS3 } from './servers/ceph-rgw.ts'
import { missingChromium } from './servers/chromium.ts'
import { missingGo } from './servers/go-verifier.ts'
import { isBorrowed, missingPostgres, startPostgres } from './servers/postgres.ts'
import type { Tally } from './tally.ts'

const root = path.join(import.meta.dirname, '..')
const program = (name: string) => path.join(root, 'node_modules/.bin', name)
const pinned = existsSync(program('node')) ? program('node') : process.execPath

// Whatever Node somebody starts this with, results are those of the pinned one.
if (pinned !== process.execPath && !(await sameNode())) {
  process.exit(await run(pinned, [import.meta.filename, ...process.argv.slice(2)]))
}

const patterns = process.argv.slice(2)
const files = globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root }).sort()
const named = files.filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
const chosen = named.length > 0 ? named : files
const failures: string[] = []
let passed = 0
let failed = 0

if (patterns.length === 0) {
  await check('types', 'tsc', '--noEmit')
  await check('types of the console', 'tsc', '--noEmit', '-p', 'packages/console')
  await check('style', 'biome', 'check', '--error-on-warnings')
}
// Once, before two tests at a time would.
if (chosen.some((file) => file.startsWith('test/console/'))) await buildConsole()
const skips = await test(chosen, named.length > 0 ? [] : patterns.map((pattern) => `--test-name-pattern=${pattern}`))

const missing = { PostgreSQL: missingPostgres(), S3: missingS3(), Chromium: missingChromium(), Go: missingGo() }
const reasons = new Map(
  skips.map((skip) => [skip.reason, skips.filter((other) => other.reason === skip.reason).length]),
)
process.stdout.write('\n')
for (const [name, reason] of Object.entries(missing)) {
  process.stdout.write(`${name}: ${reason === undefined ? 'tested' : `skipped, ${reason}`}\n`)
}
for (const [reason, count] of reasons) process.stdout.write(`skipped ${count}: ${reason || 'no reason given'}\n`)
if (process.env.CI && skips.length > 0) {
  failed += skips.length
  failures.push('skipped on CI, where every backend has to be there')
}
for (const failure of failures) process.stdout.write(`failed: ${failure}\n`)
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

/** One check that is a program of its own. */
async function check(name: string, command: string, ...args: string[]): Promise<void> {
  const started = performance.now()
  const code = await run(program(command), args)
  if (code === 0) passed++
  else {
    failed++
    failures.push(name)
  }
  process.stdout.write(`${name}: ${code === 0 ? 'ok' : 'failed'} (${Math.round(performance.now() - started)} ms)\n`)
}

async function test(which: string[], more: string[]): Promise<Extract<Tally, { type: 'skip' }>[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-test-run-'))
  const told = path.join(folder, 'tally.jsonl')
  try {
    await makeMigrated(which, folder)
    // Each test file is a process of its own, and most of them load the whole server: a second and a half each without it. Kept with what
    // servers have compiled: a test file that is not in there loads all that strips types, for itself alone.
    process.env.NODE_COMPILE_CACHE ??= path.join(root, 'node_modules/.cache/writ')
    const code = await run(pinned, [
      '--disable-warning=ExperimentalWarning',
      '--test',
      '--test-concurrency=2',
      '--test-timeout=300000',
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${path.join(import.meta.dirname, 'tally.ts')}`,
      `--test-reporter-destination=${told}`,
      ...more,
      ...which,
    ])
    const lines = (existsSync(told) ? readFileSync(told, 'utf8') : '').split('\n').filter(Boolean)
    const tallies = lines.map((line) => JSON.parse(line) as Tally) // written by tally.ts
    const summary = tallies.find((one) => one.type === 'summary')
    passed += summary?.passed ?? 0
    failed += summary?.failed ?? 0
    if (code !== 0) failures.push('tests')
    // Died without a summary, or with a bad code that no test explains.
    if (code !== 0 && !summary?.failed) failed++
    return tallies.filter((one) => one.type === 'skip')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * What every database of these tests begins as, made once: a migrated file of SQLite, and a cluster of PostgreSQL with one migrated
 * database. Not worth it for a few files.
 */
async function makeMigrated(which: readonly string[], folder: string): Promise<void> {
  if (which.length < 8) return
  const { addMigrated, migratedFile } = await import('./backends.ts')
  process.env.WRIT_TEST_SQLITE = await migratedFile(path.join(folder, 'sqlite'))
  if (isBorrowed() || missingPostgres() !== undefined) return
  const cluster = path.join(folder, 'cluster')
  const postgres = await startPostgres({ keepAs: cluster })
  await addMigrated(postgres.url).finally(() => postgres.stop())
  process.env.WRIT_TEST_POSTGRES_CLUSTER = cluster
}

/** Runs a program in the root with our own streams; its exit code. */
async function run(command: string, args: string[]): Promise<number> {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  return typeof code === 'number' ? code : 1
}

async function sameNode(): Promise<boolean> {
  const child = spawn(pinned, ['--version'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await once(child, 'close')
  return said.trim() === process.version
}
