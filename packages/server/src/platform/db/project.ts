import { AsyncLocalStorage } from 'node:async_hooks'

/** The instance is a project of its own to the store: its log and its counters carry this id. No user belongs to it. */
export const INSTANCE = '00000000-0000-0000-0000-000000000000'

const context = new AsyncLocalStorage<string>()

/** Runs `work` inside the fence of one project: all that it reads and writes belongs to that project. */
export const inProject = <T>(project: string, work: () => T): T => context.run(project, work)

/** The project of this flow of work. Reading the store without one is a bug, never "all projects". */
export function projectInContext(): string {
  const project = context.getStore()
  if (project === undefined) throw new Error('no project in context: wrap this flow in inProject()')
  return project
}
