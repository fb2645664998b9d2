import { type FSWatcher, watch } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Logger } from '../../../platform/log.ts'
import { redactor } from '../../../platform/redact/index.ts'
import { contractOf, requireSchemas } from '../contract.ts'
import type { BrokenFile, Handler, Handlers } from '../handler.ts'
import type { HandlerPool, Reader } from './pool.ts'
import type { Sources } from './protocol.ts'
import { readSources, stampOf } from './sources.ts'

export interface HandlerFolder {
  /** Loads again if something was changed; resolves when what was there at the call is loaded. */
  reload(): Promise<void>
  /** Watches until stopped. */
  run(stop: AbortSignal): Promise<void>
}

export interface HandlerFolderSettings {
  readonly dir: string
  readonly handlers: Handlers
  readonly pool: HandlerPool
  readonly log: Logger
  /** How often the folder is looked at, whatever hints come. */
  readonly pollMs: number
}

/** A file as it was last loaded well, and why what it holds now cannot be used. */
interface Loaded {
  readonly sources: Sources
  readonly handlers: readonly Handler[]
  readonly fault: string | null
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Editors write a file in several steps. */
const QUIET_MS = 150

/**
 * Handlers from the files of a folder. Every change makes a new version of all sources; each file is loaded from it in a process
 * of the pool, never in this one. What loads replaces its last version from the next task on; what does not keeps its last
 * good one, with the sources that it had then, until it is mended or removed.
 *
 * Throws Error when the folder cannot be read at the start.
 */
export async function openHandlerFolder(on: HandlerFolderSettings): Promise<HandlerFolder> {
  const { dir, handlers, pool, log } = on
  let files = new Map<string, Loaded>()
  let stamp = ''
  let loading: Promise<void> = Promise.resolve()

  async function load(): Promise<void> {
    const now = await stampOf(dir)
    if (now === stamp) return
    const { sources, entries } = await readSources(dir)
    const reader = pool.openReader(sources)
    const tried = new Map<string, Loaded | string>()
    for (const entry of entries) tried.set(entry, await loadFile(reader, sources, entry).catch(reasonOf))
    reader.close()
    const owners = ownersOf(tried)
    const next = new Map<string, Loaded>()
    for (const [entry, loaded] of tried) {
      const taken =
        typeof loaded === 'string' ? undefined : loaded.handlers.find(({ name }) => owners.get(name) !== entry)
      if (typeof loaded !== 'string' && taken === undefined) {
        next.set(entry, loaded)
        continue
      }
      const reason = taken ? `handler ${taken.name} is in ${owners.get(taken.name)} already` : String(loaded)
      const before = files.get(entry)
      const kept = (before?.handlers ?? []).filter(({ name }) => (owners.get(name) ?? entry) === entry)
      log.warn({ file: entry, reason, kept: kept.map(({ name }) => name) }, 'a file of handlers does not load')
      const fault = redactor.text(reason.slice(0, 500))
      next.set(entry, { sources: before?.sources ?? sources, handlers: kept.map((one) => ({ ...one, fault })), fault })
    }
    replace(next)
    files = next
    stamp = now
    pool.retire([...new Set([...next.values()].map((one) => one.sources))])
    log.info(
      { files: entries.length, handlers: handlers.list().filter(({ source }) => source === 'folder').length },
      'handlers of the folder loaded',
    )
  }

  /** Which file has a name that several want: the one that had it, or else the first. */
  function ownersOf(tried: ReadonlyMap<string, Loaded | string>): Map<string, string> {
    const owners = new Map<string, string>()
    for (const [entry, loaded] of tried) {
      if (typeof loaded === 'string') continue
      for (const { name } of loaded.handlers) {
        const had = files.get(entry)?.handlers.some((one) => one.name === name)
        if (had || !owners.has(name)) owners.set(name, entry)
      }
    }
    return owners
  }

  async function loadFile(reader: Reader, sources: Sources, entry: string): Promise<Loaded> {
    const file = pathToFileURL(path.join(dir, entry)).href
    const found: Handler[] = []
    for (const described of await reader.read(file)) {
      const contract = contractOf(described)
      requireSchemas(contract)
      const { name } = contract
      if (found.some((one) => one.name === name)) throw new Error(`handler ${name} is in the file twice`)
      const handler: Handler = {
        ...contract,
        source: 'folder',
        waitsForPlace: true,
        fault: null,
        run: (input, ctx) => pool.run(sources, file, name, input, ctx),
      }
      // Refused here, before the version that it had is let go.
      handlers.require(handler)
      found.push(handler)
    }
    return { sources, handlers: found, fault: null }
  }

  /** In one turn, so that no task finds a handler gone that is still there. */
  function replace(next: ReadonlyMap<string, Loaded>): void {
    const names = new Set([...next.values()].flatMap((file) => file.handlers.map(({ name }) => name)))
    for (const { source, name } of handlers.list()) if (source === 'folder' && !names.has(name)) handlers.remove(name)
    for (const file of next.values()) for (const handler of file.handlers) handlers.add(handler)
    handlers.setBroken(
      [...next].flatMap(([file, { handlers: kept, fault }]): BrokenFile[] =>
        fault !== null && kept.length === 0 ? [{ file, reason: fault }] : [],
      ),
    )
  }

  const reload = () => {
    loading = loading.then(load, load)
    return loading
  }
  await reload()

  return {
    reload,
    async run(stop) {
      let hint = Promise.withResolvers<void>()
      const watchers: FSWatcher[] = []
      // A hint that may be lost, on network folders for one. The look at times and sizes is the promise.
      const open = () => {
        try {
          const watcher = watch(dir, { recursive: true }, () => hint.resolve())
          watcher.on('error', (err) => log.warn({ err }, 'the folder of handlers is not watched, only looked at'))
          watchers.push(watcher)
        } catch (err) {
          log.warn({ err }, 'the folder of handlers is not watched, only looked at')
        }
      }
      open()
      const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }))
      while (!stop.aborted) {
        const timer = new AbortController()
        await Promise.race([hint.promise, stopped, sleep(on.pollMs, undefined, timer).catch(() => {})])
        timer.abort()
        if (stop.aborted) break
        await Promise.race([stopped, sleep(QUIET_MS, undefined, { ref: false })])
        hint = Promise.withResolvers<void>()
        await reload().catch((err: unknown) =>
          log.warn({ err }, 'the folder of handlers cannot be read; all stay as they are'),
        )
      }
      for (const watcher of watchers) watcher.close()
      await loading.catch(() => {})
    },
  }
}
