import { useTranslation } from 'react-i18next'
import { plainText } from './plain-text.ts'

/** What is read of an audit event, as the API tells it or as its payload in the log holds it. */
export interface Told {
  readonly event_type: string
  /** The server's own sentence, in English; behind a colon stands the name of what it is about. */
  readonly action?: string | undefined
  readonly resource_type?: string | null | undefined
  readonly resource_number?: number | null | undefined
  readonly details?: unknown
  /** The log that holds it, and of an erased one the log that says why: each counts its entries from 0. */
  readonly shard?: number | null | undefined
  readonly erased_shard?: number | null | undefined
  readonly success?: boolean | undefined
}

type Say = (key: string, values?: object) => string

/**
 * What an event says, in the language of the page and with its own fields. Of a type that has no words here the server's
 * sentence stays, or else the type. Fields that this reader is not given are left out.
 */
export function happened(event: Told, say: Say, exists: (key: string) => boolean): string {
  const details = (event.details ?? {}) as Readonly<Record<string, unknown>>
  const key = `happened.${event.event_type.replaceAll('.', '_')}`
  const special =
    event.event_type === 'artifact.verified'
      ? event.success === false && `${key}_bad`
      : event.action?.startsWith('Withdrew ')
        ? `${key}_own`
        : typeof details.handler === 'string' && `${key}_task`
  const chosen = special && exists(special) ? special : key
  if (!exists(chosen)) return event.action || event.event_type
  const after = (value: unknown) =>
    value === null || value === undefined || value === '' ? '' : `${say('happened.colon')}${value}`
  const colon = event.action?.indexOf(': ') ?? -1
  const text = (name: string) => details[name] ?? ''
  const sentence = say(chosen, {
    ...details,
    n: event.resource_number ? ` #${event.resource_number}` : '',
    of: after(colon < 0 ? '' : event.action?.slice(colon + 2)),
    why: after(details.reason ?? details.ground),
    check: after(details.script_id),
    most: after(details.concurrency),
    entry: placeIn(details, event.shard, say),
    role: exists(`role.${details.role}`) ? say(`role.${details.role}`) : text('role'),
    resource: exists(`resource.${event.resource_type}`) ? say(`resource.${event.resource_type}`) : event.resource_type,
  })
    .replace(/\{\{\w+\}\}/g, '…')
    // Chinese keeps a gap behind a number.
    .replace(/(#\d+)(?=\p{Script=Han})/gu, '$1 ')
  const erased = /^\[erased, see (?:\d+\/)?(.+)\]$/.exec(event.action ?? '')
  if (event.action?.startsWith('[overwritten')) return `${sentence} ${say('happened.overwritten')}`
  if (!erased) return sentence
  const { shard, erased_shard: other = shard } = event
  const index = other === shard ? erased[1] : say('audit.entryIn', { shard: other, index: erased[1] })
  return `${sentence} ${say('happened.erased', { index })}`
}

/** The entry that an event is about, with its log where that is not the log of the event itself. */
function placeIn(details: Readonly<Record<string, unknown>>, own: number | null | undefined, say: Say): unknown {
  const { log_index: index, shard } = details
  return typeof shard === 'number' && shard !== own ? say('audit.entryIn', { shard, index }) : (index ?? '…')
}

/** As above, in the language of the page. */
export function useHappened(): (event: Told) => string {
  const { t, i18n } = useTranslation()
  return (event) => plainText(happened(event, t as unknown as Say, (key) => i18n.exists(key)))
}
