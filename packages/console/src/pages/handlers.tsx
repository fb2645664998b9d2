import { Button, NumberInput, TextInput } from '@mantine/core'
import type { HandlerInfo } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration, listed } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page, State, Time } from '../parts/bits.tsx'
import { useDraft } from '../parts/draft.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { useHandlerWords } from '../parts/handler-words.ts'
import { Icon } from '../parts/icons.tsx'
import { RowAct, Told } from '../parts/row-bits.tsx'
import { Search } from '../parts/search.tsx'
import { StandingStill } from '../parts/standing-still.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { useHandlers } from '../parts/task-bits.tsx'
import { Tree } from '../parts/tree.tsx'
import { sayFound } from '../words/index.ts'

interface Asking {
  readonly act: 'enable' | 'disable' | 'remove'
  readonly handler: HandlerInfo
}

/** What tasks may name: its contract, where it comes from, whether it may be named, and when its worker was last seen. */
export function Handlers() {
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const { can } = useSession()
  const [asking, setAsking] = useState<Asking | null>(null)
  const [adding, setAdding] = useState(false)
  const handlers = useHandlers()
  const { titleOf } = useHandlerWords()
  const wanted = (filters.q ?? '').trim().toLowerCase()
  return (
    <Page
      name={t('nav.handlers')}
      title={t('nav.handlers')}
      actions={
        can('handlers.add') && (
          <Button onClick={() => setAdding(true)} leftSection={<Icon name="plus" size={14} />}>
            {t('handler.new')}
          </Button>
        )
      }
    >
      <div className="filters">
        <Search label={t('handler.search')} value={filters.q ?? ''} set={(q) => set({ q })} />
      </div>
      <Answer of={handlers} lines={8}>
        {(list) => {
          const found = list.filter((one) => `${one.name} ${titleOf(one)} ${one.source}`.toLowerCase().includes(wanted))
          return found.length === 0 ? (
            <Empty icon="search" title={t('list.noMatch')} text={<Go to="handlers">{t('list.clear')}</Go>} />
          ) : (
            <table className="plain lined cards handlers">
              <thead>
                <tr>
                  <th>{t('task.handler')}</th>
                  <th>{t('queue.state')}</th>
                  <th>{t('handler.source')}</th>
                  <th>{t('task.queue')}</th>
                  <th>{t('handler.tries')}</th>
                  <th className="right">{t('handler.seen')}</th>
                  <th>
                    <span className="unseen">{t('queue.actions')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {found.map((one) => (
                  <Row key={`${one.source} ${one.name}`} handler={one} title={titleOf(one)} ask={setAsking} />
                ))}
              </tbody>
            </table>
          )
        }}
      </Answer>
      <p className="dimmed small">{t('handler.text')}</p>
      {asking && <AskHandler {...asking} close={() => setAsking(null)} />}
      {adding && <NewHandler close={() => setAdding(false)} />}
    </Page>
  )
}

function Row({ handler, title, ask }: { handler: HandlerInfo; title: string; ask: (asking: Asking) => void }) {
  const { can } = useSession()
  const { t, i18n } = useTranslation()
  const { name, source, enabled, fault } = handler
  const works = fault === null
  const act = enabled ? 'disable' : 'enable'
  return (
    <tr>
      <td>
        <span className="handler-name">{name}</span>
        <span className="dimmed small handler-title">{title}</span>
        {handler.url !== null && <span className="small mono-text breaks handler-title">{handler.url}</span>}
        {(handler.input !== null || handler.output !== null) && (
          <details className="handler-contract">
            <summary className="small">{t('handler.contract')}</summary>
            <Tree name={t('dispatch.input')} value={handler.input} />
            <Tree name={t('task.result')} value={handler.output} />
          </details>
        )}
        {!works && (
          <p className="small bad breaks" title={fault}>
            {sayFound(fault)}
          </p>
        )}
      </td>
      <td>
        {works ? (
          <>
            <State of={enabled ? 'active' : 'disabled'} word={t(enabled ? 'handler.enabled' : 'handler.disabled')} />{' '}
            {!enabled && (
              <StandingStill
                at={handler.disabled_at}
                byId={handler.disabled_by_id}
                reason={handler.disabled_reason}
                log={{ event_type: 'handler.disabled' }}
              />
            )}
          </>
        ) : (
          <State of="failed" word={t('handler.broken')} />
        )}
      </td>
      <td>{t(`handlerSource.${source}`)}</td>
      <td>
        <Go to="tasks" filters={{ handler: name }}>
          {handler.queue}
        </Go>
      </td>
      <td className="small">
        {works && (
          <>
            {t('handler.triesOf', { count: handler.max_attempts, limit: duration(handler.timeout_ms, i18n.language) })}
            <br />
            <span className="dimmed">{t(`sideEffect.${handler.side_effect}`)}</span>
            {handler.ttl_ms !== null && (
              <span className="dimmed handler-title">
                {t('handler.endsWithin', { time: duration(handler.ttl_ms, i18n.language) })}
              </span>
            )}
            <PerKey of={handler.per_key} />
          </>
        )}
      </td>
      <Told word={t('handler.seen')} className={handler.last_seen_at === null ? 'unseen-cell' : ''}>
        <Time at={handler.last_seen_at} />
      </Told>
      <td className="right">
        <span className="row-actions">
          {works && enabled && can('tasks.submit') && (
            <Button component={Go} to="tasks/new" filters={{ handler: name }} variant="default">
              {t('dispatch.verb')}
            </Button>
          )}
          {works && can(`handlers.${act}`) && (
            <RowAct verb={t(`handler.${act}`)} of={name} onClick={() => ask({ act, handler })} />
          )}
          {source === 'http' && can('handlers.remove') && (
            <RowAct verb={t('handler.remove')} of={name} onClick={() => ask({ act: 'remove', handler })} />
          )}
        </span>
      </td>
    </tr>
  )
}

/** What it allows each concurrency key of its tasks. */
function PerKey({ of }: { of: HandlerInfo['per_key'] }) {
  const { t, i18n } = useTranslation()
  if (of === null) return null
  const { concurrency, rate } = of
  return (
    <span className="dimmed handler-title">
      {t('handler.perKey')}{' '}
      {listed(
        [
          concurrency === null ? null : t('handler.atOnce', { count: concurrency }),
          rate === null
            ? null
            : t('handler.rate', { limit: rate.limit, period: duration(rate.period_ms, i18n.language) }),
        ].filter((one) => one !== null),
        i18n.language,
      )}
    </span>
  )
}

function AskHandler({ act, handler, close }: Asking & { close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  return (
    <Ask
      opened
      close={close}
      danger={act !== 'enable'}
      title={t(`handler.${act}Title`, { name: handler.name })}
      verb={t(`handler.${act}`)}
      changes={['handlers']}
      {...(act === 'disable' ? { reason: 'may' } : {})}
      act={(reason) => {
        const params = { name: handler.name }
        return act === 'disable'
          ? client.handlers.disable({ params, body: reason === undefined ? null : { reason } })
          : client.handlers[act]({ params })
      }}
    >
      <p>{t(`handler.${act}Text`)}</p>
    </Ask>
  )
}

const BLANK = {
  name: '',
  url: '',
  title: '',
  queue: '',
  max_attempts: 3 as number | string,
  seconds: 30 as number | string,
}

/** An address that is called for each attempt. What else a contract may say is said over the API. */
function NewHandler({ close }: { close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const draft = useDraft('new handler', BLANK)
  const put = (name: keyof typeof BLANK, value: string | number) =>
    draft.write((before) => ({ ...before, [name]: value }))
  const text = (name: 'name' | 'url' | 'title' | 'queue') => ({
    name,
    value: draft.value[name],
    onChange: ({ currentTarget: { value } }: { currentTarget: { value: string } }) => put(name, value),
  })
  const number = (name: 'max_attempts' | 'seconds') => ({
    name,
    value: draft.value[name],
    onChange: (value: string | number) => put(name, value),
    min: 1,
    required: true,
    withAsterisk: false,
  })
  return (
    <FormDialog
      opened
      close={close}
      size="lg"
      title={t('handler.new')}
      verb={t('handler.add')}
      secret={t('notice.secret')}
      draft={draft}
      changes={['handlers']}
      act={async () => {
        const { name, url, title, queue, max_attempts, seconds } = draft.value
        const { secret } = await client.handlers.add({
          body: {
            name: name.trim(),
            url: url.trim(),
            ...(title.trim() === '' ? {} : { title: title.trim() }),
            ...(queue.trim() === '' ? {} : { queue: queue.trim() }),
            max_attempts: Number(max_attempts),
            timeout_ms: Number(seconds) * 1_000,
          },
        })
        return secret
      }}
    >
      <p className="dimmed small">{t('handler.newText')}</p>
      <TextInput
        data-autofocus
        label={t('handler.name')}
        {...text('name')}
        required
        withAsterisk={false}
        maxLength={100}
      />
      <TextInput
        label={t('notice.url')}
        {...text('url')}
        type="url"
        required
        withAsterisk={false}
        placeholder="https://"
        maxLength={2000}
      />
      <TextInput label={t('handler.title')} {...text('title')} maxLength={200} />
      <TextInput label={t('task.queue')} {...text('queue')} placeholder="api" maxLength={64} />
      <NumberInput label={t('handler.attempts')} {...number('max_attempts')} max={100} />
      <NumberInput label={t('handler.seconds')} {...number('seconds')} max={86_400} />
    </FormDialog>
  )
}
