import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createJudgeThread } from './judge-thread.ts'
import type { Job } from './judge-worker.ts'
import { findScript, scriptRuleSet } from './scripts.ts'

const bytes = Buffer.from('{"a": 1}')
const script = findScript('proof.config_format')!
const examined = scriptRuleSet(script, null)
assert.ok(examined.ok)
const job: Job = {
  runId: '01900000-0000-7000-8000-000000000001',
  runNumber: 1,
  ticketNumber: 1,
  script,
  ruleSet: examined.ruleSet,
  context: null,
  now: 0,
  evidence: [
    {
      id: 'a',
      number: 1,
      name: 'a.json',
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    },
  ],
}
const read = async () =>
  (async function* () {
    yield bytes.subarray(0, 3)
    yield bytes.subarray(3)
  })()

test('a thread judges one job after the other', async () => {
  const judges = createJudgeThread()
  for (let i = 0; i < 3; i++) {
    const judgement = await judges.judge(job, read, AbortSignal.timeout(60_000))
    assert.equal(judgement.verdict, 'passed')
  }
  await judges.close()
})

test('jobs asked for at once are judged side by side', async () => {
  const judges = createJudgeThread()
  const all = await Promise.all([1, 2, 3].map(() => judges.judge(job, read, AbortSignal.timeout(60_000))))
  assert.deepEqual(
    all.map((one) => one.verdict),
    ['passed', 'passed', 'passed'],
  )
  await judges.close()
})

test('a file that cannot be read is an error of that file, and the thread goes on', async () => {
  const judges = createJudgeThread()
  const judgement = await judges.judge(job, () => Promise.reject(new Error('gone')), AbortSignal.timeout(60_000))
  assert.equal(judgement.verdict, 'failed')
  assert.equal((await judges.judge(job, read, AbortSignal.timeout(60_000))).verdict, 'passed')
  await judges.close()
})

test('an abort ends a judgement that would never end, and rejects with its reason', async () => {
  const judges = createJudgeThread()
  const stop = new AbortController()
  const never = new Promise<AsyncIterable<Uint8Array>>(() => stop.abort(new Error('time is up')))
  await assert.rejects(
    judges.judge(job, () => never, stop.signal),
    /time is up/,
  )
  await judges.close()
})
