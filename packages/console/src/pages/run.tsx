import { Button } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import type { RunDetail, RunState } from '@writ/api'
import { WritError } from '@writ/sdk'
import { type ReactNode, useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration } from '../app/format.ts'
import { paths } from '../app/page-settings.ts'
import { useSession } from '../app/session.tsx'
import { Artifacts } from '../parts/artifacts.tsx'
import { Ask } from '../parts/ask.tsx'
import {
  Facts,
  Mono,
  Page,
  Person,
  RunStateBadge,
  Section,
  shownState,
  Time,
  toneOf,
  wordOfRun,
} from '../parts/bits.tsx'
import { Broken } from '../parts/broken.tsx'
import { Bundle } from '../parts/bundle.tsx'
import { Entries } from '../parts/entries.tsx'
import { Compared, type Comparison, Findings, type Report } from '../parts/findings.tsx'
import { Go, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { LegalHolds } from '../parts/legal-holds.tsx'
import { ProofDrawer } from '../parts/proof-drawer.tsx'
import { type StationName, stationsOfRun } from '../parts/seal.ts'
import { SealStations } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Answer } from '../parts/states.tsx'
import { SummaryText } from '../parts/summary-text.tsx'
import { isBroken, useTrail } from '../parts/trail.ts'
import { Tree } from '../parts/tree.tsx'
import { WaitingRun } from './ticket.tsx'

export function RunPage() {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const { number = '' } = useParams({ strict: false }) as { number?: string }
  const run = useQuery({
    queryKey: [project, 'run', number],
    queryFn: () => client.runs.get({ params: { id: number } }),
  })
  const back = (
    <Go to="runs" className="back">
      <Icon name="left" size={13} /> {t('nav.runs')}
    </Go>
  )
  const navigate = useNavigate()
  // The server answers for a task with the address of the task, of which a page is told nothing but that.
  const isTask = run.error instanceof WritError && run.error.code === 'HTTP_0'
  useEffect(() => {
    if (isTask) void navigate({ href: `${paths.console}/${project}/tasks/${number}`, replace: true })
  }, [isTask, navigate, project, number])
  if (isTask) return null
  if (run.data) return <Whole key={run.data.id} run={run.data} back={back} />
  return (
    <Page name={t('run.one', { number })} title={t('run.one', { number })} above={back}>
      <Answer of={run}>{() => null}</Answer>
    </Page>
  )
}

function Whole({ run, back }: { run: RunDetail; back: ReactNode }) {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const [station, setStation] = useState<StationName | null>(null)
  const ticket = useQuery({
    queryKey: [project, 'ticket', String(run.ticket_number)],
    queryFn: () => client.tickets.get({ params: { id: run.ticket_number } }),
  })
  const approvals = useQuery({
    queryKey: [project, 'approvals', run.ticket_id],
    queryFn: () => client.all('tickets.approvals', { params: { id: run.ticket_id } }),
  })
  const approvedAt = approvals.data?.findLast(({ decision }) => decision === 'approved')?.created_at ?? null
  const trail = useTrail('run', run.number)
  const seal = useSeals('run', [run.number]).get(run.number)
  const name = t('run.one', { number: run.number })
  const waits = run.state === 'pending' && run.waiting_for === 'evidence'
  const report = run.outputs_manifest?.validation_report as Report | undefined
  return (
    <Page
      name={name}
      state={shownState(run.state, run.verdict)}
      stateWord={t(wordOfRun(run.state, run.verdict))}
      above={back}
      title={
        <>
          {name} <RunStateBadge state={run.state} verdict={run.verdict} />
        </>
      }
      actions={<Actions run={run} />}
    >
      <SealStations
        stations={stationsOfRun(run, ticket.data, { approvedAt }, seal)}
        seal={seal}
        broken={isBroken(trail.data?.verified)}
        open={setStation}
      />
      <ProofDrawer subject={{ type: 'run', number: run.number }} station={station} close={() => setStation(null)} />
      <div className="columns">
        <div>
          {run.result_summary && (
            <p className={`summary ${toneOf(shownState(run.state, run.verdict))}`}>
              <SummaryText text={run.result_summary} />
            </p>
          )}
          {run.error_code && (
            <p className="small lead">
              <a href={`/docs/errors#${run.error_code}`}>{run.error_code}</a>
            </p>
          )}
          <Section title={t('run.evidence')}>
            <Artifacts run={run} heading entries={trail.data?.verified.entries} />
            {waits && <WaitingRun run={run} />}
          </Section>
          {report && (
            <Section title={t('run.findings')}>
              <Findings report={report} />
            </Section>
          )}
          {report && run.verifies_run_number !== null && (
            <Section title={t('run.compared', { number: run.verifies_run_number })}>
              <Compared with={run.outputs_manifest?.comparison as Comparison | undefined} />
            </Section>
          )}
          <Section title={t('run.log')}>
            <Log text={[run.stdout_log, run.stderr_log].filter(Boolean).join('\n')} />
          </Section>
          <Section title={t('run.inputsOutputs')}>
            <Tree name={t('run.inputs')} value={run.inputs_manifest} />
            <Tree name={t('run.outputs')} value={run.outputs_manifest} />
            <Tree name={t('run.context')} value={run.execution_context} />
          </Section>
          <Entries of={trail} />
        </div>
        <aside>
          <Section title={t('ticket.facts')}>
            <Facts
              rows={[
                [
                  t('run.ticket'),
                  <Go key="t" to={`tickets/${run.ticket_number}`}>
                    #{run.ticket_number} {ticket.data?.title ?? ''}
                  </Go>,
                ],
                run.verifies_run_number === null
                  ? null
                  : [
                      t('run.verifies'),
                      <Go key="v" to={`runs/${run.verifies_run_number}`}>
                        {t('run.one', { number: run.verifies_run_number })}
                      </Go>,
                    ],
                [t('run.script'), run.script_id ?? t('run.defaultScript')],
                [t('run.rules'), run.rules_version === null ? '–' : <Broken key="rules" name={run.rules_version} />],
                [t('run.by'), <Person key="by" id={run.executed_by_id} number={run.executed_by_number} />],
                [t('run.created'), <Time key="c" at={run.created_at} />],
                [t('run.started'), <Time key="s" at={run.started_at} />],
                [t('run.completed'), <Time key="e" at={run.completed_at} />],
                run.started_at && run.completed_at
                  ? [t('run.took'), duration(Date.parse(run.completed_at) - Date.parse(run.started_at), i18n.language)]
                  : null,
                run.state === 'pending' || run.state === 'running'
                  ? [t('run.timeout'), <Time key="to" at={run.timeout_at} />]
                  : null,
                [t('run.attempt'), String(run.attempt)],
                [t('run.exitCode'), run.exit_code === null ? '–' : String(run.exit_code)],
                [t('run.trace'), <Mono key="trace" value={run.trace_id} />],
                run.input_sha256 ? [t('run.inputDigest'), <Mono key="in" value={run.input_sha256} />] : null,
                run.output_sha256 ? [t('run.outputDigest'), <Mono key="out" value={run.output_sha256} />] : null,
              ]}
            />
          </Section>
          <Section title={t('run.path')}>
            <StateDiagram run={run} />
          </Section>
          <LegalHolds type="run" id={run.id} ticket={run.ticket_id} name={name} />
          <Section title={t('bundle.title')}>
            <Bundle subject="run" number={run.number} />
          </Section>
        </aside>
      </div>
    </Page>
  )
}

