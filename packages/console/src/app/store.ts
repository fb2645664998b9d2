import { useSyncExternalStore } from 'react'

/** A value that components follow and that anybody may set. */
export interface Store<T> {
  get(): T
  set(value: T): void
  subscribe(hear: () => void): () => void
}

export function createStore<T>(first: T): Store<T> {
  let value = first
  const heard = new Set<() => void>()
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return
      value = next
      for (const hear of heard) hear()
    },
    subscribe(hear) {
      heard.add(hear)
      return () => heard.delete(hear)
    },
  }
}

export const useStore = <T>(store: Store<T>): T => useSyncExternalStore(store.subscribe, store.get)
