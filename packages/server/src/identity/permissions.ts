import { type Access, api, dispatchApi, type Endpoint, type Role } from '@writ/api'
import { nearest } from '@writ/api/nearest'
import { AppError } from '../platform/app-error.ts'
import type { Caller } from './caller.ts'

const everybody = ['admin', 'ops', 'dev', 'employee', 'auditor'] as const satisfies readonly Role[]
const writers = ['admin', 'ops', 'dev', 'employee'] as const satisfies readonly Role[]
const admins = ['admin'] as const satisfies readonly Role[]
const overseers = ['admin', 'auditor'] as const satisfies readonly Role[]
const operators = ['admin', 'ops', 'auditor'] as const satisfies readonly Role[]
const dispatchers = ['admin', 'ops', 'dev'] as const satisfies readonly Role[]

/**
 * Who may call what, by hand and not derived from the code: roles for each endpoint of a project. An endpoint that is
 * not here is refused to all. Rules about single things (my ticket, my run, the policy's approvers) live with the thing.
 */
export const permissions: Readonly<Record<string, readonly Role[]>> = {
  'users.list': overseers,
  'users.get': overseers,
  'users.create': admins,
  'users.update': admins,
  'users.resetPassword': admins,
  'users.invites': overseers,
  'users.invite': admins,
  'users.revokeInvite': admins,
  'tokens.list': everybody,
  'tokens.create': everybody,
  'tokens.rotate': everybody,
  'tokens.revoke': everybody,
  'projects.members': everybody,
  'projects.setMember': admins,
  'projects.removeMember': admins,
  'projects.policy': everybody,
  'projects.changePolicy': admins,
  'projects.policyChanges': everybody,
  'projects.approvePolicy': admins,
  'projects.rejectPolicy': admins,
  'assets.create': writers,
  'assets.list': everybody,
  'assets.get': everybody,
  'assets.update': writers,
  'tickets.create': writers,
  'tickets.list': everybody,
  'tickets.get': everybody,
  'tickets.update': writers,
  'tickets.submit': writers,
  'tickets.approve': writers,
  'tickets.approvalStatement': writers,
  'tickets.reject': writers,
  'tickets.close': writers,
  'tickets.reopen': writers,
  'tickets.approvals': everybody,
  'tickets.changes': everybody,
  'tickets.comments': everybody,
  'tickets.comment': writers,
  'runs.start': writers,
  'runs.list': everybody,
  'runs.get': everybody,
  'runs.contract': everybody,
  'runs.wait': everybody,
  'runs.finalize': writers,
  'runs.cancel': writers,
  'runs.verify': writers,
  'runs.preview': writers,
  'runs.cancelMany': writers,
  'runs.verifyMany': writers,
  'rules.scripts': everybody,
  'rules.list': everybody,
  'rules.publish': admins,
  'rules.try': writers,
  'artifacts.upload': writers,
  'artifacts.get': everybody,
  'artifacts.download': everybody,
  'artifacts.ofRun': everybody,
  'artifacts.delete': writers,
  'artifacts.erase': admins,
  'audit.events': overseers,
  'audit.export': overseers,
  'audit.log': overseers,
  'audit.file': overseers,
  'audit.verify': overseers,
  'signingKeys.list': everybody,
  'signingKeys.statement': writers,
  'signingKeys.enrol': writers,
  'signingKeys.approve': admins,
  'signingKeys.reject': writers,
  'signingKeys.revoke': writers,
  'evidence.export': overseers,
  // Whoever may see the ticket; what stands in payloads is for overseers.
  'evidence.trail': everybody,
  'evidence.seals': everybody,
  'audit.selfCheck': overseers,
  'privacy.erasePayload': admins,
  'privacy.holds': overseers,
  'privacy.setHold': admins,
  'privacy.releaseHold': admins,
  'privacy.logs': overseers,
  'privacy.rotateLog': admins,
  'privacy.dropLog': admins,
  'audit.anchor': overseers,
  'webhooks.list': operators,
  'webhooks.create': admins,
  'webhooks.get': operators,
  'webhooks.update': admins,
  'webhooks.delete': admins,
  'webhooks.rotate': admins,
  'webhooks.test': ['admin', 'ops'],
  'webhooks.deliveries': operators,
  'webhooks.replay': ['admin', 'ops'],
  'events.list': everybody,
  'events.socket': everybody,
  'tasks.submit': dispatchers,
  'tasks.submitMany': dispatchers,
  'tasks.list': everybody,
  'tasks.totals': everybody,
  'tasks.get': everybody,
  'tasks.wait': everybody,
  'tasks.log': everybody,
  'tasks.cancel': dispatchers,
  'tasks.preview': operators,
  'tasks.cancelMany': ['admin', 'ops'],
  'tasks.replayMany': ['admin', 'ops'],
  'tasks.handlers': everybody,
  'tasks.batches': everybody,
  'tasks.batch': everybody,
  'tasks.cancelBatch': dispatchers,
  'queues.list': operators,
  'queues.pause': ['admin', 'ops'],
  'queues.resume': ['admin', 'ops'],
  'queues.drain': ['admin', 'ops'],
  'queues.limit': ['admin', 'ops'],
  'concurrencyKeys.list': operators,
  'concurrencyKeys.pause': ['admin', 'ops'],
  'concurrencyKeys.resume': ['admin', 'ops'],
  'concurrencyKeys.limit': ['admin', 'ops'],
  'concurrencyKeys.liftLimit': ['admin', 'ops'],
  'deadLetters.list': operators,
  'deadLetters.get': operators,
  'deadLetters.replay': ['admin', 'ops'],
  'deadLetters.preview': operators,
  'deadLetters.replayMany': ['admin', 'ops'],
  'deadLetters.purge': admins,
  'workers.claim': ['admin', 'ops'],
  'workers.extend': ['admin', 'ops'],
  'workers.settle': ['admin', 'ops'],
  'workers.step': ['admin', 'ops'],
  'workers.dispatch': ['admin', 'ops'],
  'workers.wait': ['admin', 'ops'],
  'workers.ask': ['admin', 'ops'],
  'workers.pauseKey': ['admin', 'ops'],
  'workers.log': ['admin', 'ops'],
  'handlers.get': everybody,
  'handlers.add': ['admin', 'ops'],
  'handlers.remove': ['admin', 'ops'],
  'handlers.rotateSecret': ['admin', 'ops'],
  'handlers.enable': ['admin', 'ops'],
  'handlers.disable': ['admin', 'ops'],
  'dispatch.dispatch': dispatchers,
  'dispatch.status': everybody,
  'dispatch.detail': everybody,
  'dispatch.tasks': everybody,
  'dispatch.forward': dispatchers,
  'dispatch.feishuToken': dispatchers,
  'dispatch.deadLetters': operators,
  'dispatch.deadLetter': operators,
  'dispatch.replay': ['admin', 'ops'],
  'dispatch.purge': admins,
  'dispatch.logFiles': operators,
  'dispatch.logFile': operators,
  'schedules.list': operators,
  'schedules.create': ['admin', 'ops'],
  'schedules.preview': operators,
  'schedules.get': operators,
  'schedules.update': ['admin', 'ops'],
  'schedules.delete': ['admin', 'ops'],
  'schedules.pause': ['admin', 'ops'],
  'schedules.resume': ['admin', 'ops'],
  'schedules.trigger': ['admin', 'ops'],
  'insight.get': operators,
}

