import { hash } from 'node:crypto'
import type { Tx } from './database.ts'

/** What a repeated request is compared with: who, where, under which key, with which body. */
export interface RequestKey {
  readonly principal: string
  readonly route: string
  readonly key: string
  readonly bodySha256: string
}

/** As much of a request as an effect keeps that shares no transaction with its answer: see `markOf`. */
export interface RequestMark {
  readonly request: string
  readonly body: string
}

/**
 * What such an effect writes beside itself, so that the same request finds it again when the server was stopped before the answer was
 * remembered. Digests: nobody can tell from them who asked.
 */
export const markOf = ({ principal, route, key, bodySha256 }: RequestKey): RequestMark => ({
  request: hash('sha256', [principal, route, key].join('\n'), 'hex'),
  body: bodySha256,
})

export interface Remembered {
  readonly body_sha256: string
  readonly status: number
  /** JSON of the answer; null when it held a secret. */
  readonly response: string | null
  readonly resource_id: string | null
}

/** The answer given under this key in this project, if any. */
export async function recall(
  tx: Tx,
  request: Pick<RequestKey, 'principal' | 'route' | 'key'>,
): Promise<Remembered | undefined> {
  const rows = await tx.sql<Remembered>(
    'select body_sha256, status, response, resource_id from idempotency where project_id = ?1 and principal = ?2 and route = ?3 and key = ?4',
    [tx.project, request.principal, request.route, request.key],
  )
  return rows[0]
}

/**
 * Remembers answers in the transaction of the changes themselves, so a crash leaves both or neither. A rival with the
 * same key meets the unique index (UniqueViolation), is undone whole, and is answered from what the winner left.
 */
export async function remember(
  tx: Tx,
  now: number,
  answers: readonly (RequestKey & { status: number; response: string | null; resourceId: string | null })[],
): Promise<void> {
  await tx.insert(
    'idempotency',
    answers.map((a) => ({
      project_id: tx.project,
      principal: a.principal,
      route: a.route,
      key: a.key,
      body_sha256: a.bodySha256,
      status: a.status,
      response: a.response,
      resource_id: a.resourceId,
      created_at: now,
    })),
  )
}
