import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesEvidence } from './bytes-evidence.ts'
import { compareReports } from './compare.ts'
import { judge, type ValidationReport } from './judge.ts'

async function report(files: Record<string, string>, now = 0): Promise<ValidationReport> {
  const evidence = Object.entries(files).map(([name, text], index) => ({
    ...bytesEvidence(name, Buffer.from(text)),
    id: `a${index}`,
    number: index + 1,
  }))
  const ruleSet = { name: 'x', version: '1.0.0', rules: [{ validator: 'config_format@1' }] }
  const judgement = await judge({
    runId: 'r',
    runNumber: 1,
    ticketNumber: 1,
    script: null,
    ruleSet,
    evidence,
    context: null,
    now,
  })
  return judgement.report ?? assert.fail()
}

test('the same evidence at another time confirms the verdict', async () => {
  const comparison = compareReports(await report({ 'a.json': '{}' }, 0), await report({ 'a.json': '{}' }, 5000))
  assert.deepEqual(comparison, { confirmed: true, verdict_changed: false, differences: [] })
})

test('a verdict that no longer holds is told with the file and the finding', async () => {
  const comparison = compareReports(await report({ 'a.json': '{}' }), await report({ 'a.json': '{' }))
  assert.equal(comparison.confirmed, false)
  assert.equal(comparison.verdict_changed, true)
  assert.deepEqual(
    comparison.differences.map(({ subject }) => subject),
    ['verdict', 'artifact:1', 'finding:1:config_format@1'],
  )
  assert.equal(comparison.differences[0]?.message, 'Verdict was passed, is failed')
})

test('missing and added files are differences', async () => {
  const one = await report({ 'a.json': '{}' })
  const two = await report({ 'a.json': '{}', 'b.json': '{}' })
  assert.equal(compareReports(two, one).differences[0]?.message, 'b.json is missing')
  assert.equal(compareReports(one, two).differences[0]?.message, 'b.json was added')
})

test('another library version with the same findings is mentioned and still confirms', async () => {
  const fresh = await report({ 'a.json': '{}' })
  const comparison = compareReports({ ...fresh, libraries: { ...fresh.libraries, yaml: '2.0.0' } }, fresh)
  assert.equal(comparison.confirmed, true)
  assert.deepEqual(comparison.differences, [
    { subject: 'library:yaml', before: '2.0.0', after: '2.9.1', message: 'yaml was 2.0.0, is 2.9.1' },
  ])
})
