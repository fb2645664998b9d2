import { Button, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Asset, RunDetail, Ticket } from '@writ/api'
import { type ReactNode, useState } from 'react'
import { useTranslation } from 'react-i18next'
import access from '../../../../examples/access-switch.cfg?raw'
import broken from '../../../../examples/broken-switch.json?raw'
import core from '../../../../examples/core-switch.json?raw'
import router from '../../../../examples/router.ini?raw'
import plan from '../../../../examples/vlan-plan.yaml?raw'
import { useSession } from '../app/session.tsx'
import { Dropzone } from '../parts/artifacts.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page, RunStateBadge } from '../parts/bits.tsx'
import { Bundle } from '../parts/bundle.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Preview } from '../parts/preview.tsx'
import { Answer, Refusal } from '../parts/states.tsx'
import { SummaryText } from '../parts/summary-text.tsx'

/** The files of examples/, as they are in the repository. */
const samples = {
  'access-switch.cfg': access,
  'core-switch.json': core,
  'vlan-plan.yaml': plan,
  'router.ini': router,
} as const

/**
 * The first ticket, step by step on one screen each: an asset, a promise, a file, a verdict, a bundle. Where one is stands in
 * the address, so that it can be left and taken up again.
 */
export function Start() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [at, set] = useFilters()
  const asset = useQuery({
    queryKey: [project, 'assets', at.asset],
    enabled: !!at.asset,
    queryFn: () => client.assets.get({ params: { id: at.asset! } }),
  })
  const ticket = useQuery({
    queryKey: [project, 'ticket', at.ticket],
    enabled: !!at.ticket,
    queryFn: () => client.tickets.get({ params: { id: at.ticket! } }),
  })
  const run = useQuery({
    queryKey: [project, 'run', at.run],
    enabled: !!at.run,
    queryFn: () => client.runs.get({ params: { id: at.run! } }),
    // The stream tells it too; where that is blocked the verdict still comes within two seconds.
    refetchInterval: ({ state }) => (state.data && ['pending', 'running'].includes(state.data.state) ? 2_000 : false),
  })
  const settled = run.data && !['pending', 'running'].includes(run.data.state)
  const now = !at.asset ? 0 : !at.ticket ? 1 : !at.run || !settled ? 2 : at.seen ? 4 : 3
  if (!can('tickets.create'))
    return (
      <Page name={t('nav.start')} title={t('nav.start')}>
        <p>{t('start.denied')}</p>
      </Page>
    )
  const steps: [string, ReactNode][] = [
    ['asset', <AssetStep key="a" done={(made) => set({ asset: String(made.number) })} />],
    ['ticket', <TicketStep key="t" asset={asset.data} done={(made) => set({ ticket: String(made.number) })} />],
    [
      'file',
      <FileStep key="f" ticket={at.ticket ?? ''} run={run.data} started={(number) => set({ run: String(number) })} />,
    ],
    [
      'verdict',
      run.data && (
        <VerdictStep key="v" run={run.data} next={() => set({ seen: '1' })} again={() => set({ run: null })} />
      ),
    ],
    ['bundle', <BundleStep key="b" ticket={Number(at.ticket)} />],
  ]
  return (
    <Page name={t('nav.start')} title={t('start.title')}>
      <p className="dimmed lead">{t('start.text')}</p>
      <ol className="steps">
        {steps.map(([name, content], i) => (
          <li
            key={name}
            className={`step ${i < now ? 'step-done' : i === now ? 'step-now' : ''}`}
            {...(i === now ? { 'aria-current': 'step' as const } : {})}
          >
            <span className="step-mark" aria-hidden="true">
              {i < now ? <Icon name="check" size={14} className="icon-bold" /> : i + 1}
            </span>
            <div className="step-body">
              <h2>{t(`start.${name}` as 'start.asset')}</h2>
              {i < now && <Done name={name} asset={asset.data} ticket={ticket.data} run={run.data} />}
              {i === now && content}
            </div>
          </li>
        ))}
      </ol>
    </Page>
  )
}

function Done({
  name,
  asset,
  ticket,
  run,
}: {
  name: string
  asset: Asset | undefined
  ticket: Ticket | undefined
  run: RunDetail | undefined
}) {
  if (name === 'asset' && asset)
    return (
      <Go to={`assets/${asset.number}`}>
        #{asset.number} {asset.name}
      </Go>
    )
  if (name === 'ticket' && ticket)
    return (
      <Go to={`tickets/${ticket.number}`}>
        #{ticket.number} {ticket.title}
      </Go>
    )
  if (name === 'file' && run) return <Go to={`runs/${run.number}`}>#{run.number}</Go>
  if (name === 'verdict' && run) return <RunStateBadge state={run.state} verdict={run.verdict} />
  return null
}

