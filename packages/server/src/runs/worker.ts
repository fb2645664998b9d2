import { setImmediate as turn } from 'node:timers/promises'
import { append, SYSTEM } from '../audit/index.ts'
import { type Clock, watchClock } from '../platform/clock.ts'
import { type Command, type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { randomToken } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import type { Ask, Entry, Holder, Lease, Queue, Runnable } from '../queue/index.ts'
import type { Executing } from './execute.ts'
import type { EagerLane, Lane } from './lane.ts'
import { settleRun } from './settle.ts'
import * as store from './store.ts'

export interface Worker {
  run(stop: AbortSignal): Promise<void>
  /** There may be room again, or something to claim; a hint. Polling is the promise. */
  wake(): void
  /** Whether a lane may have room at once for what is about to be enqueued, and nothing is known to wait before it. */
  mayBegin(queue: string, lane: EagerLane): boolean
  /**
   * Of entries that are about to be enqueued in one place, those for which a lane has room at once; undefined if there are none, or if
   * something is known to wait before them. The room is kept for them until the transaction ends.
   */
  setAside(tx: Tx, where: Runnable, entries: readonly Entry[], lane: EagerLane, now: number): SetAside | undefined
}

export interface SetAside {
  readonly entries: readonly Entry[]
  readonly rest: readonly Entry[]
  readonly holder: Holder
  /** Begins their work after the commit, unless that came so late that their leases have run out. */
  afterwards(begin: () => void): void
}

export interface WorkerSettings {
  readonly db: Database
  readonly queue: Queue
  readonly clock: Clock
  readonly log: Logger
  readonly lanes: readonly Lane[]
  /** Hears of places that none of the lanes serves; null: somewhere. */
  elsewhere?(where: Runnable | null): void
  /** Ends what was asked to stop and whose holder is gone; what it could not, the next sweep names again. */
  endStopped(leases: readonly Lease[]): Promise<void>
  /** What falls due by the clock besides the queue. */
  timers(): Promise<void>
  /** Somebody set the clock, as `Queue.clockSet` has it: hears of it before the queue, again where it failed, and in every process that saw it. */
  clockSet(change: { readonly from: number; readonly to: number }): Promise<void>
  readonly leaseMs: number
  readonly pollMs: number
  readonly graceMs: number
}

interface Wanted {
  readonly lane: Lane
  readonly ask: Ask
}

/** A place where something waits, and how much of it is known: infinite, if that there is something is all. */
interface Known extends Runnable {
  readonly count: number
}

/**
 * Claims what is due and hands it to the lanes. Where there is something it knows from hints, which cost nothing, and from a
 * sweep at every poll, which forgets nothing. A sweep asks the store several times over, so no claim waits for one, except for
 * the first: it ends the leases of a process that is gone. Each claim is a change in its project, so it shares a commit with
 * what is settled there. Of several projects in one queue, who has the least in hand gets the next room.
 *
 * Stopped between a claim and its work: the lease runs out and the next worker takes it over; a starting worker's first sweep
 * finds those that ran out before. Told to stop, it claims no more, gives the work under way its grace, and hands the rest
 * back uncounted.
 */
export function createWorker(on: WorkerSettings): Worker {
  const { db, queue, clock, log, lanes } = on
  const name = randomToken(9)
  /** Where there may be something to claim. */
  const places = new Map<string, Known>()
  /** Room of queues that is promised to claims under way, and to what is being accepted. */
  const promised = new Map<string, number>()
  /** Of handlers, what is being accepted and begins after that. */
  const startingOf = new Map<string, number>()
  /** Claims under way that leave something behind for want of room. */
  const cut = new Set<Lane>()
  let running = false
  const claims = createBell()
  const sweeps = createBell()
  let swept = Number.NEGATIVE_INFINITY
  let next: number | null = null

  const keyOf = ({ queue: name, project }: Runnable) => `${name}\n${project}`
  const laneOf = (name: string) => lanes.find((lane) => lane.serves(name))
  const add = (where: Runnable, count: number) => {
    if (!laneOf(where.queue)) return on.elsewhere?.(where)
    const key = keyOf(where)
    const { queue: name, project } = where
    places.set(key, { queue: name, project, count: (places.get(key)?.count ?? 0) + count })
  }
  const promise = (name: string, count: number) => {
    const left = (promised.get(name) ?? 0) + count
    if (left === 0) promised.delete(name)
    else promised.set(name, left)
  }
  const roomIn = (lane: Lane, name: string) => lane.room(name) - (promised.get(name) ?? 0)
  queue.wake({
    runnable(where, count = Number.POSITIVE_INFINITY) {
      if (where) {
        add(where, count)
        claims.ring()
      } else {
        swept = Number.NEGATIVE_INFINITY
        // Where no worker runs, nobody sweeps.
        on.elsewhere?.(null)
        sweeps.ring()
      }
    },
    stop(runId) {
      for (const lane of lanes) lane.stopWork(runId)
    },
  })

  const claim: Command<Wanted, { claimed: number; begin: () => void }> = {
    name: 'claim',
    apart: true,
    async run(tx, wanted) {
      const outcomes = []
      for (const { lane, ask } of wanted) {
        const leases = await queue.claim(tx, ask)
        outcomes.push({ claimed: leases.length, begin: leases.length > 0 ? await lane.take(tx, leases) : () => {} })
      }
      return outcomes
    },
  }

  async function claimFrom(where: Known, lane: Lane, limit: number): Promise<void> {
    const now = clock.now()
    const ask = {
      queue: where.queue,
      limit,
      worker: name,
      now,
      leaseUntil: now + on.leaseMs,
      except: lane.except(where),
    }
    // What comes while we look is another hint; that is why the place is forgotten first.
    places.delete(keyOf(where))
    const left = where.count - limit
    if (left > 0) cut.add(lane)
    const asked = performance.now()
    await queue.reserve(where.project, ask)
    const { claimed, begin } = await inProject(where.project, () => db.submit(claim, { lane, ask }))
    if (claimed === limit && left > 0) add(where, left)
    // Answered so late that the leases have run out: somebody else may be at work by now.
    if (performance.now() - asked >= on.leaseMs) return
    safeFrom = Math.min(safeFrom, asked)
    begin()
  }

  /** Asks every place that there is room for; answers whether anything may be left to ask. */
  async function claimRound(): Promise<void> {
    const asked: Promise<void>[] = []
    for (const [name, all] of Map.groupBy(places.values(), (one) => one.queue)) {
      const lane = laneOf(name)
      if (!lane) continue
      let room = roomIn(lane, name)
      const hungry = all.toSorted((a, b) => lane.busy(a) - lane.busy(b))
      for (const [i, where] of hungry.entries()) {
        const share = Math.min(where.count, Math.ceil(room / (hungry.length - i)))
        if (share <= 0) break
        room -= share
        promise(name, share)
        asked.push(claimFrom(where, lane, share).finally(() => promise(name, -share)))
      }
    }
    const refused = (await Promise.allSettled(asked)).find((one) => one.status === 'rejected')
    cut.clear()
    if (refused) throw refused.reason
  }

  const hungry = () => [...places.values()].some(({ queue }) => roomIn(laneOf(queue)!, queue) > 0)

  function mayBegin(queue: string, lane: Lane): boolean {
    if (!running || !lane.serves(queue) || cut.has(lane) || roomIn(lane, queue) <= 0) return false
    for (const place of places.values()) if (lane.serves(place.queue)) return false
    return true
  }

  function setAside(
    tx: Tx,
    where: Runnable,
    entries: readonly Entry[],
    lane: EagerLane,
    now: number,
  ): SetAside | undefined {
    if (!mayBegin(where.queue, lane)) return undefined
    let room = roomIn(lane, where.queue)
    const startable = new Map<string, number>()
    const [mine, rest]: [Entry[], Entry[]] = [[], []]
    for (const entry of entries.toSorted((a, b) => b.priority - a.priority)) {
      const { handler } = entry
      const more = startable.get(handler) ?? lane.startable(handler, where) - (startingOf.get(handler) ?? 0)
      if (room <= 0 || more <= 0 || entry.runAt > now) rest.push(entry)
      else {
        mine.push(entry)
        room--
        startable.set(handler, more - 1)
      }
    }
    if (mine.length === 0) return undefined
    const asked = performance.now()
    const count = (by: 1 | -1) => {
      promise(where.queue, by * mine.length)
      for (const { handler } of mine) startingOf.set(handler, (startingOf.get(handler) ?? 0) + by)
    }
    let begin = () => {}
    count(1)
    tx.ifUndone(() => {
      count(-1)
      claims.ring()
    })
    tx.afterCommit(() => {
      count(-1)
      if (performance.now() - asked >= on.leaseMs) return
      safeFrom = Math.min(safeFrom, asked)
      begin()
    })
    return {
      entries: mine,
      rest,
      holder: { worker: name, now, leaseUntil: clock.now() + on.leaseMs },
      afterwards(then) {
        begin = then
      },
    }
  }

  async function sweepIfDue(): Promise<void> {
    if (performance.now() - swept < on.pollMs && (next === null || next > clock.now())) return
    swept = performance.now()
    const now = clock.now()
    await minding(now)
    const found = await queue.sweep(now)
    next = found.next
    for (const where of found.runnable) add(where, Number.POSITIVE_INFINITY)
    claims.ring()
    if (found.stopped.length > 0) await on.endStopped(found.stopped)
    await on.timers()
  }

  const sweeping = createTrouble(log, { stopped: 'no leases swept', again: 'leases are swept again' })
  const claiming = createTrouble(log, { stopped: 'no runs claimed', again: 'runs are claimed again' })
  const extending = createTrouble(log, { stopped: 'no leases extended', again: 'leases are extended again' })

  async function sweepUntil(stop: AbortSignal, first: () => void): Promise<void> {
    while (!stop.aborted) {
      let ms = on.pollMs
      try {
        await sweepIfDue()
        sweeping.over()
        first()
        ms = Math.max(0, Math.min(ms, (next ?? Number.POSITIVE_INFINITY) - clock.now()))
      } catch (err) {
        sweeping.met(err)
      }
      await sweeps.rest(ms)
    }
    first()
  }

  async function claimUntil(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      // Hints come out of a commit, before whoever it was for goes on: what they ask for next shall share ours.
      await turn()
      claims.reset()
      try {
        await claimRound()
        claiming.over()
        if (hungry()) continue
      } catch (err) {
        claiming.met(err)
      }
      // What a failure left behind is found by the next sweep.
      await claims.rest(on.pollMs)
    }
  }

  const lookAtClock = watchClock(clock, on.leaseMs / 3)

  /**
   * Somebody set the clock, by so much that leases seem to have run out, or to last for hours: whoever holds one keeps it for as
   * long as if it had been extended now. At the first look, only those that last longer than any lease can are cut.
   * Every process that sees it does the same, before it ends a single lease.
   */
  const minding = (now: number): Promise<void> =>
    lookAtClock(now, async ({ from, to }) => {
      if (from !== to) log.warn({ by_ms: to - from }, 'the clock was set, leases are counted from now')
      await on.clockSet({ from, to })
      await queue.clockSet({ from, to, leaseUntil: now + on.leaseMs })
    })

  /** No lease in hand ends within `leaseMs` of this. By a clock that only goes forward: the store's may be set, and ours with it. */
  let safeFrom = performance.now()
  let beating = false

  async function beat(): Promise<void> {
    const began = performance.now()
    for (const lane of lanes) {
      const { lost, stop } = await queue.extend(lane.held(), clock.now() + on.leaseMs)
      for (const lease of lost) lane.lost(lease)
      for (const lease of stop) lane.stopWork(lease.runId)
    }
    safeFrom = began
  }

  /**
   * Leases that could not be extended for as long as they last are somebody else's by now, whatever the store would say. A store
   * that was cut off says nothing at all, so this waits for no answer.
   */
  function giveUpLeases(): void {
    // A little early, so that it has stopped when somebody else can begin.
    if (performance.now() - safeFrom < on.leaseMs * 0.9) return
    for (const lane of lanes) for (const lease of lane.held()) lane.lost(lease)
  }

  function beatOrGiveUp(): void {
    giveUpLeases()
    // One that hangs is not joined by others.
    if (beating) return
    beating = true
    beat()
      .then(extending.over, extending.met)
      .finally(() => {
        beating = false
      })
  }

  return {
    wake: claims.ring,
    mayBegin,
    setAside,
    async run(stop) {
      safeFrom = performance.now()
      const heart = setInterval(beatOrGiveUp, on.leaseMs / 3)
      // Looks more often than it beats, so that work is told to stop when its lease ends, and not a third later.
      const watch = setInterval(giveUpLeases, on.leaseMs / 30)
      for (const { ring } of [claims, sweeps]) stop.addEventListener('abort', ring, { once: true })
      const first = Promise.withResolvers<void>()
      void first.promise.then(() => {
        running = !stop.aborted
      })
      stop.addEventListener('abort', () => {
        running = false
      })
      await Promise.all([sweepUntil(stop, first.resolve), first.promise.then(() => claimUntil(stop))])
      await Promise.all(lanes.map((lane) => lane.stop(on.graceMs)))
      clearInterval(heart)
      clearInterval(watch)
    },
  }
}

