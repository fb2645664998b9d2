import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { Task, TaskDetail } from '@writ/api'
import type { Client } from '@writ/sdk'
import { type ReactNode, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration, usd } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Facts, Mono, Page, Person, RunStateBadge, Section, Time, toneOf, wordOfRun } from '../parts/bits.tsx'
import { Bundle } from '../parts/bundle.tsx'
import { Entries } from '../parts/entries.tsx'
import { Go } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { LegalHolds } from '../parts/legal-holds.tsx'
import { TaskLogView } from '../parts/log.tsx'
import { ProofDrawer } from '../parts/proof-drawer.tsx'
import { RelatedTasks } from '../parts/related-tasks.tsx'
import type { StationName } from '../parts/seal.ts'
import { SealStations } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Answer } from '../parts/states.tsx'
import { ReplayOne } from '../parts/task-acts.tsx'
import { stationOfTaskEvent, stationsOfTask } from '../parts/task-bits.tsx'
import { isBroken, useTrail } from '../parts/trail.ts'
import { Tree } from '../parts/tree.tsx'
import { Waterfall } from '../parts/waterfall.tsx'
import { sayFound } from '../words/index.ts'

/** Asks again every second until a task has ended: only its end is an event. */
export function useTask(ref: string) {
  const { client, project } = useSession()
  return useQuery({
    queryKey: [project, 'task', ref],
    queryFn: () => client.tasks.get({ params: { id: ref } }),
    enabled: ref !== '',
    refetchInterval: ({ state }) => (state.data && state.data.completed_at === null ? 1_000 : false),
  })
}

export function TaskPage() {
  const { t } = useTranslation()
  const { number = '' } = useParams({ strict: false }) as { number?: string }
  const task = useTask(number)
  const back = (
    <Go to="tasks" className="back">
      <Icon name="left" size={13} /> {t('nav.tasks')}
    </Go>
  )
  if (task.data) return <Whole key={task.data.id} task={task.data} readAt={task.dataUpdatedAt} back={back} />
  return (
    <Page name={t('task.one', { number })} title={t('task.one', { number })} above={back}>
      <Answer of={task}>{() => null}</Answer>
    </Page>
  )
}

function Whole({ task, readAt, back }: { task: TaskDetail; readAt: number; back: ReactNode }) {
  const { t } = useTranslation()
  const [station, setStation] = useState<StationName | null>(null)
  const trail = useTrail('run', task.number)
  const seal = useSeals('run', [task.number]).get(task.number)
  const name = t('task.one', { number: task.number })
  const isDead = task.dead_at !== null && task.purged_at === null
  return (
    <Page
      name={name}
      state={task.state}
      stateWord={t(wordOfRun(task.state))}
      above={back}
      title={
        <>
          {name} <span className="number">{task.handler}</span> <RunStateBadge state={task.state} />
        </>
      }
      actions={<Actions task={task} />}
    >
      <SealStations
        stations={stationsOfTask(task, seal)}
        seal={seal}
        broken={isBroken(trail.data?.verified)}
        open={setStation}
      />
      <ProofDrawer
        subject={{ type: 'run', number: task.number }}
        station={station}
        close={() => setStation(null)}
        stationOf={stationOfTaskEvent}
      />
      <div className="columns">
        <div>
          {task.error !== null && (
            <p className={`summary ${toneOf(task.state === 'cancelled' ? 'cancelled' : 'failed')}`}>
              {task.error_code && <span className="mono-text">{task.error_code}: </span>}
              {sayFound(task.error)}
            </p>
          )}
          {isDead && <p className="dimmed small lead">{t('task.deadText')}</p>}
          {task.waiting_for !== null && (
            <p className="dimmed small lead">
              {t(`task.waits_${task.waiting_for}`)} <WhereItWaits task={task} />
            </p>
          )}
          {task.cancel_requested_at !== null && task.completed_at === null && (
            <p className="dimmed small lead">{t('task.stopping')}</p>
          )}
          <Section title={t('task.attempts')}>
            <Waterfall task={task} now={readAt} />
          </Section>
          {task.steps.length > 0 && <Steps task={task} />}
          {task.costs.some((one) => one.what !== null) && <Costs task={task} />}
          <Section title={t('task.result')}>
            <Value name={t('task.result')} value={task.result} none={t('task.noResult')} />
          </Section>
          <Section title={t('task.input')}>
            <Value name={t('task.input')} value={task.input} none={t('task.noInput')} />
            {Object.keys(task.metadata).length > 0 && <Tree name={t('task.metadata')} value={task.metadata} />}
            {(!isNothing(task.input) || Object.keys(task.metadata).length > 0) && (
              <p className="dimmed small">{t('task.secrets')}</p>
            )}
          </Section>
          <Section title={t('run.log')}>
            <TaskLogView task={task.id} attempts={task.attempts.length} />
          </Section>
          <Entries of={trail} handler={task.handler} />
        </div>
        <aside>
          <Section title={t('ticket.facts')}>
            <TaskFacts task={task} />
          </Section>
          <RelatedTasks task={task} />
          <Section title={t('task.chain')}>
            <Chain task={task} replayedAs={replayedAs(trail.data?.verified.entries ?? [])} />
          </Section>
          <LegalHolds type="run" id={task.id} name={name} />
          {task.completed_at && (
            <Section title={t('bundle.title')}>
              <Bundle subject="run" number={task.number} hasFiles={false} />
            </Section>
          )}
        </aside>
      </div>
    </Page>
  )
}

