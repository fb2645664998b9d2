import type { Clock } from '../platform/clock.ts'
import { coalesceIn } from '../platform/coalesce.ts'
import type { Database, Tx } from '../platform/db/index.ts'
import { randomHex } from '../platform/ids.ts'
import type { Caller } from './caller.ts'
import { permissions } from './permissions.ts'
import { findStanding } from './store-access.ts'

/**
 * A person as the caller of what they asked for before, in the project of `tx` and with the role that they have now. Null if
 * they are deactivated or may not call the endpoint any more.
 */
async function actFor(tx: Tx, userId: string, endpoint: string, at: number): Promise<Caller | null> {
  const person = await findStanding(tx, userId)
  if (person?.is_active !== 1) return null
  const role = person.is_instance_admin === 1 ? 'admin' : person.role
  if (role === null || !permissions[endpoint]?.includes(role)) return null
  return {
    kind: 'user',
    id: userId,
    number: person.number,
    username: person.username,
    ip: null,
    userAgent: null,
    principal: `user:${userId}`,
    userId,
    isInstanceAdmin: person.is_instance_admin === 1,
    project: tx.project,
    projectSlug: person.project_slug,
    role,
    scopes: null,
    session: null,
    authentication: null,
    tokenId: null,
    mustChangePassword: false,
    at,
    requestId: 'schedule',
    traceId: randomHex(16),
    spanId: null,
    traceparent: null,
    tracestate: null,
  }
}

/**
 * Finds people as the callers of what they asked for before, by project and id, with the role that they have now; undefined for those who
 * may not call the endpoint any more. Those who are looked for together are one question to the store.
 */
export function createActing(on: { readonly db: Database; readonly clock: Clock }, endpoint: string) {
  return coalesceIn(on.db, async (tx, people) => {
    const now = on.clock.now()
    const callers = await Promise.all(people.map((id) => actFor(tx, id, endpoint, now)))
    return new Map(people.flatMap((id, i) => (callers[i] ? [[id, callers[i]]] : [])))
  })
}
