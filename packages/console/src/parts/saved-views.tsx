import { ActionIcon, Button, Popover, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { preferences } from '../app/page-settings.ts'
import { useSession } from '../app/session.tsx'
import { Go, useFilters } from './go.tsx'
import { Icon } from './icons.tsx'

interface Saved {
  readonly name: string
  /** The part of the address behind `?`. */
  readonly search: string
}

/** What is kept in this browser; whatever else stands there is as good as nothing. */
function read(key: string): Saved[] {
  try {
    const kept: unknown = JSON.parse(preferences.get(key) ?? '[]')
    return Array.isArray(kept)
      ? kept.filter((one): one is Saved => typeof one?.name === 'string' && typeof one?.search === 'string')
      : []
  } catch {
    return []
  }
}

const sameSearch = (a: string, b: string) => {
  const sorted = (text: string) =>
    [...new URLSearchParams(text)]
      .map((one) => one.join('='))
      .sort()
      .join('&')
  return sorted(a) === sorted(b)
}

/**
 * The views of a list: those that everybody has, and those that somebody named. A view is its address (docs/decisions/0068), so it is
 * given to others as a link; its name stays in this browser. A form that is filled by its address has templates in the same way.
 */
export function Views(props: {
  to: string
  views?: readonly (readonly [name: string, filters: Record<string, string>])[]
  /** What is named: the filters of the page, or what a form holds. */
  as?: 'view' | 'template'
  filters?: Readonly<Record<string, string>>
}) {
  const { to, views = [], as = 'view' } = props
  const { project } = useSession()
  const { t } = useTranslation()
  const [address] = useFilters()
  const filters = props.filters ?? address
  const key = `views-${project}-${to}`
  const [saved, setSaved] = useState(() => read(key))
  const [naming, setNaming] = useState(false)
  const here = new URLSearchParams(filters).toString()
  const keep = (next: Saved[]) => {
    preferences.set(key, JSON.stringify(next))
    setSaved(next)
  }
  const known =
    views.some(([, view]) => sameSearch(new URLSearchParams(view).toString(), here)) ||
    saved.some(({ search }) => sameSearch(search, here))
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const name = String(new FormData(event.currentTarget).get('name') ?? '').trim()
    if (name === '') return
    keep([...saved.filter((one) => one.name !== name), { name, search: here }])
    setNaming(false)
  }
  const current = (search: string) => (sameSearch(search, here) ? { 'aria-current': 'true' as const } : {})
  return (
    <nav className="views" aria-label={t(as === 'view' ? 'ticket.views' : 'views.templates')}>
      {views.map(([name, view]) => (
        <Go key={name} to={to} filters={view} className="view" {...current(new URLSearchParams(view).toString())}>
          {name}
        </Go>
      ))}
      {saved.map(({ name, search }) => (
        <span key={name} className="view-own">
          <Go to={to} filters={Object.fromEntries(new URLSearchParams(search))} className="view" {...current(search)}>
            {name}
          </Go>
          {sameSearch(search, here) && (
            <ActionIcon
              variant="subtle"
              color="gray"
              size="sm"
              aria-label={t(`views.forget_${as}`, { name })}
              onClick={() => keep(saved.filter((one) => one.name !== name))}
            >
              <Icon name="cross" size={12} />
            </ActionIcon>
          )}
        </span>
      ))}
      {!known && (
        <Popover
          opened={naming}
          onChange={setNaming}
          position="bottom-start"
          trapFocus
          withinPortal
          transitionProps={{ duration: 0 }}
        >
          <Popover.Target>
            <Button
              variant="subtle"
              className="view-save"
              onClick={() => setNaming((open) => !open)}
              leftSection={<Icon name="plus" size={12} />}
            >
              {t(`views.save_${as}`)}
            </Button>
          </Popover.Target>
          <Popover.Dropdown>
            <form className="view-form" onSubmit={save}>
              <TextInput
                data-autofocus
                name="name"
                label={t(`views.name_${as}`)}
                description={t(`views.hint_${as}`)}
                required
                withAsterisk={false}
                maxLength={40}
              />
              <Button type="submit">{t('views.keep')}</Button>
            </form>
          </Popover.Dropdown>
        </Popover>
      )}
    </nav>
  )
}
