/**
 * What docs/events.md promises of webhooks, kept as somebody would who reads the log and a list of what each receiver does: every event
 * that a webhook listens to becomes one delivery, which is tried until it is taken, or given up as documented.
 */
import type { Answer, Change, Filter, Format } from './program.ts'

const SECOND = 1_000
const DAY = 86_400_000
const MOST_ATTEMPTS = 15
const KEPT_MS = 30 * DAY
const OVERLAP_MS = DAY

export interface LogEvent {
  readonly id: string
  readonly type: string
  readonly subject: string | null
}

export interface Attempt {
  readonly at: number
  readonly status: number | null
  /** Null: taken; undefined: some error of the connection. */
  readonly error: string | null | undefined
}

export interface Message {
  readonly event: LogEvent
  readonly replayOf: Message | null
  readonly created: number
  /** Whether it waits for those before it. */
  turn: boolean
  state: 'waiting' | 'delivered' | 'failed'
  /** It failed because its webhook was disabled or deleted. */
  isGivenUp: boolean
  attempts: Attempt[]
  /** When it is due; where it was refused, as it is shown, since nobody can foresee it. */
  due: number | 'as shown'
  /** How long after the last attempt at least, and at most. */
  wait: readonly [number, number]
}

export interface Hook {
  readonly id: string
  readonly path: string
  readonly format: Format
  readonly messages: Message[]
  /** Of those that are kept no more. */
  readonly forgotten: Message[]
  /** How often its receiver was told of an event. */
  readonly seen: Map<string, number>
  secrets: { readonly secret: string; until: number }[]
  patterns: readonly string[]
  ordered: boolean
  state: 'active' | 'disabled' | 'deleted'
  failingSince: number | null
  answer: Answer
  /** It was disabled by what its receiver did since the last look: which messages were under way meanwhile nobody can say. */
  wasDisabled: boolean
}

/** What an answer comes to: status and error. */
function outcomeOf({ answer, format }: Hook): Pick<Attempt, 'status' | 'error'> {
  switch (answer) {
    case 'takes':
    case 'movesOn':
      return { status: 200, error: null }
    case 'fails':
      return { status: 500, error: 'HTTP_500' }
    case 'later':
    case 'muchLater':
      return { status: 503, error: 'HTTP_503' }
    case 'moved':
      return { status: 302, error: 'HTTP_302' }
    case 'movedForGood':
      return { status: 301, error: 'HTTP_301' }
    case 'turns':
      return { status: null, error: 'DESTINATION_REFUSED' }
    case 'gone':
      return { status: 410, error: 'HTTP_410' }
    case 'upgrades':
      return { status: 101, error: 'HTTP_101' }
    case 'refuses':
      if (format === 'slack') return { status: 200, error: 'SLACK_CHANNEL_NOT_FOUND' }
      return format === 'feishu' ? { status: 200, error: 'FEISHU_19021' } : { status: 200, error: null }
    case 'drops':
    case 'cuts':
      return { status: null, error: undefined }
  }
}

const ASKED_MS: Partial<Record<Answer, number>> = { later: 1_800 * SECOND, muchLater: 7_200 * SECOND }

function waitAfter(attempt: number, answer: Answer): readonly [number, number] {
  const own = 5 * SECOND * 2 ** (attempt - 1)
  const asked = Math.min(ASKED_MS[answer] ?? 0, 3_600 * SECOND)
  return [Math.max(own * 0.75, asked), Math.max(own * 1.25, asked)]
}

const covers = (patterns: readonly string[], type: string): boolean =>
  patterns.some((one) => one === '*' || one === type || one === `${type.split('.')[0]}.*`)

