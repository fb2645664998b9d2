import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Run } from '@writ/api'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { holds, ok } from '../verifies.ts'

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
