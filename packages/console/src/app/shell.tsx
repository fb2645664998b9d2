import { ActionIcon, Burger, Button, Menu, UnstyledButton } from '@mantine/core'
import { useDisclosure, useHotkeys } from '@mantine/hooks'
import { useQueryClient } from '@tanstack/react-query'
import { useLocation } from '@tanstack/react-router'
import { lazy, type ReactNode, Suspense, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { Dialog } from '../parts/dialog.tsx'
import { Go, useGo } from '../parts/go.tsx'
import { Icon, type IconName } from '../parts/icons.tsx'
import { InPieces, Loading } from '../parts/states.tsx'
import { clientOf, loggedIn, setCsrf } from './client.ts'
import { exactInCopies } from './copies.ts'
import { wholeOnHover } from './cut-texts.ts'
import { drafts } from './drafts.ts'
import { keepFocus } from './kept-focus.ts'
import { connection, useLive } from './live.ts'
import { instanceName, preferences } from './page-settings.ts'
import { patient } from './patient.ts'
import { useSession } from './session.tsx'
import { LanguageButton, ThemeButton } from './switches.tsx'

const loadPalette = () => patient(() => import('./palette.tsx')).then((module) => ({ default: module.Palette }))
const Palette = lazy(loadPalette)

export interface Place {
  readonly to: string
  readonly word:
    | 'home'
    | 'tickets'
    | 'runs'
    | 'assets'
    | 'rules'
    | 'audit'
    | 'notices'
    | 'settings'
    | 'start'
    | 'tasks'
    | 'queues'
    | 'dead'
    | 'schedules'
    | 'handlers'
    | 'insight'
  readonly icon: IconName
  /** The operation that the page cannot do without. */
  readonly needs?: string
  /** Pages beside it that are entered from it. */
  readonly also?: readonly string[]
  /** Two letters that lead there: g, then this. */
  readonly key?: string
}

/** The pages, in the order in which they stand at the side. */
export const places: readonly Place[] = [
  { to: '', word: 'home', icon: 'home', key: 'h' },
  { to: 'tickets', word: 'tickets', icon: 'ticket', key: 't' },
  { to: 'runs', word: 'runs', icon: 'run', key: 'r' },
  { to: 'assets', word: 'assets', icon: 'asset', key: 'a' },
  { to: 'rules', word: 'rules', icon: 'rules', key: 'e' },
  { to: 'tasks', word: 'tasks', icon: 'task', also: ['batches'], key: 'x' },
  { to: 'queues', word: 'queues', icon: 'queue', needs: 'queues.list', key: 'q' },
  { to: 'dead-letters', word: 'dead', icon: 'dead', needs: 'deadLetters.list', key: 'd' },
  { to: 'handlers', word: 'handlers', icon: 'plug', key: 'l' },
  { to: 'schedules', word: 'schedules', icon: 'calendar', needs: 'schedules.list', key: 'c' },
  { to: 'insight', word: 'insight', icon: 'insight', needs: 'insight.get', key: 'i' },
  { to: 'audit', word: 'audit', icon: 'audit', needs: 'audit.events', key: 'u' },
  { to: 'notices', word: 'notices', icon: 'notices', needs: 'webhooks.list', key: 'n' },
  { to: 'settings/me', word: 'settings', icon: 'settings', key: 's' },
]

/** What surrounds every page: where one can go, which project, who one is, and whether the server answers. */
export function Shell({ children }: { children: ReactNode }) {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const { pathname } = useLocation()
  const [open, menu] = useDisclosure(false)
  const [keys, help] = useDisclosure(false)
  const [search, setSearch] = useState(false)
  useLive(client, project)
  useEffect(() => {
    // Writing is slow where a browser writes at once.
    if (preferences.get('project') !== project) preferences.set('project', project)
  }, [project])
  const burger = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (!open) return
    const hear = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return
      menu.close()
      burger.current?.focus()
    }
    document.addEventListener('keydown', hear)
    return () => document.removeEventListener('keydown', hear)
  }, [open, menu])
  const shown = useRef(pathname)
  useEffect(() => {
    if (shown.current === pathname) return
    shown.current = pathname
    menu.close()
    // The link that led here is gone: whoever reads by keyboard or ear goes on at the page, not at the top of everything.
    if (document.activeElement === document.body) document.getElementById('content')?.focus({ preventScroll: true })
  }, [pathname, menu])
  // It is there when the keys are pressed, and in nobody's way before.
  useEffect(() => {
    const timer = setTimeout(() => void loadPalette(), 1_500)
    return () => clearTimeout(timer)
  }, [])
  useJumps()
  useEffect(exactInCopies, [])
  useEffect(wholeOnHover, [])
  useEffect(keepFocus, [])
  useHotkeys([
    ['mod+K', () => setSearch(true)],
    ['/', () => focusFilter() || setSearch(true)],
    ['shift+?', help.open],
    ['?', help.open],
  ])
  const here = pathname.split('/')[2] ?? ''
  return (
    <div className={`shell ${open ? 'shell-open' : ''}`}>
      <a className="skip" href="#content">
        {t('shell.skip')}
      </a>
      <header className="top">
        <Burger
          ref={burger}
          opened={open}
          onClick={menu.toggle}
          size="sm"
          className="narrow-only"
          aria-label={t('shell.menu')}
          aria-expanded={open}
          aria-controls="places"
        />
        <Go to="" className="brand" aria-label={`${instanceName}${t('error.colon')}${t('nav.home')}`}>
          <span className="brand-mark" aria-hidden="true" />
          <span className="brand-name">{instanceName}</span>
        </Go>
        <ProjectSwitch />
        <UnstyledButton className="search-box" onClick={() => setSearch(true)}>
          <Icon name="search" size={14} />
          <span className="search-word">{t('shell.search')}</span>
          <kbd>Ctrl K</kbd>
        </UnstyledButton>
        <span className="top-right">
          <Connection />
          <LanguageButton />
          <ThemeButton />
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t('keys.title')}
            title={t('keys.title')}
            onClick={help.open}
            className="wide-only"
          >
            <Icon name="help" />
          </ActionIcon>
          <Account />
        </span>
      </header>
      <nav className="side" id="places" aria-label={t('shell.navigation')}>
        {places
          .filter(({ needs }) => needs === undefined || can(needs))
          .map(({ to, word, icon, also }) => {
            const current = here === (to.split('/')[0] ?? '') || also?.includes(here)
            return (
              <Go
                key={word}
                to={to}
                onClick={menu.close}
                className="side-link"
                {...(current ? { 'aria-current': 'page' as const } : {})}
              >
                <Icon name={icon} />
                {t(`nav.${word}`)}
              </Go>
            )
          })}
      </nav>
      <main className="content" id="content" tabIndex={-1}>
        <InPieces before={<Loading lines={8} />}>{children}</InPieces>
      </main>
      {search && (
        <Suspense fallback={null}>
          <Palette close={() => setSearch(false)} help={help.open} />
        </Suspense>
      )}
      {keys && <Keys close={help.close} />}
    </div>
  )
}

