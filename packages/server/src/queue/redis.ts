import { randomToken } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import type { Secret } from '../platform/secret.ts'
import {
  type Change,
  type Copy,
  HANDOVER_MS,
  type Line,
  type Place,
  placeOf,
  placeText,
  RANK,
  rankOf,
  type Source,
  type Taken,
} from './line.ts'
import {
  codeOf,
  connectRedis,
  isFull,
  isRefusal,
  listenTo,
  mastersOf,
  type RedisClient,
  reasonOf,
} from './redis-client.ts'
import { COPY_KEYS, copyKeysOf, copyScripts, KEYS, keysOf, scripts } from './redis-scripts.ts'

type Script = keyof typeof scripts | keyof typeof copyScripts

const CHECK_MS = 1_000
/** Changes in one script: Redis does nothing else meanwhile. */
const CHUNK = 500
/** Hints to other servers: at most one message in this time. */
const SAY_MS = 10
const RECONNECT_MS = 500
const BUILD_WAIT_MS = 1_000
/** One that answers and refuses (full, read-only) is back when it refused nothing for so long: what waits is offered every second. */
const QUIET_MS = 3_000
/** A place in which nothing was for so long goes. */
const IDLE_MS = 600_000

/**
 * A line in Redis, or in a Redis Cluster, for any number of servers. What waits there is a copy of the table, and carries the
 * epoch that the table's side (`queue_copy`) is in. It counts as lost, the next epoch begins and it is built anew, when its
 * stamp is missing, or when other servers hold it than before: every Redis names itself anew at each start, and may have come
 * back without the last seconds.
 *
 * While Redis is away tasks are accepted and wait in the table, and what is claimed is worked on and settled. One that is full
 * hands out what it has, and what it has no memory for waits in the table until it was offered again and taken.
 */
