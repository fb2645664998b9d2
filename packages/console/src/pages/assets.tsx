import { Button, Textarea, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { Asset } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { firstOf } from '../app/client.ts'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { useAction } from '../parts/ask.tsx'
import { Facts, numbered, Page, Person, RunStateBadge, Section, Time } from '../parts/bits.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Begun, useDraft } from '../parts/draft.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { plainText } from '../parts/plain-text.ts'
import { Views } from '../parts/saved-views.tsx'
import { Search } from '../parts/search.tsx'
import { Answer, Empty, Refusal } from '../parts/states.tsx'
import { TicketRows } from './home.tsx'

export function Assets() {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const [filters, set] = useFilters()
  const [open, setOpen] = useState(false)
  const query = Object.fromEntries(
    (['q', 'asset_type'] as const).flatMap((name) => (filters[name] ? [[name, filters[name]]] : [])),
  )
  const columns: Column<Asset>[] = [
    {
      name: 'title',
      title: t('asset.name'),
      width: 'minmax(180px, 1fr)',
      show: (row) => numbered(row.number, row.name),
    },
    { name: 'type', title: t('asset.type'), width: '140px', show: (row) => row.asset_type },
    { name: 'serial', title: t('asset.serial'), width: '180px', show: (row) => row.serial_number ?? '–' },
    {
      name: 'where',
      title: t('asset.location'),
      width: '180px',
      wide: true,
      spare: 1,
      show: (row) => row.location ?? '–',
    },
    {
      name: 'changed',
      title: t('ticket.changed'),
      width: '118px',
      right: true,
      wide: true,
      show: (row) => <Time at={row.updated_at} />,
    },
  ]
  const create = can('assets.create') && (
    <Button onClick={() => setOpen(true)} leftSection={<Icon name="plus" size={14} />}>
      {t('asset.new')}
    </Button>
  )
  return (
    <Page name={t('nav.assets')} title={t('nav.assets')} actions={create}>
      <Views to="assets" views={[[t('taskView.all'), {}]]} />
      <div className="filters">
        <Search value={filters.q ?? ''} set={(q) => set({ q })} label={t('asset.search')} />
      </div>
      <List<Asset>
        name="assets"
        label={t('nav.assets')}
        filters={query}
        columns={columns}
        load={(cursor, signal) =>
          client.assets.list({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
        }
        to={(row) => `assets/${row.number}`}
        adds="asset.created"
        empty={
          Object.keys(query).length > 0 ? (
            <Empty icon="search" title={t('list.noMatch')} text={<Go to="assets">{t('list.clear')}</Go>} />
          ) : (
            <Empty icon="asset" title={t('asset.noneTitle')} text={t('asset.noneText')} />
          )
        }
      />
      <Dialog
        opened={open}
        onClose={() => setOpen(false)}
        title={t('asset.new')}
        closeOnClickOutside={false}
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        <AssetForm<AssetFields>
          verb={t('asset.create')}
          act={async (body) => go(`assets/${(await client.assets.create({ body })).number}`)}
        />
      </Dialog>
    </Page>
  )
}

interface AssetFields {
  name: string
  asset_type: string
  serial_number: string | null
  location: string | null
  description: string | null
}

const FIELDS = ['name', 'asset_type', 'serial_number', 'location', 'description'] as const

/** For a new asset all fields are sent, of an edit those that were changed: what somebody else changed meanwhile stays. */
function AssetForm<Sent extends Partial<AssetFields>>(props: {
  asset?: Asset
  verb: string
  act: (fields: Sent) => Promise<unknown>
}) {
  const { asset, verb, act } = props
  const { t } = useTranslation()
  const action = useAction()
  const texts = Object.fromEntries(FIELDS.map((name) => [name, asset?.[name] ?? '']))
  const draft = useDraft(asset ? `edit of asset ${asset.id}` : 'new asset', { texts, opened: texts })
  const { texts: now, opened } = draft.value
  const field = (name: (typeof FIELDS)[number]) => ({
    name,
    value: now[name] ?? '',
    onChange: ({ currentTarget: { value } }: { currentTarget: { value: string } }) =>
      draft.write((before) => ({ ...before, texts: { ...before.texts, [name]: value } })),
  })
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        const sent = FIELDS.filter((name) => asset === undefined || now[name] !== opened[name])
        const isNeeded = (name: string) => name === 'name' || name === 'asset_type'
        // A whole asset, or that part of it which an edit is about.
        const fields = Object.fromEntries(
          sent.map((name) => [name, isNeeded(name) ? now[name]?.trim() : now[name]?.trim() || null]),
        ) as Sent
        void action.run(async () => {
          await act(fields)
          draft.done()
        })
      }}
    >
      <Begun of={draft} />
      <TextInput
        data-autofocus
        label={t('asset.name')}
        {...field('name')}
        required
        withAsterisk={false}
        maxLength={100}
      />
      <TextInput label={t('asset.type')} {...field('asset_type')} required withAsterisk={false} maxLength={50} />
      <TextInput label={t('asset.serial')} {...field('serial_number')} maxLength={100} />
      <TextInput label={t('asset.location')} {...field('location')} maxLength={255} />
      <Textarea label={t('ticket.description')} {...field('description')} autosize minRows={2} maxLength={10_000} />
      <Refusal error={action.error} />
      <div className="form-buttons">
        <Button type="submit" loading={action.busy}>
          {verb}
        </Button>
      </div>
    </form>
  )
}

