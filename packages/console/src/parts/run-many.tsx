import type { CancelRuns, CountRuns, VerifyRuns } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { AskMany, joined, periodOf } from './ask-many.tsx'

export interface RunChoice {
  readonly script_id?: string
  readonly ticket_id?: string
  readonly asset_id?: string
  readonly q?: string
  readonly state?: string
  readonly verdict?: string
  readonly created_after?: string
  /** Fixed when it is asked: what is started later is not among those that were counted. */
  readonly created_before: string
}

/** As many as one call takes. */
const AT_ONCE = 100
const MOST = 10_000

/** Cancels what the filter takes, and no more than were counted. Stopped in between, the oldest are cancelled. */
async function cancelAll(client: Client, choice: RunChoice, most: number, reason: string | undefined): Promise<number> {
  const { state: _, verdict: __, ...filter } = choice
  let done = 0
  while (done < most) {
    const body = { ...filter, limit: Math.min(AT_ONCE, most - done), ...(reason ? { reason } : {}) } as CancelRuns
    const { cancelled, left } = await client.runs.cancelMany({ body })
    done += cancelled
    if (cancelled === 0 || left === 0) break
  }
  return done
}

/** Verifies them again, oldest first, each call from where the one before ended. */
async function verifyAll(client: Client, choice: RunChoice, most: number): Promise<number> {
  let [done, after] = [0, 0]
  while (done < most) {
    const body = { ...choice, after, limit: Math.min(AT_ONCE, most - done) } as VerifyRuns
    const { started, last, left } = await client.runs.verifyMany({ body })
    done += started.length
    if (last === null || left === 0) break
    after = last
  }
  return done
}

/** Asks before many runs are cancelled or verified again. */
export function AskRuns(props: {
  act: 'cancel' | 'verify'
  choice: RunChoice
  close: () => void
  said: (text: string) => void
}) {
  const { act, choice } = props
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const number = (value: number) => count(value, i18n.language)
  const title = act === 'cancel' ? 'many.cancelRunsTitle' : 'many.verifyTitle'
  return (
    <AskMany
      of={['runs', act, choice]}
      count={() => client.runs.preview({ body: { act, ...choice } as CountRuns })}
      most={MOST}
      danger={act === 'cancel'}
      title={(most) => t(title, { count: most, number: number(most) })}
      which={<Which act={act} choice={choice} />}
      text={t(act === 'cancel' ? 'many.cancelRunsText' : 'many.verifyText')}
      act={async (most, reason) =>
        act === 'cancel'
          ? t('many.cancelledRuns', { done: number(await cancelAll(client, choice, most, reason)) })
          : t('many.verified', { done: number(await verifyAll(client, choice, most)) })
      }
      changes={['runs', 'waiting', 'tickets']}
      close={props.close}
      said={props.said}
    />
  )
}

/** The filter as a sentence. */
function Which({ act, choice }: { act: 'cancel' | 'verify'; choice: RunChoice }) {
  const { t, i18n } = useTranslation()
  const parts = [
    t(act === 'cancel' ? 'many.waitingRuns' : 'many.settledRuns'),
    choice.verdict && t('many.verdict', { verdict: t(`verdict.${choice.verdict}` as 'verdict.failed') }),
    choice.state &&
      act === 'verify' &&
      t('many.endedSo', { state: t(`runState.${choice.state}` as 'runState.failed') }),
    choice.script_id && t('many.ofScript', { script: choice.script_id }),
    choice.ticket_id && t('many.onTicket', { number: choice.ticket_id }),
    choice.asset_id && t('many.onAsset', { number: choice.asset_id }),
    choice.q && t('many.withText', { text: choice.q }),
    t(choice.created_after ? 'many.startedBetween' : 'many.startedBefore', periodOf(choice, i18n.language)),
  ]
  return <>{joined(parts, i18n.language)}</>
}