function AssetStep({ done }: { done: (asset: Asset) => void }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const action = useAction()
  const known = useQuery({
    queryKey: [project, 'assets', 'first'],
    queryFn: () => client.assets.list({ query: { limit: 3 } }),
  })
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        const form = new FormData(event.currentTarget)
        const text = (name: string) => String(form.get(name) ?? '').trim()
        void action.run(async () => {
          const body = { name: text('name'), asset_type: text('asset_type'), location: text('location') || null }
          done(await client.assets.create({ body }))
          again('assets')
        })
      }}
    >
      <p className="small dimmed">{t('start.assetText')}</p>
      <div className="pair">
        <TextInput
          label={t('asset.name')}
          name="name"
          defaultValue="Factory Gateway"
          required
          withAsterisk={false}
          maxLength={100}
        />
        <TextInput
          label={t('asset.type')}
          name="asset_type"
          defaultValue="switch"
          required
          withAsterisk={false}
          maxLength={50}
        />
      </div>
      <TextInput label={t('asset.location')} name="location" defaultValue="Factory A" maxLength={255} />
      <Refusal error={action.error} />
      <div className="form-buttons">
        <Button type="submit" size="sm" loading={action.busy}>
          {t('asset.create')}
        </Button>
        {(known.data ?? []).map((one) => (
          <Button key={one.id} size="sm" variant="default" onClick={() => done(one)}>
            {t('start.takeAsset', { name: one.name })}
          </Button>
        ))}
      </div>
    </form>
  )
}

function TicketStep({ asset, done }: { asset: Asset | undefined; done: (ticket: Ticket) => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const action = useAction()
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        const title = String(new FormData(event.currentTarget).get('title') ?? '').trim()
        void action.run(async () => done(await client.tickets.create({ body: { title, asset_id: asset?.id ?? null } })))
      }}
    >
      <p className="small dimmed">{t('start.ticketText')}</p>
      <TextInput
        label={t('ticket.title')}
        name="title"
        defaultValue={t('start.sampleTitle')}
        required
        withAsterisk={false}
        maxLength={200}
        autoFocus
      />
      <Refusal error={action.error} />
      <div className="form-buttons">
        <Button type="submit" size="sm" loading={action.busy}>
          {t('ticket.submit')}
        </Button>
      </div>
    </form>
  )
}

function FileStep({
  ticket,
  run,
  started,
}: {
  ticket: string
  run: RunDetail | undefined
  started: (number: number) => void
}) {
  const { client } = useSession()
  const { t } = useTranslation()
  const action = useAction()
  const open = () =>
    client.runs.start({ body: { run_type: 'proof', ticket_id: Number(ticket), script_id: 'proof.config_format' } })
  const send = (files: Readonly<Record<string, string>>) =>
    action.run(async () => {
      const made = await open()
      started(made.number)
      await Promise.all(
        Object.entries(files).map(([name, text]) =>
          client.artifacts.upload({ query: { run_id: made.id }, file: new File([text], name) }),
        ),
      )
    })
  if (run?.state === 'pending' && run.waiting_for === 'evidence')
    return (
      <>
        <p className="small dimmed">{t('run.waitsAuto')}</p>
        <Dropzone run={run} />
      </>
    )
  if (run) return <p role="status">{t('start.checking')}</p>
  return (
    <>
      <p className="small dimmed">{t('start.fileText')}</p>
      <Refusal error={action.error} />
      <div className="form-buttons">
        <Button size="sm" loading={action.busy} onClick={() => void send(samples)}>
          {t('start.samples', { count: Object.keys(samples).length })}
        </Button>
        <Button
          size="sm"
          variant="default"
          disabled={action.busy}
          onClick={() => void send({ 'broken-switch.json': broken })}
        >
          {t('start.brokenSample')}
        </Button>
        <Button
          size="sm"
          variant="default"
          disabled={action.busy}
          onClick={() => void action.run(async () => started((await open()).number))}
        >
          {t('start.ownFiles')}
        </Button>
      </div>
    </>
  )
}

function VerdictStep({ run, next, again }: { run: RunDetail; next: () => void; again: () => void }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const [looking, setLooking] = useState(false)
  const report = useQuery({
    queryKey: [project, 'artifact', run.report_artifact_id],
    enabled: run.report_artifact_id !== null,
    queryFn: () => client.artifacts.get({ params: { id: run.report_artifact_id! } }),
  })
  return (
    <>
      <p className={`summary ${run.verdict === 'passed' ? '' : 'summary-bad'}`}>
        <RunStateBadge state={run.state} verdict={run.verdict} />{' '}
        {run.result_summary && <SummaryText text={run.result_summary} />}
      </p>
      <p className="small dimmed">{t(run.verdict === 'passed' ? 'start.verdictGood' : 'start.verdictBad')}</p>
      <div className="form-buttons">
        <Button size="sm" onClick={next}>
          {t('start.toBundle')}
        </Button>
        {run.verdict !== 'passed' && (
          <Button size="sm" variant="default" onClick={again}>
            {t('start.again')}
          </Button>
        )}
        {report.data && (
          <Button
            size="sm"
            variant="default"
            onClick={() => setLooking(true)}
            leftSection={<Icon name="eye" size={14} />}
          >
            {t('artifact.report')}
          </Button>
        )}
      </div>
      <Preview artifact={looking ? (report.data ?? null) : null} close={() => setLooking(false)} />
    </>
  )
}

function BundleStep({ ticket }: { ticket: number }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const found = useQuery({
    queryKey: [project, 'ticket', String(ticket)],
    queryFn: () => client.tickets.get({ params: { id: ticket } }),
  })
  return (
    <>
      <Bundle subject="ticket" number={ticket} />
      <Answer of={found} lines={1}>
        {(one) => (
          <p>
            <Go to={`tickets/${one.number}`}>
              {t('start.toTicket', { number: one.number })} <Icon name="right" size={13} />
            </Go>
          </p>
        )}
      </Answer>
    </>
  )
}