export async function openRedisLine(on: {
  url: Secret<string>
  source: Source
  log: Logger
  /** Hears why Redis cannot be used, and null when it can again. */
  health(reason: string | null): void
  /** Hears the code of each error that Redis answers with: `OOM` when it is full, `READONLY`. */
  refused(code: string): void
  /** After how many milliseconds a place in which nothing is goes; ten minutes when left out. */
  idleMs?: number
}): Promise<Line> {
  const { source, log, idleMs = IDLE_MS } = on
  const me = randomToken(6)
  let copy: Copy = await source.copy()
  let connection: Promise<{ client: RedisClient; ear: RedisClient }> | undefined
  let listener: (place: Place) => void = () => {}
  /** Places that Redis was told of in this epoch. */
  let met = new Map<string, Promise<void>>()
  let checked = Number.NEGATIVE_INFINITY
  let building: Promise<void> | undefined
  let away = false
  let retrying: NodeJS.Timeout | undefined
  /** What the connection said last; a command that it could not take says less. */
  let trouble: string | undefined
  /** When it last answered with a refusal. */
  let refusedAt = Number.NEGATIVE_INFINITY
  let closed = false

  async function open() {
    const client = await connectRedis(on.url.reveal(), {
      troubled: (error) => {
        trouble = reasonOf(error)
      },
      cut: () => {
        checked = Number.NEGATIVE_INFINITY
      },
    })
    for (const [name, lua] of Object.entries(scripts)) client.defineCommand(name, { lua, numberOfKeys: KEYS })
    for (const [name, lua] of Object.entries(copyScripts)) client.defineCommand(name, { lua, numberOfKeys: COPY_KEYS })
    try {
      return { client, ear: await listenTo(client, channelOf(copy), hear) }
    } catch (error) {
      client.disconnect()
      throw error
    }
  }

  /** Undefined if Redis cannot be reached, or did not do it: whatever was asked for is found again in the table. */
  async function ask<T>(work: (client: RedisClient) => Promise<T>): Promise<T | undefined> {
    if (closed) return undefined
    connection ??= open()
    const mine = connection
    try {
      const { client } = await mine
      // While it greets the server it would take some commands and refuse others.
      if (client.status !== 'ready') throw new Error('not connected')
      return await work(client)
    } catch (error) {
      mine.catch(() => {
        if (connection === mine) setTimeout(() => (connection = undefined), RECONNECT_MS).unref()
      })
      if (!closed) fail(error)
      return undefined
    }
  }

  /** Redis did not do what it was asked for. */
  function fail(error: unknown): void {
    const refused = isRefusal(error)
    if (refused) {
      refusedAt = performance.now()
      on.refused(codeOf(error))
    }
    const reason = (refused ? undefined : trouble) ?? reasonOf(error)
    if (!away)
      log.warn({ reason }, `redis ${refused ? 'takes nothing' : 'is away'}, what waits is kept in the database`)
    on.health(reason)
    away = true
    // A server that only accepts has no sweep that would find it back.
    retrying ??= setTimeout(() => {
      retrying = undefined
      void ask(check)
    }, CHECK_MS)
  }

  const keysAt = (place: Place) => keysOf(`writ:${copy.space}:${placeText(place)}`)
  const run = (client: RedisClient, name: Script, keys: readonly string[], args: readonly (string | number)[]) =>
    // The client makes these methods of the scripts, at run time.
    (client as unknown as Record<Script, (...args: (string | number)[]) => Promise<unknown>>)[name](...keys, ...args)

  /** Whether the copy is still what it was; else the next epoch begins. */
  async function check(client: RedisClient): Promise<void> {
    const infos = await Promise.all(mastersOf(client).map((master) => master.info('server')))
    const servers = infos
      .map((info) => /^run_id:(\w+)/m.exec(info)?.[1] ?? '')
      .sort()
      .join(' ')
    let now = await source.copy()
    if (now.servers !== servers) {
      if (now.servers !== '') log.warn({ epoch: now.epoch + 1 }, 'redis was started anew, what waits is put in again')
      await source.advance(now, servers)
      now = await source.copy()
    }
    if (now.epoch !== copy.epoch) met = new Map()
    copy = now
    checked = performance.now()
    trouble = undefined
    // It tells how it is, though it is full or read-only: that says nothing of whether it takes anything.
    if (performance.now() - refusedAt < QUIET_MS) return
    if (away) log.info({}, 'redis is back')
    away = false
    on.health(null)
  }

  /** Tells Redis that there is this place; one that it never heard of is complete as it is. */
  function meet(client: RedisClient, place: Place): Promise<void> {
    const [known, name, epoch] = [met, placeText(place), copy.epoch]
    let meeting = known.get(name)
    if (!meeting) {
      meeting = run(client, 'writMeet', copyKeysOf(copy.space), [epoch, name]).then(async (answer) => {
        if (answer === 1) await stampNew(client, place, epoch)
        if (answer !== -1) return
        known.delete(name)
        if (performance.now() - checked >= CHECK_MS) await check(client)
      })
      meeting.catch(() => known.delete(name))
      known.set(name, meeting)
    }
    return meeting
  }

  /** Stopped within it, the next sweep builds the place. */
  async function stampNew(client: RedisClient, place: Place, epoch: number): Promise<void> {
    const begun = (await run(client, 'writBegin', keysAt(place), [epoch, randomToken(6)])) as [string, number] | null
    if (begun === null || begun[1] === 0) return
    await run(client, 'writKeep', copyKeysOf(copy.space), [placeText(place)])
    await run(client, 'writFinish', keysAt(place), [epoch, begun[0]])
  }

  const changeIn = (client: RedisClient, place: Place, changes: readonly Change[], now: number) =>
    Promise.all(
      chunksOf(changes, CHUNK).map((chunk) =>
        run(client, 'writChange', keysAt(place), [now, ...chunk.flatMap(wordsOf)]),
      ),
    )

  /**
   * Puts in all that waits at these places, or everywhere. Several servers may do it at once, and one that stops leaves it to
   * the next: what is there already stays, and what is there though it is claimed by now is refused by the table. Each place
   * is emptied before its entries are read, so that what commits after the reading is put in by who committed it. What there is no
   * memory for is marked as not seen, so that it is offered again: waiting for memory, a copy that is larger would never be done,
   * and nothing of it handed out.
   */
  async function build(client: RedisClient, some: readonly Place[] | null, now: number): Promise<void> {
    const { epoch, space } = copy
    const keys = copyKeysOf(space)
    const names = some?.map(placeText) ?? [
      ...new Set([...(await source.places()).map(placeText), ...(await client.smembers(keys[1]!))]),
    ]
    const begun: { place: Place; beginning: string }[] = []
    for (const place of names.map(placeOf)) {
      const args = [epoch, randomToken(6)]
      const answer = (await run(client, 'writBegin', keysAt(place), args)) as [string, number] | null
      if (answer) begun.push({ place, beginning: answer[0] })
    }
    const places = begun.map((one) => one.place)
    if (places.length > 0) await run(client, 'writKeep', keys, places.map(placeText))
    for (let after = ''; places.length > 0; ) {
      const page = await source.page(places, after)
      if (page.length === 0) break
      await Promise.all(
        [...Map.groupBy(page, placeText).values()].map((entries) =>
          changeIn(
            client,
            entries[0]!,
            entries.map((entry) => ({ do: 'put', entry })),
            now,
          ).catch(async (error) => {
            if (!isFull(error)) throw error
            fail(error)
            await source.unsee(entries)
          }),
        ),
      )
      after = page.at(-1)!.runId
    }
    for (const { place, beginning } of begun) await run(client, 'writFinish', keysAt(place), [epoch, beginning])
    if (!some) await run(client, 'writComplete', keys, [epoch, ...names])
  }

  /** One at a time, and not waited for longer than a moment: what can be claimed meanwhile shall be. */
  async function buildSoon(client: RedisClient, some: readonly Place[] | null, now: number): Promise<void> {
    building ??= build(client, some, now).finally(() => (building = undefined))
    building.catch(() => {})
    await within(building, BUILD_WAIT_MS)
  }

  async function sweepPlaces(client: RedisClient, places: readonly Place[], now: number) {
    const args = [copy.epoch, now, HANDOVER_MS]
    const answers = await Promise.all(places.map((place) => run(client, 'writSweep', keysAt(place), args)))
    return places.map((place, i) => ({ place, answer: answers[i] as [number, string, string] | null }))
  }

  /** Places in which nothing is: their counters, and since when. */
  let idle = new Map<string, { counter: string; since: number }>()
  /** Lets go of places in which nothing was for a while. Stopped within it, the next sweep builds the place once more. */
  async function prune(client: RedisClient, empty: readonly { place: Place; counter: string }[]): Promise<void> {
    const before = idle
    idle = new Map()
    for (const { place, counter } of empty) {
      const name = placeText(place)
      const seen = before.get(name)
      const since = seen?.counter === counter ? seen.since : performance.now()
      idle.set(name, { counter, since })
      if (seen?.counter !== counter || performance.now() - since < idleMs) continue
      const keys = copyKeysOf(copy.space)
      const number = (await client.hget(keys[2]!, name)) ?? ''
      if ((await run(client, 'writPrune', keysAt(place), [copy.epoch, counter])) !== 1) continue
      met.delete(name)
      idle.delete(name)
      await run(client, 'writLeave', keys, [name, number])
    }
  }

  const said = new Set<string>()
  let saying: NodeJS.Timeout | undefined
  function hear(text: string): void {
    const [from, ...names] = text.split('\n')
    if (from !== me) for (const name of names) listener(placeOf(name))
  }

  // At once, so that hints of others are heard, and a wrong address is told of when the server starts.
  void ask(check)
  return {
    shared: true,
    change: async (place, changes, now) =>
      (await ask(async (client) => {
        for (let again = false; ; again = true) {
          await meet(client, place)
          const done = await changeIn(client, place, changes, now)
          if (done.every((one) => one === 2)) return true
          met.delete(placeText(place))
          // It went meanwhile: it is met anew. Or it is being built: what was not put in waits in the table, and what was put in is
          // not to count as seen yet.
          if (again || done.some((one) => one !== 0)) return false
        }
      })) ?? false,
    async take(place, { limit, worker, except }) {
      // Not from a copy that may be older than it was. A process in which nobody sweeps, because it only hands out, looks at it here.
      if (checked === Number.NEGATIVE_INFINITY) await ask(check)
      if (checked === Number.NEGATIVE_INFINITY) return []
      const answer = await ask((client) =>
        run(client, 'writTake', keysAt(place), [copy.epoch, limit, worker, ...except]),
      )
      if (answer === null) checked = Number.NEGATIVE_INFINITY
      const taken: Taken[] = []
      for (const [id, value] of chunksOf((answer ?? []) as string[], 2))
        taken.push({ runId: value!.slice(RANK - 36, RANK), ticket: `${id} ${value}` })
      return taken
    },
    async sweep(now) {
      const swept = await ask(async (client) => {
        if (performance.now() - checked >= CHECK_MS) await check(client)
        const [stamp, set] = copyKeysOf(copy.space)
        const whole = async () => (await client.get(stamp!)) === String(copy.epoch)
        if (!(await whole())) {
          await check(client)
          if (!(await whole())) await buildSoon(client, null, now)
        }
        const places = (await client.smembers(set!)).map(placeOf)
        const first = await sweepPlaces(client, places, now)
        await prune(
          client,
          first.flatMap(({ place, answer }) => (answer?.[2] ? { place, counter: answer[2] } : [])),
        )
        const stale = first.filter(({ answer }) => answer === null).map(({ place }) => place)
        if (stale.length === 0) return first
        await buildSoon(client, stale, now)
        return [...first, ...(await sweepPlaces(client, stale, now))]
      })
      const there = (swept ?? []).filter(({ answer }) => answer !== null)
      const nexts = there.map(({ answer }) => answer![1]).filter((next) => next !== '')
      return {
        runnable: there.filter(({ answer }) => answer![0] === 1).map(({ place }) => place),
        next: nexts.length === 0 ? null : Math.min(...nexts.map(Number)),
      }
    },
    say(place) {
      said.add(placeText(place))
      saying ??= setTimeout(() => {
        saying = undefined
        const text = [me, ...said].join('\n')
        said.clear()
        void ask((client) => client.publish(channelOf(copy), text))
      }, SAY_MS)
    },
    hear(heard) {
      listener = heard
    },
    async close() {
      closed = true
      clearTimeout(saying)
      clearTimeout(retrying)
      const open = await connection?.catch(() => undefined)
      open?.ear.disconnect()
      open?.client.disconnect()
    },
  }
}

const channelOf = ({ space }: Copy): string => `writ:${space}`

/** A change as the script reads it. */
function wordsOf(change: Change): (string | number)[] {
  if ('entry' in change) {
    const { entry } = change
    return [change.do, entry.runId, rankOf(entry) + entry.handler, entry.runAt]
  }
  if (change.do === 'remove') return ['remove', change.runId]
  const { ticket } = change.taken
  const end = ticket.indexOf(' ')
  return change.do === 'ack' ? ['ack', ticket.slice(0, end)] : ['back', ticket.slice(0, end), ticket.slice(end + 1)]
}

function chunksOf<T>(all: readonly T[], size: number): T[][] {
  const chunks = []
  for (let i = 0; i < all.length; i += size) chunks.push(all.slice(i, i + size))
  return chunks
}

/** Resolves when it does, or after `ms`; rejects when it does before. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
