import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { DatabaseUnavailable } from './db/index.ts'
import { createLog } from './log.ts'
import { createTrouble } from './trouble.ts'

test('what keeps a loop from its work is said once for each reason, and once that it is over', () => {
  const said: string[] = []
  const destination = new Writable({
    write(line: Buffer, _encoding, done) {
      const { level, msg, err, reason } = JSON.parse(line.toString())
      said.push(`${level}: ${msg}${err ? ` (${err.message})` : ''}${reason ? ` (${reason})` : ''}`)
      done()
    },
  })
  const log = createLog({ level: 'debug', format: 'json', destination })
  const trouble = createTrouble(log, { stopped: 'nothing done', again: 'it goes on' })
  trouble.over()
  for (let i = 0; i < 3; i++) trouble.met(new DatabaseUnavailable(new Error(`refused ${i} times`)))
  for (let i = 0; i < 3; i++) trouble.met(new Error('no such column'))
  trouble.over()
  trouble.over()
  trouble.met(new Error('no such column'))
  assert.deepEqual(said, [
    'warn: nothing done, the database is away (refused 0 times)',
    'error: nothing done (no such column)',
    'info: it goes on',
    'error: nothing done (no such column)',
  ])
})
