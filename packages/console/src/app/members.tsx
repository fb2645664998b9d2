import { useQuery } from '@tanstack/react-query'
import type { Client } from '@writ/sdk'
import { createContext, type ReactNode, useContext } from 'react'
import { useSession } from './session.tsx'

type Member = Awaited<ReturnType<Client['projects']['members']>>[number]
const NOBODY: ReadonlyMap<string, Member> = new Map()
const MembersContext = createContext<ReadonlyMap<string, Member>>(NOBODY)

/** Everybody in the project, by id. People who left it are known by their number only. */
export const useMembers = (): ReadonlyMap<string, Member> => useContext(MembersContext)

/** The same as it is asked for, where it matters whether everybody is known yet. */
export function useMembersAsked() {
  const { client, project } = useSession()
  return useQuery({
    queryKey: [project, 'members'],
    queryFn: () => client.all('projects.members'),
    staleTime: 300_000,
    select: byId,
  })
}

/** Asks once who is in the project, for all the names on its pages. */
export function Members({ children }: { children: ReactNode }) {
  const members = useMembersAsked()
  return <MembersContext.Provider value={members.data ?? NOBODY}>{children}</MembersContext.Provider>
}

const byId = (list: readonly Member[]): ReadonlyMap<string, Member> => new Map(list.map((one) => [one.user_id, one]))