/** Ends a rest; rung while nobody rests, it ends the next one. */
function createBell() {
  let rung = false
  let wake = () => {}
  return {
    ring() {
      rung = true
      wake()
    },
    reset() {
      rung = false
    },
    async rest(ms: number): Promise<void> {
      if (!rung)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      rung = false
    },
  }
}

const TIMERS_PAGE = 100
/** Whoever sweeps has leases to look at too, so of very many that are due at once the rest is for the next look. */
const TIMERS_PAGES = 10

/** Until the end of a wait is looked at again, of a run whose check is to come. */
const LOOK_AGAIN_MS = 60_000

type TimersOn = Pick<Executing, 'db' | 'clock' | 'attest' | 'settled'>

/** Waits that ended, and reminders. Those of a page share their transactions. */
export async function fireTimers(
  on: TimersOn,
  /** Those of a run that is on no ticket are its kind's. */
  ofTask: (tx: Tx, timer: Pick<store.Timer, 'run_id' | 'what'>) => Promise<void>,
): Promise<void> {
  for (let page = 1; page <= TIMERS_PAGES; page++) {
    const now = on.clock.now()
    const due = await inProject(INSTANCE, () => on.db.read((tx) => store.listDueTimers(tx, now, TIMERS_PAGE)))
    if (due.length === 0) return
    const fired = await Promise.allSettled(
      due.map((timer) => inProject(timer.project_id, () => on.db.write((tx) => fireTimer(tx, on, ofTask, timer)))),
    )
    const failed = fired.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
  }
}

