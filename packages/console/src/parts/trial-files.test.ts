import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTrialFiles, type TrialFile, tooMuch, withFiles } from './trial-files.ts'

const file = (name: string, size = 1, role: TrialFile['role'] = null): TrialFile => ({ name, size, content: '', role })

test('files are read whole, in base64', async () => {
  const bytes = Uint8Array.from({ length: 20_001 }, (_, i) => i % 251)
  const [read] = await readTrialFiles([new File([bytes], '开关.cfg')])
  assert.equal(read?.content, Buffer.from(bytes).toString('base64'))
  assert.deepEqual([read?.name, read?.size, read?.role], ['开关.cfg', 20_001, null])
})

test('a corrected file takes the place and the part of the one of its name', () => {
  const there = [file('a', 1, 'before'), file('b')]
  assert.deepEqual(withFiles(there, [file('c'), file('a', 9)]), [file('a', 9, 'before'), file('b'), file('c')])
})

test('what a request cannot hold is known before it is sent', () => {
  assert.equal(tooMuch([file('a', 780_000)], '{}'), null)
  assert.equal(tooMuch([file('a', 786_432)], '{}'), 'bytes')
  assert.equal(
    tooMuch(
      Array.from({ length: 51 }, (_, i) => file(`${i}`)),
      '{}',
    ),
    'count',
  )
})
