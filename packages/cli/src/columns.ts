import type { Artifact, Asset, AuditEvent, Run, Ticket, Token, User } from '@writ/api'
import { numberText } from './app.ts'
import type { Field } from './output.ts'
import type { Column, Paint } from './table.ts'
import { bytesText, counted, timeText } from './text.ts'

// How the things that people look at most are shown: as a row, and in detail.

const stateColour: Record<string, Paint> = {
  done: 'green',
  approved: 'green',
  passed: 'green',
  success: 'green',
  completed: 'green',
  failed: 'red',
  timeout: 'red',
  running: 'yellow',
  pending: 'yellow',
  waiting_approval: 'yellow',
}
export const colourOf = (state: string | null | undefined): Paint | undefined =>
  state ? stateColour[state] : undefined

export const ticketColumns: Column<Ticket>[] = [
  { head: '#', value: (t) => t.number, right: true },
  { head: 'STATUS', value: (t) => t.status, paint: (t) => colourOf(t.status) },
  { head: 'TITLE', value: (t) => t.title, shrink: true },
  { head: 'ASSET', value: (t) => numberText(t.asset_number), spare: true },
  { head: 'BY', value: (t) => numberText(t.created_by_number) },
  { head: 'FOR', value: (t) => numberText(t.assignee_number), spare: true },
  { head: 'DUE', value: (t) => t.due_at?.slice(0, 10), spare: true },
  { head: 'CHANGED', value: (t) => timeText(t.updated_at) },
]

/** `person` says who has a number; as `user #2` where nobody was asked. */
export const ticketFields = (
  t: Ticket,
  person: (number: number) => string = (number) => `user ${numberText(number)}`,
): Field[] => [
  ['Ticket', `#${t.number}  ${t.title}`, 'bold'],
  ['Status', t.status, colourOf(t.status)],
  ['Description', t.description],
  ['Asset', numberText(t.asset_number)],
  ['Opened by', person(t.created_by_number)],
  ['Assigned to', t.assignee_number && person(t.assignee_number)],
  ['Approved by', t.approved_by_number && person(t.approved_by_number)],
  ['Due', timeText(t.due_at)],
  ['Version', `${t.version}  (digest ${t.digest.slice(0, 16)})`],
  ['Opened', timeText(t.created_at)],
  ['Changed', timeText(t.updated_at)],
  ['Id', t.id],
]

const outcome = (run: Run): string => run.verdict ?? (run.waiting_for ? `waits for ${run.waiting_for}` : run.state)

export const runColumns: Column<Run>[] = [
  { head: '#', value: (r) => r.number, right: true },
  { head: 'KIND', value: (r) => r.kind, spare: true },
  { head: 'TICKET', value: (r) => numberText(r.ticket_number) },
  { head: 'STATE', value: (r) => r.state, paint: (r) => colourOf(r.state) },
  { head: 'OUTCOME', value: outcome, paint: (r) => colourOf(r.verdict) },
  { head: 'SCRIPT', value: (r) => r.script_id, shrink: true, spare: true },
  { head: 'RESULT', value: (r) => r.result_summary, shrink: true },
  { head: 'STARTED', value: (r) => timeText(r.created_at) },
]

export const runFields = (r: Run): Field[] => [
  ['Run', `#${r.number}  ${r.kind}${r.script_id ? ` ${r.script_id}` : ''}`, 'bold'],
  ['Ticket', numberText(r.ticket_number)],
  ['State', r.state, colourOf(r.state)],
  ['Waits for', r.waiting_for],
  ['Verdict', r.verdict, colourOf(r.verdict)],
  ['Result', r.result_summary],
  ['Error', r.error_code, 'red'],
  ['Verifies run', numberText(r.verifies_run_number)],
  ['Rules', r.rules_version],
  ['Started by', `user ${numberText(r.executed_by_number)}`],
  ['Asked', timeText(r.created_at)],
  ['Completed', timeText(r.completed_at)],
  ['Ends at the latest', r.completed_at ? null : timeText(r.timeout_at)],
  ['Report', r.report_artifact_id],
  ['Id', r.id],
]

export const artifactColumns: Column<Artifact>[] = [
  { head: '#', value: (a) => a.number, right: true },
  { head: 'FILE', value: (a) => a.filename, shrink: true },
  { head: 'ROLE', value: (a) => a.role ?? a.artifact_type },
  { head: 'SIZE', value: (a) => bytesText(a.size_bytes), right: true },
  { head: 'SHA-256', value: (a) => a.sha256_hash.slice(0, 16) },
  { head: 'BY', value: (a) => numberText(a.uploaded_by_number) },
  { head: 'UPLOADED', value: (a) => timeText(a.created_at) },
]

