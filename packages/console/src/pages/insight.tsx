import { SegmentedControl, Select } from '@mantine/core'
import type { InsightCounts } from '@writ/api'
import { lazy, type ReactNode, Suspense } from 'react'
import { useTranslation } from 'react-i18next'
import { count, duration, percent, roughUsd, usd } from '../app/format.ts'
import { patient } from '../app/patient.ts'
import { useSession } from '../app/session.tsx'
import { Page, Section } from '../parts/bits.tsx'
import { Broken } from '../parts/broken.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { changes, failing, filled, heatOf, PERIODS, type Period } from '../parts/insight.ts'
import { Answer, Empty, Loading } from '../parts/states.tsx'
import { WhatFilters } from '../parts/task-bits.tsx'
import { useInsight } from '../parts/use-insight.ts'

// The library of charts is loaded after the figures are there.
const Chart = lazy(() => patient(() => import('../parts/chart.tsx')))

const ORDERS = ['failing', 'slow', 'busy', 'costly'] as const

export function Insight() {
  const { can } = useSession()
  const { t } = useTranslation()
  const all = useFilters()
  const [filters, set] = all
  const period: Period = filters.period !== undefined && filters.period in PERIODS ? (filters.period as Period) : '24h'
  const insight = useInsight(period, filters)
  if (!can('insight.get'))
    return (
      <Page name={t('nav.insight')} title={t('nav.insight')}>
        <Empty icon="hand" title={t('error.denied')} text={t('insight.denied')} />
      </Page>
    )
  return (
    <Page name={t('nav.insight')} title={t('nav.insight')}>
      <div className="filters filters-tasks">
        <SegmentedControl
          className="periods"
          aria-label={t('insight.period')}
          data={(Object.keys(PERIODS) as Period[]).map((value) => ({ value, label: t(`period.${value}`) }))}
          value={period}
          onChange={(value) => set({ period: value === '24h' ? null : value })}
        />
        <WhatFilters filters={all} />
      </div>
      <Answer of={insight} lines={10}>
        {({ now, before }) =>
          now.total.ended + before.total.ended === 0 ? (
            <Empty icon="insight" title={t('insight.noneTitle')} text={t('insight.noneText')} />
          ) : (
            <>
              <Figures now={now.total} before={before.total} period={period} />
              <Charts of={now} />
              <div className="columns columns-even">
                <Handlers of={now} order={filters.order} set={(order) => set({ order })} />
                <div>
                  <Queues of={now} />
                  <Codes of={now.total} />
                </div>
              </div>
              {now.step === 'hour' && <Heat of={now} />}
              <Changed now={now} before={before} period={period} />
              <p className="dimmed small">
                {t('insight.text')} {now.behind && t('insight.behind')}
              </p>
            </>
          )
        }
      </Answer>
    </Page>
  )
}

type Answered = NonNullable<ReturnType<typeof useInsight>['data']>['now']

const length = (ms: number | undefined, language: string) => (ms === undefined ? '–' : duration(ms, language))

function Figures({ now, before, period }: { now: InsightCounts; before: InsightCounts; period: Period }) {
  const { t, i18n } = useTranslation()
  const figures: [string, string, string][] = [
    [t('insight.ended'), count(now.ended, i18n.language), count(before.ended, i18n.language)],
    [t('insight.failingShare'), percent(failing(now), i18n.language), percent(failing(before), i18n.language)],
    [t('insight.ranP95'), length(now.ran_ms?.p95, i18n.language), length(before.ran_ms?.p95, i18n.language)],
    [t('insight.waitedP95'), length(now.waited_ms?.p95, i18n.language), length(before.waited_ms?.p95, i18n.language)],
  ]
  // Where nothing says what it costs, nothing is said of it.
  if (now.cost_usd + before.cost_usd > 0)
    figures.push([t('insight.cost'), roughUsd(now.cost_usd, i18n.language), roughUsd(before.cost_usd, i18n.language)])
  return (
    <ul className="figures">
      {figures.map(([word, value, old]) => (
        <li key={word} className="figure">
          <span className="figure-value">{value}</span>
          <span className="figure-word">{word}</span>
          <span className="figure-word">{t('insight.before', { value: old, period: t(`period.${period}`) })}</span>
        </li>
      ))}
    </ul>
  )
}

