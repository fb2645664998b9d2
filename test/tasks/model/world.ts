/** What handlers of a program do, and the history of what happened, in its order. */
import { type Handler, TaskError } from '../../../packages/server/src/kinds/task/index.ts'
import { handlerOf } from '../dispatch.ts'
import { type Act, NARROW, OUTSIDE, PLAIN, RATE, RATED, SINGLE, type Wish } from './program.ts'

/** What a task is given. */
export interface Input {
  readonly label: string
  readonly plan: readonly Act[]
  /** What it dispatches, ready to be sent. */
  readonly children?: readonly Fields[]
  readonly key?: string
  readonly unique?: string
}
type Fields = Record<string, unknown>

/**
 * How an attempt ended, as whoever made it knows. `stopped`: it was told to; `waits`: for its children; `back`: it was handed back;
 * `lost`: its worker is gone.
 */
export type How = 'ok' | 'fail' | 'final' | 'stopped' | 'waits' | 'back' | 'lost'

export type Event =
  | { readonly type: 'start'; readonly run: string; readonly attempt: number; readonly act: Act; readonly at: number }
  | { readonly type: 'end'; readonly run: string; readonly attempt: number; readonly how: How; readonly at: number }
  | { readonly type: 'queue paused' | 'queue resuming'; readonly queue: string }
  | { readonly type: 'queue limited'; readonly queue: string; readonly to: number | null }
  | { readonly type: 'key paused'; readonly key: string; readonly until: number }
  | { readonly type: 'key resuming'; readonly key: string }
  /** Undefined: lifted. `idle`: no task had the key. */
  | {
      readonly type: 'key limited'
      readonly key: string
      readonly to: number | null | undefined
      readonly idle: boolean
    }
  | { readonly type: 'disabled' | 'enabling'; readonly handler: string }
  | { readonly type: 'cancelled'; readonly run: string }
  | { readonly type: 'restarted' | 'quiet' }

export interface World {
  readonly handlers: readonly Handler[]
  readonly history: Event[]
  note(event: Event): void
  /** Attempts that wait to be let go, by run. */
  readonly hanging: ReadonlyMap<string, () => void>
  /** Of an attempt that somebody else makes. */
  begin(run: string, attempt: number, input: Input): Act
  end(run: string, attempt: number, how: How): void
  /** How often it has failed so far. */
  failures(run: string): number
  clear(): void
}

export const LATE_MS = 60
/** How long a worker elsewhere has a task that it does not extend. */
export const LEASE_MS = 30_000
/** Of the wish, what a handler is to do in the attempt that comes after so many failures. */
const actOf = (plan: readonly Act[], failures: number): Act => plan[Math.min(failures, plan.length - 1)]!

