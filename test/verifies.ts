/** Scenarios: a behaviour on a whole system, on every backend, after which every invariant has to hold. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode, Problem } from '@writ/api'
import { backends } from './backends.ts'
import type { Answer } from './client.ts'
import type { RequirementId } from './requirements.ts'
import type { StartOptions, TestSystem } from './test-system.ts'

// A test file is a process of its own, so this is one PostgreSQL a file.
const everywhere = backends()

/** Registers a scenario on every backend. */
export function holds(
  title: string,
  scenario: (sys: TestSystem) => Promise<void>,
  options: StartOptions & { /** Ends with the server down. */ unchecked?: true } = {},
): void {
  for (const backend of everywhere) {
    test(`${title} (${backend.name})`, { skip: backend.skip }, async () => {
      await using sys = await backend.start(options)
      await scenario(sys).catch((error: unknown) => {
        // An answer of 500 says no more than that the log knows.
        for (const line of sys.log().split('\n'))
          if (/"level":"?(?:[56]0|error|fatal)|\b(?:ERROR|FATAL)\b/.test(line)) console.error(line)
        throw error
      })
      if (!options.unchecked) await sys.check()
    })
  }
}

/** The same, as evidence for requirements. */
export function verifies(
  ids: RequirementId | readonly RequirementId[],
  title: string,
  scenario: (sys: TestSystem) => Promise<void>,
  options?: StartOptions,
): void {
  holds(`${[ids].flat().join(' ')} ${title}`, scenario, options)
}

/** The answer is this refusal, as problem details whose `detail` is a string. Returns them. */
export function refused(answer: Answer<unknown>, status: number, code: ErrorCode, detail?: string): Problem {
  // Checked field by field below.
  const problem = answer.body as Problem
  assert.deepEqual(
    { status: answer.status, code: problem?.code, ...(detail === undefined ? {} : { detail: problem?.detail }) },
    { status, code, ...(detail === undefined ? {} : { detail }) },
  )
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  assert.equal(typeof problem.detail, 'string')
  assert.equal(problem.status, status)
  return problem
}

/** The answer's body, if the status is as expected. */
export function ok<T>(answer: Answer<T>, status = 200): T {
  assert.equal(answer.status, status, JSON.stringify(answer.body))
  return answer.body
}
