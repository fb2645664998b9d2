import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { buildLog, makeEntries, makeKey, type TestKey } from '../../tlog/test/memory-log.ts'
import { openCommandLine } from './test-terminal.ts'

/** What a terminal was shown on one line, one after the other; '' where it was cleared. */
const drawn = (err: string) =>
  err
    .split('\r\u001b[2K')
    .slice(1)
    .map((one) => one.replace(/ +/g, ' '))
/** Half of it, and then all. */
const watched = (report: object) => ({
  events: [
    'verification',
    { state: 'running', entries: 8, rows: 4, size: 12 },
    { state: 'running', entries: 12, rows: 12, size: 12 },
    { state: 'done', report },
  ] as const,
})

const report = { ok: true, checked: { entries: 3, rows: 3, day_files: 1 } }

async function serve(t: TestContext) {
  const state = {
    unanchored: false,
    isWatched: false,
    closed: new Map<string, Uint8Array>(),
    files: new Map<string, Uint8Array>(),
    key: makeKey('writ.log/a'),
    size: 0,
    report: report as object,
  }
  const show = async (size: number, key: TestKey, from = 0) => {
    state.files = await buildLog(makeEntries(size, from), key)
    state.key = key
    state.size = size
  }
  const line = await openCommandLine(t, ({ method, url }) => {
    const path = url.match(/^\/audit\/log\/files\/(.*)$/)?.[1]
    if (path !== undefined) {
      const bytes = state.files.get(path)
      return bytes ? { bytes } : { status: 404, json: { code: 'LOG_FILE_NOT_FOUND', status: 404, detail: 'no' } }
    }
    const closed = state.closed.get(url.match(/^\/log\/a\/(.*)$/)?.[1] ?? '')
    if (closed) return { bytes: closed }
    if (state.unanchored && url === '/audit/log/anchor')
      return { status: 404, json: { code: 'LOG_NOT_ANCHORED', status: 404, detail: 'No witness has cosigned it yet.' } }
    // Another log was never here.
    if (url.startsWith('/log/')) return { status: 404, json: { code: 'LOG_FILE_NOT_FOUND', status: 404, detail: 'no' } }
    if (url.startsWith('/audit/logs?')) return { json: { items: [], next_cursor: null } }
    if (method === 'POST') return state.isWatched ? watched(state.report) : { json: state.report }
    return { json: { origin: state.key.name, vkey: state.key.vkey, shard: 0, size: state.size, pending: 0 } }
  })
  return { ...line, state, show, key: state.key }
}

test('a sound log verifies, its newest state is kept, and the next one must continue it', async (t) => {
  const { writ, show, key, settings, asked } = await serve(t)
  await show(300, key)
  const first = await writ(['audit', 'verify', '-o', 'json'])
  assert.equal(first.code, 0, first.err)
  assert.equal(JSON.parse(first.out).size, 300)
  assert.equal(JSON.parse(first.out).continues, null)
  await show(600, key)
  const second = await writ(['audit', 'verify', '-o', 'json'])
  assert.equal(JSON.parse(second.out).continues.size, 300)
  assert.match(asked.at(-1)?.body ?? '', /kept_checkpoint.*writ\.log\/a\\n300\\n/)
  const folder = join(settings.stateFolder, 'checkpoints')
  const [file = ''] = await readdir(folder)
  assert.equal(JSON.parse(await readFile(join(folder, file), 'utf8')).size, 600)
})

test('of one entry it is said in the singular', async (t) => {
  const { writ, show, key } = await serve(t)
  await show(1, key)
  assert.match((await writ(['audit', 'verify'])).out, /Verified +1 entry of writ\.log\/a/)
  await show(2, key)
  assert.match((await writ(['audit', 'verify'])).out, /continues the 1 entry seen on /)
})

