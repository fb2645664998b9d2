import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { createDayComparison } from './day-comparison.ts'
import { type DayEvent, earlierReadableLine, jsonlLine, readableLine } from './day-file.ts'
import { Found } from './finding.ts'

const JSONL = 'audit_2026-01-01.jsonl'
const READABLE = 'audit_readable_2026-01-01.txt'

const row = (action: string): DayEvent => ({
  timestamp: Date.UTC(2026, 0, 1),
  event: JSON.stringify({ event_type: 'ticket.created', actor_username: null, resource_type: null, action }),
  actor_number: null,
  resource_number: null,
})

/** Both files with the lines of these rows, and what compares them. */
function write(t: TestContext, rows: readonly DayEvent[]) {
  const dir = mkdtempSync(path.join(tmpdir(), 'writ-days-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const texts = {
    [JSONL]: Buffer.from(rows.map((one) => `${jsonlLine(one)}\n`).join('')),
    [READABLE]: Buffer.from(rows.map((one) => `${readableLine(one)}\n`).join('')),
  }
  for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(dir, name), text)
  const sizes = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, text.length]))
  const checked = { day_files: 0 }
  const compare = async (given: readonly (DayEvent & { in_day_file?: number })[]) => {
    const comparison = createDayComparison(dir, sizes, checked)
    for (const [index, one] of given.entries()) await comparison.add(one, index)
    await comparison.end()
  }
  return { dir, sizes, checked, compare }
}

// Lines that end and begin on both sides of every piece that is read at once, and one that is longer than it.
const rows = Array.from({ length: 3_000 }, (_, i) => row('字'.repeat(i === 7 ? 600_000 : 100 + ((i * 37) % 900))))

test('lines are compared over many pieces of a file, and the first that differs is named', async (t) => {
  const { dir, checked, compare } = write(t, rows)
  await compare(rows)
  assert.equal(checked.day_files, 2)
  const changed = rows.map((one, i) => (i === 2_999 ? row('another') : one))
  await assert.rejects(compare(changed), (error: Found) => {
    const { code, path, index } = error.fault
    assert.deepEqual({ code, path, index }, { code: 'DAY_FILE_CHANGED', path: JSONL, index: 2_999 })
    return true
  })
  await assert.rejects(compare(rows.slice(1)), Found)
  await assert.rejects(compare(rows.slice(0, -1)), /bytes that no event explains/)
  rmSync(path.join(dir, READABLE))
  await assert.rejects(compare(rows), new RegExp(`${READABLE} does not hold the line of entry 0`))
})

test('a file of before hidden characters were written out is still what its rows say', async (t) => {
  const hidden = [row('a\u200bb'), row('a\u202eb'), row('c\u{e0041}')]
  const { dir, sizes, compare } = write(t, hidden)
  await compare(hidden)
  const lines = hidden.map((one) => `${earlierReadableLine(one)}\n`)
  assert.ok(lines[0]!.includes('a\u200bb') && lines[1]!.includes('a\\u202eb'))
  // The last was written by the version of now.
  const mixed = Buffer.from([...lines.slice(0, 2), `${readableLine(hidden[2]!)}\n`].join(''))
  writeFileSync(path.join(dir, READABLE), mixed)
  sizes[READABLE] = mixed.length
  await compare(hidden)
  const another = Buffer.from(mixed.toString().replace('a\u200bb', 'ab\u200b'))
  writeFileSync(path.join(dir, READABLE), another)
  await assert.rejects(compare(hidden), new RegExp(`${READABLE} does not hold the line of entry 0`))
})

test('a line of before the log of an erasure was named is still what its row says', async (t) => {
  const erased = { ...row(''), event: '', in_day_file: 1, shard: 0, erased_shard: 1, erased_index: 9 }
  const { dir, sizes, compare } = write(t, [erased])
  await compare([erased])
  const written = readFileSync(path.join(dir, READABLE), 'utf8')
  assert.equal(written, '[erased, see 1/9]\n')
  const put = (see: string) => {
    for (const [name, line] of [
      [JSONL, `"[erased, see ${see}]"\n`] as const,
      [READABLE, `[erased, see ${see}]\n`] as const,
    ]) {
      writeFileSync(path.join(dir, name), line)
      sizes[name] = line.length
    }
  }
  put('9')
  await compare([erased])
  put('8')
  await assert.rejects(compare([erased]), new RegExp(`${JSONL} does not hold the line of entry 0`))
})

test('a text that UTF-8 cannot carry is compared as it was written', async (t) => {
  const half = [row('half of a pair: \ud800'), row('another')]
  const { checked, compare } = write(t, half)
  await compare(half)
  assert.equal(checked.day_files, 2)
})

test('a line whose erasure is under way is passed over, however long it is', async (t) => {
  const { compare } = write(t, rows)
  await compare(rows.map((one, i) => (i === 7 || i === 1_500 ? { ...one, event: '', in_day_file: 0 } : one)))
})

test('a file of more bytes than fit into memory is read in pieces', async (t) => {
  const few = rows.slice(0, 3)
  const { dir, compare } = write(t, few)
  // More than Node reads of a file at once; without any blocks on the disk. What is behind the snapshot is not looked at.
  truncateSync(path.join(dir, JSONL), 2 ** 31 + 1)
  await compare(few)
})
