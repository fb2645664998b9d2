import type { CancelTasks, CountTasks, NotReplayed, ReplayTasks } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { AskMany, joined, periodOf } from './ask-many.tsx'

export interface TaskChoice {
  readonly handler?: string
  readonly queue?: string
  readonly tag?: string
  readonly concurrency_key?: string
  readonly cost_min?: number
  readonly state?: string
  readonly created_after?: string
  /** Fixed when it is asked: what is dispatched later is not among those that were counted. */
  readonly created_before: string
}

/** As many as one call takes. */
const AT_ONCE = 1_000

/** Cancels what the filter takes, a thousand at a time, and no more than were counted. Stopped in between, some were cancelled. */
async function cancelAll(client: Client, choice: TaskChoice, most: number, reason: string | undefined) {
  let [cancelled, stopping, left] = [0, 0, most]
  while (cancelled + stopping < most && left > 0) {
    const limit = Math.min(AT_ONCE, most - cancelled - stopping)
    // The address may say anything; the server checks it.
    const body = { ...choice, limit, ...(reason ? { reason } : {}) } as CancelTasks
    const done = await client.tasks.cancelMany({ body })
    if (done.cancelled === 0) {
      stopping = Math.max(stopping, done.stopping)
      break
    }
    cancelled += done.cancelled
    stopping = Math.max(stopping, done.stopping)
    left = done.left
  }
  return { cancelled, stopping }
}

/** How many were passed over. */
export const sumOf = (all: readonly NotReplayed[]): number => all.reduce((sum, { count: one }) => sum + one, 0)

/** Why some were passed over, and the oldest of them. */
export function useNotReplayed(): (one: NotReplayed) => string {
  const { t, i18n } = useTranslation()
  return ({ error_code, handler, count: all, first }) =>
    t(`many.notReplayed_${error_code}`, {
      count: all,
      handler: handler ?? '',
      which: `${first.map(({ number }) => `#${count(number, i18n.language)}`).join(' ')}${all > first.length ? ' …' : ''}`,
    })
}

/** Asks before many tasks are cancelled or replayed. */
export function AskTasks(props: {
  act: 'cancel' | 'replay'
  choice: TaskChoice
  close: () => void
  said: (text: string) => void
}) {
  const { act, choice } = props
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const number = (value: number) => count(value, i18n.language)
  const say = useNotReplayed()
  return (
    <AskMany
      of={['tasks', act, choice]}
      count={async () => {
        const body = { ...choice, ...(act === 'cancel' ? { open: true } : {}) } as CountTasks
        const { count: all, more, not_replayed } = await client.tasks.preview({ body })
        return { count: all - sumOf(not_replayed), more, notes: not_replayed.map(say) }
      }}
      // A replay stays among those that ended so: a second call would take the same ones again.
      most={act === 'replay' ? AT_ONCE : 10_000}
      danger={act === 'cancel'}
      title={(most) => t(`many.${act}Title`, { count: most, number: number(most) })}
      which={<Which act={act} choice={choice} />}
      text={t(`many.${act}Text`)}
      act={async (most, reason) => {
        if (act === 'cancel') {
          const done = await cancelAll(client, choice, most, reason)
          return t('many.cancelled', { done: number(done.cancelled), stopping: number(done.stopping) })
        }
        const body = { ...choice, limit: most } as ReplayTasks
        const { replayed, not_replayed } = await client.tasks.replayMany({ body })
        return [t('many.replayed', { done: number(replayed.length) }), ...not_replayed.map(say)].join(' ')
      }}
      changes={['dead-letters', 'tasks', 'waiting', 'queues']}
      close={props.close}
      said={props.said}
    />
  )
}

/** The filter as a sentence. */
function Which({ act, choice }: { act: 'cancel' | 'replay'; choice: TaskChoice }) {
  const { t, i18n } = useTranslation()
  const parts = [
    act === 'cancel' ? t('many.open') : t('many.ended', { state: t(`runState.${choice.state}` as 'runState.failed') }),
    choice.handler && t('many.ofHandler', { handler: choice.handler }),
    choice.queue && t('many.onQueue', { queue: choice.queue }),
    choice.tag && t('many.tagged', { tag: choice.tag }),
    choice.concurrency_key && t('many.underKey', { key: choice.concurrency_key }),
    choice.cost_min !== undefined && t('many.costing', { usd: choice.cost_min }),
    t(choice.created_after ? 'many.between' : 'many.until', periodOf(choice, i18n.language)),
  ]
  return <>{joined(parts, i18n.language)}</>
}
