import { type Caller, personOf } from '../../../identity/index.ts'
import type { Database, Tx } from '../../../platform/db/index.ts'
import { type Disabled, disabledOf, noteSwitch } from '../disabled.ts'
import * as store from './store.ts'

/** Which handlers of the servers are disabled, in which projects. Known at hand, so that dispatches and claims do not ask. */
export interface Switches {
  isOff(project: string, name: string): boolean
  /** The names that are off in a project. */
  off(project: string): readonly string[]
  /** Sees what other servers changed. Called again and again: a change counts elsewhere when it is seen. */
  refresh(): Promise<void>
  /** Twice is once. Disabled may be with a reason. */
  set(tx: Tx, caller: Caller, name: string, enabled: boolean, reason?: string): Promise<void>
  /** Of those among these names that are off in the project of `tx`, who did that, when and why. */
  find(tx: Tx, names: readonly string[]): Promise<Map<string, Disabled>>
}

export function createSwitches(db: Database): Switches {
  let known = new Map<string, readonly string[]>()
  const off = (project: string) => known.get(project) ?? []
  const note = (project: string, name: string, enabled: boolean) => {
    const others = off(project).filter((one) => one !== name)
    known.set(project, enabled ? others : [...others, name])
  }
  return {
    off,
    isOff: (project, name) => off(project).includes(name),
    async refresh() {
      const rows = Map.groupBy(await store.listSwitchedOff(db), ({ project_id }) => project_id)
      known = new Map([...rows].map(([project, all]) => [project, all.map(({ name }) => name)]))
    },
    async find(tx, names) {
      const rows = await store.findSwitchedOff(tx, names)
      return new Map(rows.map((row) => [row.name, disabledOf(row)!]))
    },
    async set(tx, caller, name, enabled, reason) {
      const by = { at: caller.at, id: personOf(caller), reason: reason ?? null }
      const changed = await (enabled ? store.switchOn(tx, name) : store.switchOff(tx, name, by))
      tx.afterCommit(() => note(tx.project, name, enabled))
      if (changed) await noteSwitch(tx, caller, name, enabled, reason)
    },
  }
}
