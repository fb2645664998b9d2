import { setImmediate as turn } from 'node:timers/promises'

/**
 * Looks for one thing of a project as `find` does for many: what is asked for within a turn of the event loop is looked for at once, each
 * name once. No longer than that: whoever asks after something was kept finds it.
 */
export function findTogether<T>(
  find: (project: string, names: readonly string[]) => Promise<ReadonlyMap<string, T>>,
): (project: string, name: string) => Promise<T | undefined> {
  const rounds = new Map<string, { readonly names: Set<string>; readonly found: Promise<ReadonlyMap<string, T>> }>()
  const begin = (project: string) => {
    const names = new Set<string>()
    const found = turn().then(() => {
      rounds.delete(project)
      return find(project, [...names])
    })
    const round = { names, found }
    rounds.set(project, round)
    return round
  }
  return async (project, name) => {
    const { names, found } = rounds.get(project) ?? begin(project)
    names.add(name)
    return (await found).get(name)
  }
}
