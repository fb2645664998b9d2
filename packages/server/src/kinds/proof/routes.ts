import type { rulesApi } from '@writ/api'
import { append, canonicalize, type Json } from '../../audit/index.ts'
import { type Caller, personOf } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { rfc3339 } from '../../platform/clock.ts'
import type { Handlers } from '../../platform/http/mount.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { fieldsOf } from './kind.ts'
import * as store from './store.ts'

const show = (row: store.RuleSetRow) => ({
  id: row.id,
  name: row.name,
  version: row.version,
  digest: row.digest,
  definition: JSON.parse(row.definition) as Record<string, unknown>,
  created_by_id: row.created_by_id,
  created_at: rfc3339(row.created_at),
})

export const rulesHandlers: Handlers<typeof rulesApi, Caller> = {
  async scripts(ask) {
    const { listScripts, ruleSetDigest, scriptRuleSet } = await import('./rules.ts')
    const sets = await ask.read((tx) => store.listRuleSets(tx))
    const newest = sets.filter((row, i) => sets[i - 1]?.name !== row.name)
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
          rule_set: null,
          digest: plain.ok ? ruleSetDigest(plain.ruleSet) : null,
        }
      }),
      ...newest.map((row) => {
        const definition = JSON.parse(row.definition) as { description?: string; rules: { validator: string }[] }
        return {
          script_id: `rules.${row.name}`,
          name: row.name,
          description: definition.description ?? '',
          version: String(row.version),
          script_type: 'proof' as const,
          requires_approval: false,
          validators: [...new Set(definition.rules.map((rule) => rule.validator))],
          rule_set: `${row.name}@${row.version}`,
          digest: row.digest,
        }
      }),
    ]
  },
  list: async (ask) => (await ask.read((tx) => store.listRuleSets(tx))).map(show),
  async publish(ask) {
    const { examineRuleSet, ruleSetDigest } = await import('./rules.ts')
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
      return show({ ...row, project_id: tx.project })
    })
  },
}