function Charts({ of }: { of: Answered }) {
  const { t, i18n } = useTranslation()
  const steps = filled(of)
  const times = steps.map(({ time }) => time)
  const lengths = (name: 'ran_ms' | 'waited_ms') => [
    { label: 'p50', tone: 'accent' as const, values: steps.map((one) => one[name]?.p50 ?? null) },
    { label: 'p95', tone: 'wait' as const, values: steps.map((one) => one[name]?.p95 ?? null) },
    { label: 'p99', tone: 'bad' as const, values: steps.map((one) => one[name]?.p99 ?? null) },
  ]
  const chart = (
    title: string,
    lines: Parameters<typeof Chart>[0]['lines'],
    show: (value: number) => string,
    least?: number,
  ) => (
    <Section title={title}>
      <Suspense fallback={<Loading lines={6} />}>
        <Chart label={title} times={times} lines={lines} show={show} {...(least === undefined ? {} : { least })} />
      </Suspense>
    </Section>
  )
  return (
    <>
      {chart(
        t('insight.throughput', { step: t(`step.${of.step}`) }),
        [
          { label: t('insight.ended'), tone: 'accent', bars: true, values: steps.map(({ ended }) => ended) },
          { label: t('insight.failed'), tone: 'bad', bars: true, values: steps.map(({ failed }) => failed) },
        ],
        (value) => count(value, i18n.language),
      )}
      <div className="columns columns-even">
        {chart(t('insight.ran'), lengths('ran_ms'), (ms) => duration(ms, i18n.language))}
        {chart(t('insight.waited'), lengths('waited_ms'), (ms) => duration(ms, i18n.language))}
      </div>
      {of.total.cost_usd > 0 &&
        chart(
          t('insight.costs', { step: t(`step.${of.step}`) }),
          [{ label: t('insight.cost'), tone: 'accent', bars: true, values: steps.map((one) => one.cost_usd) }],
          (value) => roughUsd(value, i18n.language),
          1e-9,
        )}
    </>
  )
}

function Handlers({ of, order, set }: { of: Answered; order: string | undefined; set: (order: string) => void }) {
  const { t, i18n } = useTranslation()
  const costs = of.total.cost_usd > 0
  const orders = ORDERS.filter((one) => costs || one !== 'costly')
  const by = orders.find((one) => one === order) ?? 'failing'
  const rank = (one: InsightCounts) =>
    by === 'costly'
      ? one.cost_usd
      : by === 'busy'
        ? one.ended
        : by === 'slow'
          ? (one.ran_ms?.p95 ?? -1)
          : (failing(one) ?? -1)
  const rows = of.handlers.toSorted((a, b) => rank(b) - rank(a) || b.ended - a.ended).slice(0, 15)
  return (
    <Section
      title={t('insight.handlers')}
      actions={
        <Select
          size="xs"
          aria-label={t('insight.order')}
          data={orders.map((value) => ({ value, label: t(`insightOrder.${value}`) }))}
          value={by}
          onChange={(value) => set(value ?? 'failing')}
          allowDeselect={false}
          w={150}
        />
      }
    >
      <Table
        head={t('task.handler')}
        rows={rows.map((one) => [
          <Go key="h" to="tasks" filters={{ handler: one.handler }}>
            <Broken name={one.handler} />
          </Go>,
          one,
        ])}
        language={i18n.language}
        costs={costs}
      />
    </Section>
  )
}

function Queues({ of }: { of: Answered }) {
  const { t, i18n } = useTranslation()
  return (
    <Section title={t('insight.queues')}>
      <Table
        head={t('task.queue')}
        rows={of.queues
          .toSorted((a, b) => b.ended - a.ended)
          .slice(0, 10)
          .map((one) => [
            one.queue.startsWith('.') ? (
              <span key="q">{t('insight.checks')}</span>
            ) : (
              <Go key="q" to="tasks" filters={{ queue: one.queue }}>
                <Broken name={one.queue} />
              </Go>
            ),
            one,
          ])}
        language={i18n.language}
        waited
      />
    </Section>
  )
}

