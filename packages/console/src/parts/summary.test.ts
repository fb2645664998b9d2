import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSummary } from './summary.ts'

test('the sentence of a verdict is read, so that it is told in the language of the page', () => {
  assert.deepEqual(readSummary('Validation passed: 1 artifact(s) checked'), { verdict: 'passed', count: 1 })
  assert.deepEqual(readSummary('Validation failed: 12 artifact(s) checked'), { verdict: 'failed', count: 12 })
})

test('any other sentence stays as it is', () => {
  assert.equal(readSummary('No evidence was handed in'), null)
  assert.equal(readSummary('Validation passed: 1 artifact(s) checked twice'), null)
})