function Actions({ run }: { run: RunDetail }) {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const queries = useQueryClient()
  const [asking, setAsking] = useState<'cancel' | 'verify' | null>(null)
  const params = { id: run.id }
  const settled = ['completed', 'failed', 'cancelled', 'timeout'].includes(run.state)
  return (
    <>
      {settled && run.run_type === 'proof' && can('runs.verify') && (
        <Button variant="default" onClick={() => setAsking('verify')} leftSection={<Icon name="refresh" size={14} />}>
          {t('run.verify')}
        </Button>
      )}
      {run.state === 'pending' && can('runs.cancel') && (
        <Button variant="default" onClick={() => setAsking('cancel')} leftSection={<Icon name="stop" size={14} />}>
          {t('run.cancel')}
        </Button>
      )}
      <Ask
        opened={asking === 'cancel'}
        close={() => setAsking(null)}
        danger
        title={t('run.cancelTitle', { number: run.number })}
        verb={t('run.cancel')}
        reason="may"
        act={async (reason) => {
          await client.runs.cancel({ params, body: reason ? { reason } : {} })
          void queries.invalidateQueries({ queryKey: [project] })
        }}
      >
        <p>{t('run.cancelText')}</p>
      </Ask>
      <Ask
        opened={asking === 'verify'}
        close={() => setAsking(null)}
        title={t('run.verifyTitle', { number: run.number })}
        verb={t('run.verify')}
        act={async () => {
          const again = await client.runs.verify({ params, body: {} })
          go(`runs/${again.number}`)
        }}
      >
        <p>{t('run.verifyText')}</p>
      </Ask>
    </>
  )
}

/** The states of this run and how it came from one to the next. */
function StateDiagram({ run }: { run: RunDetail }) {
  const { t, i18n } = useTranslation()
  const steps: { state: RunState; at: string }[] = [
    { state: 'pending', at: run.created_at },
    ...(run.started_at ? [{ state: 'running' as const, at: run.started_at }] : []),
    ...(run.state !== 'pending' && run.state !== 'running'
      ? [{ state: run.state, at: run.completed_at ?? run.updated_at }]
      : []),
  ]
  return (
    <ol className="path">
      {steps.map(({ state, at }, i) => (
        <li key={state}>
          <RunStateBadge state={state} verdict={i === steps.length - 1 ? run.verdict : null} />
          <span className="dimmed small">
            <Time at={at} />
            {i > 0 &&
              ` · ${t('run.after', { time: duration(Date.parse(at) - Date.parse(steps[i - 1]!.at), i18n.language) })}`}
          </span>
        </li>
      ))}
    </ol>
  )
}

/** What a run said. Searched by the browser's own search as well: all of it is on the page. */
function Log({ text }: { text: string }) {
  const { t } = useTranslation()
  if (text === '') return <p className="dimmed small">{t('run.noLog')}</p>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <pre className="code tall" tabIndex={0}>
      {text}
    </pre>
  )
}