// What a role may lend to a token. An auditor's reading is not part of ops, and ops' writing not of an auditor.
const lendable: Readonly<Record<Role, readonly Role[]>> = {
  admin: everybody,
  ops: ['ops', 'dev', 'employee'],
  dev: ['dev', 'employee'],
  employee: ['employee'],
  auditor: ['auditor'],
}

/** Whether somebody with `mine` may make a token with `wanted`. */
export const mayLend = (mine: Role, wanted: Role): boolean => lendable[mine].includes(wanted)

/** The role that a token has now: its own, or its owner's if that became less; null when neither contains the other. */
export function tokenRole(owner: Role | null, own: Role): Role | null {
  if (owner === null) return null
  if (mayLend(owner, own)) return own
  return mayLend(own, owner) ? owner : null
}

/** Whether scopes (`group.name`, `group.*`, `*`; none at all means everything) cover an endpoint or another scope. */
export function coversScope(scopes: readonly string[], id: string): boolean {
  if (scopes.length === 0) return true
  return scopes.some(
    (scope) =>
      scope === '*' ||
      scope === id ||
      (/[.:]\*$/.test(scope) && id.startsWith(scope.slice(0, -1))) ||
      // Which queues a worker may claim from, the scopes say themselves; so that it may come at all follows from them.
      (scope.startsWith('worker:') && id.startsWith('workers.')),
  )
}

