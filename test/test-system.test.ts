import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Run, Ticket } from '@writ/api'
import { backends } from './backends.ts'
import { TestSystem } from './test-system.ts'

for (const backend of backends()) {
  test(`a proof settles and every invariant holds (${backend.name})`, { skip: backend.skip }, async () => {
    await using sys = await backend.start()
    const ticket = await sys.employee.post<Ticket>('/tickets', { title: 'x' })
    const run = await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.body.number })
    await sys.check()
    await sys.employee.upload(run.body.id, 'a.txt', 'hello')
    assert.equal((await sys.waitFor(run.body.number)).status, 'success')
    await sys.check()
  })
}

test('a server process can be killed, started again, and stopped', async () => {
  await using sys = await TestSystem.start({ process: true })
  await sys.employee.post('/tickets', { title: 'x' })
  await sys.kill9()
  await sys.restart()
  assert.equal((await sys.employee.get('/tickets/1')).status, 200)
  await sys.check()
  await sys.stop()
})
