import type { rulesApi } from '@writ/api'
import { append, canonicalize, type Json } from '../../audit/index.ts'
import { type Caller, personOf } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { type Clock, rfc3339 } from '../../platform/clock.ts'
import type { Handlers } from '../../platform/http/mount.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { bytesEvidence } from './bytes-evidence.ts'
import type { ValidationReport } from './judge.ts'
import type { JudgeThread } from './judge-thread.ts'
import { fieldsOf } from './kind.ts'
import * as store from './store.ts'

type Cited = { readonly rules: readonly { readonly validator: string }[] }

/** Whoever shows one has loaded the validators: that is what `supersededIn` is of. */
const showWith = (supersededIn: typeof import('./rules.ts').supersededIn) => (row: store.RuleSetRow) => {
  // It was examined when it was published.
  const definition = JSON.parse(row.definition) as Record<string, unknown> & Cited
  return {
    id: row.id,
    name: row.name,
    version: row.version,
    digest: row.digest,
    definition,
    superseded: supersededIn(definition.rules.map((rule) => rule.validator)),
    created_by_id: row.created_by_id,
    created_at: rfc3339(row.created_at),
  }
}

/** Trials at a time: each may hold a core and half a gigabyte, and those who try rules are not those who wait for verdicts. */
const TRIALS_AT_MOST = 2
const LONGEST_TRIAL_SECONDS = 20

/** The routes of rule sets. */
export const rulesHandlers = (on: { judges: JudgeThread; clock: Clock }): Handlers<typeof rulesApi, Caller> => ({
  async scripts(ask) {
    const { listScripts, ruleSetDigest, scriptRuleSet, supersededIn } = await import('./rules.ts')
    const newest = await ask.read(store.listNewestRuleSets)
    return [
      ...listScripts().map((script) => {
        const plain = scriptRuleSet(script, null)
        return {
          script_id: script.id,
          name: script.name,
          description: script.description,
          version: script.version,
          script_type: script.type,
          requires_approval: script.requiresApproval,
          validators: [script.validator],
          superseded: [],
          rule_set: null,
          digest: plain.ok ? ruleSetDigest(plain.ruleSet) : null,
        }
      }),
      ...newest.map((row) => {
        const definition = JSON.parse(row.definition) as { description?: string } & Cited
        const cited = definition.rules.map((rule) => rule.validator)
        return {
          script_id: `rules.${row.name}`,
          name: row.name,
          description: definition.description ?? '',
          version: String(row.version),
          script_type: 'proof' as const,
          requires_approval: false,
          validators: [...new Set(cited)],
          superseded: supersededIn(cited),
          rule_set: `${row.name}@${row.version}`,
          digest: row.digest,
        }
      }),
    ]
  },
  async list(ask) {
    const { supersededIn } = await import('./rules.ts')
    return ask.page({
      rows: store.listRuleSets,
      total: store.countRuleSets,
      key: store.ruleSetKey,
      show: showWith(supersededIn),
    })
  },
  async publish(ask) {
    const { examineRuleSet, ruleSetDigest, supersededIn } = await import('./rules.ts')
    return ask.change(async (tx) => {
      const { caller, body } = ask
      const version = ((await store.findRuleSet(tx, body.name))?.version ?? 0) + 1
      const examined = examineRuleSet({ ...body.definition, name: body.name, version: `${version}.0.0` })
      if (!examined.ok)
        throw new AppError('RULE_SET_INVALID', {}, { fields: fieldsOf(examined.problems, 'body.definition') })
      const row = {
        id: uuidv7(caller.at),
        name: body.name,
        version,
        digest: ruleSetDigest(examined.ruleSet),
        definition: canonicalize(body.definition as Json),
        created_by_id: personOf(caller),
        created_at: caller.at,
      }
      await store.insertRuleSet(tx, row)
      await append(tx, caller.at, caller, {
        type: 'rule_set.published',
        resource: { type: 'rule_set', id: row.id },
        action: `Published rule set ${body.name} version ${version}`,
        details: { name: body.name, version, digest: row.digest },
      })
      return showWith(supersededIn)({ ...row, project_id: tx.project })
    })
  },
  try: createTrial(on),
})

function createTrial({
  judges,
  clock,
}: {
  judges: JudgeThread
  clock: Clock
}): Handlers<typeof rulesApi, Caller>['try'] {
  let trials = 0
  return async ({ body }) => {
    const { examineRuleSet } = await import('./rules.ts')
    const examined = examineRuleSet({ name: 'trial', version: '1.0.0', ...body.definition })
    if (!examined.ok)
      throw new AppError('RULE_SET_INVALID', {}, { fields: fieldsOf(examined.problems, 'body.definition') })
    const files = body.files.map(({ name, role, content }, at) => ({
      id: String(at),
      number: at + 1,
      ...bytesEvidence(name, bytesOf(content, at), role && { role }),
    }))
    if (trials >= TRIALS_AT_MOST)
      throw new AppError('TRIALS_TOO_MANY', { limit: TRIALS_AT_MOST }, { headers: { 'retry-after': '1' } })
    trials++
    try {
      const judgement = await judges.judge(
        {
          runId: '',
          runNumber: 0,
          ticketNumber: 0,
          script: null,
          ruleSet: examined.ruleSet,
          context: null,
          now: clock.now(),
          // The thread asks for the bytes: functions do not travel.
          evidence: files.map(({ bytes, stream, ...file }) => file),
        },
        async (id) => files[Number(id)]!.stream(),
        AbortSignal.timeout(LONGEST_TRIAL_SECONDS * 1_000),
      )
      if (judgement.state === 'failed') throw new Error('a trial without files')
      return {
        verdict: judgement.verdict,
        result_summary: judgement.resultSummary,
        validation_report: withoutRun(judgement.report),
      }
    } catch (error) {
      throw isTooMuch(error)
        ? new AppError('TRIAL_TOO_MUCH', { seconds: LONGEST_TRIAL_SECONDS }, { cause: error })
        : error
    } finally {
      trials--
    }
  }
}

/** The time was over, or the thread had no memory left: a schema may branch without bound. */
const isTooMuch = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'TimeoutError' || ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'))

function bytesOf(content: string, at: number): Buffer {
  if (/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(content))
    return Buffer.from(content, 'base64')
  throw new AppError(
    'VALIDATION_FAILED',
    {},
    { fields: [{ path: `body.files.${at}.content`, message: 'must be base64' }] },
  )
}

/** Nothing was run, and the files have no numbers. */
function withoutRun({ run_id, run_uuid, ticket_id, ticket_uuid, validation_results, ...report }: ValidationReport) {
  return {
    ...report,
    validation_results: validation_results.map(({ artifact_id, artifact_uuid, ...result }) => result),
  }
}
