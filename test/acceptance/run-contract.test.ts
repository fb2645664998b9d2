import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Run, RunContract, Task } from '@writ/api'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { handlerOf } from '../tasks/dispatch.ts'
import { until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'

const ajv = new Ajv2020({ allErrors: true, strict: false })
addFormats.default(ajv)
const file = path.join(import.meta.dirname, '../schemas/runtime_run_state.schema.json')
const validate = ajv.compile(JSON.parse(readFileSync(file, 'utf8')))

holds('every run validates against the run contract, in every state that a proof has', async (sys) => {
  const { employee, admin } = sys
  ok(await employee.post('/tickets', { title: 'x' }))
  const start = async () =>
    ok(await employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' })).number
  const finalize = async (run: number, file?: string) => {
    if (file !== undefined) ok(await employee.upload(run, 'c.json', file))
    ok(await employee.post(`/runs/${run}/finalize`))
    await sys.waitFor(run)
  }
  const waiting = await start()
  await finalize(await start(), '{}')
  await finalize(await start())
  ok(await employee.post(`/runs/${await start()}/cancel`))
  const again = ok(await employee.post<Run>('/runs/2/verify'))
  await sys.waitFor(again.id)
  const seen: Record<string, string> = {}
  for (const run of ok(await admin.get<Run[]>('/runs'))) {
    const contract = ok(await employee.get(`/runs/${run.id}/state`))
    assert.ok(validate(contract), JSON.stringify(validate.errors))
    assert.equal(contract.run_id, run.id)
    assert.equal(contract.project_id, 'default')
    seen[String(run.number)] = `${contract.agent_id} ${contract.state}`
  }
  assert.deepEqual(seen, {
    [waiting]: 'proof:default pending',
    2: 'proof:default completed',
    3: 'proof:default failed',
    4: 'proof:default cancelled',
    5: 'proof:default completed',
  })
})

/** Runs until it is let go. */
const held: { go?: (value: string) => void } = {}
const holding = handlerOf('test.hold', () => new Promise((resolve) => (held.go = resolve)))

holds(
  'so does every task, in every state that a task has',
  async (sys) => {
    const { admin, employee } = sys
    const dora = await sys.hire('dora', 'dev')
    const task = async (handler: string, more: object = {}) =>
      ok(await dora.post<{ id: string }>('/tasks', { handler, input: {}, ...more }), 201).id
    const inAnHour = new Date(sys.now() + 3_600_000).toISOString()
    const inADay = new Date(sys.now() + 86_400_000).toISOString()
    const done = await task('system.ping')
    const dead = await task('feishu_get_token')
    const running = await task('test.hold')
    const waiting = await task('system.ping', { run_at: inAnHour, deadline_at: inADay })
    const cancelled = await task('system.ping', { run_at: inAnHour })
    ok(await dora.post(`/tasks/${cancelled}/cancel`))
    for (const id of [done, dead]) ok(await dora.get(`/tasks/${id}/wait`))
    await until('the task is running', async () => ok(await dora.get<Task>(`/tasks/${running}`)).state === 'running')
    const schedule = { name: 's', handler: 'system.ping', input: {}, cron: '0 0 1 1 *' }
    const planned = ok(await admin.post<{ id: string }>('/schedules', schedule), 201).id
    const fired = ok(await admin.post<{ id: string }>(`/schedules/${planned}/trigger`), 201).id
    ok(await admin.get(`/tasks/${fired}/wait`))

    const seen: string[] = []
    for (const id of [done, dead, running, waiting, cancelled, fired]) {
      const contract = ok(await admin.get<RunContract>(`/runs/${id}/state`))
      assert.ok(validate(contract), `${JSON.stringify(contract)} ${JSON.stringify(validate.errors)}`)
      assert.deepEqual([contract.run_id, contract.project_id], [id, 'default'])
      seen.push(`${contract.agent_id} ${contract.state} ${contract.trigger.trigger_type} ${contract.error_code}`)
    }
    assert.deepEqual(seen, [
      'task:system.ping completed api null',
      'task:feishu_get_token failed api FEISHU_NOT_CONFIGURED',
      'task:test.hold running api null',
      'task:system.ping pending api null',
      'task:system.ping cancelled api CANCELLED',
      'task:system.ping completed schedule null',
    ])
    held.go?.('done')
    const later = ok(await dora.get<RunContract>(`/runs/${waiting}/state`))
    assert.deepEqual([later.started_at, later.timeout_at], [null, inADay])
    const { number } = ok(await dora.get<Task>(`/tasks/${done}`))
    assert.equal(ok(await dora.get<RunContract>(`/runs/${number}/state`)).run_id, done)
    refused(await employee.get(`/runs/${done}/state`), 403, 'TASK_VIEW_DENIED')
    refused(await admin.get('/runs/999/state'), 404, 'RUN_NOT_FOUND')
  },
  { testHandlers: [holding] },
)
