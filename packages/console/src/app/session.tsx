import { type QueryClient, useQuery, useQueryClient } from '@tanstack/react-query'
import type { Me, Project } from '@writ/api'
import { type Client, WritError } from '@writ/sdk'
import {
  createContext,
  Fragment,
  lazy,
  type ReactNode,
  Suspense,
  useContext,
  useDeferredValue,
  useEffect,
  useMemo,
  useState,
} from 'react'
import { Dialog } from '../parts/dialog.tsx'
import { Failed, Loading } from '../parts/states.tsx'
import { clientOf, denials, loggedIn, nobodyHere, setCsrf } from './client.ts'
import { drafts } from './drafts.ts'
import { preferences } from './page-settings.ts'
import { patient } from './patient.ts'
import { useStore } from './store.ts'

// Whoever is signed in already does not load the form.
const SignIn = lazy(() => patient(() => import('../pages/sign-in.tsx')).then((module) => ({ default: module.SignIn })))

/** Who looks, at which project, and what they may do in it. */
export interface Session {
  readonly me: Me
  readonly project: string
  readonly projects: readonly Project[]
  readonly client: Client
  /** Whether the server would let this person call an operation: `tickets.approve`. */
  can(operation: string): boolean
}

const SessionContext = createContext<Session | null>(null)

/** The session of the page. Throws outside of a project. */
export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('no session here')
  return session
}

/** Somebody was signed in at this browser, and probably still is: the project that was looked at last is kept (Shell). */
const wasHere = (): boolean => preferences.get('project') !== null

/** Whose browser it is, and the projects of that person. */
interface Person {
  readonly id: string
  readonly projects: readonly Project[]
}

/** Asks the server whose browser this is: null for nobody's. */
async function loadPerson(): Promise<Person | null> {
  const client = clientOf()
  // All at once where the answers are likely; a stranger's browser asks only whether it is one.
  const session = client.auth.session()
  const [me, projects] = wasHere() ? [client.auth.me(), client.all('projects.list')] : []
  me?.catch(() => {})
  projects?.catch(() => {})
  try {
    setCsrf((await session).csrf_token)
    // A one-time password opens nothing but the form that changes it.
    const { id, must_change_password } = await (me ?? client.auth.me())
    if (must_change_password) return null
    const all = await (projects ?? client.all('projects.list'))
    loggedIn.set(true)
    return { id, projects: all }
  } catch (error) {
    if (error instanceof WritError && (error.status === 401 || error.code === 'SESSION_NOT_FOUND')) {
      nobodyHere()
      return null
    }
    throw error
  }
}

const person = { queryKey: ['person'], queryFn: loadPerson, staleTime: 300_000 }
const meIn = (project: string) => ({
  queryKey: [project, 'me'],
  queryFn: () => clientOf(project).auth.me(),
  staleTime: 60_000,
})

/** Asks who looks while words and pages are still being loaded, so that neither waits for the other. */
export function askWhoLooks(queries: QueryClient): void {
  void queries.prefetchQuery(person)
  const project = /^\/app\/([a-z0-9][a-z0-9_-]+)/.exec(location.pathname)?.[1]
  if (project !== undefined && wasHere()) void queries.prefetchQuery(meIn(project))
}

/**
 * Lets nobody through who is not logged in; the address stays, so that a link leads where it says after the login. A session that ends
 * while somebody works is asked for again above the page, which keeps what was typed; whoever else signs in there gets pages of their own.
 */
export function Gate({ children }: { children: (projects: readonly Project[]) => ReactNode }) {
  const queries = useQueryClient()
  const there = useStore(loggedIn)
  const asked = useQuery(person)
  // Drawn in pieces: what surrounds every page is much at once.
  const answered = useDeferredValue(asked.data)
  const [kept, keep] = useState<Person | null>(null)
  useEffect(() => {
    if (there === false) keep(null)
    else if (answered) keep(answered)
  }, [there, answered])
  const again = async () => {
    const me = await clientOf().auth.me()
    // What another person saw is not shown to this one, not even for a moment.
    if (me.id === kept?.id) return queries.invalidateQueries()
    // Nor is this one asked for what another began.
    drafts.clear()
    keep(null)
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'person' })
    return queries.resetQueries({ queryKey: ['person'] })
  }
  const shown = there === 'ended' ? kept : answered
  if (asked.isError && !shown) return <Failed error={asked.error} retry={() => asked.refetch()} whole />
  if (shown === undefined) return <Loading whole />
  if (shown === null || there === false || (asked.data === null && there !== 'ended'))
    return (
      <Suspense fallback={<Loading whole />}>
        <SignIn done={again} />
      </Suspense>
    )
  return (
    <>
      <Fragment key={shown.id}>{children(shown.projects)}</Fragment>
      <Dialog
        opened={there === 'ended'}
        onClose={() => {}}
        fullScreen
        padding={0}
        withCloseButton={false}
        closeOnEscape={false}
        zIndex={1000}
        transitionProps={{ duration: 0 }}
      >
        <Suspense fallback={<Loading whole />}>
          <SignIn done={again} ended />
        </Suspense>
      </Dialog>
    </>
  )
}

const DENIED_APART_MS = 5_000

/** The session in one project. Somebody who has no role in it is told so. */
export function InProject(props: { project: string; projects: readonly Project[]; children: ReactNode }) {
  const { project, projects, children } = props
  const client = clientOf(project)
  // A role that is taken away is told by no event to whoever has lost it.
  const asked = useQuery({ ...meIn(project), refetchInterval: 60_000 })
  const me = useDeferredValue(asked.data)
  const queries = useQueryClient()
  useEffect(() => {
    let told = Number.NEGATIVE_INFINITY
    // A page that asks again and again for what it may not have does not ask each time who looks.
    return denials.subscribe(() => {
      if (performance.now() - told < DENIED_APART_MS) return
      told = performance.now()
      void queries.invalidateQueries({ queryKey: [project, 'me'] })
    })
  }, [queries, project])
  const session = useMemo(() => {
    const allowed = new Set(me?.permissions)
    return me && { me, project, projects, client, can: (operation: string) => allowed.has(operation) }
  }, [me, project, projects, client])
  // Without an answer what is shown stays; a refusal is one.
  const isRefused = asked.error instanceof WritError && asked.error.status !== 401
  if (asked.isError && (!session || isRefused))
    return <Failed error={asked.error} retry={() => asked.refetch()} whole />
  if (!session) return <Loading whole />
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>
}
