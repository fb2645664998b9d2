import { Button, Select, Textarea, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Ticket } from '@writ/api'
import { type FormEvent, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMembers } from '../app/members.tsx'
import { useSession } from '../app/session.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page } from '../parts/bits.tsx'
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

/** The fields of a ticket, for a new one and for one that is edited; the first button is the one that Enter presses. */
export function TicketForm(props: {
  ticket?: Ticket
  /** Id of the asset that a new ticket is about. */
  asset?: string
  buttons: readonly { verb: string; act: (fields: TicketFields) => Promise<unknown> }[]
  cancel?: () => void
}) {
  const { ticket, buttons, cancel } = props
  const { client, project } = useSession()
  const { t } = useTranslation()
  const members = useMembers()
  const [asset, setAsset] = useState<string | null>(ticket?.asset_id ?? props.asset ?? null)
  const [assignee, setAssignee] = useState<string | null>(ticket?.assignee_id ?? null)
  const [pressed, setPressed] = useState(0)
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
    const due = text('due')
    const fields = {
      title: text('title'),
      description: text('description') || null,
      asset_id: asset,
      assignee_id: assignee,
      due_at: due === '' ? null : new Date(due).toISOString(),
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
      <TextInput
        label={t('ticket.due')}
        name="due"
        type="datetime-local"
        defaultValue={ticket?.due_at ? localInput(ticket.due_at) : ''}
      />
      <Refusal error={action.error} />
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

/** A time as the field of the browser takes it: local, to the minute. */
function localInput(at: string): string {
  const date = new Date(at)
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}