/** Taking the timer and acting on it are one transaction: two servers cannot both act. */
async function fireTimer(
  tx: Tx,
  on: TimersOn,
  ofTask: (tx: Tx, timer: store.Timer) => Promise<void>,
  timer: store.Timer,
): Promise<void> {
  if (!(await store.takeTimer(tx, timer))) return
  const run = await store.lockRun(tx, timer.run_id)
  if (!run) return ofTask(tx, timer)
  if (run.state !== 'pending' || run.waiting_for !== 'evidence') return
  if (timer.what === 'remind') {
    await append(tx, on.clock.now(), SYSTEM, {
      type: 'run.reminded',
      resource: { type: 'run', id: run.id, number: run.number },
      action: `Run ${run.number} still waits for evidence`,
      details: { ticket_id: run.ticket_id, executed_by_id: run.executed_by_id, timeout_at: run.timeout_at },
      run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
    })
    return
  }
  if (await store.isCheckComing(tx, run.id)) {
    // Evidence came in time and nobody has looked at it yet, as where no worker was there. If it is taken back, the wait is over then.
    await store.setTimer(tx, run.id, 'expire', on.clock.now() + LOOK_AGAIN_MS)
    return
  }
  const ending = {
    state: 'timeout',
    summary: 'Run execution timed out',
    stderr: 'No evidence came in time',
    errorCode: 'EVIDENCE_EXPIRED',
  } as const
  await settleRun(tx, on, run, SYSTEM, ending, on.clock.now())
}
