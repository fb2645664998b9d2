import {
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  type DeleteQueryNode,
  type InsertQueryNode,
  type JoinNode,
  type KyselyPlugin,
  OnNode,
  type OperationNode,
  OperationNodeTransformer,
  OperatorNode,
  type PluginTransformQueryArgs,
  PrimitiveValueListNode,
  type QueryId,
  ReferenceNode,
  type SelectQueryNode,
  TableNode,
  type UpdateQueryNode,
  ValueListNode,
  ValueNode,
  WhereNode,
} from 'kysely'
import { tenantTables } from './tables.ts'

/**
 * The fence between projects in the store layer: every select, update and delete on a tenant table gets the predicate
 * `project_id = <this project>`, and an insert of another project's row is refused. PostgreSQL has row-level security
 * beneath it; on SQLite, which has none, this is the fence. Raw SQL passes unseen: it is allowed only where
 * architecture.test.ts lists it, and carries its predicate by hand.
 */
export class ProjectFence extends OperationNodeTransformer implements KyselyPlugin {
  readonly #project: string

  constructor(project: string) {
    super()
    this.#project = project
  }

  transformQuery(args: PluginTransformQueryArgs) {
    return this.transformNode(args.node, args.queryId)
  }

  async transformResult<R>(args: { result: R }): Promise<R> {
    return args.result
  }

  protected override transformSelectQuery(node: SelectQueryNode, id?: QueryId): SelectQueryNode {
    const fenced = super.transformSelectQuery(node, id)
    // In the ON of a join, not in the WHERE: a left join must keep its rows without a partner.
    const joins = fenced.joins?.map((join): JoinNode => {
      const predicates = this.#predicates([join.table])
      const on = [...(join.on ? [join.on.on] : []), ...predicates]
      return predicates.length === 0 ? join : { ...join, on: OnNode.create(on.reduce((a, b) => AndNode.create(a, b))) }
    })
    return { ...fenced, ...(joins ? { joins } : {}), where: this.#and(fenced.where, node.from?.froms ?? []) }
  }

  protected override transformUpdateQuery(node: UpdateQueryNode, id?: QueryId): UpdateQueryNode {
    const fenced = super.transformUpdateQuery(node, id)
    return { ...fenced, where: this.#and(fenced.where, node.table ? [node.table] : []) }
  }

  protected override transformDeleteQuery(node: DeleteQueryNode, id?: QueryId): DeleteQueryNode {
    const fenced = super.transformDeleteQuery(node, id)
    return { ...fenced, where: this.#and(fenced.where, node.from.froms) }
  }

  protected override transformInsertQuery(node: InsertQueryNode, id?: QueryId): InsertQueryNode {
    const table = node.into && tableOf(node.into)?.name
    if (table && tenantTables.has(table)) this.#checkInsert(node, table)
    return super.transformInsertQuery(node, id)
  }

  #checkInsert(node: InsertQueryNode, table: string) {
    const at = (node.columns ?? []).findIndex((column) => column.column.name === 'project_id')
    const rows =
      node.values?.kind === 'ValuesNode' ? (node.values as unknown as { values: OperationNode[] }).values : []
    const foreign = rows.some((row) => {
      if (PrimitiveValueListNode.is(row)) return row.values[at] !== this.#project
      if (!ValueListNode.is(row)) return true
      const value = row.values[at]
      return value === undefined || !ValueNode.is(value) || value.value !== this.#project
    })
    if (at < 0 || foreign) throw new Error(`insert into ${table} across the fence of project ${this.#project}`)
  }

  #and(where: WhereNode | undefined, tables: readonly OperationNode[]): WhereNode | undefined {
    const all = [...(where ? [where.where] : []), ...this.#predicates(tables)]
    return all.length === 0 ? undefined : WhereNode.create(all.reduce((a, b) => AndNode.create(a, b)))
  }

  #predicates(tables: readonly OperationNode[]): OperationNode[] {
    return tables.flatMap((node) => {
      const table = tableOf(node)
      if (!table || !tenantTables.has(table.name)) return []
      const column = ReferenceNode.create(ColumnNode.create('project_id'), TableNode.create(table.alias))
      return [BinaryOperationNode.create(column, OperatorNode.create('='), ValueNode.create(this.#project))]
    })
  }
}

function tableOf(node: OperationNode): { name: string; alias: string } | undefined {
  if (node.kind === 'TableNode') {
    const name = (node as TableNode).table.identifier.name
    return { name, alias: name }
  }
  if (node.kind !== 'AliasNode') return undefined
  const { node: inner, alias } = node as unknown as { node: OperationNode; alias: { kind: string; name: string } }
  const table = tableOf(inner)
  return table && { name: table.name, alias: alias.kind === 'IdentifierNode' ? alias.name : table.name }
}
