import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Submitted, TaskDetail } from '@writ/api'
import { TestSystem, until } from './test-system.ts'

test('what a project may reach, another may not, by any of the ways out', async () => {
  await using system = await TestSystem.start({
    env: { WRIT_EGRESS_ALLOW: '10.1.0.0/16, 10.2.0.0/16@netops' },
  })
  const { admin } = system
  assert.equal((await admin.post('/projects', { slug: 'netops', name: 'Network' })).status, 201)
  const codeIn = async (project: string, path: string, body: object) => {
    const answer = await admin.post<{ code?: string }>(path, body, { headers: { 'x-project': project } })
    return answer.body.code ?? answer.status
  }
  for (const [host, project, allowed] of [
    ['10.1.0.1', 'default', true],
    ['10.1.0.1', 'netops', true],
    ['10.2.0.1', 'netops', true],
    ['10.2.0.1', 'default', false],
    ['10.3.0.1', 'netops', false],
  ] as const) {
    const url = `http://${host}/${project}`
    const claim = `${host} by ${project}`
    const [made, callback] = allowed ? [201, 201] : ['DESTINATION_REFUSED', 'TASK_CALLBACK_REFUSED']
    const name = `hook-${host}`
    assert.equal(await codeIn(project, '/webhooks', { name, url, events: ['ticket.*'] }), made, claim)
    assert.equal(await codeIn(project, '/handlers', { name, url }), made, claim)
    const task = {
      handler: 'system.ping',
      callback: { url },
      run_at: new Date(system.now() + 86_400_000).toISOString(),
    }
    assert.equal(await codeIn(project, '/tasks', task), callback, claim)
  }

  const { body: hook } = await admin.post<{ id: string }>('/webhooks', {
    name: 'moved',
    url: 'https://hooks.example/',
    events: ['ticket.*'],
  })
  const moved = await admin.patch<{ code: string }>(`/webhooks/${hook.id}`, { url: 'http://10.2.0.1/' })
  assert.equal(moved.body.code, 'DESTINATION_REFUSED')

  const forward = { handler: 'proxy_forward', input: { urls: ['http://10.2.0.1/'] } }
  const { body: sent } = await admin.post<Submitted>('/tasks', forward)
  let task: TaskDetail | undefined
  await until('it is done', async () => {
    task = (await admin.get<TaskDetail>(`/tasks/${sent.id}`)).body
    return task.state === 'completed'
  })
  const { results } = task!.result as { results: { error: string }[] }
  assert.match(results[0]!.error, /10\.2\.0\.1, which is not a public address/)
  await system.check()
})
