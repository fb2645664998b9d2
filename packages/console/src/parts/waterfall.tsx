import type { TaskDetail } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { duration, usd } from '../app/format.ts'
import { sayFound } from '../words/index.ts'
import { State, Time } from './bits.tsx'

type Attempt = TaskDetail['attempts'][number]

interface Bar {
  readonly attempt: Attempt
  /** When it could have begun, began and ended, in milliseconds. */
  readonly from: number
  readonly started: number
  readonly ended: number
}

/** Where each attempt stands in time: it waits from its due time on, and runs from its start. What has no time of its own has none here. */
function barsOf(task: Pick<TaskDetail, 'created_at' | 'run_at' | 'attempts'>, now: number): Bar[] {
  let due = Math.max(Date.parse(task.created_at), 0)
  return task.attempts.map((attempt) => {
    const started = attempt.started_at === null ? due : Date.parse(attempt.started_at)
    const ended =
      attempt.ended_at !== null ? Date.parse(attempt.ended_at) : attempt.outcome === 'running' ? now : started
    const bar = { attempt, from: Math.min(due, started), started, ended: Math.max(started, ended) }
    due = bar.ended
    return bar
  })
}

/** Attempts one below the other, by time: the pale part waited, the full part ran. */
export function Waterfall({ task, now }: { task: TaskDetail; now: number }) {
  const { t, i18n } = useTranslation()
  const bars = barsOf(task, now)
  // Work that waits for what it dispatched gives its place back, and the attempt is not counted.
  if (bars.length === 0)
    return <p className="dimmed small">{t(task.steps.length > 0 ? 'task.setAside' : 'task.noAttempts')}</p>
  const from = bars[0]!.from
  const span = Math.max(1, bars.at(-1)!.ended - from)
  const share = (ms: number) => `${(ms / span) * 100}%`
  return (
    <ol className="waterfall">
      {bars.map(({ attempt, from: due, started, ended }) => (
        <li key={attempt.attempt}>
          <div className="waterfall-head">
            <span className="waterfall-name">{t('task.attempt', { number: attempt.attempt })}</span>
            <State
              of={attempt.outcome === 'lost' ? 'failed' : attempt.outcome}
              word={t(`attemptOutcome.${attempt.outcome}`)}
            />
            <span className="dimmed small push">
              {started > due && t('task.waits', { time: duration(started - due, i18n.language) })}
              {started > due && ' · '}
              {attempt.outcome === 'lost'
                ? t('task.lost')
                : t('task.ran', { time: duration(ended - started, i18n.language) })}
              {attempt.cost_usd !== null && ` · ${usd(attempt.cost_usd, i18n.language)}`}
            </span>
          </div>
          <div className="waterfall-track" aria-hidden="true">
            <span className="waterfall-wait" style={{ left: share(due - from), width: share(started - due) }} />
            <span
              className={`waterfall-bar waterfall-${attempt.outcome}`}
              // One that ended at once is a mark, and stays inside.
              style={{ left: `min(${share(started - from)}, calc(100% - 3px))`, width: share(ended - started) }}
            />
          </div>
          {(attempt.error_code ?? attempt.error) !== null && (
            <p className="small breaks">
              <span className="mono-text bad">{attempt.error_code}</span> {sayFound(attempt.error ?? '')}
            </p>
          )}
          <p className="dimmed small">
            <Time at={attempt.started_at} />
            {attempt.worker && ` · ${attempt.worker}`}
            {attempt.next_run_at && (
              <>
                {' · '}
                {t('task.next')} <Time at={attempt.next_run_at} />
              </>
            )}
          </p>
        </li>
      ))}
    </ol>
  )
}
