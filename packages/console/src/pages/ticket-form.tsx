import { Button, Select, Textarea, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { Ticket } from '@writ/api'
import { WritError } from '@writ/sdk'
import { type FormEvent, type ReactNode, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMembers } from '../app/members.tsx'
import { useSession } from '../app/session.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page, Time } from '../parts/bits.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Refusal } from '../parts/states.tsx'

export interface TicketFields {
  readonly title: string
  readonly description: string | null
  readonly asset_id: string | null
  readonly assignee_id: string | null
  readonly due_at: string | null
}

export function NewTicket() {
  const { client } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const again = useAgain()
  const [filters] = useFilters()
  const create = async (fields: TicketFields, status: 'draft' | 'submitted') => {
    const ticket = await client.tickets.create({ body: { ...fields, status } })
    again('tickets')
    go(`tickets/${ticket.number}`)
  }
  return (
    <Page
      name={t('ticket.new')}
      title={t('ticket.new')}
      above={
        <Go to="tickets" className="back">
          <Icon name="left" size={13} /> {t('nav.tickets')}
        </Go>
      }
    >
      <TicketForm
        {...(filters.asset ? { asset: filters.asset } : {})}
        buttons={[
          { verb: t('ticket.submit'), act: (fields) => create(fields, 'submitted') },
          { verb: t('ticket.saveDraft'), act: (fields) => create(fields, 'draft') },
        ]}
      />
    </Page>
  )
}

/**
 * An edit sends what was changed, and the version that was read: what somebody else changed meanwhile is shown before it is replaced, and
 * saving again puts the edit on top of it.
 */
export function EditTicket({ ticket, done, cancel }: { ticket: Ticket; done: () => void; cancel: () => void }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  // As it was when the form was opened; the page goes on to hear of changes.
  const [opened] = useState(ticket)
  const [read, setRead] = useState(ticket)
  const save = async (fields: TicketFields) => {
    const changed = Object.fromEntries(
      Object.entries(fields).filter(([name, value]) => value !== opened[name as Field]),
    )
    if (Object.keys(changed).length === 0) return done()
    try {
      await client.tickets.update({ params: { id: ticket.id }, body: { ...changed, digest: read.digest } })
    } catch (error) {
      if (error instanceof WritError && error.code === 'TICKET_CHANGED') {
        const now = await client.tickets.get({ params: { id: ticket.id } })
        queries.setQueryData([project, 'ticket', String(ticket.number)], now)
        setRead(now)
      }
      throw error
    }
    done()
  }
  return (
    <TicketForm
      ticket={opened}
      cancel={cancel}
      buttons={[{ verb: t('action.save'), act: save }]}
      beside={read.digest !== opened.digest && <Theirs opened={opened} now={read} />}
    />
  )
}

type Field = keyof TicketFields

/** What somebody else changed since the form was opened. */
function Theirs({ opened, now }: { opened: Ticket; now: Ticket }) {
  const { t } = useTranslation()
  const members = useMembers()
  const rows: readonly (readonly [Field, string, ReactNode])[] = [
    ['title', t('ticket.title'), now.title],
    ['description', t('ticket.description'), now.description],
    ['asset_id', t('ticket.asset'), now.asset_number === null ? null : `#${now.asset_number}`],
    ['assignee_id', t('ticket.assignee'), now.assignee_id === null ? null : members.get(now.assignee_id)?.username],
    ['due_at', t('ticket.due'), <Time key="due" at={now.due_at} exact />],
  ]
  return (
    <div className="theirs">
      <p>{t('ticket.theirs')}</p>
      <dl className="facts">
        {rows
          .filter(([name]) => now[name] !== opened[name])
          .map(([name, label, value]) => (
            <div key={name}>
              <dt>{label}</dt>
              <dd className="plain-text">{value ?? '–'}</dd>
            </div>
          ))}
      </dl>
      <p>{t('ticket.saveOver')}</p>
    </div>
  )
}

