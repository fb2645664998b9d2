import { type Static, Type } from 'typebox'
import { type AuditEventType, auditEvents } from './audit.ts'
import { EVENT_PATTERN, meaning } from './patterns.ts'
import { Id, nullable, Time } from './shapes.ts'

/** The CloudEvents type of an audit event: `run.completed` is `dev.writ.run.completed.v1`. */
export const eventTypeOf = (type: string): string => `dev.writ.${type}.v1`

/** The events that a project can tell of; those of the instance stay with the instance. */
export const projectEvents: readonly AuditEventType[] = (Object.keys(auditEvents) as AuditEventType[]).filter(
  (type) => auditEvents[type] !== 'instance',
)

/** Of these, what everybody in a project may watch: all of the first, and of the second what belongs to their own tickets. */
export const openGroups: readonly string[] = ['asset', 'rule_set']
export const ticketGroups: readonly string[] = ['ticket', 'run', 'artifact']

/** Which events: a type, a group (`run.*`), or everything (`*`). */
export const EventPattern = Type.String({ pattern: EVENT_PATTERN, maxLength: 60 })

/** Where an event stands in its project's log; texts sort as the log does. */
export const Sequence = Type.String({
  pattern: meaning('a place such as 00000-000000000042', '^[0-9]{5}-[0-9]{12}$'),
  description: 'place in the log of the project',
})

/** One event as webhooks, streams and polls give it. Source: CloudEvents 1.0, structured content mode. */
export const Event = Type.Object({
  specversion: Type.Literal('1.0'),
  id: Id,
  source: Type.String({ description: 'the project: <public url>/projects/<slug>' }),
  type: Type.String({ description: 'dev.writ.<event type>.v1' }),
  subject: Type.Optional(Type.String({ description: 'id of what it is about' })),
  time: Time,
  datacontenttype: Type.Literal('application/json'),
  sequence: Type.Optional(Sequence),
  data: Type.Object({
    event_type: Type.String(),
    action: Type.String(),
    resource_type: nullable(Type.String()),
    resource_id: nullable(Type.String()),
    resource_number: nullable(Type.Integer()),
    run_id: nullable(Id),
    actor_kind: Type.String(),
    actor_id: nullable(Id),
    actor_number: nullable(Type.Integer()),
    actor_username: nullable(Type.String()),
    success: Type.Boolean(),
    error_message: nullable(Type.String()),
    details: nullable(Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })),
  }),
})
export type Event = Static<typeof Event>

export const EventPage = Type.Object({
  items: Type.Array(Event),
  last: Type.String({
    description: 'the sequence to go on after; also when nothing came, or nothing that you may see',
  }),
})
export type EventPage = Static<typeof EventPage>
