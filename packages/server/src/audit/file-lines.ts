import { setImmediate as turn } from 'node:timers/promises'
import { type DayEvent, dayOf, jsonlLine, readableLine } from './day-file.ts'

/** Lines of one day's events, in log order, each with its end: what goes into both files of that day. */
export interface DayLines {
  readonly day: string
  readonly jsonl: Uint8Array
  readonly readable: Uint8Array
}

/** What the files of a log get of events that follow each other in it. */
export interface ForFiles {
  readonly entries: readonly Uint8Array[]
  readonly lines: readonly DayLines[]
}

/** An event with both its lines. */
export interface LinedEvent {
  readonly timestamp: number
  readonly jsonl: string
  readonly readable: string
}

/** The lines of events in log order, as few pieces as there are changes of the day. */
export function joinLines(events: readonly LinedEvent[]): DayLines[] {
  const all: DayLines[] = []
  for (let at = 0; at < events.length; ) {
    const day = dayOf(events[at]!.timestamp)
    let jsonl = ''
    let readable = ''
    for (; at < events.length && dayOf(events[at]!.timestamp) === day; at++) {
      jsonl += `${events[at]!.jsonl}\n`
      readable += `${events[at]!.readable}\n`
    }
    all.push({ day, jsonl: Buffer.from(jsonl), readable: Buffer.from(readable) })
  }
  return all
}

/**
 * The lines of events as rows have them. In a turn of the event loop for some hundreds: thousands of lines are tens of milliseconds,
 * in which nobody else would be answered.
 */
export async function linesOf(events: readonly DayEvent[]): Promise<DayLines[]> {
  const all: DayLines[] = []
  for (let at = 0; at < events.length; at += PIECE) {
    if (at > 0) await turn()
    const piece = events.slice(at, at + PIECE)
    const lined = piece.map((event) => ({
      timestamp: event.timestamp,
      jsonl: jsonlLine(event),
      readable: readableLine(event),
    }))
    all.push(...joinLines(lined))
  }
  return all
}
const PIECE = 256
