/**
 * What docs/events.md promises of whoever watches, of which nothing is known but the log and what came: each event that they may see and asked
 * for, once, in the order of the log, across broken connections, restarts and closed logs.
 */

export interface LogEvent {
  readonly sequence: string
  readonly type: string
  readonly subject: string | null
  readonly id: string
  /** Who did it. */
  readonly by: string | null
}

export interface Filter {
  readonly events: readonly string[]
  readonly except: readonly string[]
}

/** What came, in the order in which it came. */
export type Mark =
  | { readonly event: Pick<LogEvent, 'sequence' | 'id' | 'type'> }
  /** Everything up to this place was looked through. */
  | { readonly place: string }
  /** From here on something else is wanted. */
  | { readonly filter: Filter }
  /** A new connection that was asked to go on behind what came last. */
  | { readonly again: true }

export interface Watched {
  readonly who: 'admin' | 'employee'
  readonly types: readonly string[]
  /** Undefined: from the place that is told first. */
  readonly from: string | undefined
  readonly marks: readonly Mark[]
}

const covers = (patterns: readonly string[], type: string): boolean =>
  patterns.some((one) => one === '*' || one === type || one === `${type.split('.')[0]}.*`)
const wants = ({ events, except }: Filter, type: string): boolean => covers(events, type) && !covers(except, type)

export function createBook() {
  const log: LogEvent[] = []
  const placeOf = new Map<string, number>()
  const own = new Set<string>()
  /** Those of logs that were dropped: whoever had not heard of them by then does not. */
  const gone = new Set<string>()

  /** Those who may see all, and an employee, who sees assets and their own tickets, with the runs on them. */
  const maySee = (who: Watched['who'], { type, subject }: LogEvent): boolean =>
    who === 'admin' || type.startsWith('asset.') || (/^(ticket|run)\./.test(type) && own.has(subject ?? ''))

  return {
    log,
    gone,
    get end(): string {
      return log.at(-1)?.sequence ?? '0'
    },
    add(event: LogEvent): void {
      placeOf.set(event.sequence, log.length)
      log.push(event)
      if (/^(ticket|run)\.created$/.test(event.type) && event.by === 'employee') own.add(event.subject!)
    },

    /** What is wrong with what came; `missing` where it may still come. */
    faultOf({ who, types, from, marks }: Watched): { fault: string; missing: boolean } | undefined {
      const first: Filter = { events: types, except: [] }
      // Of the events since the one that came last, each was unwanted under one of these.
      let filters = [first]
      /** How many of the log were looked through. */
      let seen = from === undefined ? undefined : from === '0' ? 0 : placeOf.get(from)! + 1
      const missed = (upTo: number): LogEvent | undefined =>
        log
          .slice(seen, upTo)
          .find(
            (one) => maySee(who, one) && filters.every((filter) => wants(filter, one.type)) && !gone.has(one.sequence),
          )
      const text = ({ type, sequence }: Pick<LogEvent, 'type' | 'sequence'>) => `${type} ${sequence}`
      const wrong = (fault: string) => ({ fault, missing: false })
      for (const mark of marks) {
        if ('again' in mark) filters = [first]
        else if ('filter' in mark) filters.push(mark.filter)
        else if ('place' in mark) {
          const at = mark.place === '0' ? 0 : placeOf.get(mark.place)
          if (at === undefined) return { fault: `the place ${mark.place} is none of the log`, missing: true }
          const upTo = mark.place === '0' ? 0 : at + 1
          seen ??= upTo
          if (upTo < seen) return wrong(`went back to ${mark.place}`)
          const lost = missed(upTo)
          if (lost) return wrong(`${text(lost)} never came, though all up to ${mark.place} was looked through`)
          seen = upTo
        } else {
          const { event } = mark
          const at = placeOf.get(event.sequence)
          if (at === undefined) return { fault: `${text(event)} is none of the log`, missing: true }
          const known = log[at]!
          if (known.id !== event.id || known.type !== event.type) return wrong(`${text(event)} is another in the log`)
          if (seen === undefined) return wrong('an event came before a place')
          if (at < seen) return wrong(`${text(event)} came twice or late`)
          if (!maySee(who, known)) return wrong(`${text(event)} is nothing that they may see`)
          if (!wants(filters.at(-1)!, event.type)) return wrong(`${text(event)} was not asked for`)
          const lost = missed(at)
          if (lost) return wrong(`${text(lost)} never came, and ${text(event)} did`)
          seen = at + 1
          filters = filters.slice(-1)
        }
      }
      if (seen === undefined) return { fault: 'nothing came', missing: true }
      const lost = missed(log.length)
      return lost && { fault: `${text(lost)} never came`, missing: true }
    },
  }
}

export type Book = ReturnType<typeof createBook>
