import { Button } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import type { HandlerInfo } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page, State, Time } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Search } from '../parts/search.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { useHandlers } from '../parts/task-bits.tsx'
import { Tree } from '../parts/tree.tsx'

/** What tasks may name: its contract, where it comes from, whether it may be named, and when its worker was last seen. */
export function Handlers() {
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const [asking, setAsking] = useState<HandlerInfo | null>(null)
  const handlers = useHandlers()
  const wanted = (filters.q ?? '').trim().toLowerCase()
  return (
    <Page name={t('nav.handlers')} title={t('nav.handlers')}>
      <div className="filters">
        <Search label={t('handler.search')} value={filters.q ?? ''} set={(q) => set({ q })} />
      </div>
      <Answer of={handlers} lines={8}>
        {(list) => {
          const found = list.filter(({ name, title, source }) =>
            `${name} ${title} ${source}`.toLowerCase().includes(wanted),
          )
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
                  <Row key={`${one.source} ${one.name}`} handler={one} ask={setAsking} />
                ))}
              </tbody>
            </table>
          )
        }}
      </Answer>
      <p className="dimmed small">{t('handler.text')}</p>
      {asking && <AskEnabled handler={asking} close={() => setAsking(null)} />}
    </Page>
  )
}

function Row({ handler, ask }: { handler: HandlerInfo; ask: (handler: HandlerInfo) => void }) {
  const { can } = useSession()
  const { t } = useTranslation()
  const { name, title, source, enabled, fault } = handler
  const works = fault === null
  return (
    <tr>
      <td>
        <span className="handler-name">{name}</span>
        <span className="dimmed small handler-title">{title}</span>
        {(handler.input !== null || handler.output !== null) && (
          <details className="handler-contract">
            <summary className="small">{t('handler.contract')}</summary>
            <Tree name={t('dispatch.input')} value={handler.input} />
            <Tree name={t('task.result')} value={handler.output} />
          </details>
        )}
        {!works && <p className="small bad breaks">{fault}</p>}
      </td>
      <td>
        {works ? (
          <State of={enabled ? 'active' : 'disabled'} word={t(enabled ? 'handler.enabled' : 'handler.disabled')} />
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
            {t('handler.triesOf', { count: handler.max_attempts, limit: duration(handler.timeout_ms) })}
            <br />
            <span className="dimmed">{t(`sideEffect.${handler.side_effect}`)}</span>
          </>
        )}
      </td>
      <td className={`right ${handler.last_seen_at === null ? 'unseen-cell' : ''}`}>
        <span className="card-word">{t('handler.seen')} </span>
        <Time at={handler.last_seen_at} />
      </td>
      <td className="right">
        <span className="row-actions">
          {works && enabled && can('tasks.submit') && (
            <Button component={Go} to="tasks/new" filters={{ handler: name }} variant="default">
              {t('dispatch.verb')}
            </Button>
          )}
          {/* What the server itself knows is switched by its configuration. */}
          {source === 'worker' && can(enabled ? 'handlers.disable' : 'handlers.enable') && (
            <Button
              variant="default"
              aria-label={`${t(enabled ? 'handler.disable' : 'handler.enable')}: ${name}`}
              onClick={() => ask(handler)}
            >
              {t(enabled ? 'handler.disable' : 'handler.enable')}
            </Button>
          )}
        </span>
      </td>
    </tr>
  )
}

function AskEnabled({ handler, close }: { handler: HandlerInfo; close: () => void }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const act = handler.enabled ? 'disable' : 'enable'
  return (
    <Ask
      opened
      close={close}
      danger={handler.enabled}
      title={t(`handler.${act}Title`, { name: handler.name })}
      verb={t(`handler.${act}`)}
      act={async () => {
        await client.handlers[act]({ params: { name: handler.name } })
        void queries.invalidateQueries({ queryKey: [project, 'handlers'] })
      }}
    >
      <p>{t(`handler.${act}Text`)}</p>
    </Ask>
  )
}
