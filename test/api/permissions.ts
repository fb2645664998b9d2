import type { Role } from '@writ/api'

/**
 * Who may call what, written by hand from the product's rules and not from its code: `anybody`, any `person` who is
 * logged in, the `instance` administrator, or the roles of a project. A route that is missing here fails the test.
 */
const all: Role[] = ['admin', 'ops', 'dev', 'employee', 'auditor']
const workers: Role[] = ['admin', 'ops', 'dev', 'employee']
const dispatchers: Role[] = ['admin', 'ops', 'dev']
const overseers: Role[] = ['admin', 'auditor']
const admins: Role[] = ['admin']

/** The same for the paths of the dispatch door, which stand below the root. */
export const mayCallDoor: Readonly<Record<string, 'anybody' | readonly Role[]>> = {
  'GET /ping': 'anybody',
  'POST /dispatch': ['admin', 'ops', 'dev'],
  'GET /task/:tid': all,
  'GET /task/:tid/detail': all,
  'GET /tasks': all,
  'POST /proxy/forward': ['admin', 'ops', 'dev'],
  'GET /feishu/token': ['admin', 'ops', 'dev'],
  'GET /dlq/:queue_name': ['admin', 'ops', 'auditor'],
  'GET /dlq/:queue_name/:msg_id': ['admin', 'ops', 'auditor'],
  'POST /dlq/:queue_name/:msg_id/replay': ['admin', 'ops'],
  'DELETE /dlq/:queue_name': ['admin'],
  'GET /logs/list': ['admin', 'ops', 'auditor'],
  'GET /logs/read': ['admin', 'ops', 'auditor'],
}

