import { type QueryClient, useQuery, useQueryClient } from '@tanstack/react-query'
import type { Me, Project } from '@writ/api'
import { type Client, WritError } from '@writ/sdk'
import { createContext, lazy, type ReactNode, Suspense, useContext, useDeferredValue, useMemo } from 'react'
import { Failed, Loading } from '../parts/states.tsx'
import { clientOf, loggedIn, setCsrf } from './client.ts'
import { preferences } from './page-settings.ts'
import { useStore } from './store.ts'

// Whoever is signed in already does not load the form.
const SignIn = lazy(() => import('../pages/sign-in.tsx').then((module) => ({ default: module.SignIn })))

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

/** Asks the server whose browser this is: null for nobody's. */
async function loadPerson(): Promise<Project[] | null> {
  const client = clientOf()
  // All at once where the answers are likely; a stranger's browser asks only whether it is one.
  const session = client.auth.session()
  const [me, projects] = wasHere() ? [client.auth.me(), client.projects.list()] : []
  me?.catch(() => {})
  projects?.catch(() => {})
  try {
    setCsrf((await session).csrf_token)
    // A one-time password opens nothing but the form that changes it.
    if ((await (me ?? client.auth.me())).must_change_password) return null
    const all = await (projects ?? client.projects.list())
    loggedIn.set(true)
    return all
  } catch (error) {
    if (error instanceof WritError && (error.status === 401 || error.code === 'SESSION_NOT_FOUND')) {
      loggedIn.set(false)
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

/** Lets nobody through who is not logged in; the address stays, so that a link leads where it says after the login. */
export function Gate({ children }: { children: (projects: readonly Project[]) => ReactNode }) {
  const queries = useQueryClient()
  const there = useStore(loggedIn)
  const asked = useQuery(person)
  // Drawn in pieces: what surrounds every page is much at once.
  const projects = useDeferredValue(asked.data)
  const again = async () => {
    // What another person saw is not shown to this one, not even for a moment.
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'person' })
    await queries.invalidateQueries({ queryKey: ['person'] })
  }
  if (asked.isError) return <Failed error={asked.error} retry={() => asked.refetch()} whole />
  if (projects === undefined) return <Loading whole />
  if (projects === null || asked.data === null || there === false)
    return (
      <Suspense fallback={<Loading whole />}>
        <SignIn done={again} />
      </Suspense>
    )
  return <>{children(projects)}</>
}

/** The session in one project. Somebody who has no role in it is told so. */
export function InProject(props: { project: string; projects: readonly Project[]; children: ReactNode }) {
  const { project, projects, children } = props
  const client = clientOf(project)
  const asked = useQuery(meIn(project))
  const me = useDeferredValue(asked.data)
  const session = useMemo(() => {
    const allowed = new Set(me?.permissions)
    return me && { me, project, projects, client, can: (operation: string) => allowed.has(operation) }
  }, [me, project, projects, client])
  if (asked.isError) return <Failed error={asked.error} retry={() => asked.refetch()} whole />
  if (!session) return <Loading whole />
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>
}
