import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createJudgeThread } from './judge-thread.ts'
import { defaultRuleSet } from './scripts.ts'

const text = 'hello'
const job = {
  runId: '0190b6f0-0000-7000-8000-000000000000',
  runNumber: 1,
  ticketNumber: 1,
  script: null,
  ruleSet: defaultRuleSet,
  context: null,
  now: 0,
  evidence: [
    {
      id: '0190b6f0-0000-7000-8000-000000000001',
      number: 1,
      name: 'a.txt',
      size: 5,
      sha256: createHash('sha256').update(text).digest('hex'),
    },
  ],
}
const read = async function* () {
  yield Buffer.from(text)
}

test('a thread that judged once judges again', async () => {
  const judges = createJudgeThread()
  try {
    for (let n = 0; n < 3; n++) {
      const judgement = await judges.judge(job, async () => read(), AbortSignal.timeout(10_000))
      assert.equal(judgement.verdict, 'passed')
    }
  } finally {
    await judges.close()
  }
})
