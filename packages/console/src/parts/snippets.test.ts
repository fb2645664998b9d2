import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { snippetsOf } from './snippets.ts'

const on = { api: 'http://localhost:8000/api/v1', project: 'default' }
const textOf = (name: string, task: Parameters<typeof snippetsOf>[0]) =>
  snippetsOf(task, on).find((one) => one.name === name)!.text

test('a shell reads the copied curl call as it was meant, quotes and all', () => {
  const task = { handler: 'system.ping', input: { say: `it's "$HOME" \\ 好` }, tags: ['a b'] }
  // The shell itself is the judge: a function in the place of curl says what it was called with.
  const said = execFileSync('sh', ['-c', `curl() { printf '%s\\0' "$@"; }\n${textOf('curl', task)}`], {
    env: { WRIT_TOKEN: 'writ_t' },
  })
  const words = said.toString().split('\0')
  assert.deepEqual(JSON.parse(words[words.indexOf('-d') + 1]!), task)
  assert.equal(words[0], 'http://localhost:8000/api/v1/tasks')
  assert.ok(words.includes('Authorization: Bearer writ_t'))
})

test('the command line says what was chosen and nothing else', () => {
  assert.equal(
    textOf('CLI', {
      handler: 'proxy_forward',
      input: { urls: [] },
      queue: 'night',
      max_attempts: 4,
      timeout_ms: 90_000,
      tags: ['a', 'b c'],
      callback: { url: 'https://hooks.example.com/a?b=1' },
    }),
    `writ task run proxy_forward --project default \\
  --input '{"urls":[]}' \\
  --queue night \\
  --attempts 4 \\
  --limit 90 \\
  --tag a \\
  --tag 'b c' \\
  --callback 'https://hooks.example.com/a?b=1' \\
  --wait`,
  )
})
