import type { Selectable } from 'kysely'
import type { Tx } from '../../platform/db/index.ts'
import type { RuleSetsTable } from '../../platform/db/tables.ts'

export type RuleSetRow = Selectable<RuleSetsTable>

export async function listRuleSets(tx: Tx): Promise<RuleSetRow[]> {
  return tx.db.selectFrom('rule_sets').selectAll().orderBy('name').orderBy('version', 'desc').execute()
}

/** A version of a rule set, the newest without `version`. */
export async function findRuleSet(tx: Tx, name: string, version?: number): Promise<RuleSetRow | undefined> {
  return tx.db
    .selectFrom('rule_sets')
    .selectAll()
    .where('name', '=', name)
    .$if(version !== undefined, (q) => q.where('version', '=', version!))
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst()
}

export async function insertRuleSet(tx: Tx, row: Omit<RuleSetRow, 'project_id'>): Promise<void> {
  await tx.insert('rule_sets', [{ project_id: tx.project, ...row }])
}
