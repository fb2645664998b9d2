/** Compares what people were told with what a server knows, and its log with itself. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { verifyOffline } from '@writ/server/ops'
import type { Writ } from '../servers/writ.ts'
import type { Load } from './load.ts'

type Row = Record<string, unknown>

async function listAll(writ: Writ, route: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let cursor = ''; ; ) {
    const { status, body } = await writ.call(
      'GET',
      `${route}${route.includes('?') ? '&' : '?'}limit=200&cursor=${cursor}`,
    )
    assert.equal(status, 200, JSON.stringify(body))
    const page = body as { items: Row[]; next_cursor: string | null }
    rows.push(...page.items)
    if (page.next_cursor === null) return rows
    cursor = encodeURIComponent(page.next_cursor)
  }
}

const sorted = (values: readonly unknown[]) => values.map(String).sort()

/**
 * Nothing acknowledged is lost, nothing is there twice, everything has its event exactly once, every byte is what was
 * sent, every run ended, and the log verifies with the server and without it. The server is up before and stopped after.
 * `tasks`: runs beside those of the load, which somebody else accounts for.
 */
export async function settleAccounts(writ: Writ, load: Load, tasks: ReadonlySet<string> = new Set()): Promise<void> {
  const { tickets, runs, uploads } = load.acknowledged
  assert.deepEqual(load.refused, [])

  const stored = await listAll(writ, '/tickets')
  assert.deepEqual(
    sorted(stored.map((row) => `${row.number} ${row.id} ${row.title}`)),
    sorted(tickets.map((one) => `${one.number} ${one.id} ${one.title}`)),
    'every ticket that was answered is there once, and no other',
  )
  assert.equal(new Set(stored.map((row) => row.number)).size, stored.length, 'numbers are unique')

  const storedRuns = await listAll(writ, '/runs')
  assert.deepEqual(sorted(storedRuns.map((row) => row.id)), sorted(runs.map((one) => one.id)))
  const ends: { id: string; completed: boolean }[] = []
  for (const run of runs) {
    const { body } = await writ.call('GET', `/runs/${run.id}/wait?timeout=20`)
    // A run that was interrupted more than ten times is given up, and says so; the others end as their evidence deserves.
    const end = `${body.state} ${body.verdict ?? body.error_code}`
    assert.ok(['completed passed', 'failed DELIVERIES_EXHAUSTED'].includes(end), JSON.stringify(body))
    ends.push({ id: run.id, completed: body.state === 'completed' })
    const { body: listed } = await writ.call('GET', `/artifacts/run/${run.id}`)
    const artifacts = JSON.parse(String(listed.text)) as Row[]
    const sent = uploads.filter((one) => one.run === run.number)
    const inputs = artifacts.filter((one) => one.artifact_type !== 'report')
    assert.deepEqual(sorted(inputs.map((one) => one.filename)), sorted(sent.map((one) => one.filename)))
    assert.equal(artifacts.length - inputs.length, body.state === 'completed' ? 1 : 0, 'one report a judged run')
  }
  for (const upload of uploads) {
    const { body } = await writ.call('GET', `/artifacts/${upload.id}/download`)
    assert.equal(createHash('sha256').update(String(body.text)).digest('hex'), upload.sha256)
  }

  for (const [type, things] of [
    ['ticket.created', tickets],
    ['run.created', runs],
    ['run.completed', ends.filter((end) => end.completed)],
    ['run.failed', ends.filter((end) => !end.completed)],
    ['artifact.uploaded', uploads],
  ] as const) {
    const events = await listAll(writ, `/audit/events?event_type=${type}`)
    const about = events.map((row) => row.resource_id).filter((id) => !tasks.has(String(id)))
    const expected = things.map((one) => one.id)
    const inputs = type === 'artifact.uploaded' ? about.filter((id) => expected.includes(String(id))) : about
    assert.deepEqual(sorted(inputs), sorted(expected), `one ${type} each`)
  }

  const { body: report } = await writ.call('POST', '/audit/verify', {})
  assert.deepEqual([report.ok, report.code, report.reason], [true, null, null])
  await writ.stop()
  const offline = await verifyOffline({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
  assert.deepEqual([offline.ok, offline.code, offline.reason], [true, null, null])
}