test('bars show how far a verification is, here and on the server, and what stays are results', async (t) => {
  const { writ, show, key, state } = await serve(t)
  await show(3, key)
  state.isWatched = true
  const { code, out, err } = await writ(['audit', 'verify'], '', { isTTY: true })
  assert.equal(code, 0, err)
  const half = `${'█'.repeat(12)}${'░'.repeat(12)}`
  assert.deepEqual(drawn(err).slice(-3), [
    `Comparing rows ${half} 50% 6 / 12`,
    `Comparing rows ${'█'.repeat(24)} 100% 12 / 12`,
    '',
  ])
  assert.match(err, /Verifying .* 3 \/ 3/)
  assert.match(out, /Verified +3 entries/)
  assert.equal((await writ(['audit', 'verify', '-q'], '', { isTTY: true })).err, '')
  assert.doesNotMatch((await writ(['audit', 'verify'])).err, /█/)
})

test('a bar shows how far a self-check is, and what it finds exits with 5 below it', async (t) => {
  let found: object = { ok: true, entries: 12 }
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url === '/audit/self-check' ? watched(found) : undefined,
  )
  const good = await writ(['audit', 'selfcheck', '--full'], '', { isTTY: true })
  assert.equal(good.code, 0, good.err)
  const bar = [`Checking ${'█'.repeat(12)}${'░'.repeat(12)} 50% 6 / 12`, `Checking ${'█'.repeat(24)} 100% 12 / 12`]
  assert.deepEqual(drawn(good.err), [...bar, ''])
  assert.match(good.out, /Compared +12 rows agree with log and day files/)
  assert.equal(asked.at(-1)?.body, '{"full":true}')
  for (const line of [
    ['audit', 'selfcheck', '-q'],
    ['audit', 'selfcheck'],
  ])
    assert.equal((await writ(line, '', { isTTY: line.length > 2 })).err, '')

  found = { ok: false, code: 'ROW_CHANGED', reason: 'a row differs', index: 4, path: null }
  const bad = await writ(['audit', 'selfcheck'], '', { isTTY: true })
  assert.equal(bad.code, 5)
  const [, , below = ''] = drawn(bad.err)
  assert.match(below, /^writ: The log does not verify: a row differs \(first bad entry 4\).*\[ROW_CHANGED\]/)
})

test('a changed entry exits with 5 and is named', async (t) => {
  const { writ, show, key, state } = await serve(t)
  await show(300, key)
  const bundle = state.files.get('tile/entries/001.p/44')
  if (!bundle) throw new Error('no bundle')
  bundle[5] = (bundle[5] ?? 0) ^ 1
  const { code, err } = await writ(['audit', 'verify'])
  assert.equal(code, 5)
  assert.match(err, /first bad entry 256, in tile\/entries\/001\.p\/44.*\[LEAF_MISMATCH\]/)
})

test('a log that was rewritten or cut with its own key exits with 5, and what was kept stays', async (t) => {
  const { writ, show, key } = await serve(t)
  await show(300, key)
  await writ(['audit', 'verify'])
  await show(400, key, 7)
  assert.match((await writ(['audit', 'verify'])).err, /\[LOG_REWRITTEN\]/)
  await show(299, key)
  const cut = await writ(['audit', 'verify'])
  assert.equal(cut.code, 5)
  assert.match(cut.err, /\[LOG_TRUNCATED\]/)
})

test('another log or another key in the place of the kept one exits with 5 until it is trusted', async (t) => {
  const { writ, show, key } = await serve(t)
  await show(3, key)
  await writ(['audit', 'verify'])
  await show(2, makeKey('writ.log/b'))
  const other = await writ(['audit', 'verify'])
  assert.equal(other.code, 5)
  assert.match(other.err, /This is another log than on 2026-10-21.*\[LOG_REPLACED\]/)
  assert.match(other.err, /writ\.log\/a names no log that continues it/)
  assert.equal((await writ(['audit', 'verify', '--trust-new-log'])).code, 0)
  await show(2, makeKey('writ.log/b'))
  assert.match((await writ(['audit', 'verify'])).err, /\[LOG_KEY_CHANGED\]/)
})