export function openBook() {
  const hooks: Hook[] = []
  const living = () => hooks.filter(({ state }) => state !== 'deleted')

  function put(hook: Hook, event: LogEvent, now: number, more: { turn: boolean; replayOf: Message | null }): void {
    hook.messages.push({
      event,
      created: now,
      state: 'waiting',
      isGivenUp: false,
      attempts: [],
      due: now,
      wait: [0, 0],
      ...more,
    })
  }

  return {
    hooks,
    living,
    pick: (back: number): Hook | undefined => living().at(-1 - (back % Math.max(1, living().length))),

    add(
      id: string,
      path: string,
      secret: string | null,
      by: { format: Format; events: readonly string[]; ordered: boolean },
    ): void {
      hooks.push({
        id,
        path,
        format: by.format,
        messages: [],
        forgotten: [],
        seen: new Map(),
        secrets: secret === null ? [] : [{ secret, until: Number.POSITIVE_INFINITY }],
        patterns: by.events,
        ordered: by.ordered,
        state: 'active',
        failingSince: null,
        answer: 'takes',
        wasDisabled: false,
      })
    },

    change(hook: Hook, { events, ordered, state }: Change): void {
      if (events !== undefined) hook.patterns = events
      if (ordered !== undefined) hook.ordered = ordered
      if (ordered === false)
        // Those that waited for their turn alone are due; one that was refused waits on.
        for (const one of hook.messages) one.turn = false
      if (state !== undefined) hook.state = state
      if (state === 'active') hook.failingSince = null
      if (state === 'disabled') giveUp(hook)
    },

    remove(hook: Hook): void {
      giveUp(hook)
      hook.state = 'deleted'
    },

    rotate(hook: Hook, secret: string, now: number): void {
      // The one before the last signs no more.
      hook.secrets = [
        { secret, until: Number.POSITIVE_INFINITY },
        { ...hook.secrets[0]!, until: now + OVERLAP_MS },
      ]
    },

    /** Which of a webhook's secrets sign at a time, the newest first. */
    secretsAt: (hook: Hook, at: number): string[] =>
      hook.secrets.filter(({ until }) => until > at).map(({ secret }) => secret),

    /** The messages that a filter takes, the oldest first. */
    taken(hook: Hook, filter: Filter, now: number): Message[] {
      const newest = filter.newest === undefined ? undefined : hook.messages.slice(-filter.newest)
      return hook.messages.filter(
        (one) =>
          (newest === undefined || newest.includes(one)) &&
          (filter.state === undefined || one.state === filter.state) &&
          (filter.event_type === undefined || one.event.type === filter.event_type) &&
          (filter.sinceAgo === undefined || one.created >= now - filter.sinceAgo) &&
          (filter.untilAgo === undefined || one.created < now - filter.untilAgo) &&
          // What failed and was sent again is not taken twice, unless it is named.
          (filter.state !== 'failed' ||
            newest !== undefined ||
            !hook.messages.some(({ replayOf }) => replayOf === one)),
      )
    },

    replay(hook: Hook, some: readonly Message[], now: number): void {
      for (const one of some) put(hook, one.event, now, { turn: false, replayOf: one })
    },

    /** An event was given its place in the log. */
    tell(event: LogEvent, now: number): void {
      for (const hook of hooks) {
        if (hook.state !== 'active') continue
        const isOwnTest = event.type === 'webhook.tested' && event.subject === hook.id
        if (isOwnTest) put(hook, event, now, { turn: false, replayOf: null })
        else if (covers(hook.patterns, event.type)) put(hook, event, now, { turn: hook.ordered, replayOf: null })
      }
    },

    /** Everything that is due is tried once, as the clock stands. */
    deliver(now: number): void {
      for (const hook of hooks) {
        if (hook.state !== 'active') continue
        let isHeldUp = false
        for (const one of hook.messages) {
          if (one.state !== 'waiting') continue
          const waitsForOthers = one.turn && isHeldUp
          if (!waitsForOthers && one.due !== 'as shown' && one.due <= now) attempt(hook, one, now)
          // What was tried last may have been given up.
          if (one.turn && isWaiting(one)) isHeldUp = true
        }
        if (hook.wasDisabled) {
          hook.state = 'disabled'
          giveUp(hook)
        }
      }
    },

    /** Of an ordered webhook, what was refused and holds up the others. */
    headOf(hook: Hook): Message | undefined {
      const head = hook.messages.find((one) => one.turn && isWaiting(one))
      return hook.ordered && head && head.attempts.length > 0 ? head : undefined
    },

    /** Thirty days after it was made a message that was settled is forgotten. */
    forget(now: number): void {
      for (const hook of hooks)
        for (const one of hook.messages.filter(({ state, created }) => state !== 'waiting' && created < now - KEPT_MS))
          hook.forgotten.push(...hook.messages.splice(hook.messages.indexOf(one), 1))
    },
  }

  function attempt(hook: Hook, one: Message, now: number): void {
    const outcome = outcomeOf(hook)
    one.attempts.push({ at: now, ...outcome })
    if (outcome.error === null) {
      one.state = 'delivered'
      hook.failingSince = null
      return
    }
    hook.failingSince ??= now
    const isGone = outcome.status === 410
    if (isGone || one.attempts.length === MOST_ATTEMPTS) {
      one.state = 'failed'
      if (isGone || hook.failingSince <= one.attempts[0]!.at) hook.wasDisabled = true
      return
    }
    one.due = 'as shown'
    one.wait = waitAfter(one.attempts.length, hook.answer)
  }

  function giveUp(hook: Hook): void {
    for (const one of hook.messages.filter(isWaiting)) Object.assign(one, { state: 'failed', isGivenUp: true })
  }
}

const isWaiting = ({ state }: Message): boolean => state === 'waiting'

export type Book = ReturnType<typeof openBook>
