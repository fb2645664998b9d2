import type { Event, WebhookFormat } from '@writ/api'
import { withHiddenShown } from '@writ/api/hidden'
import type { Incoming } from '../platform/egress.ts'
import { signatureHeaders } from '../platform/webhook-signature.ts'
import type { Letter } from './mail.ts'
import { feishuSignature } from './signature.ts'

export interface Message {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * What is sent for an event. `cloudevents` is signed as Standard Webhooks asks; chat programs take their own forms and
 * know no signature of ours, but a Feishu or Lark bot checks its own if it was given a secret.
 * @param secrets the newest first; empty if there is none
 */
export function writeMessage(
  format: Exclude<WebhookFormat, 'email'>,
  event: Event,
  secrets: readonly string[],
  at: number,
): Message {
  switch (format) {
    case 'cloudevents': {
      const body = JSON.stringify(event)
      return {
        body,
        headers: {
          'content-type': 'application/cloudevents+json; charset=utf-8',
          ...signatureHeaders(secrets, { id: event.id, at, body }),
        },
      }
    }
    case 'slack':
      return asJson({ text: sentence(event) })
    case 'feishu':
      return asJson({
        ...(secrets[0] === undefined ? {} : feishuSignature(secrets[0], at)),
        msg_type: 'interactive',
        card: {
          config: { wide_screen_mode: true },
          header: {
            template: event.data.success ? 'blue' : 'red',
            title: { tag: 'plain_text', content: event.data.event_type },
          },
          // Plain text: what people typed into a title must not become a link or a mention.
          elements: [{ tag: 'div', text: { tag: 'plain_text', content: lines(event).join('\n') } }],
        },
      })
  }
}

/** The documented body of the dispatch door, with the headers of Standard Webhooks beside it. */
export function writeDispatched(id: string, told: object, secrets: readonly string[], at: number): Message {
  const body = JSON.stringify(told)
  return {
    body,
    headers: { 'content-type': 'application/json; charset=utf-8', ...signatureHeaders(secrets, { id, at, body }) },
  }
}

/** Why an answer is no success, or null. Chat programs may answer 200 and say in the body that they refused. */
export function faultOf(format: WebhookFormat, answer: Incoming): string | null {
  if (answer.status < 200 || answer.status > 299) return `HTTP_${answer.status}`
  if (format === 'slack') return slackFaultOf(answer)
  if (format !== 'feishu') return null
  try {
    const { code = 0, StatusCode = 0 } = JSON.parse(answer.body.toString('utf8')) as {
      code?: unknown
      StatusCode?: unknown
    }
    // What else it says stands in the kept answer, without secrets.
    if (typeof code !== 'number' || typeof StatusCode !== 'number') return 'FEISHU_ANSWER_UNREADABLE'
    return code === 0 && StatusCode === 0 ? null : `FEISHU_${code || StatusCode}`
  } catch {
    return 'FEISHU_ANSWER_UNREADABLE'
  }
}

/**
 * Slack answers the text `ok`, and so do most that take its form: what is no JSON object says nothing against it. Those that
 * answer with one say a refusal in different words: `ok: false` (Slack's API, Zulip), `success: false` (Rocket.Chat), `error`,
 * `result: error` (Zulip), `errcode` (DingTalk, WeCom).
 */
function slackFaultOf(answer: Incoming): string | null {
  let said: unknown
  try {
    said = JSON.parse(answer.body.toString('utf8'))
  } catch {
    return null
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said)) return null
  const { ok, success, error, result, errcode } = said as Record<string, unknown>
  const code = typeof errcode === 'number' && errcode !== 0 ? errcode : null
  if (ok !== false && success !== false && !error && result !== 'error' && code === null) return null
  // Its word where it is one, like channel_not_found; a sentence stands in the kept answer.
  const word = typeof error === 'string' && /^\w{1,60}$/.test(error) ? error.toUpperCase() : 'REFUSED'
  return `SLACK_${code ?? word}`
}

/** The same for a person's mailbox. */
export function writeLetter(event: Event): Omit<Letter, 'to'> {
  const { action, event_type } = event.data
  return {
    subject: firstOf(withHiddenShown(`[Writ] ${event_type}: ${action}`.replace(/\s+/g, ' ')), 200),
    text: `${lines(event).join('\n')}\n`,
    messageId: `<${event.id}@writ.invalid>`,
  }
}

/** No half of a character at its end. */
const firstOf = (text: string, length: number): string => text.slice(0, length).replace(/[\ud800-\udbff]$/, '')

const asJson = (value: object): Message => ({
  body: JSON.stringify(value),
  headers: { 'content-type': 'application/json; charset=utf-8' },
})

function lines({ source, data, time }: Event): string[] {
  return [
    // Whoever reads it may decide by it.
    withHiddenShown(data.error_message ? `${data.action}: ${data.error_message}` : data.action),
    [data.actor_username, source, time].filter(Boolean).join(' · '),
  ]
}

/** One text, with the three characters escaped that Slack gives a meaning. */
const sentence = (event: Event): string =>
  `${event.data.event_type}: ${lines(event).join('\n')}`
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