/** `/` goes to the filter of the page, where there is one. */
function focusFilter(): boolean {
  const field = document.querySelector<HTMLInputElement>('[data-filter]')
  field?.focus()
  return field !== null
}

/** g and a letter go to a page. */
function useJumps(): void {
  const go = useGo()
  useEffect(() => {
    // By when the keys were pressed: a page that is busy hears of both late.
    let waiting = Number.NEGATIVE_INFINITY
    const hear = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        target.closest('input, textarea, select, [contenteditable]')
      )
        return
      if (event.key === 'g') {
        waiting = event.timeStamp
        return
      }
      const place = event.timeStamp - waiting < 1_500 ? places.find(({ key }) => key === event.key) : undefined
      waiting = Number.NEGATIVE_INFINITY
      if (!place) return
      event.preventDefault()
      go(place.to)
    }
    document.addEventListener('keydown', hear)
    return () => document.removeEventListener('keydown', hear)
  }, [go])
}

function Connection() {
  const { t } = useTranslation()
  const state = useSyncExternalStore(connection.subscribe, connection.get)
  return (
    <span className={`connection connection-${state}`} role="status" title={t(`connection.${state}`)}>
      <span className="connection-dot" aria-hidden="true" />
      <span className={state === 'ok' ? 'hidden' : 'wide-only'}>{t(`connection.${state}`)}</span>
    </span>
  )
}

function ProjectSwitch() {
  const { project, projects } = useSession()
  const { t } = useTranslation()
  const current = projects.find(({ slug }) => slug === project)
  return (
    <Menu position="bottom-start">
      <Menu.Target>
        <UnstyledButton
          className="project-switch"
          aria-label={`${t('shell.project')}${t('error.colon')}${current?.name ?? project}`}
        >
          <span>{current?.name ?? project}</span>
          <Icon name="down" size={13} />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('shell.projects')}</Menu.Label>
        {projects.map(({ slug, name, role }) => (
          <Menu.Item
            key={slug}
            component={Go}
            to=""
            project={slug}
            leftSection={<Icon name="check" size={14} opacity={slug === project ? 1 : 0} />}
          >
            {name} <span className="dimmed small">{role ? t(`role.${role}`) : ''}</span>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

/** Ends the session here; what was shown is forgotten. */
export function useSignOut(): () => Promise<void> {
  const queries = useQueryClient()
  return async () => {
    await clientOf().auth.logout()
    setCsrf('')
    loggedIn.set(false)
    queries.clear()
    drafts.clear()
  }
}

function Account() {
  const { me } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const signOut = useSignOut()
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <UnstyledButton className="account" title={t('shell.account', { name: me.username })}>
          <span className="avatar">{me.username.slice(0, 2).toUpperCase()}</span>
          <span className="unseen">{t('shell.account', { name: me.username })}</span>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {me.full_name ?? me.username} · {me.role ? t(`role.${me.role}`) : ''}
        </Menu.Label>
        <Menu.Item leftSection={<Icon name="user" size={14} />} onClick={() => go('settings/me')}>
          {t('settings.me')}
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="signOut" size={14} />} onClick={() => void signOut()}>
          {t('shell.signOut')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

function Keys({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const rows: [string, string][] = [
    ['Ctrl K', t('keys.search')],
    ['/', t('keys.filter')],
    ['j  k', t('keys.move')],
    ['Enter', t('keys.open')],
    ...places.filter(({ key }) => key).map(({ key, word }): [string, string] => [`g ${key}`, t(`nav.${word}`)]),
    ['?', t('keys.help')],
  ]
  return (
    <Dialog opened onClose={close} title={t('keys.title')} closeButtonProps={{ 'aria-label': t('action.close') }}>
      <table className="plain">
        <tbody>
          {rows.map(([key, what]) => (
            <tr key={key}>
              <td>
                {key.split(/ +/).map((one) => (
                  <kbd key={one}>{one}</kbd>
                ))}
              </td>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Button mt="md" variant="default" onClick={close}>
        {t('action.close')}
      </Button>
    </Dialog>
  )
}
