import { type Selectable, sql } from 'kysely'
import { countOf, type ListPart, type Tx } from '../../platform/db/index.ts'
import type { RuleSetsTable } from '../../platform/db/tables.ts'

export type RuleSetRow = Selectable<RuleSetsTable>

/** All versions: by name, of each the newest first, behind the key `after`. */
export async function listRuleSets(tx: Tx, part: ListPart): Promise<RuleSetRow[]> {
  const [name, version] = part.after?.split('@') ?? []
  return tx.db
    .selectFrom('rule_sets')
    .selectAll()
    .$if(part.after !== undefined, (q) =>
      q.where('name', '>=', name!).where((eb) => eb.or([eb('name', '>', name!), eb('version', '<', Number(version))])),
    )
    .orderBy('name')
    .orderBy('version', 'desc')
    .limit(part.limit)
    .offset(part.skip)
    .execute()
}

/** Where a version stands in that list. */
export const ruleSetKey = ({ name, version }: RuleSetRow): string => `${name}@${version}`

export const countRuleSets = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('rule_sets'))

/** The newest version of each, by name. */
export const listNewestRuleSets = (tx: Tx): Promise<RuleSetRow[]> =>
  tx.db
    .selectFrom('rule_sets')
    .selectAll()
    .where(
      sql<boolean>`version = (select max(later.version) from rule_sets later where later.project_id = rule_sets.project_id and later.name = rule_sets.name)`,
    )
    .orderBy('name')
    .execute()

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