export const artifactFields = (a: Artifact): Field[] => [
  ['Artifact', `#${a.number}  ${a.filename}`, 'bold'],
  ['Run', numberText(a.run_number)],
  ['Type', a.artifact_type],
  ['Role', a.role],
  ['Description', a.description],
  ['Content type', a.content_type],
  ['Size', `${bytesText(a.size_bytes)} (${counted(a.size_bytes, 'byte')})`],
  ['SHA-256', a.sha256_hash],
  ['Uploaded by', a.uploaded_by_number && `user ${numberText(a.uploaded_by_number)}`],
  ['Uploaded', timeText(a.created_at)],
  ['Flagged', a.findings?.map((one) => `${one.count} ${one.kind} from byte ${one.offset}`).join(', '), 'yellow'],
  ['Erased', timeText(a.erased_at), 'red'],
  ['Deleted', a.is_deleted ? 'yes: the record stays, the bytes are not served' : null, 'red'],
  ['Id', a.id],
]

export const assetColumns: Column<Asset>[] = [
  { head: '#', value: (a) => a.number, right: true },
  { head: 'TYPE', value: (a) => a.asset_type },
  { head: 'NAME', value: (a) => a.name, shrink: true },
  { head: 'SERIAL', value: (a) => a.serial_number },
  { head: 'LOCATION', value: (a) => a.location, shrink: true },
]

export const assetFields = (a: Asset): Field[] => [
  ['Asset', `#${a.number}  ${a.name}`, 'bold'],
  ['Type', a.asset_type],
  ['Serial number', a.serial_number],
  ['Location', a.location],
  ['Description', a.description],
  ['Added by', `user ${numberText(a.created_by_number)}`],
  ['Added', timeText(a.created_at)],
  ['Changed', timeText(a.updated_at)],
  ['Id', a.id],
]

export const userColumns: Column<User>[] = [
  { head: '#', value: (u) => u.number, right: true },
  { head: 'NAME', value: (u) => u.username },
  { head: 'ROLE', value: (u) => u.role ?? (u.is_instance_admin ? 'instance' : '') },
  { head: 'FULL NAME', value: (u) => u.full_name, shrink: true },
  { head: 'E-MAIL', value: (u) => u.email, shrink: true },
  { head: 'ACTIVE', value: (u) => (u.is_active ? 'yes' : 'no'), paint: (u) => (u.is_active ? undefined : 'red') },
]

export const userFields = (u: User): Field[] => [
  ['User', `#${u.number}  ${u.username}`, 'bold'],
  ['Full name', u.full_name],
  ['E-mail', u.email],
  ['Role', u.role],
  ['Instance', u.is_instance_admin ? 'administrator' : null],
  ['Active', u.is_active ? 'yes' : 'no', u.is_active ? undefined : 'red'],
  ['Since', timeText(u.created_at)],
  ['Id', u.id],
]

export const tokenColumns: Column<Token>[] = [
  { head: 'ID', value: (t) => t.id },
  { head: 'NAME', value: (t) => t.name, shrink: true },
  { head: 'PREFIX', value: (t) => t.prefix, spare: true },
  { head: 'ROLE', value: (t) => t.role },
  { head: 'SCOPES', value: (t) => t.scopes.join(' ') || 'all of the role', shrink: true, spare: true },
  { head: 'EXPIRES', value: (t) => (t.revoked_at ? 'revoked' : timeText(t.expires_at)) },
  { head: 'LAST USED', value: (t) => timeText(t.last_used_at) || 'never', spare: true },
]

export const eventColumns: Column<AuditEvent>[] = [
  // Each log counts from 0; what stands before the stroke is the log, as in bundles.
  { head: 'ENTRY', value: (e) => (e.shard ? `${e.shard}/${e.log_index}` : e.log_index), right: true },
  { head: 'TIME', value: (e) => timeText(e.timestamp) },
  { head: 'EVENT', value: (e) => e.event_type, paint: (e) => (e.success ? undefined : 'red') },
  { head: 'WHO', value: (e) => e.actor_username ?? numberText(e.actor_number) },
  {
    head: 'WHAT',
    value: (e) =>
      [e.resource_type, numberText(e.resource_number) || e.resource_id?.slice(-12)].filter(Boolean).join(' '),
    spare: true,
  },
  { head: 'ACTION', value: (e) => e.error_message ?? e.action, shrink: true },
]