test('a closed log that a restore made shorter than it was seen is told of, with what to do', async (t) => {
  const { writ, show, key, state } = await serve(t)
  await show(3, key)
  await writ(['audit', 'verify'])
  state.closed = await buildLog(makeEntries(2), key)
  await show(1, makeKey('writ.log/b'))
  const { code, err } = await writ(['audit', 'verify'])
  assert.equal(code, 5)
  assert.match(err, /2 entries, but had 3 before \(writ\.log\/a, .*log\.continued.*--trust-new-log.*\[LOG_TRUNCATED\]/)
  assert.equal((await writ(['audit', 'verify', '--trust-new-log'])).code, 0)
})

test('of a log for which no witness stands yet it is said when that is to be expected', async (t) => {
  const { writ, show, key, state, settings } = await serve(t)
  await show(1, key)
  state.unanchored = true
  const policy = join(settings.stateFolder, 'w.policy')
  await mkdir(settings.stateFolder, { recursive: true })
  await writeFile(policy, `witness w ${makeKey('witness.example').witnessVkey}\nquorum w\n`)
  const { code, err } = await writ(['audit', 'verify', '--policy', policy])
  assert.equal(code, 5)
  assert.match(err, /not anchored as the policy asks: .*just opened.*within two minutes.*\[LOG_NOT_ANCHORED\]/)
})

test('a policy that asks for no witness reads like none', async (t) => {
  const { writ, show, key, state, settings } = await serve(t)
  await show(1, key)
  state.unanchored = true
  const policy = join(settings.stateFolder, 'none.policy')
  await mkdir(settings.stateFolder, { recursive: true })
  await writeFile(policy, 'quorum none\n')
  const { code, out, err } = await writ(['audit', 'verify', '--policy', policy])
  assert.equal(code, 0, err)
  assert.match(out, /Anchored +nothing: the policy asks for no witness \(quorum none\)/)
})

test('a key that an auditor wrote down must be the one', async (t) => {
  const { writ, show, key } = await serve(t)
  await show(3, key)
  assert.equal((await writ(['audit', 'verify', '--vkey', makeKey('writ.log/a').vkey])).code, 5)
  assert.equal((await writ(['audit', 'verify', '--vkey', key.vkey])).code, 0)
})

test('rows that do not fit the log exit with 5, although the log itself is sound', async (t) => {
  const { writ, show, key, state } = await serve(t)
  await show(3, key)
  state.report = { ...report, ok: false, code: 'ROW_MISMATCH', reason: 'row 2 was changed', index: 2, path: null }
  const { code, err } = await writ(['audit', 'verify'])
  assert.equal(code, 5)
  assert.match(err, /row 2 was changed \(first bad entry 2\).*\[ROW_MISMATCH\]/)
  assert.equal((await writ(['audit', 'verify', '--no-rows'])).code, 0)
  state.report = { ...state.report, origin: 'writ.log/before' }
  assert.match((await writ(['audit', 'verify'])).err, /row 2 was changed \(writ\.log\/before, first bad entry 2\)/)
})

test('entries that are dated otherwise than their place and what was kept here allow are told of', async (t) => {
  const { writ, state, key } = await serve(t)
  const show = async (times: readonly string[]) => {
    state.files = await buildLog(
      times.map((at, i) => Buffer.from(`{"act":"x","id":"${i}","t":"${at}","v":1}`)),
      key,
    )
    state.size = times.length
  }
  const timesOf = async () => JSON.parse((await writ(['audit', 'verify', '-o', 'json'])).out).times
  // This machine looks at 07:28.
  const before = ['2026-10-21T07:00:00.000Z', '2026-10-21T07:20:00.000Z', '2026-10-21T07:16:00.000Z']
  await show(before)
  assert.deepEqual(await timesOf(), { early: 0, late: 0, first: null, by: 0 })
  // Set back by an hour, the server goes on; what it writes now was not there when we looked.
  const after = ['2026-10-21T06:30:00.000Z', '2026-10-21T07:29:00.000Z']
  await show([...before, ...after])
  assert.deepEqual(await timesOf(), { early: 1, late: 0, first: 3, by: 58 * 60_000 })
  // What was kept in the meantime was there at 07:28, whatever it says.
  const ahead = makeKey('writ.log/c')
  state.key = ahead
  state.files = await buildLog([Buffer.from('{"t":"2026-10-21T09:28:00.000Z"}')], ahead)
  state.size = 1
  assert.equal((await writ(['audit', 'verify', '--trust-new-log'])).code, 0)
  const { out } = await writ(['audit', 'verify'])
  assert.match(
    out,
    /Times +1 too late, by up to 120 minutes; the first is 0\. The clock of the server or of a witness was wrong/,
  )
})