function Table(props: {
  head: string
  rows: readonly (readonly [ReactNode, InsightCounts & { handler?: string; queue?: string }])[]
  language: string
  waited?: boolean
  costs?: boolean
}) {
  const { head, rows, language, waited = false, costs = false } = props
  const { t, i18n } = useTranslation()
  return (
    <table className="plain lined">
      <thead>
        <tr>
          <th>{head}</th>
          <th className="right">{t('insight.ended')}</th>
          <th className="right">{t('insight.failingShare')}</th>
          <th className="right">{t(waited ? 'insight.waitedP95' : 'insight.ranP95')}</th>
          {costs && <th className="right">{t('insight.cost')}</th>}
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, one]) => (
          <tr key={one.handler ?? one.queue}>
            <td>{name}</td>
            <td className="right">{count(one.ended, language)}</td>
            <td className={`right ${one.failed > 0 ? 'bad' : ''}`}>{percent(failing(one), language)}</td>
            <td className="right">{length((waited ? one.waited_ms : one.ran_ms)?.p95, i18n.language)}</td>
            {costs && (
              <td className="right" title={usd(one.cost_usd, language)}>
                {one.cost_usd === 0 ? '–' : roughUsd(one.cost_usd, language)}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Codes({ of }: { of: InsightCounts }) {
  const { t, i18n } = useTranslation()
  return (
    <Section title={t('insight.codes')}>
      {of.error_codes.length === 0 ? (
        <p className="dimmed small">{t('insight.noCodes')}</p>
      ) : (
        <table className="plain lined">
          <tbody>
            {of.error_codes.map((one) => (
              <tr key={one.code}>
                <td className="mono-text">
                  <Broken name={one.code} />
                </td>
                <td className="right">{count(one.count, i18n.language)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  )
}

/** When in the week it is busy: shades, with the number in each cell for whoever does not see them. */
function Heat({ of }: { of: Answered }) {
  const { t, i18n } = useTranslation()
  const days = heatOf(of.buckets)
  // A Monday.
  const weekday = (day: number) =>
    new Intl.DateTimeFormat(i18n.language, { weekday: 'short', timeZone: 'UTC' }).format(Date.UTC(2026, 10, 23 + day))
  return (
    <Section title={t('insight.heat')}>
      <table className="heat">
        <caption className="unseen">{t('insight.heat')}</caption>
        <thead>
          <tr>
            <th>
              <span className="unseen">{t('insight.weekday')}</span>
            </th>
            {days[0]!.map((_, hour) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: an hour is its place
              <th key={hour} scope="col">
                {hour % 3 === 0 ? hour : <span className="unseen">{hour}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {days.map((hours, day) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a weekday is its place
            <tr key={day}>
              <th scope="row">{weekday(day)}</th>
              {hours.map((one, hour) => (
                <td
                  // biome-ignore lint/suspicious/noArrayIndexKey: an hour is its place
                  key={hour}
                  className={`heat-${one.shade}`}
                  title={t('insight.heatCell', {
                    day: weekday(day),
                    hour,
                    ended: count(one.ended, i18n.language),
                    failed: count(one.failed, i18n.language),
                  })}
                >
                  <span className="unseen">{one.ended}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  )
}

function Changed({ now, before, period }: { now: Answered; before: Answered; period: Period }) {
  const { t, i18n } = useTranslation()
  const rows = changes(now.handlers, before.handlers).slice(0, 15)
  const pair = (old: string, fresh: string) =>
    old === fresh ? (
      fresh
    ) : (
      <>
        <span className="dimmed">{old} →</span> {fresh}
      </>
    )
  return (
    <Section title={t('insight.changed', { period: t(`period.${period}`) })}>
      <table className="plain lined">
        <thead>
          <tr>
            <th>{t('task.handler')}</th>
            <th className="right">{t('insight.ended')}</th>
            <th className="right">{t('insight.failingShare')}</th>
            <th className="right">{t('insight.ranP95')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.handler}>
              <td>
                <Broken name={one.handler} />{' '}
                {one.before.ended === 0 && <span className="tag">{t('insight.new')}</span>}
                {one.now.ended === 0 && <span className="tag">{t('insight.gone')}</span>}
              </td>
              <td className="right">
                {pair(count(one.before.ended, i18n.language), count(one.now.ended, i18n.language))}
              </td>
              <td className="right">
                {pair(percent(failing(one.before), i18n.language), percent(failing(one.now), i18n.language))}
              </td>
              <td className="right">
                {pair(length(one.before.ran_ms?.p95, i18n.language), length(one.now.ran_ms?.p95, i18n.language))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  )
}
