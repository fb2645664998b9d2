import { TextInput, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { type KeyboardEvent, useId, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Dialog } from '../parts/dialog.tsx'
import { useFocusBack } from '../parts/focus-back.ts'
import { useGo } from '../parts/go.tsx'
import { Icon, type IconName } from '../parts/icons.tsx'
import { plainText } from '../parts/plain-text.ts'
import { speak } from '../words/index.ts'
import { paths } from './page-settings.ts'
import { useSession } from './session.tsx'
import { places, useSignOut } from './shell.tsx'

interface Choice {
  readonly id: string
  readonly text: string
  readonly more?: string
  readonly icon: IconName
  act(): void
}

/** Finds pages, commands, tickets, assets, runs and tasks by what is typed; a number is a ticket, a run or a task. */
export function Palette({ close, help }: { close: () => void; help: () => void }) {
  const { client, project, projects, can } = useSession()
  const { t, i18n } = useTranslation()
  const go = useGo()
  useFocusBack(true)
  const signOut = useSignOut()
  const { setColorScheme } = useMantineColorScheme()
  const dark = useComputedColorScheme('light') === 'dark'
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const list = useId()
  const wanted = text.trim()
  // Not with every key: each question is four.
  const [asked] = useDebouncedValue(wanted, 150)
  const found = useQuery({
    queryKey: [project, 'find', asked],
    enabled: asked.length > 1,
    queryFn: async ({ signal }) => {
      const [tickets, assets, runs, tasks] = await Promise.all([
        client.tickets.list({ query: { q: asked, limit: 6 }, signal }),
        client.assets.list({ query: { q: asked, limit: 4 }, signal }),
        client.runs.list({ query: { q: asked, limit: 4 }, signal }),
        client.tasks.list({ query: { q: asked, limit: 4 }, signal }),
      ])
      return { tickets, assets, runs, tasks }
    },
  })
  // What was found for other words is not what is meant: Enter would open it.
  const known = asked === wanted ? found.data : undefined

  const commands: Choice[] = [
    ...places
      .filter(({ needs }) => needs === undefined || can(needs))
      .map(({ to, word, icon }) => ({ id: `page-${word}`, text: t(`nav.${word}`), icon, act: () => go(to) })),
    ...(can('tickets.create')
      ? [{ id: 'new', text: t('ticket.new'), icon: 'plus' as const, act: () => go('tickets/new') }]
      : []),
    ...(can('tasks.submit')
      ? [{ id: 'dispatch', text: t('dispatch.title'), icon: 'plus' as const, act: () => go('tasks/new') }]
      : []),
    { id: 'start', text: t('nav.start'), icon: 'start', act: () => go('start') },
    { id: 'tokens', text: t('settings.tokens'), icon: 'key', act: () => go('settings/tokens') },
    {
      id: 'theme',
      text: t(dark ? 'theme.light' : 'theme.dark'),
      icon: dark ? 'sun' : 'moon',
      act: () => setColorScheme(dark ? 'light' : 'dark'),
    },
    {
      id: 'language',
      text: i18n.language === 'en' ? '简体中文' : 'English',
      icon: 'language',
      act: () => void speak(i18n.language === 'en' ? 'zh-CN' : 'en'),
    },
    { id: 'keys', text: t('keys.title'), icon: 'help', act: help },
    ...projects
      .filter(({ slug }) => slug !== project)
      .map(({ slug, name }) => ({
        id: `project-${slug}`,
        text: `${t('shell.project')}${t('error.colon')}${name}`,
        icon: 'right' as const,
        act: () => location.assign(`${paths.console}/${slug}`),
      })),
    { id: 'out', text: t('shell.signOut'), icon: 'signOut', act: () => void signOut() },
  ]
  const needle = wanted.toLowerCase()
  const number = /^#?(\d+)$/.exec(wanted)?.[1]
  const choices: Choice[] = [
    ...(number
      ? [
          {
            id: 'ticket',
            text: t('palette.ticket', { number }),
            icon: 'ticket' as const,
            act: () => go(`tickets/${number}`),
          },
          { id: 'run', text: t('palette.run', { number }), icon: 'run' as const, act: () => go(`runs/${number}`) },
          { id: 'task', text: t('palette.task', { number }), icon: 'task' as const, act: () => go(`tasks/${number}`) },
        ]
      : []),
    ...commands.filter((one) => one.text.toLowerCase().includes(needle)),
    ...(known?.tickets ?? []).map((one) => ({
      id: one.id,
      text: `#${one.number} ${plainText(one.title)}`,
      more: t(`ticketStatus.${one.status}`),
      icon: 'ticket' as const,
      act: () => go(`tickets/${one.number}`),
    })),
    ...(known?.assets ?? []).map((one) => ({
      id: one.id,
      text: one.name,
      more: one.serial_number ?? one.asset_type,
      icon: 'asset' as const,
      act: () => go(`assets/${one.number}`),
    })),
    ...(known?.runs ?? []).map((one) => ({
      id: one.id,
      text: `#${one.number} ${one.script_id ?? t('run.defaultScript')}`,
      more: t(`runState.${one.state}`),
      icon: 'run' as const,
      act: () => go(`runs/${one.number}`),
    })),
    ...(known?.tasks ?? []).map((one) => ({
      id: one.id,
      text: `#${one.number} ${one.handler}`,
      more: t(`runState.${one.state}`),
      icon: 'task' as const,
      act: () => go(`tasks/${one.number}`),
    })),
  ]
  const chosen = Math.min(at, choices.length - 1)
  const take = (choice: Choice | undefined) => {
    if (!choice) return
    close()
    choice.act()
  }
  const keys = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step !== 0) {
      event.preventDefault()
      const next = (chosen + step + choices.length) % Math.max(1, choices.length)
      setAt(next)
      document.getElementById(`${list}-${next}`)?.scrollIntoView({ block: 'nearest' })
    } else if (event.key === 'Enter') {
      event.preventDefault()
      take(choices[chosen])
    }
  }
  return (
    <Dialog
      opened
      onClose={close}
      withCloseButton={false}
      padding={0}
      yOffset="12vh"
      size="lg"
      title={t('shell.search')}
      classNames={{ header: 'unseen' }}
    >
      <TextInput
        data-autofocus
        aria-label={t('shell.search')}
        placeholder={t('palette.placeholder')}
        size="md"
        variant="unstyled"
        className="palette-field"
        leftSection={<Icon name="search" />}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value)
          setAt(0)
        }}
        onKeyDown={keys}
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={`${list}-${chosen}`}
      />
      <div className="palette" role="listbox" id={list} aria-label={t('shell.search')}>
        {choices.length === 0 && (
          <p className="dimmed palette-none">
            {found.isFetching || asked !== wanted ? t('state.loading') : t('palette.none')}
          </p>
        )}
        {choices.map((choice, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are heard by the field
          // biome-ignore lint/a11y/useFocusableInteractive: as above
          <div
            key={choice.id}
            id={`${list}-${i}`}
            role="option"
            aria-selected={i === chosen}
            className={`palette-choice ${i === chosen ? 'palette-at' : ''}`}
            onClick={() => take(choice)}
            onMouseMove={() => setAt(i)}
          >
            <Icon name={choice.icon} size={15} />
            <span>{choice.text}</span>
            {choice.more && <span className="dimmed small">{choice.more}</span>}
          </div>
        ))}
      </div>
    </Dialog>
  )
}