export const mayCall: Readonly<Record<string, 'anybody' | 'person' | 'instance' | readonly Role[]>> = {
  'GET /health': 'anybody',
  'POST /auth/login': 'anybody',
  'POST /auth/session': 'anybody',
  'GET /auth/oidc/start': 'anybody',
  'GET /auth/oidc/callback': 'anybody',
  'POST /auth/register': 'anybody',
  'POST /auth/logout': 'person',
  'GET /auth/me': 'person',
  'GET /auth/session': 'person',
  'POST /auth/password': 'person',
  'GET /auth/sessions': 'person',
  'DELETE /auth/sessions/:id': 'person',
  'POST /auth/totp': 'person',
  'POST /auth/totp/confirm': 'person',
  'POST /auth/totp/off': 'person',

  'GET /users': overseers,
  'GET /users/:id': overseers,
  'POST /users': admins,
  'PATCH /users/:id': admins,
  'POST /users/:id/reset-password': admins,
  'GET /invites': overseers,
  'POST /invites': admins,
  'DELETE /invites/:id': admins,

  'GET /tokens': all,
  'POST /tokens': all,
  'POST /tokens/:id/rotate': all,
  'DELETE /tokens/:id': all,

  'GET /projects': 'person',
  'POST /projects': 'instance',
  'GET /projects/:slug': 'person',
  'PATCH /projects/:slug': 'instance',
  'GET /members': all,
  'PUT /members/:id': admins,
  'DELETE /members/:id': admins,
  'GET /policy': all,
  'PUT /policy': admins,
  'GET /policy/changes': all,
  'POST /policy/changes/:id/approve': admins,
  'POST /policy/changes/:id/reject': admins,

  'POST /assets': workers,
  'GET /assets': all,
  'GET /assets/:id': all,
  'PATCH /assets/:id': workers,

  'POST /tickets': workers,
  'GET /tickets': all,
  'GET /tickets/:id': all,
  'PATCH /tickets/:id': workers,
  'POST /tickets/:id/submit': workers,
  // The policy of the project names who approves; by default that is the admin.
  'POST /tickets/:id/approve': admins,
  'POST /tickets/:id/approval-statement': admins,
  'POST /tickets/:id/reject': admins,
  'POST /tickets/:id/close': workers,
  'POST /tickets/:id/reopen': workers,
  'GET /tickets/:id/approvals': all,
  'GET /tickets/:id/comments': all,
  'POST /tickets/:id/comments': workers,

  'POST /runs': workers,
  'GET /runs': all,
  'GET /runs/:id': all,
  'GET /runs/:id/state': all,
  'GET /runs/:id/wait': all,
  'POST /runs/:id/finalize': workers,
  'POST /runs/:id/cancel': workers,
  'POST /runs/:id/verify': workers,
  'GET /scripts': all,
  'GET /rule-sets': all,
  'POST /rule-sets': admins,

  'POST /artifacts': workers,
  'GET /artifacts/:id': all,
  'GET /artifacts/:id/download': all,
  'GET /artifacts/run/:id': all,
  'DELETE /artifacts/:id': workers,
  'POST /artifacts/:id/erase': admins,

  'GET /audit/events': overseers,
  'GET /audit/export': overseers,
  'GET /audit/log': overseers,
  'GET /audit/log/files/*': overseers,
  'POST /audit/verify': overseers,

  // Whoever may be made an approver may have a key; that another admin agrees is part of it.
  'GET /signing-keys': all,
  'POST /signing-keys/statement': workers,
  'POST /signing-keys': workers,
  'POST /signing-keys/:id/approve': admins,
  'POST /signing-keys/:id/reject': admins,
  'POST /signing-keys/:id/revoke': workers,
  'POST /evidence/export': overseers,
  // Of tickets that the caller may see; the routes look.
  'GET /evidence/trail': all,
  'GET /evidence/seals': all,
  'POST /audit/self-check': overseers,

  'POST /payloads/:id/erase': admins,
  'POST /users/:id/erase': 'instance',
  'GET /holds': overseers,
  'POST /holds': admins,
  'POST /holds/:id/release': admins,
  'GET /audit/logs': overseers,
  'POST /audit/logs/rotate': admins,
  'POST /audit/logs/:shard/drop': admins,
  'GET /audit/log/anchor': overseers,
  // Whoever asks: the log itself is public, or the caller is checked as for GET /audit/log/files.
  'GET /log/*': 'anybody',

  'GET /keys': 'instance',
  'POST /keys/rotate': 'instance',

  // A webhook carries the project's events out: admins decide where to; ops keep it running, auditors look.
  'GET /webhooks': ['admin', 'ops', 'auditor'],
  'POST /webhooks': admins,
  'GET /webhooks/:id': ['admin', 'ops', 'auditor'],
  'PATCH /webhooks/:id': admins,
  'DELETE /webhooks/:id': admins,
  'POST /webhooks/:id/rotate': admins,
  'POST /webhooks/:id/test': ['admin', 'ops'],
  'GET /webhooks/:id/deliveries': ['admin', 'ops', 'auditor'],
  'POST /webhooks/:id/replay': ['admin', 'ops'],
  // Which of them depends on whose they are.
  'GET /events': all,
  'GET /ws': all,

  // Tasks are dispatched by those who answer for what runs; which of them one sees depends on whose they are.
  'POST /tasks': dispatchers,
  'POST /tasks/batch': dispatchers,
  'GET /tasks': all,
  'GET /tasks/:id': all,
  'GET /tasks/:id/wait': all,
  'POST /tasks/:id/cancel': dispatchers,
  'POST /tasks/preview': ['admin', 'ops', 'auditor'],
  'POST /tasks/cancel': ['admin', 'ops'],
  'POST /tasks/replay': ['admin', 'ops'],
  'GET /handlers': all,
  'POST /workers/claim': ['admin', 'ops'],
  'POST /workers/extend': ['admin', 'ops'],
  'POST /workers/settle': ['admin', 'ops'],
  'POST /handlers/:name/enable': ['admin', 'ops'],
  'POST /handlers/:name/disable': ['admin', 'ops'],
  'GET /queues': ['admin', 'ops', 'auditor'],
  'POST /queues/:name/pause': ['admin', 'ops'],
  'POST /queues/:name/resume': ['admin', 'ops'],
  'POST /queues/:name/drain': ['admin', 'ops'],
  'GET /dead-letters': ['admin', 'ops', 'auditor'],
  'GET /dead-letters/:id': ['admin', 'ops', 'auditor'],
  'POST /dead-letters/preview': ['admin', 'ops', 'auditor'],
  'POST /dead-letters/:id/replay': ['admin', 'ops'],
  'POST /dead-letters/replay': ['admin', 'ops'],
  'POST /dead-letters/purge': admins,

  // A schedule works for the whole project while nobody looks: who runs its operation decides, who audits it reads.
  'GET /schedules': ['admin', 'ops', 'auditor'],
  'POST /schedules': ['admin', 'ops'],
  // Computes and writes nothing.
  'POST /schedules/preview': ['admin', 'ops', 'auditor'],
  'GET /schedules/:id': ['admin', 'ops', 'auditor'],
  'PATCH /schedules/:id': ['admin', 'ops'],
  'DELETE /schedules/:id': ['admin', 'ops'],
  'POST /schedules/:id/pause': ['admin', 'ops'],
  'POST /schedules/:id/resume': ['admin', 'ops'],
  'POST /schedules/:id/trigger': ['admin', 'ops'],
  'GET /insight': ['admin', 'ops', 'auditor'],
}
