import { Button, Select, TagsInput, TextInput } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { Delivery, DeliveryState, Webhook, WebhookFormat } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { count, duration } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask, useAction, useAgain } from '../parts/ask.tsx'
import { Facts, Page, Person, Section, State, Time } from '../parts/bits.tsx'
import { Code } from '../parts/code.tsx'
import { useDraft } from '../parts/draft.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { InLog } from '../parts/in-log.tsx'
import { Told } from '../parts/row-bits.tsx'
import { SecretDialog } from '../parts/shown-once.tsx'
import { Answer, Empty, Refusal } from '../parts/states.tsx'
import { sayFound } from '../words/index.ts'

const FORMATS: readonly WebhookFormat[] = ['cloudevents', 'slack', 'feishu', 'email']
const GROUPS = [
  '*',
  'run.*',
  'ticket.*',
  'artifact.*',
  'run.failed',
  'run.completed',
  'ticket.submitted',
  'ticket.approved',
]

/** Whom this project tells what happens. */
export function Notices() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [adding, setAdding] = useState(false)
  const hooks = useQuery({
    queryKey: [project, 'webhooks'],
    queryFn: () => client.all('webhooks.list'),
    enabled: can('webhooks.list'),
  })
  if (!can('webhooks.list'))
    return (
      <Page name={t('nav.notices')} title={t('nav.notices')}>
        <Empty icon="hand" title={t('error.denied')} text={t('notice.denied')} />
      </Page>
    )
  return (
    <Page
      name={t('nav.notices')}
      title={t('nav.notices')}
      actions={
        can('webhooks.create') && (
          <Button onClick={() => setAdding(true)} leftSection={<Icon name="plus" size={14} />}>
            {t('notice.new')}
          </Button>
        )
      }
    >
      <Answer of={hooks}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="notices" title={t('notice.noneTitle')} text={t('notice.noneText')} />
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('notice.name')}</th>
                  <th>{t('notice.state')}</th>
                  <th>{t('notice.format')}</th>
                  <th>{t('notice.url')}</th>
                  <th>{t('notice.events')}</th>
                </tr>
              </thead>
              <tbody>
                {list.map((one) => (
                  <tr key={one.id}>
                    <td>
                      <Go to={`notices/${one.id}`}>{one.name}</Go>
                    </td>
                    <td>
                      <HookState hook={one} />
                    </td>
                    <Told word={t('notice.format')} left>
                      {t(`hookFormat.${one.format}`)}
                    </Told>
                    <td className="breaks">{one.url}</td>
                    <Told word={t('notice.events')} left>
                      {heardOf(one)}
                    </Told>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
      {adding && <NewHook close={() => setAdding(false)} />}
    </Page>
  )
}

/** What it is told: events by type or group, and how tasks of handlers ended. */
const heardOf = (hook: Webhook): string => [...hook.events, ...hook.handlers].join(', ')

function HookState({ hook }: { hook: Webhook }) {
  const { t } = useTranslation()
  if (hook.state === 'disabled') return <State of="disabled" word={t('notice.disabled')} />
  return hook.failing_since ? (
    <State of="failed" word={t('notice.failing')} />
  ) : (
    <State of="active" word={t('notice.active')} />
  )
}

const BLANK = { name: '', format: 'cloudevents' as WebhookFormat, url: '', events: ['run.*', 'ticket.*'] }

function NewHook({ close }: { close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const draft = useDraft('new webhook', BLANK)
  const { name, format, url, events } = draft.value
  const put = (change: Partial<typeof BLANK>) => draft.write((before) => ({ ...before, ...change }))
  return (
    <FormDialog
      opened
      close={close}
      size="lg"
      title={t('notice.new')}
      verb={t('notice.create')}
      secret={t('notice.secret')}
      ready={events.length > 0}
      draft={draft}
      changes={['webhooks']}
      act={async (text) => {
        // A secret: it is in its field and nowhere else.
        const bot = text('bot_secret')
        const { secret } = await client.webhooks.create({
          body: { name: name.trim(), url: url.trim(), events, format, ...(bot === '' ? {} : { bot_secret: bot }) },
        })
        return secret
      }}
    >
      <TextInput
        data-autofocus
        label={t('notice.name')}
        name="name"
        value={name}
        onChange={(event) => put({ name: event.currentTarget.value })}
        required
        withAsterisk={false}
        maxLength={100}
      />
      <Select
        label={t('notice.format')}
        data={FORMATS.map((value) => ({ value, label: t(`hookFormat.${value}`) }))}
        value={format}
        onChange={(value) => put({ format: (value as WebhookFormat | null) ?? 'cloudevents' })}
        allowDeselect={false}
      />
      <TextInput
        label={t('notice.url')}
        name="url"
        value={url}
        onChange={(event) => put({ url: event.currentTarget.value })}
        required
        withAsterisk={false}
        placeholder={format === 'email' ? 'mailto:ops@example.com' : 'https://'}
        maxLength={2000}
      />
      {format === 'feishu' && (
        <TextInput label={t('notice.botSecret')} name="bot_secret" maxLength={200} autoComplete="off" />
      )}
      <TagsInput
        data-field="events"
        label={t('notice.events')}
        description={t('notice.eventsHint')}
        data={GROUPS}
        value={events}
        onChange={(next) => put({ events: next })}
      />
    </FormDialog>
  )
}

/** As many as one request sends again. */
const REPLAY_AT_ONCE = 1_000

/** One destination: what was sent to it, what it answered, and how to send it again. */
export function WebhookPage() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const go = useGo()
  const again = useAgain()
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const [filters, set] = useFilters()
  const [asking, setAsking] = useState<'delete' | 'disable' | 'replay' | 'rotate' | null>(null)
  const [secret, setSecret] = useState<string | null>(null)
  const action = useAction()
  const params = { id }
  const hook = useQuery({ queryKey: [project, 'webhooks', id], queryFn: () => client.webhooks.get({ params }) })
  // The address may say anything; the server checks the state.
  const state = filters.state as DeliveryState | undefined
  const deliveries = useInfiniteQuery({
    queryKey: [project, 'deliveries', id, state],
    initialPageParam: '',
    queryFn: ({ pageParam: cursor }) =>
      client.webhooks.deliveries({
        params,
        query: { limit: 50, ...(state ? { state } : {}), cursor } as { cursor: string },
      }),
    getNextPageParam: ({ next_cursor }) => next_cursor,
    refetchInterval: ({ state: said }) =>
      said.data?.pages.some(({ items }) => items.some((one) => one.state === 'waiting')) ? 2_000 : false,
  })
  const failed = useQuery({
    queryKey: [project, 'deliveries', id, 'to-replay'],
    enabled: asking === 'replay',
    queryFn: () => client.webhooks.replay({ params, body: { state: 'failed', preview: true } }),
  })
  const refresh = () => {
    again('webhooks', 'deliveries')
  }
  const name = hook.data?.name ?? t('nav.notices')
  const matched = failed.data?.matched ?? 0
  const most = Math.min(matched, REPLAY_AT_ONCE)
  return (
    <Page
      name={name}
      title={
        <>
          {name} {hook.data && <HookState hook={hook.data} />}
        </>
      }
      above={
        <Go to="notices" className="back">
          <Icon name="left" size={13} /> {t('nav.notices')}
        </Go>
      }
      actions={
        <>
          {can('webhooks.test') && (
            <Button
              variant="default"
              loading={action.busy}
              onClick={() =>
                void action.run(async () => {
                  await client.webhooks.test({ params })
                  refresh()
                })
              }
            >
              {t('notice.test')}
            </Button>
          )}
          {can('webhooks.replay') && (
            <Button variant="default" onClick={() => setAsking('replay')}>
              {t('notice.replay')}
            </Button>
          )}
          {can('webhooks.update') && hook.data && (
            <Button
              variant="default"
              onClick={() => {
                if (hook.data.state === 'active') setAsking('disable')
                else
                  void action.run(async () => {
                    await client.webhooks.update({ params, body: { state: 'active' } })
                    refresh()
                  })
              }}
            >
              {t(hook.data.state === 'active' ? 'notice.disable' : 'notice.enable')}
            </Button>
          )}
          {can('webhooks.rotate') && hook.data?.format === 'cloudevents' && (
            <Button variant="default" onClick={() => setAsking('rotate')}>
              {t('notice.rotate')}
            </Button>
          )}
          {can('webhooks.delete') && (
            <Button variant="default" onClick={() => setAsking('delete')}>
              {t('action.delete')}
            </Button>
          )}
        </>
      }
    >
      <Refusal error={action.error} />
      <Answer of={hook}>
        {(one) => (
          <>
            <Facts
              rows={[
                [t('notice.url'), one.url],
                [t('notice.format'), t(`hookFormat.${one.format}`)],
                one.events.length > 0 ? [t('notice.events'), one.events.join(', ')] : null,
                one.handlers.length > 0 ? [t('notice.handlers'), one.handlers.join(', ')] : null,
                one.ordered
                  ? [t('notice.order'), t(one.held_up_by === null ? 'notice.inOrder' : 'notice.heldUp')]
                  : null,
                one.previous_secret_until && Date.parse(one.previous_secret_until) > now()
                  ? [t('notice.oldSecret'), <Time key="o" at={one.previous_secret_until} />]
                  : null,
                one.failing_since ? [t('notice.failingSince'), <Time key="f" at={one.failing_since} />] : null,
                one.state === 'active'
                  ? null
                  : [
                      t('notice.disabled'),
                      <span key="d">
                        {one.disabled_by_id !== null && (
                          <>
                            <Person id={one.disabled_by_id} />
                            {' · '}
                          </>
                        )}
                        {one.disabled_reason && sayFound(one.disabled_reason)}{' '}
                        <InLog filters={{ resource_type: 'webhook', resource_id: one.id }} />
                      </span>,
                    ],
                [t('notice.addedBy'), <Person key="p" id={one.created_by_id} />],
              ]}
            />
            <Section
              title={t('notice.deliveries')}
              actions={
                <Select
                  aria-label={t('notice.state')}
                  placeholder={t('notice.anyState')}
                  data={(['waiting', 'delivered', 'failed'] as const).map((value) => ({
                    value,
                    label: t(`delivery.${value}`),
                  }))}
                  value={filters.state ?? null}
                  onChange={(value) => set({ state: value })}
                  clearable
                  size="xs"
                  w={150}
                />
              }
            >
              <Answer of={deliveries}>
                {({ pages }) => <Deliveries list={pages.flatMap(({ items }) => items)} />}
              </Answer>
              {deliveries.hasNextPage && (
                <Button
                  mt="sm"
                  variant="default"
                  loading={deliveries.isFetchingNextPage}
                  onClick={() => void deliveries.fetchNextPage()}
                >
                  {t('notice.older')}
                </Button>
              )}
            </Section>
          </>
        )}
      </Answer>
      <Ask
        opened={asking === 'delete'}
        close={() => setAsking(null)}
        danger
        title={t('notice.deleteTitle', { name })}
        verb={t('action.delete')}
        act={async () => {
          await client.webhooks.delete({ params })
          go('notices')
        }}
      >
        <p>{t('notice.deleteText')}</p>
      </Ask>
      <Ask
        opened={asking === 'disable'}
        close={() => setAsking(null)}
        danger
        title={t('notice.disableTitle', { name })}
        verb={t('notice.disable')}
        reason="may"
        changes={['webhooks', 'deliveries']}
        act={(reason) =>
          client.webhooks.update({ params, body: { state: 'disabled', ...(reason === undefined ? {} : { reason }) } })
        }
      >
        <p>{t('notice.disableText')}</p>
      </Ask>
      <Ask
        opened={asking === 'replay'}
        close={() => setAsking(null)}
        title={t('notice.replayTitle', { count: most, shown: count(most, i18n.language), name })}
        verb={t('notice.replay')}
        ready={matched > 0}
        changes={['webhooks', 'deliveries']}
        act={() => client.webhooks.replay({ params, body: { state: 'failed' } })}
      >
        <Answer of={failed} lines={1}>
          {() =>
            matched === 0 ? (
              <p>{t('notice.nothingToReplay')}</p>
            ) : (
              <>
                <p>{t('notice.replayText', { count: most, shown: count(most, i18n.language) })}</p>
                {matched > most && (
                  <p>
                    {t('notice.replaySome', {
                      most: count(most, i18n.language),
                      all: count(matched, i18n.language),
                    })}
                  </p>
                )}
              </>
            )
          }
        </Answer>
      </Ask>
      <Ask
        opened={asking === 'rotate'}
        close={() => setAsking(null)}
        title={t('notice.rotateTitle', { name })}
        verb={t('notice.rotate')}
        changes={['webhooks', 'deliveries']}
        act={async () => {
          const made = await client.webhooks.rotate({ params })
          setSecret(made.secret)
        }}
      >
        <p>{t('notice.rotateText')}</p>
      </Ask>
      <SecretDialog secret={secret} what={t('notice.secret')} close={() => setSecret(null)} />
    </Page>
  )
}

/**
 * How an attempt ended: what was answered, and what of it was a fault. Chats say with 200 that they refused, and a connection that
 * never came to be has no answer.
 */
function Ending({ of }: { of: Delivery['attempts'][number] }) {
  const { t, i18n } = useTranslation()
  const { status, error } = of
  if (error === null || error === `HTTP_${status}` || error === `SMTP_${status}`) return <>{status}</>
  const key = `deliveryFault.${error}`
  return (
    <>
      {status !== null && `${status} · `}
      {i18n.exists(key) ? t(key as 'deliveryFault.TIMEOUT') + t('error.inside', { what: error }) : error}
    </>
  )
}

function Deliveries({ list }: { list: readonly Delivery[] }) {
  const { t, i18n } = useTranslation()
  if (list.length === 0)
    return <Empty icon="notices" title={t('notice.noDeliveries')} text={t('notice.noDeliveriesText')} />
  return (
    <ul className="entries">
      {list.map((one) => (
        <li key={one.id}>
          <details>
            <summary>
              <State of={one.state} word={t(`delivery.${one.state}`)} />
              <strong>{one.event_type}</strong>
              {one.replay_of && <span className="tag">{t('notice.replayed')}</span>}
              <span className="push dimmed small">
                {t('notice.attempts', { count: one.attempts.length })} · <Time at={one.created_at} />
              </span>
            </summary>
            <ol className="plain-list small">
              {one.attempts.map((attempt) => (
                <li key={attempt.attempt}>
                  <Time at={attempt.at} /> · {duration(attempt.duration_ms, i18n.language)} · <Ending of={attempt} />
                  {attempt.answer !== '' && (
                    // The server's own words, if it refused to call.
                    <Code>{attempt.error === 'DESTINATION_REFUSED' ? sayFound(attempt.answer) : attempt.answer}</Code>
                  )}
                </li>
              ))}
              {one.next_attempt_at && one.state === 'waiting' && (
                <li className="dimmed">
                  {t('notice.next')} <Time at={one.next_attempt_at} />
                </li>
              )}
            </ol>
          </details>
        </li>
      ))}
    </ul>
  )
}