/** One device: what is known of it, and everything that was promised about it. */
export function AssetPage() {
  const { client, project, me, can } = useSession()
  const { t, i18n } = useTranslation()
  const queries = useQueryClient()
  const { number = '' } = useParams({ strict: false }) as { number?: string }
  const [editing, setEditing] = useState(false)
  const asset = useQuery({
    queryKey: [project, 'assets', number],
    queryFn: () => client.assets.get({ params: { id: number } }),
  })
  const tickets = useQuery({
    queryKey: [project, 'waiting', 'asset', number],
    queryFn: ({ signal }) => firstOf(client, 'tickets.list', { asset_id: number, limit: 50 }, signal),
  })
  const mayEdit = can('assets.update') && asset.data && (asset.data.created_by_id === me.id || me.role === 'admin')
  return (
    <Page
      name={asset.data?.name ?? `#${number}`}
      title={
        <>
          <span className="number">#{number}</span> {asset.data?.name ?? ''}
        </>
      }
      above={
        <Go to="assets" className="back">
          <Icon name="left" size={13} /> {t('nav.assets')}
        </Go>
      }
      actions={
        <>
          {mayEdit && (
            <Button variant="default" onClick={() => setEditing(true)}>
              {t('action.edit')}
            </Button>
          )}
          {asset.data && can('tickets.create') && (
            <Button
              component={Go}
              to="tickets/new"
              filters={{ asset: asset.data.id }}
              leftSection={<Icon name="plus" size={14} />}
            >
              {t('ticket.new')}
            </Button>
          )}
        </>
      }
    >
      <Answer of={asset}>
        {(one) => (
          <div className="columns columns-lists">
            <div>
              <Section title={t('asset.history')}>
                <Answer of={tickets}>
                  {({ rows, total }) => (
                    <>
                      <TicketRows tickets={rows} none={t('asset.noHistory')} />
                      {total > rows.length && (
                        <p className="small">
                          <Go to="tickets" filters={{ asset_id: number }}>
                            {t('asset.allHistory', { total: count(total, i18n.language) })}
                          </Go>
                        </p>
                      )}
                    </>
                  )}
                </Answer>
              </Section>
              <NamingTasks word={one.serial_number ?? one.name} />
            </div>
            <aside>
              <Section title={t('ticket.facts')}>
                <Facts
                  rows={[
                    [t('asset.type'), one.asset_type],
                    [t('asset.serial'), one.serial_number ?? '–'],
                    [t('asset.location'), one.location ?? '–'],
                    [t('ticket.createdBy'), <Person key="p" id={one.created_by_id} number={one.created_by_number} />],
                    [t('ticket.created'), <Time key="t" at={one.created_at} />],
                  ]}
                />
                {one.description && <p className="prose">{plainText(one.description)}</p>}
              </Section>
            </aside>
            <Dialog
              opened={editing}
              onClose={() => setEditing(false)}
              title={t('action.edit')}
              closeOnClickOutside={false}
              closeButtonProps={{ 'aria-label': t('action.close') }}
            >
              <AssetForm<Partial<AssetFields>>
                asset={one}
                verb={t('action.save')}
                act={async (body) => {
                  if (Object.keys(body).length > 0) await client.assets.update({ params: { id: one.id }, body })
                  await queries.invalidateQueries({ queryKey: [project, 'assets'] })
                  setEditing(false)
                }}
              />
            </Dialog>
          </div>
        )}
      </Answer>
    </Page>
  )
}

/** Tasks in whose texts the asset stands, by its serial number or else its name: a task has no other tie to an asset. */
function NamingTasks({ word }: { word: string }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const tasks = useQuery({
    queryKey: [project, 'tasks', 'naming', word],
    queryFn: ({ signal }) => client.tasks.list({ query: { q: word, limit: 20 }, signal }),
  })
  return (
    <Section
      title={t('assetTasks.title')}
      actions={
        <Go to="tasks" filters={{ q: word }}>
          {t('assetTasks.all')}
        </Go>
      }
    >
      <Answer of={tasks}>
        {(list) =>
          list.length === 0 ? (
            <p className="dimmed small">{t('assetTasks.none')}</p>
          ) : (
            <ul className="rows">
              {list.map((one) => (
                <li key={one.id} className="row">
                  <Go to={`tasks/${one.number}`} className="row-main">
                    <span className="number">#{one.number}</span> {one.handler}
                  </Go>
                  <RunStateBadge state={one.state} />
                  <span className="dimmed small row-time">
                    <Time at={one.created_at} />
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Answer>
      <p className="dimmed small">{t('assetTasks.text', { word })}</p>
    </Section>
  )
}
