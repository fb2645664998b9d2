import { useQuery } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { count, percent } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Section, Time } from './bits.tsx'
import { Go } from './go.tsx'
import { failing, filled } from './insight.ts'
import { Answer } from './states.tsx'
import { useInsight } from './use-insight.ts'

/** How the last day went, and what has waited longest: for whoever runs the place. */
export default function Trend() {
  const { can } = useSession()
  return (
    <div className="columns columns-even">
      {can('insight.get') && <Day />}
      {can('queues.list') && <Oldest />}
    </div>
  )
}

const HEIGHT = 44

function Day() {
  const { t, i18n } = useTranslation()
  const insight = useInsight('24h')
  return (
    <Section title={t('trend.title')} actions={<Go to="insight">{t('nav.insight')}</Go>}>
      <Answer of={insight} lines={2}>
        {({ now }) => {
          if (now.total.ended === 0) return <p className="dimmed small">{t('trend.none')}</p>
          const steps = filled(now)
          const most = Math.max(1, ...steps.map(({ ended }) => ended))
          const high = (value: number) => (value === 0 ? 0 : Math.max(1.5, (value / most) * HEIGHT))
          const said = t('trend.said', {
            ended: count(now.total.ended, i18n.language),
            failing: percent(failing(now.total), i18n.language),
          })
          return (
            <>
              <svg
                className="trend"
                viewBox={`0 0 ${steps.length * 10} ${HEIGHT}`}
                preserveAspectRatio="none"
                role="img"
                aria-label={said}
              >
                {steps.map(({ time, ended, failed }, i) => (
                  <g key={time}>
                    <rect className="trend-all" x={i * 10} y={HEIGHT - high(ended)} width={8} height={high(ended)} />
                    <rect className="trend-bad" x={i * 10} y={HEIGHT - high(failed)} width={8} height={high(failed)} />
                  </g>
                ))}
              </svg>
              <p className="small dimmed">{said}</p>
            </>
          )
        }}
      </Answer>
    </Section>
  )
}

function Oldest() {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const queues = useQuery({
    queryKey: [project, 'queues'],
    queryFn: () => client.all('queues.list'),
    refetchInterval: 15_000,
  })
  return (
    <Section title={t('trend.oldest')} actions={<Go to="queues">{t('nav.queues')}</Go>}>
      <Answer of={queues} lines={1}>
        {(list) => {
          const waiting = list
            .filter(({ oldest_waiting_at }) => oldest_waiting_at !== null)
            .toSorted((a, b) => Date.parse(a.oldest_waiting_at!) - Date.parse(b.oldest_waiting_at!))
            .slice(0, 4)
          return waiting.length === 0 ? (
            <p className="dimmed small">{t('trend.nothing')}</p>
          ) : (
            <ul className="rows">
              {waiting.map((one) => (
                <li key={one.name} className="row">
                  <Go to="tasks" filters={{ queue: one.name, state: 'pending' }} className="row-main">
                    {one.name}
                  </Go>
                  <span className="dimmed small">
                    {t('trend.waits', { count: one.waiting, number: count(one.waiting, i18n.language) })}
                  </span>
                  <span className="dimmed small row-time">
                    <Time at={one.oldest_waiting_at} />
                  </span>
                </li>
              ))}
            </ul>
          )
        }}
      </Answer>
    </Section>
  )
}