/** The fields of a ticket, for a new one and for one that is edited; the first button is the one that Enter presses. */
export function TicketForm(props: {
  ticket?: Ticket
  /** Id of the asset that a new ticket is about. */
  asset?: string
  buttons: readonly { verb: string; act: (fields: TicketFields) => Promise<unknown> }[]
  cancel?: () => void
  /** Stands below a refusal. */
  beside?: ReactNode
}) {
  const { ticket, buttons, cancel, beside } = props
  const { client, project } = useSession()
  const { t } = useTranslation()
  const members = useMembers()
  const [asset, setAsset] = useState<string | null>(ticket?.asset_id ?? props.asset ?? null)
  const [assignee, setAssignee] = useState<string | null>(ticket?.assignee_id ?? null)
  const [pressed, setPressed] = useState(0)
  const dueShown = ticket?.due_at ? localInput(ticket.due_at) : ''
  const action = useAction()
  const assets = useQuery({
    queryKey: [project, 'assets', 'choice'],
    queryFn: () => client.assets.list({ query: { limit: 1000 } }),
    staleTime: 60_000,
  })
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name) ?? '').trim()
    const due = text('due_at')
    // What was not touched stays as it is, seconds and blanks that a field does not show included.
    const isAsItWas = (name: string, shown: string) => ticket !== undefined && lines(form.get(name)) === lines(shown)
    const fields = {
      title: isAsItWas('title', ticket?.title ?? '') ? ticket!.title : text('title'),
      description: isAsItWas('description', ticket?.description ?? '')
        ? ticket!.description
        : text('description') || null,
      asset_id: asset,
      assignee_id: assignee,
      due_at: isAsItWas('due_at', dueShown) ? ticket!.due_at : due === '' ? null : new Date(due).toISOString(),
    }
    void action.run(() => buttons[pressed]!.act(fields))
  }
  return (
    <form onSubmit={submit} className="form">
      <TextInput
        label={t('ticket.title')}
        name="title"
        defaultValue={ticket?.title ?? ''}
        required
        withAsterisk={false}
        maxLength={200}
        autoFocus
      />
      <Textarea
        label={t('ticket.description')}
        name="description"
        defaultValue={ticket?.description ?? ''}
        autosize
        minRows={4}
        maxLength={20_000}
      />
      <Select
        label={t('ticket.asset')}
        data={(assets.data ?? []).map((one) => ({ value: one.id, label: `#${one.number} ${one.name}` }))}
        value={asset}
        onChange={setAsset}
        searchable
        clearable
        nothingFoundMessage={t('list.none')}
      />
      <Select
        label={t('ticket.assignee')}
        description={t('ticket.assigneeHint')}
        data={[...members.values()]
          .filter((one) => one.is_active)
          .map((one) => ({ value: one.user_id, label: one.username }))}
        value={assignee}
        onChange={setAssignee}
        searchable
        clearable
      />
      <TextInput label={t('ticket.due')} name="due_at" type="datetime-local" defaultValue={dueShown} />
      <Refusal error={action.error} />
      {beside}
      <div className="form-buttons">
        {buttons.map(({ verb }, i) => (
          <Button
            key={verb}
            type="submit"
            size="sm"
            variant={i === 0 ? 'filled' : 'default'}
            loading={action.busy && pressed === i}
            onClick={() => setPressed(i)}
          >
            {verb}
          </Button>
        ))}
        {cancel && (
          <Button variant="default" size="sm" onClick={cancel}>
            {t('action.cancel')}
          </Button>
        )}
      </div>
    </form>
  )
}

/** Fields of the browser end lines in their own way. */
const lines = (text: unknown): string => String(text ?? '').replace(/\r\n?/g, '\n')

/** A time as the field of the browser takes it: local, to the minute. */
function localInput(at: string): string {
  const date = new Date(at)
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}