/** Where somebody sees, and lifts, what holds it back. */
function WhereItWaits({ task }: { task: TaskDetail }) {
  const { can } = useSession()
  const { t } = useTranslation()
  if (task.waiting_for === 'handler')
    return (
      <Go to="handlers" filters={{ q: task.handler }}>
        {t('nav.handlers')}
      </Go>
    )
  if ((task.waiting_for === 'queue' || task.waiting_for === 'concurrency_key') && can('queues.list'))
    return <Go to="queues">{t('nav.queues')}</Go>
  return null
}

/** Parts of the work that a later attempt finds done. */
function Steps({ task }: { task: TaskDetail }) {
  const { t, i18n } = useTranslation()
  return (
    <Section title={t('task.steps')}>
      <p className="dimmed small">{t('task.stepsText')}</p>
      <table className="plain lined">
        <thead>
          <tr>
            <th>{t('task.step')}</th>
            <th className="right">{t('run.attempt')}</th>
            <th className="right">{t('run.took')}</th>
          </tr>
        </thead>
        <tbody>
          {task.steps.map((one) => (
            <tr key={one.name}>
              <td className="breaks">
                <Tree name={one.name} value={one.result ?? ''} />
              </td>
              <td className="right">{one.attempt}</td>
              <td className="right">
                {duration(Date.parse(one.ended_at) - Date.parse(one.started_at), i18n.language)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  )
}

/** What was paid for, over all attempts, the dearest first; and what it comes to. */
function Costs({ task }: { task: TaskDetail }) {
  const { t, i18n } = useTranslation()
  const sums = new Map<string | null, number>()
  for (const { what, cost_usd } of task.costs) sums.set(what, (sums.get(what) ?? 0) + cost_usd)
  return (
    <Section title={t('task.cost')}>
      <table className="plain lined">
        <thead>
          <tr>
            <th>{t('task.costWhat')}</th>
            <th className="right">{t('task.cost')}</th>
          </tr>
        </thead>
        <tbody>
          {[...sums]
            .sort(([, a], [, b]) => b - a)
            .map(([what, sum]) => (
              <tr key={what}>
                <td className="breaks">{what ?? t('task.costOther')}</td>
                <td className="right">{usd(sum, i18n.language)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </Section>
  )
}

const isNothing = (value: unknown) =>
  value === null || (typeof value === 'object' && Object.keys(value as object).length === 0)

function Value({ name, value, none }: { name: string; value: unknown; none: string }) {
  return isNothing(value) ? <p className="dimmed small">{none}</p> : <Tree name={name} value={value} open />
}

function TaskFacts({ task }: { task: TaskDetail }) {
  const { t, i18n } = useTranslation()
  const time = (label: string, at: string | null): [string, ReactNode] | null =>
    at === null ? null : [label, <Time key={label} at={at} />]
  return (
    <Facts
      rows={[
        [t('task.handler'), task.handler],
        [
          t('task.queue'),
          <Go key="q" to="tasks" filters={{ queue: task.queue }}>
            {task.queue}
          </Go>,
        ],
        task.priority === 0 ? null : [t('task.priority'), String(task.priority)],
        [t('task.by'), <Person key="by" id={task.executed_by_id} />],
        task.parent_run_id === null
          ? null
          : [
              t('task.parent'),
              task.parent_run_number === null ? (
                <Mono key="parent" value={task.parent_run_id} />
              ) : (
                <Go key="parent" to={`tasks/${task.parent_run_number}`}>
                  #{task.parent_run_number}
                </Go>
              ),
            ],
        task.door === null ? null : [t('task.door'), t('task.doorDispatch')],
        time(t('task.created'), task.created_at),
        task.completed_at === null ? time(t('task.runAt'), task.run_at) : null,
        time(t('task.deadline'), task.deadline_at),
        time(t('run.started'), task.started_at),
        time(t('run.completed'), task.completed_at),
        task.started_at && task.completed_at
          ? [t('run.took'), duration(Date.parse(task.completed_at) - Date.parse(task.started_at), i18n.language)]
          : null,
        task.cost_usd === null ? null : [t('task.cost'), usd(task.cost_usd, i18n.language)],
        time(t('task.dead'), task.dead_at),
        time(t('task.purged'), task.purged_at),
        [t('task.attempts'), t('task.attemptOf', { attempt: task.attempt, most: task.max_attempts })],
        [t('task.limit'), duration(task.timeout_ms, i18n.language)],
        task.unique_key === null ? null : [t('task.uniqueKey'), <Mono key="k" value={task.unique_key} keep={10} />],
        task.concurrency_key === null
          ? null
          : [
              t('task.concurrencyKey'),
              <Go key="under" to="tasks" filters={{ key: task.concurrency_key }} className="mono-text breaks">
                {task.concurrency_key}
              </Go>,
            ],
        task.tags.length === 0
          ? null
          : [
              t('task.tags'),
              <span key="tags" className="tags">
                {task.tags.map((tag) => (
                  <Go key={tag} to="tasks" filters={{ tag }} className="tag">
                    {tag}
                  </Go>
                ))}
              </span>,
            ],
        task.callback === null ? null : [t('task.callback'), task.callback.url],
        task.worker === null ? null : [t('task.worker'), task.worker],
        [t('run.trace'), <Mono key="trace" value={task.trace_id} />],
        task.input_sha256 === null ? null : [t('run.inputDigest'), <Mono key="in" value={task.input_sha256} />],
        task.output_sha256 === null ? null : [t('run.outputDigest'), <Mono key="out" value={task.output_sha256} />],
        task.journal_sha256 === null ? null : [t('task.journal'), <Mono key="j" value={task.journal_sha256} />],
      ]}
    />
  )
}

/** The id of the task that replays this one, where the caller may read what the log's entry commits to. */
function replayedAs(entries: readonly { event: Record<string, unknown> | null }[]): string | null {
  for (const { event } of entries) {
    const details = event?.details as { replayed_as?: unknown } | null | undefined
    if (typeof details?.replayed_as === 'string') return details.replayed_as
  }
  return null
}

// Further back nobody reads; the task that is pointed at has a chain of its own.
const MOST_LINKS = 10

async function linksOf(client: Client, task: Task, next: string | null, signal: AbortSignal): Promise<Task[]> {
  const links: Task[] = [task]
  for (let back = task.replays_run_id; back !== null && links.length < MOST_LINKS; ) {
    const before: Task = await client.tasks.get({ params: { id: back }, signal })
    links.unshift(before)
    back = before.replays_run_id
  }
  if (next !== null) links.push(await client.tasks.get({ params: { id: next }, signal }))
  return links
}

/** What this task replays, and what replays it. */
function Chain({ task, replayedAs: next }: { task: Task; replayedAs: string | null }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const chain = useQuery({
    queryKey: [project, 'task', 'chain', task.id, next],
    queryFn: ({ signal }) => linksOf(client, task, next, signal),
  })
  return (
    <Answer of={chain} lines={1}>
      {(links) =>
        links.length === 1 ? (
          <p className="dimmed small">{t('task.chainNone')}</p>
        ) : (
          <ol className="path">
            {links.map((one) => (
              <li key={one.id}>
                {one.id === task.id ? (
                  <span>
                    #{one.number} <span className="dimmed small">{t('task.chainThis')}</span>
                  </span>
                ) : (
                  <Go to={`tasks/${one.number}`}>#{one.number}</Go>
                )}
                <RunStateBadge state={one.id === task.id ? task.state : one.state} />
                <span className="dimmed small">
                  <Time at={one.created_at} />
                </span>
              </li>
            ))}
          </ol>
        )
      }
    </Answer>
  )
}

function Actions({ task }: { task: TaskDetail }) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState<'cancel' | 'replay' | null>(null)
  const isDead = task.dead_at !== null && task.purged_at === null
  return (
    <>
      {task.completed_at === null && task.cancel_requested_at === null && can('tasks.cancel') && (
        <Button variant="default" onClick={() => setAsking('cancel')} leftSection={<Icon name="stop" size={14} />}>
          {t('task.cancel')}
        </Button>
      )}
      {isDead && can('deadLetters.replay') && (
        <Button onClick={() => setAsking('replay')} leftSection={<Icon name="refresh" size={14} />}>
          {t('task.replay')}
        </Button>
      )}
      <Ask
        opened={asking === 'cancel'}
        close={() => setAsking(null)}
        danger
        title={t('task.cancelTitle', { number: task.number })}
        verb={t('task.cancel')}
        reason="may"
        changes={['task']}
        act={(reason) => client.tasks.cancel({ params: { id: task.id }, body: reason ? { reason } : {} })}
      >
        <p>{t(task.state === 'running' ? 'task.cancelRuns' : 'task.cancelWaits')}</p>
      </Ask>
      <ReplayOne task={asking === 'replay' ? task : null} close={() => setAsking(null)} />
    </>
  )
}