/** Refuses a worker that may not take from this queue: an API token needs the scope `worker:<queue>`. */
export function requireWorkerScope({ scopes }: Pick<Caller, 'scopes'>, queue: string): void {
  const scope = `worker:${queue}`
  if (scopes !== null && !coversScope(scopes, scope)) throw new AppError('SCOPE_NOT_ALLOWED', { scope })
}

/** Endpoints of a project that a role, and a token's scopes if there are any, allow. */
export const permissionsOf = (role: Role | null, scopes: readonly string[] | null): string[] =>
  role === null
    ? []
    : Object.entries(permissions)
        .filter(([id, roles]) => roles.includes(role) && coversScope(scopes ?? [], id))
        .map(([id]) => id)

/** Refuses a caller whom this endpoint does not admit; `mount` calls it before a byte of the body is read. */
export function authorize(id: string, endpoint: Pick<Endpoint, 'access' | 'personal'>, caller: Caller): void {
  const access: Access = endpoint.access
  if (access === 'public') return
  if (caller.userId === null) throw new AppError('NOT_AUTHENTICATED', {}, { headers: { 'www-authenticate': 'Bearer' } })
  if (caller.scopes !== null && !coversScope(caller.scopes, id)) throw new AppError('SCOPE_NOT_ALLOWED', { scope: id })
  // Whoever finds one could lock its owner out of the account with a second factor of their own.
  if (endpoint.personal && caller.tokenId !== null) throw new AppError('SESSION_REQUIRED')
  if (access === 'user') return
  if (access === 'instance') {
    if (!caller.isInstanceAdmin) throw new AppError('INSTANCE_ADMIN_REQUIRED')
    return
  }
  if (caller.project === null || caller.role === null) throw new AppError('NOT_A_MEMBER')
  const roles = permissions[id] ?? []
  if (roles.includes(caller.role)) return
  throw new AppError(roles.length === 1 && roles[0] === 'admin' ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED')
}

/** The same for what a caller asks for by another path than its own, as a task by `POST /runs`. */
export const requirePermission = (caller: Caller, id: string): void => authorize(id, { access: 'member' }, caller)

/** Ids of all endpoints with an access; the permission test compares them with the table. */
export const endpointsWith = (access: Access): string[] =>
  Object.entries({ ...api, dispatch: dispatchApi }).flatMap(([group, endpoints]) =>
    Object.entries(endpoints as Record<string, Endpoint>)
      .filter(([, endpoint]) => endpoint.access === access)
      .map(([name]) => `${group}.${name}`),
  )

const scopable = [...endpointsWith('member'), ...endpointsWith('user'), ...endpointsWith('instance')]
const groups = [...new Set(scopable.map((id) => id.slice(0, id.indexOf('.'))))]

/** Why a scope allows nothing: no operation has that name. Undefined if one has, or if it is of a worker. */
export function faultOfScope(scope: string): string | undefined {
  if (scope === '*' || /^worker:./.test(scope) || scopable.includes(scope)) return undefined
  const [group = '', ...rest] = scope.split('.')
  if (groups.includes(group) && rest.join('.') === '*') return undefined
  const near = nearest(scope, [...scopable, ...groups.map((one) => `${one}.*`)])
  if (near !== undefined) return `there is no operation "${scope}"; did you mean ${near}?`
  const like = scopable.filter((id) => id.startsWith(`${group}.`))
  return like.length > 0
    ? `there is no operation "${scope}"; of ${group} there are ${like.join(', ')}`
    : `there is no operation "${scope}"; there are those of ${groups.join(', ')}`
}
