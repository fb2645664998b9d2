import { Button, Select, Textarea, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { Ticket } from '@writ/api'
import { WritError } from '@writ/sdk'
import { type FormEvent, type ReactNode, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { localOf } from '../app/local-time.ts'
import { useMembers } from '../app/members.tsx'
import { useSession } from '../app/session.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page, Time } from '../parts/bits.tsx'
import { Begun, type Draft, useDraft } from '../parts/draft.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { LocalTime } from '../parts/local-time.tsx'
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
  const asset = filters.asset ?? null
  const create = async (fields: TicketFields, status: 'draft' | 'submitted', done: () => void) => {
    const ticket = await client.tickets.create({ body: { ...fields, status } })
    done()
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
      <NewForm key={asset} asset={asset} create={create} />
    </Page>
  )
}

function NewForm(props: {
  /** Id of the asset that the ticket is about. */
  asset: string | null
  create: (fields: TicketFields, status: 'draft' | 'submitted', done: () => void) => Promise<void>
}) {
  const { asset, create } = props
  const { t } = useTranslation()
  const draft = useDraft<TicketText>(`new ticket ${asset ?? ''}`, { ...textOf(null), asset_id: asset })
  return (
    <TicketForm
      draft={draft}
      buttons={[
        { verb: t('ticket.submit'), act: (fields) => create(fields, 'submitted', draft.done) },
        { verb: t('ticket.saveDraft'), act: (fields) => create(fields, 'draft', draft.done) },
      ]}
    />
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
  const draft = useDraft<TicketText & { opened: Ticket }>(`edit of ticket ${ticket.id}`, {
    ...textOf(ticket),
    opened: ticket,
  })
  // As it was when the edit was begun; the page goes on to hear of changes.
  const { opened } = draft.value
  const [read, setRead] = useState(ticket)
  const save = async (fields: TicketFields) => {
    const changed = Object.fromEntries(
      Object.entries(fields).filter(([name, value]) => value !== opened[name as Field]),
    )
    if (Object.keys(changed).length === 0) return finish()
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
    finish()
  }
  const finish = () => {
    draft.done()
    done()
  }
  return (
    <TicketForm
      ticket={opened}
      draft={draft}
      cancel={() => {
        draft.done()
        cancel()
      }}
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

/** What the fields hold. */
interface TicketText {
  readonly title: string
  readonly description: string
  readonly asset_id: string | null
  readonly assignee_id: string | null
  /** Local, as the browser's field has it. */
  readonly due_at: string
}

const textOf = (ticket: Ticket | null): TicketText => ({
  title: ticket?.title ?? '',
  description: ticket?.description ?? '',
  asset_id: ticket?.asset_id ?? null,
  assignee_id: ticket?.assignee_id ?? null,
  due_at: ticket?.due_at ? localOf(Date.parse(ticket.due_at)) : '',
})

/** The fields of a ticket, for a new one and for one that is edited; the first button is the one that Enter presses. */
function TicketForm<T extends TicketText>(props: {
  ticket?: Ticket
  draft: Draft<T>
  buttons: readonly { verb: string; act: (fields: TicketFields) => Promise<unknown> }[]
  cancel?: () => void
  /** Stands below a refusal. */
  beside?: ReactNode
}) {
  const { ticket, draft, buttons, cancel, beside } = props
  const { client, project } = useSession()
  const { t } = useTranslation()
  const members = useMembers()
  const [pressed, setPressed] = useState(0)
  const action = useAction()
  const assets = useQuery({
    queryKey: [project, 'assets', 'choice'],
    queryFn: () => client.assets.list({ query: { limit: 1000 } }),
    staleTime: 60_000,
  })
  const { value } = draft
  const write = (change: Partial<TicketText>) => draft.write((before) => ({ ...before, ...change }))
  const submit = (event: FormEvent) => {
    event.preventDefault()
    // What was not touched stays as it is, seconds and blanks that a field does not show included.
    const shown = ticket && textOf(ticket)
    const isAsItWas = (name: 'title' | 'description' | 'due_at') =>
      shown !== undefined && lines(value[name]) === lines(shown[name])
    const [title, description, due] = [lines(value.title).trim(), lines(value.description).trim(), value.due_at]
    const fields = {
      title: isAsItWas('title') ? ticket!.title : title,
      description: isAsItWas('description') ? ticket!.description : description || null,
      asset_id: value.asset_id,
      assignee_id: value.assignee_id,
      due_at: isAsItWas('due_at') ? ticket!.due_at : due === '' ? null : new Date(due).toISOString(),
    }
    void action.run(() => buttons[pressed]!.act(fields))
  }
  return (
    <form onSubmit={submit} className="form">
      <Begun of={draft} />
      <TextInput
        label={t('ticket.title')}
        name="title"
        value={value.title}
        onChange={(event) => write({ title: event.currentTarget.value })}
        required
        withAsterisk={false}
        maxLength={200}
        autoFocus
      />
      <Textarea
        label={t('ticket.description')}
        name="description"
        value={value.description}
        onChange={(event) => write({ description: event.currentTarget.value })}
        autosize
        minRows={4}
        maxLength={20_000}
      />
      <Select
        label={t('ticket.asset')}
        data={(assets.data ?? []).map((one) => ({ value: one.id, label: `#${one.number} ${one.name}` }))}
        value={value.asset_id}
        onChange={(asset_id) => write({ asset_id })}
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
        value={value.assignee_id}
        onChange={(assignee_id) => write({ assignee_id })}
        searchable
        clearable
      />
      <LocalTime
        label={t('ticket.due')}
        name="due_at"
        value={value.due_at}
        onChange={(event) => write({ due_at: event.currentTarget.value })}
      />
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
const lines = (text: string): string => text.replace(/\r\n?/g, '\n')
