import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { Me, Project } from '@writ/api'
import { type Client, WritError } from '@writ/sdk'
import { createContext, lazy, type ReactNode, Suspense, useContext } from 'react'
import { Failed, Loading } from '../parts/states.tsx'
import { clientOf, loggedIn, setCsrf } from './client.ts'
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

/** Asks the server whose browser this is: null for nobody's. */
async function loadPerson(): Promise<Project[] | null> {
  const client = clientOf()
  try {
    setCsrf((await client.auth.session()).csrf_token)
    const me = await client.auth.me()
    // A one-time password opens nothing but the form that changes it.
    if (me.must_change_password) return null
    const projects = await client.projects.list()
    loggedIn.set(true)
    return projects
  } catch (error) {
    if (error instanceof WritError && (error.status === 401 || error.code === 'SESSION_NOT_FOUND')) {
      loggedIn.set(false)
      return null
    }
    throw error
  }
}

/** Lets nobody through who is not logged in; the address stays, so that a link leads where it says after the login. */
export function Gate({ children }: { children: (projects: readonly Project[]) => ReactNode }) {
  const queries = useQueryClient()
  const there = useStore(loggedIn)
  const person = useQuery({ queryKey: ['person'], queryFn: loadPerson, staleTime: 300_000 })
  const again = async () => {
    // What another person saw is not shown to this one, not even for a moment.
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'person' })
    await queries.invalidateQueries({ queryKey: ['person'] })
  }
  if (person.isPending) return <Loading whole />
  if (person.isError) return <Failed error={person.error} retry={() => person.refetch()} whole />
  if (person.data === null || there === false)
    return (
      <Suspense fallback={<Loading whole />}>
        <SignIn done={again} />
      </Suspense>
    )
  return <>{children(person.data)}</>
}

/** The session in one project. Somebody who has no role in it is told so. */
export function InProject(props: { project: string; projects: readonly Project[]; children: ReactNode }) {
  const { project, projects, children } = props
  const client = clientOf(project)
  const me = useQuery({ queryKey: [project, 'me'], queryFn: () => client.auth.me(), staleTime: 60_000 })
  if (me.isPending) return <Loading whole />
  if (me.isError) return <Failed error={me.error} retry={() => me.refetch()} whole />
  const allowed = new Set(me.data.permissions)
  const session = { me: me.data, project, projects, client, can: (operation: string) => allowed.has(operation) }
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>
}
