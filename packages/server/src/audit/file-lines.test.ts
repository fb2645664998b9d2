/** That what is kept of a commit for the files is byte by byte what its rows would give. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { createFakeClock } from '../platform/clock.ts'
import { inProject, openDatabase } from '../platform/db/index.ts'
import { type Actor, type Appended, appendAll, SYSTEM } from './append.ts'
import { type DayLines, linesOf } from './file-lines.ts'
import { recentRows } from './recent.ts'
import type { LogRow } from './store.ts'

const MIDNIGHT = Date.UTC(2026, 0, 2)
const A = '0190a000-0000-7000-8000-000000000001'
const person: Actor = {
  kind: 'user',
  id: '0190a000-0000-7000-8000-00000000000a',
  number: 7,
  username: 'li|wei\n\u202e',
  ip: '10.0.0.1',
  userAgent: 'curl',
}
const token: Actor = { ...person, kind: 'token', number: null, username: 'deploy' }
const ticket = { type: 'ticket', id: '0190a000-0000-7000-8000-0000000000aa', number: 12 }

const events: readonly Appended[] = [
  {
    at: MIDNIGHT - 1,
    by: person,
    event: { type: 'ticket.created', resource: ticket, action: '更换核心交换机 | a\\b\r\n\t\0' },
  },
  {
    at: MIDNIGHT - 1,
    by: token,
    event: {
      type: 'ticket.updated',
      resource: { ...ticket, number: null },
      action: 'half a \ud83d pair',
      success: false,
      error: 'no',
    },
  },
  { at: MIDNIGHT, by: SYSTEM, event: { type: 'ticket.closed', action: 'nothing named', details: { a: [1, null] } } },
  // Its action holds a secret: both lines have what was left of it, as the leaf has.
  {
    at: MIDNIGHT + 1,
    by: person,
    event: { type: 'ticket.updated', resource: ticket, action: 'password=hunter2-is-too-short for this' },
  },
  {
    at: MIDNIGHT - 5,
    by: person,
    event: { type: 'ticket.closed', resource: ticket, action: 'a clock that stepped back' },
  },
]

const joined = (lines: readonly DayLines[]) =>
  lines.map(({ day, jsonl, readable }) => ({ day, jsonl: `${jsonl}`, readable: `${readable}` }))

test('what is kept of a commit is what its rows give, over midnight, escaped, redacted and without anything', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-lines-'))
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, createFakeClock(MIDNIGHT))
  const stop = recentRows.read()
  try {
    const rows = await inProject(A, async () => {
      await db.write(async (tx) => {
        await tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])
        await appendAll(tx, events)
      })
      return db.read((tx) => tx.sql<LogRow>('select * from audit_events where project_id = ?1 order by place', [A]))
    })
    assert.equal(rows.length, events.length)
    const kept = recentRows.take(rows[0]!.id)!
    assert.deepEqual(
      kept.entries.map((entry) => Buffer.from(entry)),
      rows.map((row) => Buffer.from(row.entry)),
    )
    assert.deepEqual(joined(kept.lines), joined(await linesOf(rows)))
    assert.deepEqual(
      kept.lines.map((one) => one.day),
      ['2026-01-01', '2026-01-02', '2026-01-01'],
    )
    const text = joined(kept.lines)
      .map((one) => one.readable)
      .join('')
    assert.equal(text.split('\n').length - 1, events.length, 'a line each')
    assert.match(text, /\|li\\\|wei\\n\\u202e\(7\)\|ticket:12\|SUCCESS\|更换核心交换机 \\\| a\\\\b\\r\\n\\t\\u0000\n/)
    assert.doesNotMatch(text, /hunter2/)
    assert.equal(recentRows.take(rows[0]!.id), undefined)
  } finally {
    stop()
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