export function createWorld(now: () => number): World {
  const history: Event[] = []
  const hanging = new Map<string, () => void>()
  const failed = new Map<string, number>()
  const failures = (run: string) => failed.get(run) ?? 0

  function begin(run: string, attempt: number, { plan }: Input): Act {
    const act = actOf(plan, failures(run))
    history.push({ type: 'start', run, attempt, act, at: now() })
    return act
  }

  function end(run: string, attempt: number, how: How): void {
    if (how === 'fail' || how === 'final') failed.set(run, failures(run) + 1)
    history.push({ type: 'end', run, attempt, how, at: now() })
  }

  /** Until it is let go, or told to stop. */
  const hang = (run: string, signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const over = () => hanging.delete(run)
      hanging.set(run, () => {
        over()
        resolve()
      })
      signal.addEventListener('abort', () => {
        over()
        reject(signal.reason)
      })
    })

  const run: Handler['run'] = async (given, ctx) => {
    // The inputs of a program.
    const input = given as Input
    const { runId } = ctx
    const act = begin(runId, ctx.attempt, input)
    let how: How = 'fail'
    try {
      const result = await doing(act, input, ctx)
      how = 'ok'
      return result
    } catch (error) {
      if ((error as Error).name === 'Suspended') how = 'waits'
      else if (error instanceof TaskError && !error.retryable)
        how = error.code === 'TASK_STOPPING' ? 'stopped' : 'final'
      throw error
    } finally {
      // What was told to stop ends as it was told, whatever it came to.
      if (ctx.signal.aborted) how = /timeout/.test(String(ctx.signal.reason)) ? 'fail' : 'stopped'
      end(runId, ctx.attempt, how)
    }
  }

  async function doing(act: Act, input: Input, ctx: Parameters<Handler['run']>[1]): Promise<unknown> {
    switch (act) {
      case 'ok':
        return input.label
      case 'fail':
        throw new Error('not this time')
      case 'final':
        throw new TaskError('NEVER', 'never', { retryable: false })
      case 'soon':
        throw new TaskError('LATER', 'later', { retryAfterMs: 20_000 })
      case 'hang':
        await hang(ctx.runId, ctx.signal)
        return input.label
      case 'late':
        await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
        return input.label
      case 'step':
        return ctx.step('once', async () => input.label)
      case 'pause': {
        if (input.key === undefined) return input.label
        const until = now() + 5_000
        await ctx.pauseKey(input.key, until)
        history.push({ type: 'key paused', key: input.key, until })
        return input.label
      }
      case 'family': {
        const children = []
        // What was sent through JSON is a task that may be dispatched.
        for (const [i, child] of (input.children ?? []).entries())
          children.push(await ctx.dispatch(`child ${i}`, child as never))
        const ends: unknown[] = []
        for (const child of children)
          if (child.duplicate) ends.push('duplicate')
          else {
            const { id, state } = await ctx.waitFor(child)
            ends.push([id, state])
          }
        return ends
      }
    }
  }

  return {
    handlers: [
      handlerOf(PLAIN, run),
      handlerOf(SINGLE, run, { perKey: { concurrency: 1, rate: null } }),
      handlerOf(RATED, run, { perKey: { concurrency: null, rate: RATE } }),
      handlerOf(NARROW, run, { concurrency: 2 }),
    ],
    history,
    note: (event) => void history.push(event),
    hanging,
    begin,
    end,
    failures,
    clear() {
      history.length = 0
      failed.clear()
    },
  }
}

/** What is sent for a wish. `after`: the ids or places that it names. */
export function taskOf(
  wish: Wish,
  on: { label: string; name(what: string): string; now: number; after?: readonly string[] | undefined },
): Fields {
  const { name } = on
  const queue = name(`q${wish.queue ?? 0}`)
  const key = wish.key === undefined ? undefined : name(`k${wish.key}`)
  const unique = wish.unique === undefined ? undefined : name(`u${wish.unique}`)
  const at = (ms: number) => new Date(on.now + ms).toISOString()
  const input: Input = {
    label: on.label,
    plan: wish.plan,
    ...(key === undefined ? {} : { key }),
    ...(unique === undefined ? {} : { unique }),
    ...(wish.children
      ? {
          children: wish.children.map((child, i) =>
            taskOf(child, { ...on, label: `${on.label}.${i}`, after: undefined }),
          ),
        }
      : {}),
  }
  return {
    handler: wish.handler,
    input,
    queue,
    ...(wish.priority === undefined ? {} : { priority: wish.priority }),
    ...(wish.delayMs === undefined ? {} : { run_at: at(wish.delayMs) }),
    ...(wish.attempts === undefined ? {} : { max_attempts: wish.attempts }),
    ...(wish.plan.includes('late') && wish.handler !== OUTSIDE ? { timeout_ms: LATE_MS } : {}),
    ...(wish.deadlineMs === undefined ? {} : { deadline_at: at(wish.deadlineMs) }),
    ...(unique === undefined ? {} : { unique_key: unique }),
    ...(wish.policy === undefined ? {} : { unique_policy: wish.policy }),
    ...(wish.debounceMs === undefined ? {} : { debounce: { wait_ms: wish.debounceMs, max_wait_ms: 30_000 } }),
    ...(key === undefined ? {} : { concurrency_key: key }),
    ...(on.after && on.after.length > 0
      ? { depends_on: on.after, ...(wish.afterPolicy ? { depends_on_policy: wish.afterPolicy } : {}) }
      : {}),
  }
}
